/**
 * A stream from the hub that keeps itself alive: what the browser's EventSource does, over fetch(),
 * because EventSource hides every event whose name nobody registered, gives up for good after any
 * status but 200, and cannot say why.
 *
 *   connecting ──► connected ──► reconnecting ──► connected …
 *        │             └───────► overloaded ───► connected …
 *        └──► ended (204, refused, not a stream)
 */

import { problemOf } from "./http";
import { SilenceWatch } from "./silence-watch";
import { type SseEvent, SseParser } from "./sse-parser";

export type SourceState =
  | { readonly kind: "idle" }
  | { readonly kind: "connecting" }
  | { readonly kind: "connected" }
  /** `retryAt` is null while an attempt is under way. */
  | { readonly kind: "reconnecting"; readonly retryAt: number | null; readonly why: string }
  | { readonly kind: "overloaded"; readonly retryAt: number | null; readonly why: string }
  | { readonly kind: "ended"; readonly status: number; readonly why: string };

export interface SourceOptions {
  readonly url: string;
  readonly onState: (state: SourceState) => void;
  readonly onEvent: (event: SseEvent) => void;
}

type Outcome =
  | { readonly kind: "stop"; readonly status: number; readonly why: string }
  | { readonly kind: "again"; readonly delayMs: number; readonly why: string; readonly busy: boolean };

export const DEFAULT_RETRY_MS = 3_000;
const LONGEST_BACKOFF_MS = 30_000;
/** However eager the hub is, a page that is turned away at once must not spin. */
const SHORTEST_PAUSE_MS = 200;

/** Doubles with every failure in a row; the random half keeps many pages from returning as one. */
export function backoffMs(retryMs: number, failures: number, random = Math.random): number {
  const full = Math.min(retryMs * 2 ** (failures - 1), Math.max(retryMs, LONGEST_BACKOFF_MS));
  return Math.round(full * (0.5 + random() / 2));
}

export class HubSource {
  private closed = false;
  private started = false;
  private retryMs = DEFAULT_RETRY_MS;
  private lastEventId = "";
  private failures = 0;
  private greeted = false;
  private busy: { readonly reason: string; readonly retryMs: number } | undefined;
  private attempt = new AbortController();
  private wake: (() => void) | undefined;

  constructor(private readonly options: SourceOptions) {}

  open(): void {
    if (this.started) return;
    this.started = true;
    void this.run();
  }

  close(): void {
    this.closed = true;
    this.attempt.abort();
    this.wake?.();
  }

  /** Ends the pause before the next attempt, if one is under way. */
  retryNow(): void {
    this.wake?.();
  }

  private async run(): Promise<void> {
    this.options.onState({ kind: "connecting" });
    while (!this.closed) {
      const outcome = await this.tryOnce();
      if (this.closed) return;
      if (outcome.kind === "stop") {
        this.options.onState({ kind: "ended", status: outcome.status, why: outcome.why });
        return;
      }
      await this.pause(outcome);
    }
  }

  private async tryOnce(): Promise<Outcome> {
    this.attempt = new AbortController();
    this.busy = undefined;
    this.greeted = false;
    try {
      const response = await fetch(this.options.url, {
        headers: this.headers(),
        cache: "no-store",
        signal: this.attempt.signal,
      });
      if (!isStream(response)) return await this.refused(response);
      await this.read(response.body);
      return this.afterEnd();
    } catch {
      return this.afterFailure(this.greeted ? "The connection was lost." : "The hub cannot be reached.");
    }
  }

  private headers(): Record<string, string> {
    const headers: Record<string, string> = { Accept: "text/event-stream" };
    // Other characters cannot travel in a header; the hub never uses them in an id.
    if (/^[\x21-\x7e]+$/.test(this.lastEventId)) headers["Last-Event-ID"] = this.lastEventId;
    return headers;
  }

  private async read(body: ReadableStream<Uint8Array>): Promise<void> {
    const watch = new SilenceWatch(() => this.attempt.abort());
    const parser = new SseParser(
      {
        onEvent: (event) => this.take(event, watch),
        onRetry: (milliseconds) => (this.retryMs = milliseconds),
      },
      this.lastEventId,
    );
    const reader = body.getReader();
    try {
      for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
        watch.heard();
        parser.feed(piece.value);
        this.lastEventId = parser.lastEventId;
      }
    } finally {
      watch.stop();
    }
  }

  private take(event: SseEvent, watch: SilenceWatch): void {
    if (this.closed) return;
    if (event.name === "__overloaded") {
      this.busy = readOverload(event.data, this.retryMs);
      return;
    }
    if (event.name === "__heartbeat") watch.beat();
    if (event.name === "__connected") {
      this.failures = 0;
      this.greeted = true;
      this.options.onState({ kind: "connected" });
    }
    this.options.onEvent(event);
  }

  private async refused(response: Response): Promise<Outcome> {
    if (response.status === 204) {
      return { kind: "stop", status: 204, why: "The hub told this client to leave." };
    }
    const problem = await problemOf(response);
    if (response.status === 429 || response.status === 503) {
      const delayMs = retryAfterMs(response) ?? this.nextBackoff();
      return { kind: "again", delayMs, why: problem.detail, busy: true };
    }
    if (response.status >= 500) return this.afterFailure(problem.detail);
    return { kind: "stop", status: response.status, why: problem.detail };
  }

  private afterEnd(): Outcome {
    if (this.busy !== undefined) {
      return { kind: "again", delayMs: this.busy.retryMs, why: this.busy.reason, busy: true };
    }
    if (!this.greeted) return this.afterFailure("The stream ended before it began.");
    return { kind: "again", delayMs: this.retryMs, why: "The hub ended the stream.", busy: false };
  }

  private afterFailure(why: string): Outcome {
    return { kind: "again", delayMs: this.nextBackoff(), why, busy: false };
  }

  private nextBackoff(): number {
    this.failures += 1;
    return backoffMs(this.retryMs, this.failures);
  }

  private async pause(outcome: Extract<Outcome, { kind: "again" }>): Promise<void> {
    const { why, busy } = outcome;
    const delayMs = Math.max(outcome.delayMs, SHORTEST_PAUSE_MS);
    const kind = busy ? "overloaded" : "reconnecting";
    this.options.onState({ kind, retryAt: Date.now() + delayMs, why });
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, delayMs);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.wake = undefined;
    if (!this.closed) this.options.onState({ kind, retryAt: null, why });
  }
}

function isStream(response: Response): response is Response & { body: ReadableStream<Uint8Array> } {
  const type = response.headers.get("Content-Type") ?? "";
  return response.status === 200 && /^text\/event-stream\b/i.test(type) && response.body !== null;
}

function readOverload(data: string, retryMs: number): { reason: string; retryMs: number } {
  try {
    const told = JSON.parse(data) as { reason?: unknown; retryMs?: unknown };
    return {
      reason: typeof told.reason === "string" ? told.reason : "The hub is over a limit.",
      retryMs: typeof told.retryMs === "number" && told.retryMs >= 0 ? told.retryMs : retryMs,
    };
  } catch {
    return { reason: "The hub is over a limit.", retryMs };
  }
}

function retryAfterMs(response: Response): number | undefined {
  const seconds = response.headers.get("Retry-After") ?? "";
  return /^[0-9]+$/.test(seconds) ? Number(seconds) * 1000 : undefined;
}
