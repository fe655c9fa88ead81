// A backend: one connection on which events follow each other without waiting for the answers.

import { connectTo } from "./over.mjs";
import { Dechunker } from "./follower.mjs";
import { parseHead, requestBytes } from "./raw.mjs";

/** Each event is a request. */
export class Publisher {
  /** A connection that is closed after the test. */
  static async open(t, target) {
    const publisher = new this(target);
    t.after(() => publisher.close());
    await publisher.connected;
    return publisher;
  }

  constructor(target) {
    this.waiting = [];
    this.bytes = Buffer.alloc(0);
    this.lost = null;
    const { socket, ready } = connectTo(target);
    this.socket = socket;
    this.connected = new Promise((resolve, reject) => {
      this.socket.once(ready, resolve);
      this.socket.once("error", reject);
    });
    this.connected.catch(() => {});
    this.socket.on("data", (piece) => this.#read(piece));
    this.socket.on("error", () => {});
    this.socket.on("close", () => this.#lose(new Error("the connection has ended")));
  }

  /** Resolves with {status, json}; rejects if the connection ends first: then nobody knows. */
  publish(body, key) {
    if (this.lost) return Promise.reject(this.lost);
    this.write(this.request(body, key));
    return new Promise((resolve, reject) => this.waiting.push({ resolve, reject }));
  }

  request(body, key) {
    const headers = { "Content-Type": "application/json" };
    if (key !== undefined) headers["Idempotency-Key"] = key;
    return requestBytes("POST", "/api/sse/notify", { headers, body });
  }

  /** What is published in one go leaves in one go. */
  write(bytes) {
    if (!this.socket.writableCorked) {
      this.socket.cork();
      setImmediate(() => this.socket.uncork());
    }
    this.socket.write(bytes);
  }

  #read(piece) {
    try {
      this.bytes = this.bytes.length ? Buffer.concat([this.bytes, piece]) : piece;
      this.bytes = this.bytes.subarray(this.take());
    } catch (error) {
      this.#lose(error);
      this.close();
    }
  }

  /** Hands over what is complete; how many bytes that was. */
  take() {
    let from = 0;
    for (let end = this.#answer(from); end > 0; end = this.#answer(from)) from = end;
    return from;
  }

  #answer(from) {
    const head = parseHead(this.bytes, from);
    if (!head) return 0;
    const end = head.bodyStart + Number(head.headers.get("content-length"));
    if (this.bytes.length < end) return 0;
    const { status } = head;
    this.waiting.shift().resolve({ status, json: JSON.parse(this.bytes.toString("utf8", head.bodyStart, end)) });
    return end;
  }

  #lose(error) {
    this.lost ??= error;
    for (const { reject } of this.waiting.splice(0)) reject(this.lost);
  }

  close() {
    this.socket.destroy();
  }
}

/** Each event is a line of one request whose body stays open. */
export class LinePublisher extends Publisher {
  constructor(target) {
    super(target);
    this.head = null;
    this.chunks = new Dechunker();
    this.text = "";
    this.started = false; // the head is read
    const headers = { "Content-Type": "application/x-ndjson", "Transfer-Encoding": "chunked" };
    this.socket.write(requestBytes("POST", "/api/sse/notify/batch", { headers }));
  }

  request(line) {
    return `${(Buffer.byteLength(line) + 1).toString(16)}\r\n${line}\n\r\n`;
  }

  take() {
    this.head ??= parseHead(this.bytes);
    if (!this.head) return 0;
    const { status } = this.head;
    if (status !== 200) throw new Error(`a stream of lines was answered with ${this.bytes}`);
    this.text += this.chunks.feed(this.bytes.toString("latin1", this.started ? 0 : this.head.bodyStart));
    this.started = true;
    const lines = this.text.split("\n");
    this.text = lines.pop();
    for (const line of lines) {
      const json = JSON.parse(line);
      this.waiting.shift().resolve({ status: json.ok ? 200 : json.status, json });
    }
    return this.bytes.length;
  }
}
