import type { SourceState } from "../lib/event-source";

const WORDS: Record<SourceState["kind"], string> = {
  idle: "Not connected",
  connecting: "Connecting…",
  connected: "Connected",
  reconnecting: "Reconnecting…",
  overloaded: "Hub is busy",
  ended: "Ended",
};

/** The state of a stream in one word; every new `beat` sends a ring out from its dot. */
export function StateBadge({ state, beat }: { state: SourceState; beat: number }) {
  return (
    <span className="state" data-state={state.kind} role="status">
      <span className="state-dot" aria-hidden="true">
        {state.kind === "connected" && beat > 0 && <span key={beat} className="state-beat" />}
      </span>
      <span data-testid="state" data-state={state.kind}>
        {WORDS[state.kind]}
      </span>
    </span>
  );
}
