import { useState } from "react";
import { plural } from "../lib/format";
import type { Result } from "../lib/http";
import { Notice } from "../ui/Notice";
import { BanForm } from "./BanForm";
import { ConnectionItem } from "./ConnectionItem";
import { type ClientRow, disconnectClient, disconnectConnection } from "./hub-api";
import { useClientDetails } from "./use-client-details";

export function ClientDetail({ row }: { row: ClientRow }) {
  const { details, refresh } = useClientDetails(row);
  const [outcome, setOutcome] = useState<Result<{ disconnected: number }> | null>(null);
  // What is left of the client afterwards comes with the stream.
  const act = async (request: Promise<Result<{ disconnected: number }>>) => setOutcome(await request);

  return (
    <div className="client-detail">
      {details === null && <p className="soft small">Loading…</p>}
      {details?.ok === false && <Notice tone="bad">{details.problem.detail}</Notice>}
      {details?.ok && (
        <ul className="connections">
          {details.value.connections.map((connection) => (
            <ConnectionItem
              key={connection.connectionId}
              connection={connection}
              onDisconnect={() => act(disconnectConnection(connection.connectionId))}
            />
          ))}
        </ul>
      )}
      <BanForm onDisconnect={(seconds) => act(disconnectClient(row.clientId, seconds))} onRefresh={refresh} />
      <div aria-live="polite">{outcome !== null && <Outcome outcome={outcome} />}</div>
    </div>
  );
}

function Outcome({ outcome }: { outcome: Result<{ disconnected: number }> }) {
  if (!outcome.ok) return <Notice tone="bad">{outcome.problem.detail}</Notice>;
  return <Notice tone="good">{plural(outcome.value.disconnected, "connection")} ended.</Notice>;
}
