// HTTP/1.1 on one side, HTTP/2 on the other: the tests go on to speak the one, and the hub hears the other, many streams
// in one session. What a client or the hub breaks off is broken off on the other side, too.

import http from "node:http";
import http2 from "node:http2";

const HOP = new Set(["connection", "host", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "expect", "te"]);
const STREAMS = 100; // in one session at the same time

export class Translator {
  /** In front of the hub at this URL; ca: whom to trust when it is https. */
  static async started(url, ca) {
    const translator = new Translator(url, ca);
    await new Promise((resolve) => translator.server.listen(0, "127.0.0.1", resolve));
    translator.port = translator.server.address().port;
    return translator;
  }

  constructor(url, ca) {
    Object.assign(this, { url, ca });
    this.sessions = new Set();
    const options = { requestTimeout: 0, headersTimeout: 0, keepAliveTimeout: 0, maxHeaderSize: 128 * 1024, noDelay: true };
    this.server = http.createServer(options, (request, response) => this.#translate(request, response));
    this.server.maxHeadersCount = 0;
    this.server.on("clientError", (error, socket) => socket.destroy());
  }

  close() {
    this.server.close();
    this.server.closeAllConnections();
    for (const session of this.sessions) session.destroy();
  }

  #session() {
    for (const session of this.sessions) if (session.carried < STREAMS) return session;
    const session = http2.connect(this.url, { ca: this.ca, servername: "localhost" });
    session.carried = 0;
    session.on("error", () => {});
    session.on("goaway", () => this.sessions.delete(session));
    session.on("close", () => this.sessions.delete(session));
    session.setMaxListeners(0);
    this.sessions.add(session);
    return session;
  }

  #translate(request, response) {
    const session = this.#session();
    const fields = { ":method": request.method, ":path": request.url, ":authority": request.headers.host };
    for (const [name, value] of Object.entries(request.headers)) if (!HOP.has(name)) fields[name] = value;
    const hasBody = request.headers["transfer-encoding"] !== undefined || Number(request.headers["content-length"] ?? 0) > 0;
    const stream = session.request(fields, { endStream: !hasBody });
    session.carried++;
    stream.on("close", () => session.carried--);
    stream.on("error", () => response.destroy());
    stream.on("aborted", () => response.destroy());
    stream.on("response", (head) => {
      response.sendDate = false;
      const answer = Object.entries(head).filter(([name]) => !name.startsWith(":"));
      response.writeHead(head[":status"], Object.fromEntries(answer));
      response.flushHeaders();
      stream.pipe(response);
    });
    if (hasBody) request.pipe(stream);
    response.on("close", () => response.writableFinished || stream.close(http2.constants.NGHTTP2_CANCEL));
  }
}
