// HTTP/2 in the clear, with prior knowledge: Node's client and curl against the real binary.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import http2 from "node:http2";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { FramePeer, HEADERS, request, setting, windowUpdate } from "../lib/frames.mjs";
import { Hub, tempDir } from "../lib/hub.mjs";
import { within } from "../lib/wait.mjs";

const run = promisify(execFile);

class Session {
  static async open(t, hub, options = {}) {
    const session = new Session();
    session.h2 = http2.connect(hub.url, options);
    session.h2.on("error", () => {});
    t.after(() => session.h2.destroy());
    await within(once(session.h2, "remoteSettings"), "SETTINGS");
    return session;
  }

  /** A stream with its head: {status, headers, body} where body() waits for the end. */
  async ask(method, path, { headers = {}, body } = {}) {
    const stream = this.h2.request({ ":method": method, ":path": path, ...headers }, { endStream: body === undefined });
    stream.on("error", () => {});
    let text = "";
    stream.setEncoding("utf8").on("data", (piece) => (text += piece));
    const ended = once(stream, "close");
    if (body !== undefined) stream.end(body);
    const [fields] = await within(once(stream, "response"), `the head of ${method} ${path}`);
    return {
      stream,
      status: fields[":status"],
      headers: fields,
      text: () => text,
      body: async () => (await within(ended, `the end of ${path}`), text),
      until: async (pattern) => {
        while (!pattern.test(text)) await within(once(stream, "data"), `${pattern} in ${JSON.stringify(text)}`);
        return pattern.exec(text);
      },
    };
  }

  async publish(message) {
    const answer = await this.ask("POST", "/api/sse/notify", {
      headers: { "content-type": "application/json" },
      body: JSON.stringify(message),
    });
    return JSON.parse(await answer.body());
  }
}

describe("HTTP/2", () => {
  const hub = new Hub(["--max-streams", "100", "--max-request-line", "2KiB", "--max-headers", "4KiB"]);
  before(() => hub.start());
  after(() => hub.stop());

  test("answers with fields that HTTP/2 allows, and an end", async (t) => {
    const session = await Session.open(t, hub);
    assert.equal(session.h2.remoteSettings.maxConcurrentStreams, 100);
    const answer = await session.ask("GET", "/healthz");
    assert.equal(answer.status, 200);
    assert.equal(await answer.body(), '{"status":"ok"}');
    for (const name of ["connection", "transfer-encoding", "keep-alive"]) assert.equal(answer.headers[name], undefined);
    const missing = await session.ask("GET", "/nowhere");
    assert.equal(missing.status, 404);
    assert.equal(JSON.parse(await missing.body()).code, "not_found");
  });

  test("streams without chunks or connection fields, and delivers what is published", async (t) => {
    const session = await Session.open(t, hub);
    const stream = await session.ask("GET", "/api/sse/subscribe/ada?topic=news", { headers: { accept: "text/event-stream" } });
    assert.equal(stream.status, 200);
    assert.equal(stream.headers["content-type"], "text/event-stream; charset=utf-8");
    assert.equal(stream.headers.connection, undefined);
    const [, data] = await stream.until(/event: __connected\ndata: (.*)\n\n/);
    assert.equal(JSON.parse(data).resume, "fresh");
    assert.match(stream.text(), /^:ok\nretry: \d+\n\n/);
    const answer = await session.publish({ topic: "news", event: "n", payload: { a: 1.1 } });
    assert.equal(answer.connections, 1);
    await stream.until(new RegExp(`id: ${answer.id}\nevent: n\ndata: {"a":1.1}\n\n`));
    const list = await session.ask("GET", "/api/sse/clients/ada");
    assert.equal(JSON.parse(await list.body()).connections[0].protocol, "h2");
  });

  test("forgets a stream that its reader cancels, and keeps the others", async (t) => {
    const session = await Session.open(t, hub);
    const [one, two] = [await session.ask("GET", "/api/sse/subscribe/one"), await session.ask("GET", "/api/sse/subscribe/two")];
    await two.until(/__connected/);
    const from = hub.stderr.length;
    one.stream.close(http2.constants.NGHTTP2_CANCEL);
    await hub.logged(/event=disconnect client=one .*cause=client_closed/, from);
    const answer = await session.publish({ event: "still", payload: 1, broadcast: true });
    assert.ok(answer.connections >= 1);
    await two.until(/event: still/);
  });

  test("serves as many streams as it allows, and refuses one more", async (t) => {
    const session = await Session.open(t, hub, { settings: { initialWindowSize: 1 << 20 } });
    const streams = await Promise.all(Array.from({ length: 100 }, (_, i) => session.ask("GET", `/api/sse/subscribe/many-${i}`)));
    const extra = session.h2.request({ ":path": "/healthz" });
    extra.on("error", () => {});
    // Node holds it back itself as long as the limit is reached.
    const { id } = await hub.publish({ event: "all", payload: "x", broadcast: true });
    await Promise.all(streams.map((stream) => stream.until(new RegExp(`id: ${id}\n`))));
    streams[0].stream.close();
    await within(once(extra, "response"), "a place for the next one");
  });

  test("does not let a stream whose window is closed hold up its neighbours", async (t) => {
    const session = await Session.open(t, hub, { settings: { initialWindowSize: 2000 } });
    const stuck = await session.ask("GET", "/api/sse/subscribe/stuck?topic=w");
    const well = await session.ask("GET", "/api/sse/subscribe/well?topic=w");
    await stuck.until(/__connected/);
    stuck.stream.pause();
    for (let i = 0; i < 50; i++) await hub.publish({ topic: "w", event: "w", payload: `${i}-${"x".repeat(500)}` });
    await well.until(/data: "49-/);
    stuck.stream.resume();
    await stuck.until(/data: "49-x{500}"/);
    const numbers = [...stuck.text().matchAll(/data: "(\d+)-x{500}"/g)].map(([, n]) => Number(n));
    assert.deepEqual(numbers, Array.from({ length: 50 }, (_, i) => i));
  });

  test("reads a body of any shape, and refuses what HTTP/1.1 would", async (t) => {
    const session = await Session.open(t, hub);
    const json = { "content-type": "application/json" };
    const large = await session.ask("POST", "/api/sse/notify", { headers: json, body: "1".repeat(2 << 20) });
    assert.equal(large.status, 413);
    const typeless = await session.ask("POST", "/api/sse/notify", { body: "{}" });
    assert.equal(typeless.status, 415);
    const head = await session.ask("HEAD", "/healthz");
    assert.equal(head.status, 200);
    assert.equal(await head.body(), "");
    const other = await session.ask("GET", "/healthz", { headers: { ":authority": "evil.example" } });
    assert.equal(other.status, 421);
    const long = await session.ask("GET", `/${"x".repeat(3000)}`);
    assert.equal(long.status, 414);
    const fields = await session.ask("GET", "/healthz", { headers: { "x-long": "x".repeat(5000) } });
    assert.equal(fields.status, 431);
    const far = await session.ask("GET", "/healthz", { headers: { "x-long": "x".repeat(12000) } });
    assert.equal(JSON.parse(await far.body()).code, "headers_too_large");
  });

  test("takes lines as they come, and answers each", async (t) => {
    const session = await Session.open(t, hub);
    const stream = session.h2.request({ ":method": "POST", ":path": "/api/sse/notify/batch", "content-type": "application/x-ndjson" });
    let text = "";
    stream.setEncoding("utf8").on("data", (piece) => (text += piece));
    const lines = async (n) => {
      while (text.split("\n").length <= n) await within(once(stream, "data"), `line ${n}`);
    };
    stream.write('{"topic":"l","event":"e","payload":1}\n');
    await lines(1);
    stream.write('{"topic":"l","event":"e"}\n{"topic":"l","event":"e","payload":3}\n');
    await lines(3);
    stream.end();
    await within(once(stream, "close"), "the end");
    assert.deepEqual(text.trim().split("\n").map((line) => JSON.parse(line).ok), [true, false, true]);
  });

  test("works from curl", async () => {
    const { stdout } = await run("curl", ["-sS", "--http2-prior-knowledge", "--max-time", "20", "-w", " %{http_version}", `${hub.url}/healthz`]);
    assert.equal(stdout, '{"status":"ok"} 2');
  });

  test("works from nghttp", async (t) => {
    const session = await Session.open(t, hub);
    const reader = await session.ask("GET", "/api/sse/subscribe/nghttp");
    await reader.until(/__connected/);
    const body = path.join(await tempDir(t), "message");
    await writeFile(body, JSON.stringify({ clientId: "nghttp", event: "n", payload: "two" }));
    const post = [`--data=${body}`, "--header=content-type: application/json", `${hub.url}/api/sse/notify`];
    const answer = await run("nghttp", ["--timeout=20", ...post]);
    assert.equal(JSON.parse(answer.stdout).connections, 1);
    await reader.until(/event: n\ndata: "two"\n/);
    const { stdout } = await run("nghttp", ["--timeout=20", "--verbose", "--null-out", `${hub.url}/healthz`]);
    assert.match(stdout, /recv \(stream_id=\d+\) :status: 200\n/);
    assert.match(stdout, /recv DATA frame <length=15, flags=0x0[01], stream_id=\d+>\n/);
    assert.doesNotMatch(stdout, /recv (RST_STREAM|GOAWAY)/);
  });

  test("says goodbye when it drains, and ends streams in good order", async (t) => {
    const draining = await Hub.started(t);
    const session = await Session.open(t, draining);
    const stream = await session.ask("GET", "/api/sse/subscribe/last");
    await stream.until(/__connected/);
    const goaway = once(session.h2, "goaway");
    draining.child.kill("SIGTERM");
    await within(goaway, "GOAWAY");
    assert.match(await stream.body(), /retry: \d+\n\n$/);
    assert.equal(stream.stream.rstCode, http2.constants.NGHTTP2_NO_ERROR);
  });
});

// Work for one that waits must not grow with the number of those that wait: counted, as time would depend on the machine.
test("looks only at streams that find room when many wait for the session's window", async (t) => {
  const [readers, events] = [250, 8];
  const hub = await Hub.started(t, ["--history-bytes", "8MiB"]);
  const session = await Session.open(t, hub);
  const streams = await Promise.all(Array.from({ length: readers }, (_, i) => session.ask("GET", `/api/sse/subscribe/r${i}`)));
  await Promise.all(streams.map((stream) => stream.until(/__connected/)));
  const blocked = async () => Number(/^tidings_send_blocked_total (\d+)$/m.exec((await hub.get("/metrics")).text)[1]);
  const before = await blocked();
  let last;
  for (let n = 0; n < events; n++) last = await hub.publish({ event: "n", payload: "x".repeat(3000), broadcast: true });
  await Promise.all(streams.map((stream) => stream.until(new RegExp(`id: ${last.id}\n`))));
  for (const stream of streams) assert.equal(stream.text().match(/^event: n$/gm).length, events, "each got all of them");
  const waits = (await blocked()) - before;
  assert.ok(waits < 2 * readers * events, `${waits} times a stream found no room, for ${readers * events} deliveries`);
});

// A little of the session's window at a time, which the readers that lag behind could always use up by themselves.
test("gives an answer its turn among streams that wait for the session's window", async (t) => {
  const [readers, initialWindowSize] = [20, 4];
  const hub = await Hub.started(t, ["--history-bytes", "8MiB"]);
  const peer = await FramePeer.open(t, hub, { settings: setting(initialWindowSize, 0x7fffffff) });
  const ids = Array.from({ length: readers }, (_, i) => 1 + 2 * i);
  await peer.send(...ids.map((id) => request(id, { path: `/api/sse/subscribe/r${id}` })));
  await Promise.all(ids.map((id) => peer.body(id, /__connected/)));
  for (let n = 0; n < 20; n++) await hub.publish({ event: "n", payload: "x".repeat(20_000), broadcast: true });
  const received = () => [...peer.bodies.values()].reduce((sum, body) => sum + body.length, 0);
  await peer.until(() => (received() >= 65_535 ? true : undefined), "all that the window lets through");
  const answer = 1 + 2 * readers;
  await peer.send(request(answer));
  await peer.on(answer, HEADERS);
  for (let n = 0; n < 2 * readers; n++) {
    const before = received();
    await peer.send(windowUpdate(0, 1000));
    await peer.until(() => (received() > before ? true : undefined), "what fits into the window");
  }
  assert.match(peer.bodies.get(answer) ?? "", /"ok"/);
});

test("--http2=false leaves it out", async (t) => {
  const hub = await Hub.started(t, ["--http2=false"]);
  const connection = await hub.connect(t);
  await connection.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  await connection.until(() => (connection.received.includes("http2_preface") ? true : undefined), "the refusal");
});
