import { useEffect, useState } from "react";
import { StateBadge } from "../ui/StateBadge";
import { StreamTrouble } from "../ui/StreamTrouble";
import { type Join, clientIdOf, topicsOf } from "./join";
import { ResumeNote } from "./ResumeNote";
import type { Inbox } from "./use-inbox";

interface JoinedProps {
  readonly join: Join;
  readonly inbox: Inbox;
  readonly onLeave: () => void;
}

export function Joined({ join, inbox, onLeave }: JoinedProps) {
  const { state } = inbox;
  return (
    <section className="card" aria-label="Your stream">
      <div className="joined-head">
        <div className="joined-who">
          <h1 className="break">{join.name}</h1>
          <p className="soft small break">
            Listening as <code>{clientIdOf(join)}</code>
            {topicsOf(join).map((topic) => (
              <span key={topic} className="tag">
                {topic}
              </span>
            ))}
          </p>
        </div>
        <StateBadge state={state} beat={inbox.beat} />
        <button type="button" className="button" onClick={onLeave}>
          Leave
        </button>
      </div>
      {state.kind === "connecting" && <SlowHint />}
      <StreamTrouble state={state} retryNow={inbox.retryNow} />
      {state.kind === "connected" && inbox.greeting !== null && <ResumeNote greeting={inbox.greeting} />}
    </section>
  );
}

const SLOW_MS = 5_000;

/** A browser that has used up its connections waits without a word; this says so for it. */
function SlowHint() {
  const [slow, setSlow] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setSlow(true), SLOW_MS);
    return () => clearTimeout(timer);
  }, []);
  if (!slow) return null;
  return (
    <p className="soft small">
      This takes longer than usual. Over HTTP/1.1 a browser keeps at most six streams open to one address: with that
      many tabs, the next one waits until another is closed.
    </p>
  );
}
