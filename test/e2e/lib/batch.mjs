// POST /api/sse/notify/batch, as an array and as a stream of lines.

import assert from "node:assert/strict";
import { ChunkDecoder, parseHead, requestBytes } from "./raw.mjs";

export const BATCH = "/api/sse/notify/batch";

/** An array in one request. */
export function postArray(hub, items, { headers = {} } = {}) {
  return hub.request("POST", BATCH, {
    headers: { "Content-Type": "application/json", ...headers },
    body: typeof items === "string" ? items : JSON.stringify(items),
  });
}

/** Lines in one request whose length is known; the answer with its `lines`. */
export async function postLines(hub, text, { headers = {} } = {}) {
  const answer = await hub.request("POST", BATCH, { headers: { "Content-Type": "application/x-ndjson", ...headers }, body: text });
  return Object.assign(answer, { lines: answer.status === 200 ? linesOf(answer.text) : [] });
}

function linesOf(text) {
  if (text === "") return [];
  assert.ok(text.endsWith("\n"), "each result is a whole line");
  return text.slice(0, -1).split("\n").map((line) => JSON.parse(line));
}

/** A request whose body stays open. */
export class LineStream {
  static async open(t, hub, { headers = {} } = {}) {
    const connection = await hub.connect(t);
    const head = { "Content-Type": "application/x-ndjson", "Transfer-Encoding": "chunked", ...headers };
    await connection.send(requestBytes("POST", BATCH, { headers: head, host: hub.host }));
    return new LineStream(connection);
  }

  constructor(connection) {
    this.connection = connection;
    this.head = null;
    this.decoder = new ChunkDecoder();
    this.text = "";
    this.results = []; // all that came, in order
    this.unread = 0;
    this.seen = 0;
    connection.prependListener("change", () => this.#read());
  }

  #read() {
    const bytes = this.connection.received;
    if (!this.head) {
      this.head = parseHead(bytes);
      if (!this.head) return;
      this.seen = this.head.bodyStart;
    }
    if (this.head.status !== 200) return;
    const piece = bytes.subarray(this.seen);
    this.seen = bytes.length;
    for (const data of this.decoder.feed(piece)) this.text += data.toString("utf8");
    const end = this.text.lastIndexOf("\n") + 1;
    if (end === 0) return;
    this.results.push(...linesOf(this.text.slice(0, end)));
    this.text = this.text.slice(end);
  }

  /** Some bytes of the body, as one chunk. */
  write(text) {
    return this.connection.send(`${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`);
  }

  /** One object as a line. */
  send(item) {
    return this.write(`${JSON.stringify(item)}\n`);
  }

  /** The next result. */
  next() {
    return this.connection.until(() => {
      if (this.unread < this.results.length) return this.results[this.unread++];
      if (this.connection.over || this.decoder.done) throw new Error("the answer ended before the next result");
      return undefined;
    }, "the next result");
  }

  /** Ends the body. */
  finish() {
    return this.connection.send("0\r\n\r\n");
  }

  /** Waits until the answer is complete and gives all results. */
  async end() {
    await this.connection.until(() => {
      if (this.decoder.done) return true;
      if (this.connection.over) throw new Error("the answer was cut");
      return undefined;
    }, "the end of the answer");
    assert.equal(this.text, "", "the last result is a whole line");
    return this.results;
  }
}
