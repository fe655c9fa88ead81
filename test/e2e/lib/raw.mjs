// A TCP (or TLS, or unix socket) client that sends exactly the bytes it is given and keeps exactly those it gets, with a
// reader for HTTP/1 answers that accepts nothing but well-formed ones.

import { EventEmitter } from "node:events";
import { connectTo } from "./over.mjs";
import { until, within } from "./wait.mjs";

const HEAD_END = Buffer.from("\r\n\r\n");
const FIELD = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/;

export class Headers1 {
  constructor(fields) {
    this.fields = fields;
  }

  /** The value of the only field with this name; undefined if there is none; throws if there are several. */
  get(name) {
    const found = this.all(name);
    if (found.length > 1) throw new Error(`${name} came ${found.length} times`);
    return found[0];
  }

  all(name) {
    return this.fields.filter(([key]) => key.toLowerCase() === name).map(([, value]) => value);
  }
}

/** A response head that begins at `from`, or null while it is incomplete. */
export function parseHead(bytes, from = 0) {
  const end = bytes.indexOf(HEAD_END, from);
  if (end < 0) return null;
  const [first, ...lines] = bytes.subarray(from, end).toString("latin1").split("\r\n");
  const status = /^HTTP\/1\.([01]) ([1-5][0-9][0-9]) ([^\r\n]*)$/.exec(first);
  if (!status) throw new Error(`not a status line: ${JSON.stringify(first)}`);
  const fields = lines.map((line) => {
    const field = FIELD.exec(line);
    if (!field || /[\r\n\0]/.test(line)) throw new Error(`not a field line: ${JSON.stringify(line)}`);
    return [field[1], field[2]];
  });
  return {
    status: Number(status[2]),
    minor: Number(status[1]),
    reason: status[3],
    headers: new Headers1(fields),
    bodyStart: end + HEAD_END.length,
  };
}

/** Decodes a chunked body (RFC 9112 section 7.1) strictly, however it was split on its way. */
export class ChunkDecoder {
  constructor() {
    this.pending = Buffer.alloc(0);
    this.sizes = [];
    this.done = false;
  }

  /** The data found in these bytes, as a list of buffers. */
  feed(bytes) {
    this.pending = this.pending.length ? Buffer.concat([this.pending, bytes]) : bytes;
    const found = [];
    while (!this.done) {
      const line = this.pending.indexOf("\r\n");
      if (line < 0) break;
      const text = this.pending.subarray(0, line).toString("latin1");
      if (!/^[0-9A-Fa-f]{1,8}$/.test(text)) throw new Error(`not a chunk size: ${JSON.stringify(text)}`);
      const size = parseInt(text, 16);
      const end = line + 2 + size;
      if (this.pending.length < end + 2) break;
      if (this.pending.toString("latin1", end, end + 2) !== "\r\n") throw new Error("a chunk without its end");
      if (size > 0) found.push(this.pending.subarray(line + 2, end));
      this.sizes.push(size);
      this.done = size === 0;
      this.pending = this.pending.subarray(end + 2);
    }
    return found;
  }
}

export class RawConnection extends EventEmitter {
  /** target: {port, host} or {path} */
  static async open(target) {
    const connection = new RawConnection(target);
    await within(connection.connected, `a connection to ${JSON.stringify(target)}`);
    return connection;
  }

  constructor(target) {
    super();
    this.setMaxListeners(0);
    this.pieces = [];
    this.offset = 0;
    this.ended = false; // the peer has sent FIN
    this.closed = false; // nothing more will come, for whatever reason
    this.error = null;
    const { socket, ready, reset } = connectTo(target, { allowHalfOpen: true });
    this.socket = socket;
    this.reset = reset; // RST
    this.connected = new Promise((resolve, reject) => {
      this.socket.once(ready, resolve);
      this.socket.once("error", reject);
    });
    this.connected.catch(() => {});
    this.socket.on("data", (piece) => this.#change(() => this.pieces.push(piece), piece));
    this.socket.on("end", () => this.#change(() => (this.ended = true)));
    this.socket.on("error", (error) => this.#change(() => (this.error = error)));
    this.socket.on("close", () => this.#change(() => (this.closed = true)));
  }

  #change(apply, piece) {
    apply();
    if (piece) this.emit("bytes", piece);
    this.emit("change");
  }

  /** Everything that has come so far. */
  get received() {
    if (this.pieces.length > 1) this.pieces = [Buffer.concat(this.pieces)];
    return this.pieces[0] ?? Buffer.alloc(0);
  }

  get over() {
    return this.ended || this.closed || this.error !== null;
  }

  /** Waits until `probe` answers something other than undefined. */
  until(probe, what) {
    return until(this, "change", probe, () => `${what}; so far: ${JSON.stringify(this.received.toString("latin1").slice(-400))}`);
  }

  /** Resolves when the kernel has the bytes; a peer that has gone is no error here. */
  send(bytes) {
    return new Promise((resolve) => this.socket.write(bytes, () => resolve()));
  }

  /** Each piece leaves in a write of its own. */
  async sendPieces(pieces) {
    for (const piece of pieces) {
      await this.send(piece);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  async sendByteByByte(bytes) {
    const all = Buffer.from(bytes);
    await this.sendPieces(Array.from(all, (_, i) => all.subarray(i, i + 1)));
  }

  /** Half-close: FIN, while still reading. */
  finish() {
    this.socket.end();
  }

  close() {
    this.socket.destroy();
  }

  /** The next answer on this connection. */
  async response({ method = "GET" } = {}) {
    const head = await this.until(() => this.#parseHead(), "the head of an answer");
    this.offset = head.bodyStart;
    const body = await this.#body(head, method);
    const text = body.toString("utf8");
    return {
      ...head,
      bytes: body,
      text,
      get json() {
        return JSON.parse(text);
      },
    };
  }

  #parseHead() {
    const head = parseHead(this.received, this.offset);
    if (head) return head;
    if (this.over) {
      throw new Error(`closed before an answer: ${JSON.stringify(this.received.toString("latin1", this.offset))}`);
    }
    return undefined;
  }

  async #body(head, method) {
    const start = this.offset;
    if (method === "HEAD" || head.status < 200 || head.status === 204 || head.status === 304) return Buffer.alloc(0);
    const coding = head.headers.get("transfer-encoding");
    if (coding !== undefined) return this.#chunkedBody(coding, start);
    const length = head.headers.get("content-length");
    if (length === undefined) {
      await this.until(() => this.over || undefined, "the end of an answer that lasts until close");
      this.offset = this.received.length;
      return this.received.subarray(start);
    }
    if (!/^[0-9]+$/.test(length)) throw new Error(`not a length: ${length}`);
    const end = start + Number(length);
    await this.until(() => this.#available(end), `${length} bytes of body`);
    this.offset = end;
    return this.received.subarray(start, end);
  }

  #available(end) {
    if (this.received.length >= end) return true;
    if (this.over) throw new Error("closed in the middle of a body");
    return undefined;
  }

  async #chunkedBody(coding, start) {
    if (coding !== "chunked") throw new Error(`unexpected transfer coding ${coding}`);
    const [data, used] = await this.until(() => {
      const decoder = new ChunkDecoder();
      const found = decoder.feed(this.received.subarray(start));
      if (decoder.done) return [Buffer.concat(found), this.received.length - decoder.pending.length];
      if (this.over) throw new Error("closed in the middle of a chunked body");
      return undefined;
    }, "the end of a chunked body");
    this.offset = used;
    return data;
  }

  /** Waits until the peer has closed and gives what had not been read yet. */
  async rest() {
    await this.until(() => this.over || undefined, "the peer to close");
    const left = this.received.subarray(this.offset);
    this.offset = this.received.length;
    return left;
  }
}

/** The bytes of a request; `headers` is a list of lines or an object; Host is added unless given. */
export function requestBytes(method, target, { headers = {}, body, host = "127.0.0.1", version = "1.1" } = {}) {
  const lines = Array.isArray(headers) ? [...headers] : Object.entries(headers).map(([k, v]) => `${k}: ${v}`);
  const has = (name) => lines.some((line) => line.toLowerCase().startsWith(`${name}:`));
  if (!has("host")) lines.unshift(`Host: ${host}`);
  const payload = body === undefined ? Buffer.alloc(0) : Buffer.from(body);
  if (body !== undefined && !has("content-length") && !has("transfer-encoding")) {
    lines.push(`Content-Length: ${payload.length}`);
  }
  return Buffer.concat([Buffer.from(`${method} ${target} HTTP/${version}\r\n${lines.join("\r\n")}\r\n\r\n`, "latin1"), payload]);
}
