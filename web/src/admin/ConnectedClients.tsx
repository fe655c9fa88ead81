import { useState } from "react";
import { formatCount } from "../lib/format";
import { needsCredentials } from "../lib/http";
import { CredentialsNotice } from "../ui/CredentialsNotice";
import { Notice } from "../ui/Notice";
import { ClientItem } from "./ClientItem";
import { type ClientsState, MAX_ROWS } from "./clients-store";
import { PrefixFilter } from "./PrefixFilter";
import type { ClientList } from "./use-client-list";

interface ConnectedClientsProps {
  readonly list: ClientList;
  readonly total: number;
  readonly onAddress: (clientId: string) => void;
}

export function ConnectedClients({ list, total, onAddress }: ConnectedClientsProps) {
  const { state, problem } = list;
  const [openId, setOpenId] = useState<string | null>(null);
  return (
    <section className="card" aria-labelledby="connected-clients">
      <div className="card-head">
        <h2 id="connected-clients">Connected Clients</h2>
        {state.loaded && <span className="soft small number">{summary(state, total)}</span>}
      </div>
      <PrefixFilter onChange={list.setPrefix} />
      {problem !== null && <ListProblem status={problem.status} detail={problem.detail} />}
      {state.listed.length === 0 && problem === null && state.loaded && !state.loading && (
        <p className="empty">{state.prefix === "" ? "Nobody is connected. Join from the Client page." : "No such client."}</p>
      )}
      <div className="clients-scroll">
        <ul className="clients">
          {state.listed.map((client) => (
            <ClientItem
              key={client.row.clientId}
              client={client}
              open={client.row.clientId === openId}
              onToggle={setOpenId}
              onAddress={onAddress}
            />
          ))}
        </ul>
        {list.canLoadMore && (
          <button type="button" className="button is-small" onClick={list.loadMore} disabled={state.loading}>
            Load more
          </button>
        )}
        {state.trimmed && (
          <p className="soft small">Only the {formatCount(MAX_ROWS)} latest are listed. Filter by prefix to find others.</p>
        )}
      </div>
    </section>
  );
}

function summary({ prefix, listed }: ClientsState, total: number): string {
  if (prefix === "" && listed.length >= total) return `${formatCount(total)} connected`;
  return `${formatCount(listed.length)} shown of ${formatCount(total)} connected`;
}

function ListProblem({ status, detail }: { status: number; detail: string }) {
  if (needsCredentials(status)) return <CredentialsNotice detail={detail} />;
  return <Notice tone="bad">The list could not be loaded: {detail}</Notice>;
}
