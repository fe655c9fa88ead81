// Each subscriber gets each event once and in order.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Hub, SMALL } from "../lib/hub.mjs";
import { RawConnection, requestBytes } from "../lib/raw.mjs";
import { within } from "../lib/wait.mjs";
import { HTTP1_ONLY } from "../lib/over.mjs";

/** Reads only `data:` lines of the event "seq", as fast as plain sockets allow. */
class Counter {
  static async open(hub, n) {
    const connection = await RawConnection.open(hub.target);
    const counter = new Counter(connection);
    hub.open.add(counter);
    connection.send(requestBytes("GET", `/api/sse/subscribe/c${n}`, { headers: { Accept: "text/event-stream" }, version: "1.0" }));
    await connection.until(() => counter.joined || undefined, "__connected");
    return counter;
  }

  constructor(connection) {
    this.connection = connection;
    this.numbers = [];
    this.joined = false;
    this.left = "";
    this.full = new Promise((resolve) => (this.fill = resolve));
    connection.on("bytes", (piece) => this.#read(piece));
  }

  #read(piece) {
    const text = this.left + piece.toString("latin1");
    const end = text.lastIndexOf("\n\n") + 2;
    if (end < 2) return void (this.left = text);
    this.left = text.slice(end);
    const whole = text.slice(0, end);
    if (whole.includes("event: __connected\n")) this.joined = true;
    for (const [, number] of whole.matchAll(/event: seq\ndata: (\d+)\n/g)) this.numbers.push(Number(number));
    if (whole.includes("event: end\n")) this.fill();
  }

  close() {
    this.connection.close();
  }
}

test("subscribers × broadcasts: each gets each once, in order", async (t) => {
  const subscribers = SMALL ? 200 : 2000;
  const broadcasts = 50;
  const hub = await Hub.started(t);
  const counters = [];
  while (counters.length < subscribers) {
    const batch = Array.from({ length: 100 }, (_, n) => Counter.open(hub, counters.length + n));
    counters.push(...(await Promise.all(batch)));
  }
  await hub.totals(subscribers, subscribers);
  for (let n = 0; n < broadcasts; n++) {
    const answer = await hub.publish({ broadcast: true, event: "seq", payload: n });
    assert.equal(answer.connections, subscribers);
  }
  await hub.publish({ broadcast: true, event: "end", payload: 0 });
  await within(Promise.all(counters.map(({ full }) => full)), "every subscriber to get the end", 120_000);
  const expected = Array.from({ length: broadcasts }, (_, n) => n);
  for (const { numbers } of counters) assert.deepEqual(numbers, expected);
  for (const counter of counters) counter.close();
  await hub.totals(0, 0);
});

// Over HTTP/2 so many streams that are reset are a flood.
test("events published while others join and leave reach those who stay, once and in order", HTTP1_ONLY, async (t) => {
  const hub = await Hub.started(t);
  const steady = await hub.subscribeAll(t, Array.from({ length: 50 }, (_, n) => `steady-${n}`));
  let stop = false;
  const churn = (async () => {
    for (let n = 0; !stop; n++) {
      const streams = await hub.subscribeAll(t, Array.from({ length: 10 }, (_, i) => `moving-${n}-${i}`));
      for (const stream of streams) stream.reset();
    }
  })();
  const total = SMALL ? 50 : 300;
  for (let n = 0; n < total; n++) await hub.publish({ broadcast: true, event: "seq", payload: n });
  await Promise.all(steady.map((stream) => stream.next(({ data }) => data === String(total - 1))));
  stop = true;
  await churn;
  for (const stream of steady) {
    assert.deepEqual(stream.published.map(([, data]) => Number(data)), Array.from({ length: total }, (_, n) => n));
  }
});

test("a subscriber that joins in the middle gets an unbroken run up to the end", async (t) => {
  const hub = await Hub.started(t);
  const total = SMALL ? 100 : 400;
  const joining = [];
  for (let n = 0; n < total; n++) {
    if (n % 20 === 10) joining.push(hub.subscribe(t, `joiner-${n}`));
    await hub.publish({ broadcast: true, event: "seq", payload: n });
  }
  for (const stream of await Promise.all(joining)) {
    await hub.publish({ broadcast: true, event: "mark", payload: 0 });
    await stream.next("mark");
    const numbers = stream.published.filter(([event]) => event === "seq").map(([, data]) => Number(data));
    const first = numbers[0] ?? total;
    assert.deepEqual(numbers, Array.from({ length: total - first }, (_, i) => first + i));
  }
});

for (const [what, target] of [
  ["of its client", (n) => ({ clientId: `slow-${n}` })],
  ["of its topic", (n) => ({ topic: `topic-${n}` })],
  ["to everybody", () => ({ broadcast: true })],
]) {
  // Sizes of events differ so that sockets fill up at every place of a batch.
  test(`events ${what} that come faster than a reader reads arrive all, in order, once it reads`, async (t) => {
    const hub = await Hub.started(t);
    const streams = await Promise.all(
      Array.from({ length: 12 }, (_, n) => hub.subscribe(t, `slow-${n}`, { query: `topic=topic-${n}` })),
    );
    for (const stream of streams) stream.connection.socket.pause();
    const count = 100;
    const publishers = what === "to everybody" ? [streams[0]] : streams;
    for (const i of publishers.keys()) {
      const filler = "x".repeat(5000 + 317 * i);
      for (let n = 0; n < count; n++) await hub.publish({ ...target(i), event: "seq", payload: `${n}:${filler}` });
    }
    for (const stream of streams) stream.connection.socket.resume();
    for (const stream of streams) {
      await stream.next(({ data }) => data?.startsWith(`"${count - 1}:`));
      const numbers = stream.published.map(([, data]) => parseInt(data.slice(1), 10));
      assert.deepEqual(numbers, Array.from({ length: count }, (_, n) => n));
    }
  });
}

/** Publishes more than the hub keeps (8 KiB here) and its sockets hold while the reader does not read. */
async function fallBehind(t, flags) {
  const hub = await Hub.started(t, ["--history-bytes", "8KiB", "--send-buffer", "16KiB", ...flags]);
  const stream = await hub.subscribe(t, "slow");
  stream.connection.socket.pause();
  const payload = "x".repeat(100_000);
  for (let n = 0; n < 100; n++) await hub.publish({ clientId: "slow", event: "seq", payload: `${n}:${payload}` });
  stream.connection.socket.resume();
  return { hub, stream };
}

test("a reader that has fallen behind what is kept is told so with __resync, and goes on in order", async (t) => {
  const { hub, stream } = await fallBehind(t, ["--slow-reader", "resync"]);
  await stream.next("__resync");
  // While it drains what waits in its socket it may fall behind again, and then a new event is passed over as well.
  for (let n = 100, arrived = false; !arrived; n++) {
    await hub.publish({ clientId: "slow", event: "seq", payload: `${n}:` });
    const next = await stream.next(({ event, data }) => event === "__resync" || /^"1\d\d:"$/.test(data));
    arrived = next.event !== "__resync";
  }
  const numbers = stream.published.map(([, data]) => parseInt(data.slice(1), 10));
  assert.deepEqual(numbers, [...new Set(numbers)].sort((a, b) => a - b));
});

test("with --slow-reader disconnect its stream ends instead", async (t) => {
  const { hub, stream } = await fallBehind(t, ["--slow-reader", "disconnect"]);
  await stream.end();
  assert.ok(stream.events.every(({ event }) => event !== "__resync"));
  await hub.totals(0, 0);
});
