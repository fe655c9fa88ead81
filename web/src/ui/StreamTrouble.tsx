import type { SourceState } from "../lib/event-source";
import { needsCredentials } from "../lib/http";
import { useNow } from "../lib/use-now";
import { CredentialsNotice } from "./CredentialsNotice";
import { Notice } from "./Notice";

/** Why there is no stream right now and what happens next; nothing while all is well. */
export function StreamTrouble({ state, retryNow }: { state: SourceState; retryNow: () => void }) {
  if (state.kind === "ended") {
    if (needsCredentials(state.status)) return <CredentialsNotice detail={state.why} />;
    return (
      <Notice tone="bad">
        <p>{state.why}</p>
        <p className="small">This page will not try again by itself.</p>
      </Notice>
    );
  }
  if (state.kind !== "reconnecting" && state.kind !== "overloaded") return null;
  return (
    <Notice tone="warning">
      <p>{state.why}</p>
      <div className="row">
        <NextTry at={state.retryAt} />
        <button type="button" className="button is-small" onClick={retryNow} disabled={state.retryAt === null}>
          Try now
        </button>
      </div>
    </Notice>
  );
}

function NextTry({ at }: { at: number | null }) {
  const now = useNow(at !== null);
  if (at === null) return <span className="small">Trying…</span>;
  return <span className="small number">Next try in {Math.max(0, Math.ceil((at - now) / 1000))} s.</span>;
}
