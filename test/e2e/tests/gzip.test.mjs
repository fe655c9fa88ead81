// Compressed event streams: zlib, fetch, curl and a browser against the real binary.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { EventEmitter, once } from "node:events";
import http from "node:http";
import http2 from "node:http2";
import { describe, test } from "node:test";
import zlib from "node:zlib";
import { Browser } from "../lib/browser.mjs";
import { BROWSER, Hub } from "../lib/hub.mjs";
import { within } from "../lib/wait.mjs";

/** A compressed stream and what its decoder has made of it so far. */
class Zipped extends EventEmitter {
  static async open(t, hub, client, { query = "", headers = {} } = {}) {
    const request = http.get(`${hub.url}/api/sse/subscribe/${client}${query}`, {
      agent: false,
      headers: { "Accept-Encoding": "gzip", Accept: "text/event-stream", ...headers },
    });
    request.on("error", () => {});
    t.after(() => request.destroy());
    const [response] = await within(once(request, "response"), "the head");
    return new Zipped(response);
  }

  constructor(response) {
    super();
    this.setMaxListeners(0);
    Object.assign(this, { response, bytes: 0, text: "", ended: false, failed: null });
    const gunzip = zlib.createGunzip();
    response.on("data", (piece) => (this.bytes += piece.length)).on("error", () => {});
    response.pipe(gunzip);
    gunzip.setEncoding("utf8").on("data", (piece) => this.#change(() => (this.text += piece)));
    gunzip.on("end", () => this.#change(() => (this.ended = true)));
    gunzip.on("error", (error) => this.#change(() => (this.failed = error)));
  }

  #change(apply) {
    apply();
    this.emit("change");
  }

  async until(probe, what = String(probe)) {
    const ok = () => (probe instanceof RegExp ? probe.test(this.text) : probe());
    while (!ok()) {
      assert.equal(this.failed, null);
      await within(once(this, "change"), what);
    }
  }
}

const broadcast = (hub, n, filler = "") => hub.publish({ broadcast: true, event: "n", payload: { n, filler } });

describe("a compressed stream", () => {
  test("says so, and gives each event when it is sent", async (t) => {
    const hub = await Hub.started(t);
    const stream = await Zipped.open(t, hub, "ada", { query: "?topic=news" });
    assert.equal(stream.response.headers["content-encoding"], "gzip");
    assert.match(stream.response.headers.vary, /Accept-Encoding/);
    await stream.until(/event: __connected\ndata: .*\n\n/);
    for (let n = 1; n <= 40; n++) {
      const { id } = await broadcast(hub, n);
      await stream.until(new RegExp(`id: ${id}\nevent: n\ndata: {"n":${n},`));
      if (n % 7 === 0) {
        await hub.publish({ clientId: "ada", event: "own", payload: n });
        await stream.until(new RegExp(`event: own\ndata: ${n}\n`));
      }
    }
  });

  test("is read alike by whoever joins at whatever moment, and is shorter", async (t) => {
    const hub = await Hub.started(t);
    const filler = "the quick brown fox jumps over the lazy dog, and over some other animals as well";
    const streams = [];
    for (let n = 1; n <= 50; n++) {
      streams.push(await Zipped.open(t, hub, `reader-${n}`));
      await streams.at(-1).until(/__connected/);
      await broadcast(hub, n, filler);
    }
    await Promise.all(streams.map((stream) => stream.until(/"n":50,/)));
    for (const [i, stream] of streams.entries()) {
      const seen = [...stream.text.matchAll(/data: {"n":(\d+),"filler":"([^"]*)"}\n\n/g)];
      assert.deepEqual(seen.map(([, n]) => Number(n)), Array.from({ length: 50 - i }, (_, k) => i + 1 + k));
      assert.ok(seen.every(([, , text]) => text === filler));
    }
    assert.ok(streams[0].bytes < 0.6 * streams[0].text.length, `${streams[0].bytes} of ${streams[0].text.length}`);
    const metrics = (await hub.get("/metrics")).text;
    const made = Number(/^tidings_gzip_events_total (\d+)/m.exec(metrics)[1]);
    assert.ok(made >= 50 && made <= 100, `${made} compressions of 50 events for 50 readers`);
  });

  test("resumes, and ends as gzip ends", async (t) => {
    const hub = await Hub.started(t);
    const first = await Zipped.open(t, hub, "ada");
    await first.until(/__connected/);
    const { id } = await broadcast(hub, 1);
    await first.until(/"n":1,/);
    for (let n = 2; n <= 30; n++) await broadcast(hub, n);
    const again = await Zipped.open(t, hub, "ada", { headers: { "Last-Event-ID": id } });
    await again.until(/"n":30,/);
    assert.match(again.text, /"resume":"complete","replayed":29/);
    hub.child.kill("SIGTERM");
    await again.until(() => again.ended, "the end");
    assert.equal(again.failed, null);
    assert.match(again.text, /retry: \d+\n\n$/);
  });

  test("of a slow reader is whole, too", async (t) => {
    const hub = await Hub.started(t, ["--history-size", "5000"]);
    const stream = await Zipped.open(t, hub, "slow");
    await stream.until(/__connected/);
    stream.response.pause();
    const noise = Array.from({ length: 40 }, () => Math.random().toString(36)).join("");
    for (let n = 1; n <= 1500; n += 50) {
      const items = Array.from({ length: 50 }, (_, i) => ({ broadcast: true, event: "n", payload: { n: n + i, filler: noise + (n + i) } }));
      const answer = await hub.request("POST", "/api/sse/notify/batch", {
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(items),
      });
      assert.equal(answer.status, 200);
    }
    stream.response.resume();
    await stream.until(/"n":1500,/);
    const numbers = [...stream.text.matchAll(/data: {"n":(\d+),/g)].map(([, n]) => Number(n));
    if (!stream.text.includes("__resync")) assert.deepEqual(numbers, Array.from({ length: 1500 }, (_, i) => i + 1));
    assert.ok(numbers.every((n, i) => i === 0 || n > numbers[i - 1]));
  });

  test("is understood by fetch, by curl and over HTTP/2", async (t) => {
    const hub = await Hub.started(t);
    const abort = new AbortController();
    t.after(() => abort.abort());
    const response = await fetch(`${hub.url}/api/sse/subscribe/fetch`, { signal: abort.signal });
    assert.equal(response.headers.get("content-encoding"), "gzip");
    const curl = spawn("curl", ["-sN", "--compressed", "--max-time", "60", `${hub.url}/api/sse/subscribe/curl`]);
    t.after(() => curl.kill("SIGKILL"));
    let curled = "";
    curl.stdout.setEncoding("utf8").on("data", (piece) => (curled += piece));
    const session = http2.connect(hub.url);
    t.after(() => session.destroy());
    const stream = session.request({ ":path": "/api/sse/subscribe/h2", "accept-encoding": "gzip" });
    const [headers] = await within(once(stream, "response"), "the head over HTTP/2");
    assert.equal(headers["content-encoding"], "gzip");
    let framed = "";
    stream.pipe(zlib.createGunzip()).setEncoding("utf8").on("data", (piece) => (framed += piece)).on("error", () => {});
    while (!curled.includes("__connected")) await within(once(curl.stdout, "data"), "curl's stream");
    await broadcast(hub, 7);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let fetched = "";
    while (!fetched.includes('"n":7')) fetched += (await within(reader.read(), "fetch's event")).value;
    while (!curled.includes('"n":7')) await within(once(curl.stdout, "data"), "curl's event");
    while (!framed.includes('"n":7')) await within(once(stream, "data"), "the event over HTTP/2");
  });
});

describe("without it", () => {
  const encoding = async (t, flags, headers) => {
    const hub = await Hub.started(t, flags);
    const request = http.get(`${hub.url}/api/sse/subscribe/x`, { agent: false, headers });
    request.on("error", () => {});
    t.after(() => request.destroy());
    const [response] = await within(once(request, "response"), "the head");
    return response.headers["content-encoding"];
  };
  test("who does not ask gets plain text", async (t) => {
    assert.equal(await encoding(t, [], {}), undefined);
    assert.equal(await encoding(t, [], { "Accept-Encoding": "br, gzip;q=0" }), undefined);
    assert.equal(await encoding(t, [], { "Accept-Encoding": "deflate, br" }), undefined);
    assert.equal(await encoding(t, ["--compress", "off"], { "Accept-Encoding": "gzip" }), undefined);
    assert.equal(await encoding(t, ["--compress", "on"], { "Accept-Encoding": "gzip" }), "gzip");
  });
});

test("a browser's EventSource shows events at once", { skip: !BROWSER }, async (t) => {
  const hub = await Hub.started(t);
  const browser = await Browser.launch();
  t.after(() => browser.close());
  const page = await browser.page(t, hub, "/healthz");
  await page.evaluate(() => {
    window.seen = [];
    const source = new EventSource("/api/sse/subscribe/browser");
    source.addEventListener("__connected", () => window.seen.push("connected"));
    source.addEventListener("n", (event) => window.seen.push(JSON.parse(event.data).n));
  });
  await page.waitForFunction(() => window.seen.length === 1);
  for (let n = 1; n <= 20; n++) {
    await broadcast(hub, n);
    await page.waitForFunction((count) => window.seen.length === count, n + 1);
  }
  const metrics = (await hub.get("/metrics")).text;
  assert.match(metrics, /^tidings_gzip_streams_total 1$/m);
});
