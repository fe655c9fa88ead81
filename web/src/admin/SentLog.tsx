import { formatTime } from "../lib/format";
import { type Draft, targetLabel } from "./draft";
import type { Sent } from "./use-sender";

/** What was sent from this page; choosing an entry brings it back into the form. */
export function SentLog({ sent, onLoad }: { sent: readonly Sent[]; onLoad: (draft: Draft) => void }) {
  return (
    <section className="card" aria-labelledby="sent">
      <h2 id="sent">Sent</h2>
      {sent.length === 0 && <p className="empty">Nothing yet. What you send is kept here until the page closes.</p>}
      <ul className="sent">
        {sent.map((entry) => (
          <li key={entry.key} data-testid="sent-row">
            <button type="button" className="sent-entry" onClick={() => onLoad(entry.draft)} title="Load into the form">
              <span className="sent-what break">
                <strong>{entry.draft.event}</strong> to {targetLabel(entry.draft)}
              </span>
              <span className={entry.result.ok ? "soft small number" : "sent-wrong small"}>{outcome(entry)}</span>
              <span className="sent-payload soft mono">{entry.draft.payload.replace(/\s+/g, " ")}</span>
              <time className="soft small number" dateTime={new Date(entry.at).toISOString()}>
                {formatTime(entry.at)}
              </time>
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}

function outcome({ result }: Sent): string {
  if (!result.ok) return result.problem.status === 0 ? "no answer" : `refused (${result.problem.status})`;
  return result.value.sent ? `× ${result.value.connections}` : "nobody there";
}
