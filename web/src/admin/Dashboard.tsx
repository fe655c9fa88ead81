import { useCallback, useEffect, useRef, useState } from "react";
import { Notice } from "../ui/Notice";
import { StateBadge } from "../ui/StateBadge";
import { StreamTrouble } from "../ui/StreamTrouble";
import { ConnectedClients } from "./ConnectedClients";
import { type Draft, FIRST_DRAFT } from "./draft";
import { Figures } from "./Figures";
import { Limits } from "./Limits";
import { SendNotification } from "./SendNotification";
import { SentLog } from "./SentLog";
import { useDashboard } from "./use-dashboard";
import { useSender } from "./use-sender";

interface DashboardProps {
  /** null: there is nothing to log out of. */
  readonly onLogout: (() => void) | null;
  /** The hub does not show it to this page any more. */
  readonly onRefused: (status: number) => void;
}

export function Dashboard({ onLogout, onRefused }: DashboardProps) {
  const dashboard = useDashboard();
  const sender = useSender();
  const [draft, setDraft] = useState<Draft>(FIRST_DRAFT);
  const form = useRef<HTMLFormElement>(null);
  const stats = dashboard.samples.latest;

  const { state } = dashboard;
  useEffect(() => {
    if (state.kind === "ended") onRefused(state.status);
  }, [state, onRefused]);

  const showForm = useCallback(() => {
    form.current?.scrollIntoView({ block: "nearest" });
    form.current?.querySelector<HTMLElement>("textarea")?.focus({ preventScroll: true });
  }, []);
  const edit = (next: Draft) => {
    setDraft(next);
    showForm();
  };
  // Stable, because every row of the list holds on to it.
  const address = useCallback(
    (clientId: string) => {
      setDraft((current) => ({ ...current, target: "client", clientId }));
      showForm();
    },
    [showForm],
  );

  return (
    <>
      <div className="row admin-head">
        <h1>Dashboard</h1>
        <div className="row">
          <StateBadge state={dashboard.state} beat={dashboard.beat} />
          {onLogout && (
            <button type="button" className="button is-small" onClick={onLogout}>
              Log out
            </button>
          )}
        </div>
      </div>
      <StreamTrouble state={dashboard.state} retryNow={dashboard.retryNow} />
      {stats?.draining && <Notice tone="warning">This hub is shutting down: it takes no new connections.</Notice>}
      <Figures samples={dashboard.samples} totalClients={dashboard.totalClients} />
      <div className="admin-columns">
        <ConnectedClients list={dashboard.clients} total={dashboard.totalClients} onAddress={address} />
        <div className="admin-column">
          <SendNotification
            draft={draft}
            onChange={setDraft}
            sender={sender}
            formRef={form}
            suggestions={dashboard.clients.state.listed}
          />
          <SentLog sent={sender.sent} onLoad={edit} />
        </div>
      </div>
      <Limits limits={stats?.limits ?? []} />
    </>
  );
}
