import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { DEFAULT_RETRY_MS, HubSource, type SourceState, backoffMs } from "./event-source";
import type { SseEvent } from "./sse-parser";

const GREETING = 'id: c1\nevent: __connected\ndata: {"message":"connected"}\n\n';

/** One answer of the fake hub whose body the test writes and ends. */
class Stream {
  private controller!: ReadableStreamDefaultController<Uint8Array>;
  readonly response: Response;

  constructor(signal: AbortSignal) {
    const body = new ReadableStream<Uint8Array>({ start: (controller) => (this.controller = controller) });
    signal.addEventListener("abort", () => this.controller.error(signal.reason));
    this.response = new Response(body, { headers: { "Content-Type": "text/event-stream; charset=utf-8" } });
  }

  async send(text: string) {
    this.controller.enqueue(new TextEncoder().encode(text));
    await vi.advanceTimersByTimeAsync(0);
  }

  async end() {
    this.controller.close();
    await vi.advanceTimersByTimeAsync(0);
  }

  async cut() {
    this.controller.error(new TypeError("network error"));
    await vi.advanceTimersByTimeAsync(0);
  }
}

const requests: Headers[] = [];
const streams: Stream[] = [];
let answer: (signal: AbortSignal) => Response;
let states: SourceState[];
let events: SseEvent[];
let source: HubSource;

beforeEach(async () => {
  vi.useFakeTimers();
  vi.spyOn(Math, "random").mockReturnValue(1);
  requests.length = 0;
  streams.length = 0;
  states = [];
  events = [];
  answer = (signal) => {
    const stream = new Stream(signal);
    streams.push(stream);
    return stream.response;
  };
  vi.stubGlobal("fetch", async (_url: string, init: RequestInit) => {
    requests.push(new Headers(init.headers));
    return answer(init.signal as AbortSignal);
  });
  source = new HubSource({
    url: "/stream",
    onState: (state) => states.push(state),
    onEvent: (event) => events.push(event),
  });
});

afterEach(() => {
  source.close();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
  vi.useRealTimers();
});

async function open() {
  source.open();
  await vi.advanceTimersByTimeAsync(0);
}

const stream = (index: number): Stream => streams[index] as Stream;
const kinds = () => states.map((state) => state.kind);
const pass = (milliseconds: number) => vi.advanceTimersByTimeAsync(milliseconds);

describe("a stream", () => {
  it("is connected when the hub greets, and hands every event on", async () => {
    await open();
    expect(kinds()).toEqual(["connecting"]);
    expect(requests[0]?.get("Accept")).toBe("text/event-stream");
    await stream(0).send(`:ok\nretry: 50\n\n${GREETING}event: any name\ndata: 1\n\n`);
    expect(kinds()).toEqual(["connecting", "connected"]);
    expect(events.map((event) => event.name)).toEqual(["__connected", "any name"]);
  });

  it("comes back after the pause that the hub asked for, with the last id", async () => {
    await open();
    await stream(0).send(`retry: 700\n\n${GREETING}id: e2\ndata: 1\n\nid: e3\ndata: unfinished`);
    await stream(0).end();
    expect(states.at(-1)).toMatchObject({ kind: "reconnecting", retryAt: Date.now() + 700 });
    await pass(699);
    expect(requests).toHaveLength(1);
    await pass(1);
    expect(requests).toHaveLength(2);
    expect(requests[1]?.get("Last-Event-ID")).toBe("e2");
    expect(states.at(-1)).toMatchObject({ kind: "reconnecting", retryAt: null });
  });

  it("never spins, even when the hub asks for no pause", async () => {
    await open();
    await stream(0).send(`retry: 0\n\n${GREETING}`);
    await stream(0).end();
    await pass(199);
    expect(requests).toHaveLength(1);
  });

  it("backs off when it is cut again and again, and starts over once greeted", async () => {
    answer = () => {
      throw new TypeError("refused");
    };
    await open();
    for (const wait of [3_000, 6_000, 12_000, 24_000, 30_000, 30_000]) {
      expect(states.at(-1)).toMatchObject({ kind: "reconnecting", retryAt: Date.now() + wait });
      await pass(wait);
    }
  });

  it("says that a live connection was lost", async () => {
    await open();
    await stream(0).send(GREETING);
    await stream(0).cut();
    expect(states.at(-1)).toMatchObject({ kind: "reconnecting", why: "The connection was lost." });
  });

  it("can be told to try at once", async () => {
    await open();
    await stream(0).send(GREETING);
    await stream(0).end();
    source.retryNow();
    await pass(0);
    expect(requests).toHaveLength(2);
  });

  it("does nothing more once closed", async () => {
    await open();
    await stream(0).send(GREETING);
    source.close();
    await pass(60_000);
    expect(requests).toHaveLength(1);
    expect(kinds()).toEqual(["connecting", "connected"]);
  });

  it("does nothing more when closed during a pause", async () => {
    await open();
    await stream(0).send(GREETING);
    await stream(0).end();
    source.close();
    await pass(60_000);
    expect(requests).toHaveLength(1);
  });
});

describe("silence", () => {
  const BEAT = "event: __heartbeat\ndata: {}\n\n";

  it("of three learned heartbeats ends the attempt", async () => {
    await open();
    await stream(0).send(GREETING + BEAT);
    await pass(15_000);
    await stream(0).send(BEAT);
    await pass(44_999);
    expect(kinds()).not.toContain("reconnecting");
    await pass(2);
    expect(kinds()).toContain("reconnecting");
  });

  it("is broken by anything that arrives", async () => {
    await open();
    await stream(0).send(GREETING + BEAT);
    await pass(15_000);
    await stream(0).send(BEAT);
    await pass(40_000);
    await stream(0).send(":still here\n");
    await pass(40_000);
    expect(kinds()).not.toContain("reconnecting");
  });

  it("means nothing while the interval is unknown", async () => {
    await open();
    await stream(0).send(GREETING + BEAT);
    await pass(3_600_000);
    expect(kinds()).toEqual(["connecting", "connected"]);
  });
});

describe("a hub that refuses", () => {
  it("with __overloaded is asked again when it said, and keeps the cursor", async () => {
    await open();
    await stream(0).send(GREETING);
    await stream(0).end();
    await pass(DEFAULT_RETRY_MS);
    await stream(1).send('retry: 900\nevent: __overloaded\ndata: {"reason":"max-connections","retryMs":800}\n\n');
    await stream(1).end();
    expect(states.at(-1)).toEqual({ kind: "overloaded", retryAt: Date.now() + 800, why: "max-connections" });
    expect(events.map((event) => event.name)).toEqual(["__connected"]);
    await pass(800);
    expect(requests[2]?.get("Last-Event-ID")).toBe("c1");
  });

  it("with 204 is left for good", async () => {
    answer = () => new Response(null, { status: 204 });
    await open();
    await pass(60_000);
    expect(requests).toHaveLength(1);
    expect(states.at(-1)).toMatchObject({ kind: "ended", status: 204 });
  });

  it.each([400, 401, 403, 404, 421])("with %i is not asked again, and its words are kept", async (status) => {
    answer = () => Response.json({ title: "No", detail: "name: too long" }, { status });
    await open();
    await pass(60_000);
    expect(requests).toHaveLength(1);
    expect(states.at(-1)).toEqual({ kind: "ended", status, why: "name: too long" });
  });

  it.each([429, 503])("with %i is asked again after Retry-After", async (status) => {
    answer = () => Response.json({ detail: "busy" }, { status, headers: { "Retry-After": "2" } });
    await open();
    expect(states.at(-1)).toEqual({ kind: "overloaded", retryAt: Date.now() + 2000, why: "busy" });
    await pass(2000);
    expect(requests).toHaveLength(2);
  });

  it("with 500 is asked again", async () => {
    answer = () => new Response("oops", { status: 500 });
    await open();
    await pass(DEFAULT_RETRY_MS);
    expect(requests).toHaveLength(2);
  });

  it("with something that is no stream is not asked again", async () => {
    answer = () => new Response("<html>", { headers: { "Content-Type": "text/html" } });
    await open();
    await pass(60_000);
    expect(requests).toHaveLength(1);
    expect(states.at(-1)).toMatchObject({ kind: "ended", status: 200 });
  });
});

describe("backoff", () => {
  it("spreads over the upper half of its time", () => {
    expect(backoffMs(1000, 1, () => 0)).toBe(500);
    expect(backoffMs(1000, 3, () => 1)).toBe(4000);
    expect(backoffMs(1000, 60, () => 1)).toBe(30_000);
  });

  it("never asks sooner than the hub's own pause allows", () => {
    expect(backoffMs(60_000, 1, () => 1)).toBe(60_000);
  });
});
