// The oracle of the long tests: a plain list of what was published, and for each reader a plain list of what it got.

import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { ID } from "./expect.mjs";
import { Follower } from "./follower.mjs";
import { until } from "./wait.mjs";

export const EVENT = "seq";
export const ALL = "*";

/** Where an event goes, as one word: ALL, "client ID" or "topic NAME". */
export const toClient = (id) => `client ${id}`;
export const toTopic = (name) => `topic ${name}`;

/** What was published. Events are numbered as they are asked for; their order is that of their ids. */
export class Ledger {
  constructor() {
    this.events = []; // {target, size, fields, id, acknowledged}
    this.readers = new Map(); // target → how many readers it has
    this.owed = 0; // deliveries
    this.highest = ""; // acknowledged id
    this.newestOfAll = ""; // the same of broadcasts
  }

  get length() {
    return this.events.length;
  }

  /** A new event; `size` characters are added to its payload, and `fields` to its request. */
  add(target, size = 0, fields = {}) {
    this.events.push({ target, size, fields, id: undefined, acknowledged: false });
    this.owed += this.readers.get(target) ?? 0;
    return this.length - 1;
  }

  /** The compact text of its payload. */
  payload(n) {
    return `{"n":${n},"pad":"${"x".repeat(this.events[n].size)}"}`;
  }

  /** The body of its request. */
  body(n, key) {
    const [kind, name] = this.events[n].target.split(" ");
    const target = kind === ALL ? '"broadcast":true' : `"${kind === "client" ? "clientId" : "topic"}":"${name}"`;
    const more = Object.entries({ idempotencyKey: key, ...this.events[n].fields }).filter(([, value]) => value !== undefined);
    const fields = more.map(([name, value]) => `,"${name}":${JSON.stringify(value)}`).join("");
    return `{${target},"event":"${EVENT}","payload":${this.payload(n)}${fields}}`;
  }

  /** Everybody who meets an event must see the same id. */
  sighted(n, id) {
    const event = this.events[n];
    assert.match(id, ID);
    event.id ??= Buffer.from(id).toString(); // a copy: a slice would keep all that came with it
    assert.equal(id, event.id, `the id of event ${n}`);
  }

  acknowledge(n, id) {
    this.sighted(n, id);
    this.events[n].acknowledged = true;
    if (id > this.highest) this.highest = id;
    if (this.events[n].target === ALL && id > this.newestOfAll) this.newestOfAll = id;
  }

  compare = (a, b) => (this.events[a].id < this.events[b].id ? -1 : 1);

  /** The acknowledged events of these targets, in the order of their ids. */
  acknowledged(targets) {
    const wanted = new Set(targets);
    const found = [];
    for (let n = 0; n < this.length; n++) {
      if (this.events[n].acknowledged && wanted.has(this.events[n].target)) found.push(n);
    }
    return found.sort(this.compare);
  }
}

/**
 * For each event the one that drives it out of a history in which what costs `limit` fits, a stream or (`together`) all
 * of them; Infinity if it stays.
 */
export function drivenOut(ledger, { limit, cost, together = false }) {
  const out = new Array(ledger.length).fill(Infinity);
  const held = new Map(); // stream → {events, cost}, oldest first
  const order = ledger.events.map((_, n) => n).sort(ledger.compare);
  for (const n of order) {
    const stream = together ? ALL : ledger.events[n].target;
    const queue = held.get(stream) ?? { events: [], cost: 0 };
    held.set(stream, queue);
    queue.events.push(n);
    queue.cost += cost(ledger.events[n]);
    while (queue.cost > limit && queue.events.length > 1) {
      const oldest = queue.events.shift();
      queue.cost -= cost(ledger.events[oldest]);
      out[oldest] = n;
    }
  }
  return out;
}

/** A list that differs from what it should be, told by its first difference. */
export function assertSame(got, wanted, who) {
  const at = wanted.findIndex((n, i) => n !== got[i]);
  const first = at < 0 ? wanted.length : at;
  if (at < 0 && got.length === wanted.length) return;
  const around = (list) => JSON.stringify(list.slice(Math.max(0, first - 3), first + 5));
  const counts = `${got.length} events instead of ${wanted.length}`;
  assert.fail(`${who} got ${counts}; at ${first} ${around(got)} instead of ${around(wanted)}`);
}

/** One client and what it got. */
export class Reader {
  constructor(crowd, { clientId, topics, ...options }) {
    this.crowd = crowd;
    this.targets = [ALL, toClient(clientId), ...topics.map(toTopic)];
    this.got = []; // numbers of events, in the order in which they came
    this.position = ""; // id behind which the next event must stand
    this.notices = []; // {word, cursor, horizon}: it was told that something after the cursor is missing
    this.joins = []; // {resume, replayed, sent, id, at} of each __connected; at: how much it had got
    this.follower = new Follower({
      clientId,
      topics,
      onBlock: (block, before) => this.#take(block, before),
      onError: (error) => crowd.fail(error),
      onPiece: () => crowd.emit("progress"),
      ...options,
    });
  }

  get name() {
    return this.follower.clientId;
  }

  get joined() {
    return this.joins.length > 0;
  }

  #take({ event, id, data }, before) {
    if (event === EVENT) return this.#event(id, data);
    if (event === "__connected") return this.#join(id, JSON.parse(data), before);
    if (event === "__resync") return this.#notice("__resync", before);
    if (event !== "__heartbeat") throw new Error(`an unknown event ${event}`);
    return undefined;
  }

  #event(id, data) {
    const { ledger } = this.crowd;
    const n = Number(/^\{"n":(\d+),/.exec(data)?.[1]);
    assert.ok(n < ledger.length, `an event that nobody published: ${data.slice(0, 100)}`);
    assert.equal(data, ledger.payload(n));
    ledger.sighted(n, id);
    assert.ok(id > this.position, `${id} after ${this.position}`);
    this.position = id;
    this.got.push(n);
    this.crowd.received++;
  }

  #join(id, { resume, replayed }, before) {
    this.joins.push({ resume, replayed, sent: before, id, at: this.got.length });
    assert.equal(resume === "fresh", before === undefined, `resume is ${resume}, the cursor was ${before}`);
    if (resume === "complete") assert.equal(id, before, "the cursor that came comes back");
    if (resume === "incomplete") this.#notice("incomplete", before);
    this.position = id; // what is still held comes again after an `incomplete`
  }

  /** Events that are asked for from now on cannot be what is meant. */
  #notice(word, cursor) {
    assert.ok(!this.crowd.suffices, `${word} after ${cursor}, although the history suffices`);
    this.notices.push({ word, cursor, horizon: this.crowd.ledger.length });
  }

  /** Has its cursor come to the last broadcast that was acknowledged? */
  isUpToDate() {
    return this.follower.cursor >= this.crowd.ledger.newestOfAll;
  }

  /** Everything, once and in order. */
  assertComplete() {
    assertSame(this.got, this.crowd.ledger.acknowledged(this.targets), this.name);
  }

  /**
   * What is missing was told, by a notice that was given after it was published; and each notice meant something that
   * was really gone by then: out[n] is the event that drove n out.
   */
  assertToldOf(missing, out) {
    const { ledger } = this.crowd;
    const covers = ({ cursor, horizon }, n) => ledger.events[n].id > cursor && n < horizon;
    const silent = missing.filter((n) => !this.notices.some((notice) => covers(notice, n)));
    assert.deepEqual(silent.slice(0, 5), [], `${this.name} was not told of ${silent.length} of ${missing.length} missing events`);
    const means = (notice, n) => covers(notice, n) && out[n] < notice.horizon;
    const empty = this.notices.filter((notice) => !missing.some((n) => means(notice, n)));
    assert.deepEqual(empty.slice(0, 5), [], `${this.name} was told of nothing ${empty.length} of ${this.notices.length} times`);
  }

  /** The events that it should have got and has not. */
  missing() {
    const got = new Set(this.got);
    return this.crowd.ledger.acknowledged(this.targets).filter((n) => !got.has(n));
  }
}

/** Readers of one ledger. Emits "progress". suffices: none of them may be told that it has missed something. */
export class Crowd extends EventEmitter {
  constructor(ledger, { suffices = true } = {}) {
    super();
    this.setMaxListeners(0);
    this.ledger = ledger;
    this.suffices = suffices;
    this.readers = [];
    this.received = 0;
    this.failure = null;
  }

  add(options) {
    const reader = new Reader(this, options);
    this.readers.push(reader);
    for (const target of reader.targets) {
      this.ledger.readers.set(target, (this.ledger.readers.get(target) ?? 0) + 1);
    }
    return reader;
  }

  fail(error) {
    this.failure ??= error;
    this.emit("progress");
  }

  /** Waits until `probe` holds. The deadline is for the next progress, not for all of it. */
  async until(probe, what) {
    while (!this.#holds(probe)) {
      const { received } = this;
      await until(this, "progress", () => this.#holds(probe) || this.received > received || undefined, what);
    }
  }

  #holds(probe) {
    if (this.failure) throw this.failure;
    return probe();
  }

  /** Waits until everybody has had a __connected. */
  joined() {
    return this.until(() => this.readers.every((reader) => reader.joined), () => {
      const missing = this.readers.filter((reader) => !reader.joined).map((reader) => reader.name);
      return `${missing.length} readers to join: ${missing.slice(0, 5)}`;
    });
  }

  stop() {
    for (const { follower } of this.readers) follower.stop();
  }
}
