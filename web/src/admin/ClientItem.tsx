import { memo } from "react";
import { formatCount, formatTime, plural } from "../lib/format";
import { ClientDetail } from "./ClientDetail";
import type { ListedClient } from "./clients-store";

interface ClientItemProps {
  readonly client: ListedClient;
  readonly open: boolean;
  readonly onToggle: (clientId: string | null) => void;
  readonly onAddress: (clientId: string) => void;
}

/** Remembered by its props: a change to one of hundreds of clients draws that one. */
export const ClientItem = memo(function ClientItem({ client, open, onToggle, onAddress }: ClientItemProps) {
  const { row, arrived } = client;
  return (
    <li className={arrived ? "client has-arrived" : "client"} data-testid="client-row" data-client-id={row.clientId}>
      <div className="client-line">
        <button
          type="button"
          className="client-toggle"
          aria-expanded={open}
          onClick={() => onToggle(open ? null : row.clientId)}
        >
          <span className="client-name break">
            {row.name || row.clientId}
            {row.name && row.name !== row.clientId && <span className="soft mono"> {row.clientId}</span>}
          </span>
          <span className="soft small number">
            {plural(row.connections, "connection")} · since {formatTime(row.connectedAt)}
          </span>
          <Lag label="Pending" testId="client-pending" value={row.pending} />
          <Lag label="Resyncs" testId="client-resyncs" value={row.resyncs} />
          {row.topics.length > 0 && <Topics topics={row.topics} />}
        </button>
        <button type="button" className="button is-small is-quiet" onClick={() => onAddress(row.clientId)}>
          Send<span className="sr-only"> to {row.clientId}</span>
        </button>
      </div>
      {open && <ClientDetail row={row} />}
    </li>
  );
});

/** One of the columns that say how it reads: nothing is quiet, anything is not. */
function Lag({ label, value, testId }: { label: string; value: number; testId: string }) {
  return (
    <span className={value > 0 ? "client-lag is-behind" : "client-lag"}>
      <span className="client-lag-label">{label} </span>
      <span className="number" data-testid={testId}>
        {formatCount(value)}
      </span>
    </span>
  );
}

const SHOWN_TOPICS = 4;

function Topics({ topics }: { topics: readonly string[] }) {
  return (
    <span className="client-topics">
      {topics.slice(0, SHOWN_TOPICS).map((topic) => (
        <span key={topic} className="tag">
          {topic}
        </span>
      ))}
      {topics.length > SHOWN_TOPICS && <span className="soft small">and {topics.length - SHOWN_TOPICS} more</span>}
    </span>
  );
}
