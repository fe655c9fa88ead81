// A small reader of event streams over a raw connection. It keeps the exact bytes and reads only what the hub is
// allowed to write: lines that end in LF, blocks that end in an empty line.

import { ChunkDecoder, RawConnection, parseHead, requestBytes } from "./raw.mjs";

/** One block: {id, event, data, retry, comments, text}; what is absent is undefined. */
export function parseBlock(text) {
  const block = { text, comments: [] };
  for (const line of text.split("\n")) {
    if (line.startsWith(":")) {
      block.comments.push(line.slice(1));
      continue;
    }
    const field = /^(id|event|data|retry): ?([^]*)$/.exec(line);
    if (!field) throw new Error(`not a line of an event stream: ${JSON.stringify(line)}`);
    const [, name, value] = field;
    if (block[name] !== undefined) throw new Error(`two ${name} lines in one block: ${JSON.stringify(text)}`);
    block[name] = value;
  }
  return block;
}

export class SseStream {
  /** Sends the request and waits for the head of the answer. */
  static async open(target, path, { headers = {}, version = "1.1", accept = "text/event-stream", host } = {}) {
    const connection = await RawConnection.open(target);
    const all = Array.isArray(headers) ? [...headers] : Object.entries(headers).map(([k, v]) => `${k}: ${v}`);
    if (accept !== null) all.push(`Accept: ${accept}`);
    await connection.send(requestBytes("GET", path, { headers: all, version, host }));
    const stream = new SseStream(connection);
    await stream.opened;
    return stream;
  }

  constructor(connection) {
    this.connection = connection;
    this.head = null;
    this.decoder = null;
    this.body = "";
    this.blocks = []; // all that came, in order
    this.unread = 0; // index of the first one that next() has not passed
    this.parsed = 0; // length of body that is in blocks
    this.utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    this.seen = 0;
    this.broken = null; // why the bytes are no event stream
    connection.prependListener("change", () => this.#tryRead());
    this.#tryRead();
    this.opened = connection.until(() => this.#open(), "the head of a stream");
    this.opened.catch(() => {});
  }

  #open() {
    if (this.broken) throw this.broken;
    if (this.head) return this.head;
    if (this.connection.over) throw new Error("closed before the head of a stream");
    return undefined;
  }

  #tryRead() {
    if (this.broken) return;
    try {
      this.#read();
    } catch (error) {
      this.broken = error;
    }
  }

  #read() {
    const bytes = this.connection.received;
    if (!this.head) {
      this.head = parseHead(bytes);
      if (!this.head) return;
      this.seen = this.head.bodyStart;
      this.chunked = this.head.headers.get("transfer-encoding") === "chunked";
      if (this.chunked) this.decoder = new ChunkDecoder();
    }
    if (bytes.length === this.seen) return;
    const piece = bytes.subarray(this.seen);
    this.seen = bytes.length;
    for (const data of this.chunked ? this.decoder.feed(piece) : [piece]) {
      this.body += this.utf8.decode(data, { stream: true });
    }
    this.#parse();
  }

  #parse() {
    if (!this.isStream) return;
    for (;;) {
      const end = this.body.indexOf("\n\n", this.parsed);
      if (end < 0) return;
      const text = this.body.slice(this.parsed, end);
      this.parsed = end + 2;
      if (text !== "") this.blocks.push(parseBlock(text));
    }
  }

  get status() {
    return this.head.status;
  }

  get headers() {
    return this.head.headers;
  }

  get isStream() {
    return (this.headers.get("content-type") ?? "").startsWith("text/event-stream");
  }

  /** Has the stream ended as a whole answer does (and not by a cut)? */
  get complete() {
    if (this.chunked) return this.decoder.done;
    const length = this.headers.get("content-length");
    if (length !== undefined) return this.seen - this.head.bodyStart === Number(length);
    return this.connection.ended && this.connection.error === null;
  }

  /** The blocks that carry an event, system events included. */
  get events() {
    return this.blocks.filter((block) => block.event !== undefined || block.data !== undefined);
  }

  /** Events from publishers only, each as its name and data. */
  get published() {
    return this.events.filter((block) => !block.event?.startsWith("__")).map(({ event, data }) => [event, data]);
  }

  /** The cursor of an EventSource that has read this much. */
  get lastEventId() {
    return this.blocks.findLast(({ id }) => id !== undefined)?.id;
  }

  /** The next block for which `wanted` holds (a function or an event name); those before it are passed over. */
  async next(wanted) {
    const matches = typeof wanted === "function" ? wanted : (block) => block.event === wanted;
    return this.connection.until(
      () => {
        while (this.unread < this.blocks.length) {
          const block = this.blocks[this.unread++];
          if (matches(block)) return block;
        }
        if (this.broken) throw this.broken;
        if (this.complete || this.connection.over) throw new Error(`the stream ended before ${wanted}: ${this.body.slice(-300)}`);
        return undefined;
      },
      `the event ${wanted}`,
    );
  }

  /** Waits for __connected and gives its data. */
  async joined() {
    const block = await this.next("__connected");
    return { id: block.id, ...JSON.parse(block.data) };
  }

  /** Waits until the stream is over. */
  async end() {
    await this.connection.until(() => {
      if (this.broken) throw this.broken;
      return this.complete || this.connection.over || undefined;
    }, "the end of the stream");
    return this;
  }

  finish() {
    this.connection.finish();
  }

  reset() {
    this.connection.reset();
  }

  close() {
    this.connection.close();
  }
}
