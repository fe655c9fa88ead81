// Publishers that outlive the hub. An event whose answer never came is asked for again if it has a key of idempotency;
// of the others nobody knows.

import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { LinePublisher, Publisher } from "./publisher.mjs";

export class Backends {
  /** next(): the number of a new event of the crowd's ledger */
  constructor(lives, crowd, next) {
    Object.assign(this, { lives, crowd, ledger: crowd.ledger, next });
    this.again = []; // events to be asked for once more
    this.repeated = new Set(); // those that were
    this.unknown = new Set(); // events without a key whose answer was lost
    this.refused = new Map(); // event → the problem's code
    this.refusable = false;
    this.answers = 0;
    this.stopped = false;
    this.aborted = false;
    this.working = [];
  }

  /** Every other event has a key. */
  static key(n) {
    return n % 2 === 0 ? `key-${n}` : undefined;
  }

  /** `count` connections with one event in flight on each; every eighth of them is a stream of lines. */
  start(count) {
    this.stopped = false;
    this.working = Array.from({ length: count }, (_, i) => this.#work(i % 8 === 7 ? LinePublisher : Publisher));
    for (const work of this.working) work.catch((error) => this.aborted || this.crowd.fail(error));
  }

  /** No new events; waits until those with a key are answered. */
  async stop() {
    this.stopped = true;
    await Promise.all(this.working);
  }

  /** The test is over, whatever is still to be done. */
  abort() {
    this.aborted = true;
  }

  get #isDone() {
    return this.aborted || (this.stopped && this.again.length === 0);
  }

  async #work(form) {
    let publisher = null;
    while (!this.#isDone) {
      if (!publisher || publisher.lost) publisher = await this.#connect(form);
      const n = this.again.pop() ?? this.next();
      await this.#publish(publisher, n);
      this.crowd.emit("progress");
    }
    publisher?.close();
  }

  /** As often as it takes: the hub may be dead. */
  async #connect(form) {
    for (;;) {
      assert.ok(!this.aborted, "the test has ended");
      const publisher = new form(this.lives.target);
      try {
        await publisher.connected;
        return publisher;
      } catch {
        await pause(5);
      }
    }
  }

  async #publish(publisher, n) {
    const floor = this.ledger.highest;
    let answer;
    try {
      answer = await publisher.publish(this.ledger.body(n, Backends.key(n)));
    } catch {
      return this.#unanswered(n);
    }
    this.answers++;
    if (answer.status !== 200) return this.#refuse(n, answer);
    this.ledger.acknowledge(n, answer.json.id);
    // Whatever was asked for after an answer stands behind it, also when a restart lies between the two.
    if (!this.repeated.has(n)) assert.ok(answer.json.id > floor, `event ${n}: ${answer.json.id} after ${floor}`);
    return undefined;
  }

  #unanswered(n) {
    if (Backends.key(n) === undefined) {
      this.unknown.add(n);
    } else {
      this.repeated.add(n);
      this.again.push(n);
    }
  }

  #refuse(n, { status, json }) {
    assert.ok(this.refusable && status === 503, `event ${n}: ${JSON.stringify(json)}`);
    this.refused.set(n, json.code);
  }
}
