// What a peer of HTTP/2 may do to the hub before it is told to go, frame by frame. Beside it an honest reader on a session
// of its own is given every event, whatever happens.

import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import { after, before, describe, test } from "node:test";
import {
  ACK, COMPRESSION_ERROR, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, FramePeer, GOAWAY, HEADERS,
  PADDED, PING, PRIORITY, PROTOCOL_ERROR, REFUSED_STREAM, RST_STREAM, SETTINGS, STREAM_CLOSED, WINDOW_UPDATE,
  block, frame, literal, request, reset, setting, windowUpdate,
} from "../lib/frames.mjs";
import { Hub, SMALL } from "../lib/hub.mjs";
import { within } from "../lib/wait.mjs";

const INITIAL_WINDOW_SIZE = 4;

// So long that it is not the deadline of a head that ends anybody here.
const hub = new Hub(["--head-timeout", "1h", "--max-request-line", "2KiB", "--max-headers", "8KiB"]);
let honest;

/** An EventSource of HTTP/2 that reads, on a session of its own. */
class Honest {
  static async open(url) {
    const reader = new Honest();
    reader.h2 = http2.connect(url);
    reader.stream = reader.h2.request({ ":path": "/api/sse/subscribe/honest", accept: "text/event-stream" });
    reader.text = "";
    reader.published = 0;
    reader.stream.setEncoding("utf8").on("data", (piece) => (reader.text += piece));
    await reader.until(/__connected/);
    return reader;
  }

  async until(pattern) {
    while (!pattern.test(this.text)) await within(once(this.stream, "data"), `${pattern} for the honest reader`);
  }

  /** One more event for everybody. */
  async tell() {
    const { id } = await hub.publish({ event: "tick", payload: this.published++, broadcast: true });
    await this.until(new RegExp(`id: ${id}\n`));
  }

  check() {
    const numbers = [...this.text.matchAll(/event: tick\ndata: (\d+)\n/g)].map(([, n]) => Number(n));
    assert.deepEqual(numbers, Array.from({ length: this.published }, (_, i) => i));
    assert.ok(!this.h2.closed && !this.h2.destroyed);
  }
}

/** A test beside the honest reader, who hears before, while and after it happens. */
function abuse(name, run) {
  test(name, async (t) => {
    await honest.tell();
    const done = run(t);
    await honest.tell();
    await done;
    await honest.tell();
    honest.check();
  });
}

/** Counters of /metrics that say what was done for all of us. */
async function counters() {
  const { text } = await hub.get("/metrics");
  const value = (name) => Number(new RegExp(`^${name} (\\d+)$`, "m").exec(text)[1]);
  return { requests: value("tidings_http_requests_total"), floods: value("tidings_http2_floods_total") };
}

/** Sends `piece(i)` so many times in one write, and is told to calm down. */
async function flood(t, times, piece, before = []) {
  const { floods } = await counters();
  const peer = await FramePeer.open(t, hub);
  await peer.send(...before, ...Array.from({ length: times }, (_, i) => piece(i)));
  assert.equal(await peer.goaway(), ENHANCE_YOUR_CALM);
  assert.equal((await counters()).floods, floods + 1);
  return peer;
}

const odd = (i) => 2 * i + 1;

before(async () => {
  await hub.start();
  honest = await Honest.open(hub.url);
});
after(async () => {
  honest?.h2.destroy();
  await hub.stop();
});

describe("who opens streams to have them reset", () => {
  abuse("is told to calm down after 500 that were not answered (CVE-2023-44487)", async (t) => {
    const { requests } = await counters();
    const start = Date.now();
    await flood(t, 20_000, (i) => Buffer.concat([request(odd(i)), reset(odd(i))]));
    const worked = (await counters()).requests - requests;
    assert.ok(worked < 700 + (Date.now() - start) / 20, `${worked} of 20,000 requests were handled`);
  });

  abuse("the same when it has the hub do the resetting (CVE-2025-8671)", async (t) => {
    const peer = await FramePeer.open(t, hub);
    const post = (id) => [request(id, { method: "POST", path: "/api/sse/notify", body: true }), windowUpdate(id, 0x7fffffff)];
    const start = Date.now();
    let resets = 0;
    for (let from = 0; from < 2000 && !peer.connection.over; from += 100) {
      await peer.send(...Array.from({ length: 100 }, (_, i) => post(odd(from + i))).flat());
      await peer.connection.until(() => (resets = peer.count(RST_STREAM)) >= from + 100 || peer.connection.over || undefined, "100 resets");
    }
    assert.equal(await peer.goaway(), ENHANCE_YOUR_CALM);
    assert.ok(resets >= 400 && resets < 700 + (Date.now() - start) / 20, `after ${resets} resets`);
  });

  abuse("may do so as often as it likes with streams that were answered: readers come and go", async (t) => {
    const peer = await FramePeer.open(t, hub);
    for (let round = 0; round < 10; round++) {
      const ids = Array.from({ length: 200 }, (_, i) => odd(200 * round + i));
      await peer.send(windowUpdate(0, 1 << 20), ...ids.map((id) => request(id, { path: `/api/sse/subscribe/reader-${id}?topic=crowd` })));
      for (const id of ids) await peer.body(id, /__connected/);
      const { connections } = await hub.publish({ topic: "crowd", event: "round", payload: round });
      assert.equal(connections, 200);
      for (const id of ids) await peer.body(id, new RegExp(`event: round\ndata: ${round}\n`));
      await peer.send(...ids.map((id) => reset(id)));
    }
    peer.latest = odd(2000);
    await peer.answers();
  });
});

describe("frames that carry nothing", () => {
  const post = request(1, { method: "POST", path: "/api/sse/notify", body: true, more: [["content-type", "application/json"]] });
  const open = request(1, { path: "/api/sse/subscribe/flood" });

  for (const [name, piece, before] of [
    ["DATA without data", () => frame(DATA, 0, 1), [post]],
    ["DATA that is all padding", () => frame(DATA, PADDED, 1, Buffer.alloc(9, 8).fill(0, 1)), [post]],
    ["PRIORITY", (i) => frame(PRIORITY, 0, odd(i % 100), Buffer.alloc(5)), []],
    ["WINDOW_UPDATE of the session", () => windowUpdate(0, 1), []],
    ["WINDOW_UPDATE of a stream", () => windowUpdate(1, 1), [open]],
    ["RST_STREAM of a stream that is gone", () => reset(1), [open]],
    ["acknowledgements of PING", () => frame(PING, ACK, 0, Buffer.alloc(8)), []],
  ]) {
    abuse(`end the session when there are too many: ${name}`, (t) => flood(t, 2500, piece, before));
  }

  // Not in one write: the answers are read. What is too much is the number.
  for (const [name, piece, isAnswer] of [
    ["SETTINGS", frame(SETTINGS, 0, 0), (f) => f.type === SETTINGS && f.flags & ACK],
    ["PING", frame(PING, 0, 0, Buffer.alloc(8)), (f) => f.type === PING && f.flags & ACK],
  ]) {
    abuse(`also when their answers are read: ${name}`, async (t) => {
      const peer = await FramePeer.open(t, hub);
      const start = Date.now();
      let sent = 0;
      const answered = () => peer.frames.filter(isAnswer).length;
      while (sent < 5000 && !peer.connection.over) {
        await peer.send(...Array.from({ length: 100 }, () => piece));
        sent += 100;
        await peer.connection.until(() => answered() >= sent || peer.connection.over || undefined, "the answers");
      }
      // 1000, and what has come back meanwhile.
      const most = 1100 + (Date.now() - start) / 10;
      assert.ok(answered() >= 900 && answered() <= most, `${answered()} answers`);
      assert.equal(await peer.goaway(), ENHANCE_YOUR_CALM);
    });
  }

  abuse("end it sooner when their answers are not read", async (t) => {
    const { floods } = await counters();
    const peer = await FramePeer.open(t, hub);
    await peer.send(...Array.from({ length: 300 }, () => frame(PING, 0, 0, Buffer.alloc(8))));
    assert.equal(await peer.goaway(), ENHANCE_YOUR_CALM);
    assert.equal((await counters()).floods, floods + 1);
  });

  abuse("a SETTINGS frame of 33 settings ends it", async (t) => {
    const peer = await FramePeer.open(t, hub);
    await peer.send(frame(SETTINGS, 0, 0, Buffer.concat(Array.from({ length: 33 }, () => setting(INITIAL_WINDOW_SIZE, 65535)))));
    assert.equal(await peer.goaway(), ENHANCE_YOUR_CALM);
  });
});

describe("heads", () => {
  abuse("in more than 32 CONTINUATION frames end the session (CVE-2024-27316)", async (t) => {
    const fields = block({ more: [["x", "y".repeat(2000)]] });
    const pieces = (n) => Array.from({ length: n }, () => frame(CONTINUATION, 0, 1, Buffer.alloc(0)));
    const peer = await FramePeer.open(t, hub);
    peer.latest = 1;
    await peer.send(frame(HEADERS, END_STREAM, 1, fields), ...pieces(20), frame(CONTINUATION, END_HEADERS, 1));
    await peer.body(1, /"ok"/);
    await flood(t, 10_000, () => frame(CONTINUATION, 0, 1), [frame(HEADERS, END_STREAM, 1, fields)]);
  });

  abuse("that a small block makes large end it (HPACK bomb)", async (t) => {
    const before = hub.memory();
    // A field of 4000 bytes is sent once; each of 10,000 bytes behind it is that field again (RFC 7541 section 6.1).
    const bomb = Buffer.concat([block(), literal("x", "a".repeat(3900), true), Buffer.alloc(10_000, 0xbe)]);
    await flood(t, 1, () => frame(HEADERS, END_HEADERS | END_STREAM, 1, bomb));
    if (!SMALL) assert.ok(hub.memory() < before + 16 * 1024, `${before} KiB, then ${hub.memory()} KiB`);
  });

  abuse("that are too large are a 431, and the session goes on", async (t) => {
    const peer = await FramePeer.open(t, hub);
    peer.latest = 3;
    await peer.send(request(1, { more: Array.from({ length: 12 }, (_, i) => [`x-${i}`, "y".repeat(1000)]) }));
    await peer.body(1, /headers_too_large/);
    await peer.send(request(3, { more: Array.from({ length: 101 }, (_, i) => [`x-${i}`, "y"]) }));
    await peer.body(3, /too_many_fields/);
    await peer.answers();
  });

  abuse("with a field of more than 64 KiB end it", async (t) => {
    const fields = Buffer.concat([block(), literal("x", "a".repeat(66_000))]);
    const piece = (i) => fields.subarray(i * 16_000, (i + 1) * 16_000);
    const peer = await FramePeer.open(t, hub);
    await peer.send(frame(HEADERS, END_STREAM, 1, piece(0)), ...[1, 2, 3, 4].map((i) => frame(CONTINUATION, i === 4 ? END_HEADERS : 0, 1, piece(i))));
    assert.equal(await peer.goaway(), COMPRESSION_ERROR);
  });

  abuse("on a stream that has ended are an end of the session", async (t) => {
    const peer = await FramePeer.open(t, hub);
    await peer.send(request(1));
    await peer.body(1, /"ok"/);
    await peer.send(request(1));
    assert.equal(await peer.goaway(), STREAM_CLOSED);
  });
});

describe("streams", () => {
  abuse("beyond the limit are refused, and may be tried again", async (t) => {
    const limit = 256;
    const peer = await FramePeer.open(t, hub, { acknowledge: false });
    const ids = Array.from({ length: limit }, (_, i) => odd(i));
    await peer.send(windowUpdate(0, 1 << 20), ...ids.map((id) => request(id, { path: `/api/sse/subscribe/crowd-${id}?topic=all` })));
    for (const id of ids) await peer.body(id, /__connected/);
    const extra = [odd(limit), odd(limit + 1)];
    await peer.send(...extra.map((id) => request(id)));
    for (const id of extra) assert.equal(await peer.resetOf(id), REFUSED_STREAM);
    // All of those that were not refused live, at the same time.
    const { connections } = await hub.publish({ topic: "all", event: "to-all", payload: 7 });
    assert.equal(connections, limit);
    for (const id of ids) await peer.body(id, /event: to-all\ndata: 7\n/);
    await peer.send(reset(1));
    peer.latest = extra[1];
    await peer.answers();
    // It has said now that it knows the limit.
    await peer.send(frame(SETTINGS, ACK, 0), request(peer.latest + 2, { path: "/api/sse/subscribe/last" }), request(peer.latest + 4));
    assert.equal(await peer.goaway(), PROTOCOL_ERROR);
  });

  abuse("whose windows are closed wait, while their neighbours are served", async (t) => {
    const peer = await FramePeer.open(t, hub, { settings: setting(INITIAL_WINDOW_SIZE, 0) });
    await peer.send(request(1, { path: "/api/sse/subscribe/stalled?topic=w" }), request(3, { path: "/api/sse/subscribe/lively?topic=w" }));
    await peer.on(1, HEADERS);
    await peer.on(3, HEADERS);
    await peer.send(windowUpdate(3, 50_000));
    await peer.body(3, /__connected/);
    for (let i = 0; i < 50; i++) {
      assert.equal((await hub.publish({ topic: "w", event: "w", payload: i })).connections, 2);
      await peer.body(3, new RegExp(`event: w\ndata: ${i}\n`));
    }
    assert.equal(peer.bodies.get(1), undefined);
    await peer.send(windowUpdate(1, 10)); // some bytes of the middle of a line
    await peer.until(() => (peer.bodies.get(1)?.length === 10 ? true : undefined), "ten bytes");
    await peer.send(frame(SETTINGS, 0, 0, setting(INITIAL_WINDOW_SIZE, 40_000))); // opens those of all streams
    await peer.body(1, /event: w\ndata: 49\n/);
    peer.latest = 3;
    const numbers = [...peer.bodies.get(1).matchAll(/event: w\ndata: (\d+)\n/g)].map(([, n]) => Number(n));
    assert.deepEqual(numbers, Array.from({ length: 50 }, (_, i) => i));
    await peer.answers();
  });
});

describe("frames that are not as they must be", () => {
  const zeros = (n) => Buffer.alloc(n);
  for (const [name, bytes, error] of [
    ["a frame larger than 16,384 bytes", frame(DATA, 0, 1, zeros(16_385)), FRAME_SIZE_ERROR],
    ["a setting of five bytes", frame(SETTINGS, 0, 0, zeros(5)), FRAME_SIZE_ERROR],
    ["an acknowledgement of SETTINGS with settings", frame(SETTINGS, ACK, 0, zeros(6)), FRAME_SIZE_ERROR],
    ["a PING of seven bytes", frame(PING, 0, 0, zeros(7)), FRAME_SIZE_ERROR],
    ["an increment of three bytes", frame(WINDOW_UPDATE, 0, 0, zeros(3)), FRAME_SIZE_ERROR],
    ["an error code of three bytes", Buffer.concat([request(1), frame(RST_STREAM, 0, 1, zeros(3))]), FRAME_SIZE_ERROR],
    ["a window of more than 2^31-1 bytes", windowUpdate(0, 0x7fffffff), FLOW_CONTROL_ERROR],
    ["an initial window of 2^31 bytes", frame(SETTINGS, 0, 0, setting(INITIAL_WINDOW_SIZE, 0x80000000)), FLOW_CONTROL_ERROR],
    ["an increment of nothing", windowUpdate(0, 0), PROTOCOL_ERROR],
    ["PRIORITY of the session", frame(PRIORITY, 0, 0, zeros(5)), PROTOCOL_ERROR],
    ["more padding than frame", frame(HEADERS, PADDED | END_HEADERS, 1, Buffer.from([9, 0])), PROTOCOL_ERROR],
    ["a stream that only the hub may open", request(2), PROTOCOL_ERROR],
  ]) {
    abuse(`end the session: ${name}`, async (t) => {
      const peer = await FramePeer.open(t, hub);
      await peer.send(bytes);
      assert.equal(await peer.goaway(), error);
    });
  }

  abuse("opening a window byte by byte (CVE-2019-9511) is answered for a while", async (t) => {
    const { floods } = await counters();
    const peer = await FramePeer.open(t, hub, { settings: setting(INITIAL_WINDOW_SIZE, 1) });
    await peer.send(request(1, { path: "/api/sse/subscribe/dribbling" }));
    await peer.on(1, DATA);
    // One byte for each of these, of the stream's beginning or of the events that follow.
    for (let i = 0, told = false; i < 20_000 && !told; i++) {
      if (i % 50 === 0) await hub.publish({ clientId: "dribbling", event: "n", payload: "x".repeat(500) });
      await peer.send(windowUpdate(1, 1));
      told = (await peer.next((f) => f.type === DATA || f.type === GOAWAY, "a byte")).type === GOAWAY;
    }
    assert.equal(await peer.goaway(), ENHANCE_YOUR_CALM);
    assert.equal((await counters()).floods, floods + 1);
  });

  abuse("end only the stream that they are about: its window grows too large", async (t) => {
    const peer = await FramePeer.open(t, hub);
    peer.latest = 3;
    await peer.send(request(1, { path: "/api/sse/subscribe/wide" }), request(3, { path: "/api/sse/subscribe/beside" }));
    await peer.body(3, /__connected/);
    await peer.send(windowUpdate(1, 0x7fffffff));
    assert.equal(await peer.resetOf(1), FLOW_CONTROL_ERROR);
    const { id } = await hub.publish({ clientId: "beside", event: "still", payload: 1 });
    await peer.body(3, new RegExp(`id: ${id}\n`));
    await peer.answers();
  });
});
