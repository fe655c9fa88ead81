// The user's application, as the hub asks and tells it: a small HTTP server of the test.

import { EventEmitter } from "node:events";
import http from "node:http";
import { DEADLINE } from "./wait.mjs";

export class Application extends EventEmitter {
  /** answer(request) → {status, headers, body} or null: no answer at all. request: {path, headers, text, json}. */
  static async started(t, answer, port = 0) {
    const application = new Application();
    application.setMaxListeners(0);
    application.answer = answer;
    application.requests = [];
    await application.listen(port);
    t.after(() => application.stop());
    return application;
  }

  async listen(port) {
    this.server = http.createServer((request, response) => this.#take(request, response));
    this.server.keepAliveTimeout = DEADLINE;
    await new Promise((resolve) => this.server.listen(port, "127.0.0.1", resolve));
    this.port = this.server.address().port;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  async #take(request, response) {
    let text = "";
    for await (const piece of request.setEncoding("utf8")) text += piece;
    const asked = { path: request.url, method: request.method, headers: request.headers, text, json: JSON.parse(text) };
    this.requests.push(asked);
    const answer = await this.answer(asked, this.requests.length);
    if (answer) response.writeHead(answer.status ?? 200, answer.headers ?? {}).end(answer.body ?? "");
    this.emit("asked");
  }

  stop() {
    return new Promise((resolve) => {
      this.server.close(resolve);
      this.server.closeAllConnections();
    });
  }
}
