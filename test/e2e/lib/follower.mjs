// A client that follows its events through every cut as a browser does: it takes what is complete, remembers the id of
// the last complete block, and comes back with it as Last-Event-ID. It takes the bytes of a chunk as they come, so a cut
// in the middle of a chunk leaves it with what a browser would have.

import { connectTo } from "./over.mjs";
import { setTimeout as pause } from "node:timers/promises";
import { parseHead, requestBytes } from "./raw.mjs";
import { parseBlock } from "./sse.mjs";

/** Takes chunked framing (RFC 9112 section 7.1) away from text that comes in any pieces. */
export class Dechunker {
  constructor() {
    this.line = "";
    this.room = 0; // bytes of the chunk that are still to come
    this.tail = false; // the line end behind a chunk is next
    this.done = false;
  }

  feed(text) {
    let data = "";
    let at = 0;
    while (at < text.length) {
      if (this.room > 0) {
        const piece = text.slice(at, at + this.room);
        data += piece;
        at += piece.length;
        this.room -= piece.length;
        this.tail = this.room === 0;
        continue;
      }
      const end = text.indexOf("\n", at) + 1;
      this.line += end ? text.slice(at, end) : text.slice(at);
      if (!end) break;
      at = end;
      this.#endLine();
    }
    return data;
  }

  #endLine() {
    const line = this.line;
    this.line = "";
    if (this.tail || this.done) {
      if (line !== "\r\n") throw new Error(`a chunk without its end: ${JSON.stringify(line)}`);
      this.tail = false;
      return;
    }
    if (!/^[0-9A-Fa-f]{1,8}\r\n$/.test(line)) throw new Error(`not a chunk size: ${JSON.stringify(line)}`);
    this.room = parseInt(line, 16);
    this.done = this.room === 0;
  }
}

/** One connection of a follower: bytes in, blocks out. */
class Stream {
  constructor(take) {
    this.take = take;
    this.head = null;
    this.bytes = Buffer.alloc(0);
    this.text = "";
  }

  feed(piece) {
    if (!this.head) {
      this.bytes = Buffer.concat([this.bytes, piece]);
      this.head = parseHead(this.bytes);
      if (!this.head) return;
      if (this.head.status !== 200) throw new Error(`subscribing was answered with ${this.bytes.toString("latin1")}`);
      this.chunks = this.head.headers.get("transfer-encoding") === "chunked" ? new Dechunker() : null;
      piece = this.bytes.subarray(this.head.bodyStart);
    }
    const text = piece.toString("latin1");
    this.text += this.chunks ? this.chunks.feed(text) : text;
    this.#split();
  }

  #split() {
    let from = 0;
    for (;;) {
      const end = this.text.indexOf("\n\n", from);
      if (end < 0) break;
      this.take(parseBlock(this.text.slice(from, end)));
      from = end + 2;
    }
    this.text = this.text.slice(from);
  }
}

export class Follower {
  /**
   * options: target; clientId; topics; version ("1.0" has no chunks); random; away (the longest pause before it comes
   * back, ms); onBlock(block); onError(error), after which it has stopped; onPiece(), after what came together
   */
  constructor(options) {
    Object.assign(this, { topics: [], version: "1.1", away: 20, onPiece: () => {}, cursor: undefined }, options);
    this.attempts = 0;
    this.stopped = false;
    this.socket = null;
  }

  start() {
    this.stopped = false;
    this.#connect();
    return this;
  }

  /** Leaves for good, or until the next start(). */
  stop() {
    this.stopped = true;
    this.socket?.destroy();
  }

  #request() {
    const query = this.topics.map((topic) => `topic=${encodeURIComponent(topic)}`).join("&");
    const headers = { Accept: "text/event-stream" };
    if (this.cursor !== undefined) headers["Last-Event-ID"] = this.cursor;
    return requestBytes("GET", `/api/sse/subscribe/${this.clientId}?${query}`, { headers, version: this.version });
  }

  #connect() {
    this.attempts++;
    const stream = new Stream((block) => this.#take(block));
    const { socket } = connectTo(this.target);
    this.socket = socket;
    this.sent = this.cursor;
    socket.on("data", (piece) => this.socket === socket && !this.stopped && this.#read(stream, piece));
    socket.on("error", () => {});
    socket.on("close", () => this.socket === socket && this.#again());
    socket.write(this.#request());
  }

  async #again() {
    if (this.stopped) return;
    await pause(this.random.between(0, this.away));
    if (!this.stopped) this.#connect();
  }

  #read(stream, piece) {
    try {
      stream.feed(piece);
      this.onPiece();
    } catch (error) {
      this.stop();
      this.onError(new Error(`${this.clientId}, which came with ${this.sent}: ${error.message}`, { cause: error }));
    }
  }

  /** As HTML section 9.2.6 says: the id of a complete block counts, whether there is an event in it or not. */
  #take(block) {
    const before = this.cursor;
    if (block.id !== undefined) this.cursor = block.id;
    if (block.event !== undefined || block.data !== undefined) this.onBlock(block, before);
  }
}
