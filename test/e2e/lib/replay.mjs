// What was published, as a plain list, and what somebody who comes back is given, to compare the two.

import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";

export const ALL = { broadcast: true };
export const client = (clientId) => ({ clientId });
export const topic = (name) => ({ topic: name });

const nameOf = ({ broadcast, topic, clientId }) => (broadcast ? "all" : topic === undefined ? `client ${clientId}` : `topic ${topic}`);

/** The oracle: publishes numbered events and remembers each with its id. */
export class Book {
  constructor(hub) {
    this.hub = hub;
    this.entries = [];
  }

  async publish(target, fields = {}) {
    const data = String(this.entries.length);
    const { id } = await this.hub.publish({ ...target, event: "seq", payload: this.entries.length, ...fields });
    this.entries.push({ id, data, to: nameOf(target) });
    return id;
  }

  /** So many events to the target; their ids. */
  async fill(target, count, fields) {
    const ids = [];
    for (let n = 0; n < count; n++) ids.push(await this.publish(target, fields));
    return ids;
  }

  /** Id and data of what a reader of these targets has not seen at the cursor. */
  owed(cursor, ...targets) {
    const names = targets.map(nameOf);
    return this.entries.filter(({ id, to }) => names.includes(to) && id > cursor).map(({ id, data }) => [id, data]);
  }
}

/** Id and data of the numbered events that a stream has got. */
export function gotten(stream) {
  return stream.events.filter(({ event }) => event === "seq").map(({ id, data }) => [id, data]);
}

/** Waits until everything that was published before now has come: an event that is never kept ends the wait. */
async function marked(hub, stream, target) {
  const { id } = await hub.publish({ ...target, event: "mark", payload: 0, ttl: 0 });
  await stream.next((block) => block.id === id && block.event === "mark");
  return gotten(stream);
}

export function caughtUp(hub, stream, clientId) {
  return marked(hub, stream, client(clientId));
}

/** The mark that ends a wait is held for a moment; on a topic of its own it takes the place of nothing else. */
const MARKS = "end of the replay";

/**
 * Subscribes, waits until nothing more comes, leaves. `cursor` goes into Last-Event-ID, `query` is added.
 * {hello, got, stream}; `replayed` has been compared with what came.
 */
export async function comeBack(t, hub, clientId, { cursor, query = "" } = {}) {
  const headers = cursor === undefined ? {} : { "Last-Event-ID": cursor };
  const stream = await hub.subscribe(t, clientId, { query: `${query}&topic=${encodeURIComponent(MARKS)}`, headers });
  const got = await marked(hub, stream, topic(MARKS));
  stream.close();
  assert.equal(stream.hello.replayed, got.length, "replayed is the number of events that followed");
  return { hello: stream.hello, got, stream };
}

/** Where the hub is now: the cursor of somebody who has just come. */
export async function tail(t, hub) {
  const stream = await hub.subscribe(t, "somebody-else");
  stream.close();
  return stream.hello.id;
}

/** One number of /metrics; `series` is its name, with its labels if it has some. */
export async function metric(hub, series) {
  const { text } = await hub.get("/metrics");
  const line = text.split("\n").find((one) => one.startsWith(`${series} `));
  assert.ok(line, `no ${series} in /metrics`);
  return Number(line.slice(series.length));
}

/** All pages of GET /api/sse/history. */
export async function history(hub, query) {
  const events = [];
  let after = "";
  for (let page = 0; page < 1000; page++) {
    const answer = await hub.get(`/api/sse/history?${query}${after}`);
    assert.equal(answer.status, 200, answer.text);
    events.push(...answer.json.events);
    if (answer.json.next === null) return events;
    after = `&after=${answer.json.next}`;
  }
  throw new Error(`history of ${query} has no end`);
}

/** A way to the hub that can be cut; it lives as long as the test. */
export class CutProxy {
  static async started(t, port) {
    const proxy = new CutProxy();
    proxy.pairs = new Set();
    proxy.server = net.createServer((socket) => proxy.#carry(socket, port));
    proxy.server.listen(0, "127.0.0.1");
    await once(proxy.server, "listening");
    proxy.url = `http://127.0.0.1:${proxy.server.address().port}`;
    t.after(() => {
      proxy.cut();
      proxy.server.close();
    });
    return proxy;
  }

  #carry(socket, port) {
    const pair = [socket, net.connect({ port, host: "127.0.0.1" })];
    this.pairs.add(pair);
    for (const [from, to] of [pair, [pair[1], pair[0]]]) {
      from.on("error", () => {});
      from.on("close", () => {
        this.pairs.delete(pair);
        to.destroy();
      });
      from.pipe(to);
    }
  }

  /** Breaks every connection, in the middle of whatever is on its way. */
  cut() {
    for (const pair of this.pairs) for (const socket of pair) socket.resetAndDestroy();
    this.pairs.clear();
  }
}

/** Numbers from 0 to below `limit` that are the same in every run (mulberry32). */
export function seeded(seed) {
  let state = seed >>> 0;
  return (limit) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let n = Math.imul(state ^ (state >>> 15), 1 | state);
    n = (n + Math.imul(n ^ (n >>> 7), 61 | n)) ^ n;
    return Math.floor((((n ^ (n >>> 14)) >>> 0) / 2 ** 32) * limit);
  };
}
