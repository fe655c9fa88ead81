// HTTP/2 by hand (RFC 9113): a peer that sends exactly the frames it is told to, also those that no client would, and
// keeps those it gets. Fields are literals without Huffman codes (RFC 7541 section 6.2.2), so that a test knows their size.

export const DATA = 0, HEADERS = 1, PRIORITY = 2, RST_STREAM = 3, SETTINGS = 4, PING = 6, GOAWAY = 7, WINDOW_UPDATE = 8, CONTINUATION = 9;
export const END_STREAM = 1, ACK = 1, END_HEADERS = 4, PADDED = 8;
export const PROTOCOL_ERROR = 1, FLOW_CONTROL_ERROR = 3, STREAM_CLOSED = 5, FRAME_SIZE_ERROR = 6, REFUSED_STREAM = 7, CANCEL = 8, COMPRESSION_ERROR = 9, ENHANCE_YOUR_CALM = 11;

const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const NOTHING = Buffer.alloc(0);

export function frame(type, flags, stream, payload = NOTHING) {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

export function word(value) {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export const setting = (name, value) => Buffer.concat([Buffer.from([name >> 8, name & 255]), word(value)]);
export const windowUpdate = (stream, increment) => frame(WINDOW_UPDATE, 0, stream, word(increment));
export const reset = (stream, code = CANCEL) => frame(RST_STREAM, 0, stream, word(code));

/** An integer with a prefix of `bits` bits (RFC 7541 section 5.1). */
function integer(value, bits, first = 0) {
  const most = 2 ** bits - 1;
  if (value < most) return [first | value];
  const bytes = [first | most];
  for (value -= most; value >= 128; value >>= 7) bytes.push((value & 127) | 128);
  return [...bytes, value];
}

const text = (value) => Buffer.concat([Buffer.from(integer(Buffer.byteLength(value), 7)), Buffer.from(value)]);

/** A literal field; indexed: the peer is to remember it in its table. */
export const literal = (name, value, indexed = false) => Buffer.concat([Buffer.from([indexed ? 0x40 : 0]), text(name), text(value)]);

/** The fields of a request as a block: {method, path, authority, more: [[name, value]]}. */
export function block({ method = "GET", path = "/healthz", authority = "localhost", more = [] } = {}) {
  const pseudo = [[":method", method], [":scheme", "http"], [":path", path], [":authority", authority]];
  return Buffer.concat([...pseudo, ...more].map(([name, value]) => literal(name, value)));
}

/** A request whose body, if there is one, is still to come. */
export const request = (stream, options = {}) =>
  frame(HEADERS, END_HEADERS | (options.body ? 0 : END_STREAM), stream, block(options));

export class FramePeer {
  /** A session with the hub's SETTINGS read, and acknowledged unless told otherwise. */
  static async open(t, hub, { settings = NOTHING, acknowledge = true } = {}) {
    const peer = new FramePeer(await hub.connect(t));
    await peer.send(PREFACE, frame(SETTINGS, 0, 0, settings));
    await peer.next((f) => f.type === SETTINGS && !(f.flags & ACK), "SETTINGS");
    if (acknowledge) await peer.send(frame(SETTINGS, ACK, 0));
    return peer;
  }

  constructor(connection) {
    this.connection = connection;
    this.frames = []; // all that came, in order
    this.unread = 0;
    this.pending = NOTHING;
    this.bodies = new Map(); // stream → text of its DATA
    this.latest = 1; // stream that was opened
    connection.on("bytes", (piece) => this.#read(piece));
    connection.setMaxListeners(0);
  }

  #read(piece) {
    this.pending = this.pending.length ? Buffer.concat([this.pending, piece]) : piece;
    while (this.pending.length >= 9) {
      const length = this.pending.readUIntBE(0, 3);
      if (this.pending.length < 9 + length) return;
      const [type, flags] = [this.pending[3], this.pending[4]];
      const stream = this.pending.readUInt32BE(5) & 0x7fffffff;
      const payload = this.pending.subarray(9, 9 + length);
      this.pending = this.pending.subarray(9 + length);
      this.frames.push({ type, flags, stream, payload });
      if (type === DATA) this.bodies.set(stream, (this.bodies.get(stream) ?? "") + payload.toString("utf8"));
    }
  }

  /** In one write. */
  send(...frames) {
    return this.connection.send(Buffer.concat(frames));
  }

  until(probe, what) {
    return this.connection.until(() => {
      const answer = probe();
      if (answer === undefined && this.connection.over) throw new Error(`the session ended before ${what}: ${this.summary()}`);
      return answer;
    }, what);
  }

  /** The next frame for which this holds; those before it are passed over. */
  next(matches, what) {
    return this.until(() => {
      while (this.unread < this.frames.length) {
        const found = this.frames[this.unread++];
        if (matches(found)) return found;
      }
      return undefined;
    }, what);
  }

  /** Waits for the first frame of this kind on this stream, wherever it is among those that came. */
  on(stream, type, what = `frame ${type} on stream ${stream}`) {
    return this.until(() => this.frames.find((f) => f.stream === stream && f.type === type), what);
  }

  count(type, matches = () => true) {
    return this.frames.filter((f) => f.type === type && matches(f)).length;
  }

  /** Waits for a body that matches. */
  body(stream, pattern) {
    return this.until(() => pattern.exec(this.bodies.get(stream) ?? "") ?? undefined, `${pattern} on stream ${stream}`);
  }

  /** Waits for GOAWAY and the end of the connection; gives the error. */
  async goaway() {
    const { payload } = await this.on(0, GOAWAY, "GOAWAY");
    await this.connection.until(() => this.connection.over || undefined, "the end of the connection");
    return payload.readUInt32BE(4);
  }

  /** The error of the RST_STREAM on this stream. */
  async resetOf(stream) {
    return (await this.on(stream, RST_STREAM)).payload.readUInt32BE(0);
  }

  /** The session goes on: it answers. */
  async answers() {
    this.latest += 2;
    await this.send(request(this.latest));
    await this.body(this.latest, /"ok"/);
  }

  summary() {
    return this.frames.slice(-5).map((f) => `${f.type}/${f.flags} on ${f.stream}: ${f.payload.toString("latin1")}`).join("; ");
  }
}
