// The real binary, started for a test and always stopped after it.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { EventEmitter } from "node:events";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { OVER_H2, OVER_TLS, ca, carrierFlags } from "./over.mjs";
import { RawConnection, requestBytes } from "./raw.mjs";
import { SseStream } from "./sse.mjs";
import { Translator } from "./translator.mjs";
import { eventually, until, within } from "./wait.mjs";

const HERE = path.dirname(fileURLToPath(import.meta.url));
export const BIN = path.resolve(process.env.TIDINGS_BIN ?? path.join(HERE, "../../../build/tidings"));

// TIDINGS_E2E_SMALL=1, for sanitizers, leaves out what only takes time under them: big crowds and the browser.
export const SMALL = process.env.TIDINGS_E2E_SMALL === "1";
export const BROWSER = !SMALL && process.env.TIDINGS_E2E_SKIP_BROWSER !== "1";

const SANITIZER = /(Address|Leak|Thread|Memory|UndefinedBehavior)Sanitizer|: runtime error: /;
const running = new Set();

// A test run that is interrupted must not leave a hub behind.
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** The environment without settings of the person who runs the tests. */
export function cleanEnv(extra = {}) {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("TIDINGS_")));
  return { ...env, ...extra };
}

/** A fresh directory that is removed after the test. */
export async function tempDir(t) {
  const dir = await mkdtemp(path.join(tmpdir(), "tidings-e2e-"));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

/** Runs the binary to its end: {code, stdout, stderr}. */
export function runTidings(args, { env = {}, input } = {}) {
  const done = new Promise((resolve, reject) => {
    const child = execFile(BIN, args, { env: cleanEnv(env), maxBuffer: 64 << 20 }, (error, stdout, stderr) => {
      running.delete(child);
      if (error && typeof error.code !== "number") reject(error);
      else resolve({ code: error ? error.code : 0, stdout, stderr });
    });
    running.add(child);
    child.stdin.on("error", () => {});
    child.stdin.end(input);
  });
  return within(done, `tidings ${args.join(" ")} to end`);
}

export class Hub extends EventEmitter {
  /** A hub that lives as long as the test. */
  static async started(t, flags = [], options = {}) {
    const hub = new Hub(flags, options);
    t.after(() => hub.stop());
    await hub.start();
    return hub;
  }

  /**
   * options: env; listen (default one loopback listener on a free port; [] = as the flags say);
   * command (default ["serve"]); descriptors (RLIMIT_NOFILE); via (a command that becomes the hub, which is its last words)
   */
  constructor(flags = [], options = {}) {
    super();
    this.setMaxListeners(0);
    this.flags = flags;
    this.options = { listen: ["127.0.0.1:0"], command: ["serve"], listeners: undefined, ...options };
    this.stderr = "";
    this.stdout = "";
    this.urls = [];
    this.exited = null;
    this.stopping = null;
    this.open = new Set();
  }

  async start() {
    assert.ok(existsSync(BIN), `there is no binary at ${BIN}; build it or set TIDINGS_BIN`);
    const { listen, command, env, descriptors, via = [] } = this.options;
    const args = [...command, ...listen.flatMap((address) => ["--listen", address])];
    if (!this.flags.some((flag) => flag.startsWith("--drain-time"))) args.push("--drain-time", "200ms");
    args.push(...this.flags, ...carrierFlags(this.flags));
    const [file, ...argv] = descriptors
      ? ["/bin/sh", "-c", `ulimit -n ${descriptors} && exec "$0" "$@"`, BIN, ...args]
      : [...via, BIN, ...args];
    this.child = spawn(file, argv, { env: cleanEnv(env), stdio: ["ignore", "pipe", "pipe"] });
    running.add(this.child);
    this.child.stdout.setEncoding("utf8").on("data", (text) => this.#log("stdout", text));
    this.child.stderr.setEncoding("utf8").on("data", (text) => this.#log("stderr", text));
    this.exit = new Promise((resolve, reject) => {
      this.child.once("error", reject);
      this.child.once("close", (code, signal) => {
        running.delete(this.child);
        this.exited = { code, signal };
        this.emit("log");
        resolve(this.exited);
      });
    });
    this.exit.catch(() => {});
    const expected = this.options.listeners ?? Math.max(1, listen.length);
    await this.#listening(expected);
    this.own = this.url; // that of the hub itself, whoever stands before it
    if (OVER_H2 && this.url) await this.#translate();
  }

  /** Whoever asks for this hub by its URL, or on a raw connection, reaches it by HTTP/2. */
  async #translate() {
    this.translator = await Translator.started(this.url, ca);
    this.url = `http://127.0.0.1:${this.translator.port}`;
    this.target = { host: "127.0.0.1", port: this.translator.port };
  }

  #log(name, text) {
    this[name] += text;
    this.emit("log");
  }

  async #listening(expected) {
    await this.until(() => {
      this.urls = [...this.stderr.matchAll(/listening on ((?:https?:\/\/|unix:)[^\s"]+)[^\n]*\n/g)].map(([, url]) => url);
      if (this.urls.length >= expected) return true;
      if (this.exited) throw new Error(`the hub ended at once (${JSON.stringify(this.exited)}): ${this.stderr}`);
      return undefined;
    }, `${expected} listening line(s)`);
    const first = this.urls.find((url) => url.startsWith("http"));
    if (first) {
      this.url = first.replace(/\/$/, "");
      const { hostname, port } = new URL(first);
      this.port = Number(port);
      this.target = { port: this.port, host: hostname.replace(/^\[|\]$/g, "") };
      if (OVER_TLS && first.startsWith("https:")) this.target.tls = true;
    }
  }

  /** Waits until `probe`, asked after each piece of log, answers something other than undefined. */
  until(probe, what) {
    return until(this, "log", probe, () => `${what}; log:\n${this.stderr.slice(-2000)}`);
  }

  /** Waits for a line of the log, counted from `from` (default: everything so far). */
  logged(pattern, from = 0) {
    return this.until(() => pattern.exec(this.stderr.slice(from)) ?? undefined, `${pattern} in the log`);
  }

  get pid() {
    return this.child.pid;
  }

  signal(name) {
    this.child.kill(name);
  }

  /** Waits for the exit and gives {code, signal}. */
  ended() {
    return within(this.exit, () => `the hub to end; log:\n${this.stderr.slice(-2000)}`);
  }

  /** Stops the hub (a second time: waits for the first) and checks how it ended. */
  stop() {
    this.stopping ??= this.#stop();
    return this.stopping;
  }

  async #stop() {
    if (!this.child) return;
    for (const connection of this.open) connection.close();
    this.translator?.close();
    if (!this.exited) this.signal("SIGTERM");
    try {
      await this.ended();
    } catch (error) {
      this.signal("SIGKILL");
      await this.exit;
      throw error;
    }
    assert.doesNotMatch(this.stderr, SANITIZER);
    if (this.killed) return;
    assert.deepEqual(this.exited, { code: 0, signal: null }, `the hub's end; log:\n${this.stderr.slice(-2000)}`);
  }

  /** Ends the process without a word, as a crash would. */
  async kill() {
    this.killed = true;
    this.signal("SIGKILL");
    await this.ended();
  }

  #keep(t, closable) {
    this.open.add(closable);
    t?.after(() => {
      this.open.delete(closable);
      closable.close();
    });
    return closable;
  }

  /** A raw connection, closed after the test. */
  async connect(t, target = this.target) {
    return this.#keep(t, await RawConnection.open(target));
  }

  /** Opens any stream (the answer may also be something else). */
  async stream(t, target, options = {}) {
    return this.#keep(t, await SseStream.open(options.target ?? this.target, target, { host: this.host, ...options }));
  }

  /** Subscribes and waits for __connected, which is in `joined`. */
  async subscribe(t, clientId, { query = "", ...options } = {}) {
    const stream = await this.stream(t, `/api/sse/subscribe/${encodeURIComponent(clientId)}${query && `?${query}`}`, options);
    assert.equal(stream.status, 200, `subscribing as ${clientId}: ${stream.body}`);
    return Object.assign(stream, { hello: await stream.joined() });
  }

  /** As many streams as there are ids, a few at a time. */
  async subscribeAll(t, ids, options) {
    const streams = [];
    for (let i = 0; i < ids.length; i += 50) {
      streams.push(...(await Promise.all(ids.slice(i, i + 50).map((id) => this.subscribe(t, id, options)))));
    }
    return streams;
  }

  get host() {
    return this.port ? `127.0.0.1:${this.port}` : "localhost";
  }

  /** One request on a connection of its own. */
  async request(method, target, { headers = {}, body, version = "1.1", on = this.target } = {}) {
    const connection = await RawConnection.open(on);
    try {
      const lines = Array.isArray(headers) ? [...headers] : Object.entries(headers).map(([k, v]) => `${k}: ${v}`);
      lines.push("Connection: close");
      await connection.send(requestBytes(method, target, { headers: lines, body, version, host: this.host }));
      return await connection.response({ method });
    } finally {
      connection.close();
    }
  }

  get(target, options) {
    return this.request("GET", target, options);
  }

  /** POST /api/sse/notify with a body given as a value or, to have its exact bytes, as text. */
  notify(body, { headers = {}, ...options } = {}) {
    const bytes = typeof body === "string" || Buffer.isBuffer(body) ? body : JSON.stringify(body);
    return this.request("POST", "/api/sse/notify", {
      headers: { "Content-Type": "application/json", ...headers },
      body: bytes,
      ...options,
    });
  }

  /** Publishes and insists that it was accepted. */
  async publish(body) {
    const answer = await this.notify(body);
    assert.equal(answer.status, 200, answer.text);
    return answer.json;
  }

  async metrics() {
    const answer = await this.get("/api/sse/metrics");
    assert.equal(answer.status, 200, answer.text);
    return answer.json;
  }

  /** Waits until the metrics have these two totals. */
  totals(connections, clients) {
    return eventually(async () => {
      const { totalConnections, totalClients } = await this.metrics();
      return totalConnections === connections && totalClients === clients;
    }, `metrics of ${connections} connections and ${clients} clients`);
  }

  descriptors() {
    return readdirSync(`/proc/${this.pid}/fd`).length;
  }

  /** Resident memory in KiB. */
  memory() {
    return Number(/^VmRSS:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${this.pid}/status`, "latin1"))[1]);
  }

  /** User and system time so far, in clock ticks (100 a second on Linux). */
  cpuTicks() {
    const stat = readFileSync(`/proc/${this.pid}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return Number(fields[11]) + Number(fields[12]);
  }
}

/** A TCP port that was free a moment ago, for the few tests that must name one. */
export async function freePort() {
  const { createServer } = await import("node:net");
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}
