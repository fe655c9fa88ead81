// Who is gone is seen at once; streams end in order; too many are turned away politely.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { EventSource } from "eventsource";
import { assertOverloaded, assertProblem, assertRefused } from "../lib/expect.mjs";
import { Hub, SMALL } from "../lib/hub.mjs";
import { requestBytes } from "../lib/raw.mjs";
import { eventually, within } from "../lib/wait.mjs";
import { HTTP1_ONLY, OVER_H2 } from "../lib/over.mjs";

const PLAIN = { headers: { Accept: "*/*" } };
const ids = (n) => Array.from({ length: n }, (_, i) => `client-${i}`);

describe("the end of a subscriber is seen at once:", () => {
  // With heartbeats an hour apart nothing but the end itself can show it.
  const QUIET = ["--heartbeat", "1h"];

  for (const [what, leave] of [
    ["FIN in both directions", (stream) => stream.close()],
    ["RST", (stream) => stream.reset()],
    ["half-close", (stream) => stream.finish()],
  ]) {
    test(what, async (t) => {
      const hub = await Hub.started(t, QUIET);
      const [going] = await hub.subscribeAll(t, ["going", "staying"]);
      leave(going);
      await hub.totals(1, 1);
      assert.equal((await hub.get("/api/sse/clients/going")).status, 404);
    });
  }

  test("FIN directly after the request", async (t) => {
    const hub = await Hub.started(t, QUIET);
    const connection = await hub.connect(t);
    await connection.send(requestBytes("GET", "/api/sse/subscribe/hasty"));
    connection.close();
    await hub.subscribe(t, "mark");
    await hub.totals(1, 1);
  });

  test("RST of many at the same time", async (t) => {
    const hub = await Hub.started(t, QUIET);
    const streams = await hub.subscribeAll(t, ids(200));
    for (const stream of streams) stream.reset();
    await hub.totals(0, 0);
  });

  test("RST of a reader that had stopped reading", async (t) => {
    const hub = await Hub.started(t, QUIET);
    const stream = await hub.subscribe(t, "stuck");
    stream.connection.socket.pause();
    for (let n = 0; n < 20; n++) await hub.publish({ broadcast: true, event: "x", payload: "y".repeat(200_000) });
    stream.reset();
    await hub.totals(0, 0);
  });

  test("the log has its cause and its duration", async (t) => {
    const hub = await Hub.started(t, [...QUIET, "--log-format", "json"]);
    const stream = await hub.subscribe(t, "logged");
    stream.close();
    await hub.totals(0, 0);
    await hub.logged(/"[^\n]*disconnect[^\n]*/);
    const line = hub.stderr.split("\n").find((text) => text.includes("disconnect"));
    const record = JSON.parse(line);
    assert.ok("cause" in record, line);
    assert.ok(Object.keys(record).some((key) => key.includes("duration")), line);
  });
});

describe("streams keep going and end in time:", () => {
  test("heartbeats carry ts and keep coming", async (t) => {
    const hub = await Hub.started(t, ["--heartbeat", "300ms"]);
    const stream = await hub.subscribe(t, "alive");
    let last = 0;
    for (let n = 0; n < 4; n++) {
      const { ts } = JSON.parse((await stream.next("__heartbeat")).data);
      assert.ok(ts >= last);
      last = ts;
    }
  });

  test("a heartbeat also comes to one whose events never pause", async (t) => {
    const hub = await Hub.started(t, ["--heartbeat", "1s"]);
    const stream = await hub.subscribe(t, "busy");
    const push = setInterval(() => hub.notify({ clientId: "busy", event: "x", payload: 1 }).catch(() => {}), 100);
    try {
      await stream.next("__heartbeat");
    } finally {
      clearInterval(push);
    }
  });

  test("--max-connection-age ends each stream as a whole answer", async (t) => {
    const hub = await Hub.started(t, ["--max-connection-age", "1s"]);
    const streams = await hub.subscribeAll(t, ids(20));
    for (const stream of streams) assert.ok((await stream.end()).complete, stream.body);
    await hub.totals(0, 0);
  });

  test("--max-connection-age ends a stream on HTTP/1.0 by closing", async (t) => {
    const hub = await Hub.started(t, ["--max-connection-age", "1s"]);
    const stream = await hub.subscribe(t, "old", { version: "1.0" });
    assert.ok((await stream.end()).complete);
  });

  test("--max-connection-age is not before 80 % of it", async (t) => {
    const hub = await Hub.started(t, ["--max-connection-age", "2s"]);
    const stream = await hub.subscribe(t, "aged");
    const began = stream.hello.ts;
    await stream.end();
    assert.ok(Date.now() - began >= 1500, `after ${Date.now() - began} ms`);
  });

  test("EventSource comes back by itself after --max-connection-age", async (t) => {
    const hub = await Hub.started(t, ["--max-connection-age", "1s", "--retry", "100ms"]);
    const events = new EventSource(`${hub.url}/api/sse/subscribe/returning`);
    t.after(() => events.close());
    let joined = 0;
    events.addEventListener("__connected", () => joined++);
    await eventually(() => joined >= 2, "a second __connected");
  });
});

describe("drain on SIGTERM", () => {
  /** A hub with enough streams that its drain lasts, its drain begun. */
  async function draining(t, flags = ["--drain-time", "20s"]) {
    const hub = await Hub.started(t, flags);
    const streams = await hub.subscribeAll(t, ids(100));
    const watch = await hub.connect(t);
    hub.signal("SIGTERM");
    await eventually(async () => {
      await watch.send(requestBytes("GET", "/readyz"));
      return (await watch.response()).status === 503;
    }, "/readyz to turn 503");
    return { hub, streams };
  }

  /** Lets the test end without waiting for the drain. */
  async function finish(hub) {
    hub.signal("SIGTERM");
    assert.deepEqual(await hub.ended(), { code: 0, signal: null });
  }

  test("/readyz turns 503, /healthz stays 200, metrics are answered", async (t) => {
    const { hub } = await draining(t);
    assert.equal((await hub.get("/readyz")).status, 503);
    assert.equal((await hub.get("/healthz")).status, 200);
    assert.equal((await hub.get("/api/sse/metrics")).status, 200);
    assert.equal((await hub.get("/metrics")).status, 200);
    await finish(hub);
  });

  test("publishing is still answered and delivered to streams that are open", async (t) => {
    const { hub, streams } = await draining(t);
    const answer = await hub.publish({ broadcast: true, event: "during", payload: 1 });
    assert.ok(answer.connections > 0);
    await Promise.any(streams.map((stream) => stream.next("during")));
    await finish(hub);
  });

  test("a new subscription that asks for an event stream gets __overloaded", async (t) => {
    const { hub } = await draining(t);
    const data = await assertOverloaded(await hub.stream(t, "/api/sse/subscribe/new"));
    assert.match(data.reason, /drain/i);
    await finish(hub);
  });

  test("any other new subscription gets 503 with Retry-After", async (t) => {
    const { hub } = await draining(t);
    assertRefused(await hub.get("/api/sse/subscribe/new", PLAIN), [503]);
    await finish(hub);
  });

  test("every open stream gets a jittered retry and its terminating chunk, then the exit code is 0", async (t) => {
    const hub = await Hub.started(t, ["--drain-time", "1s", "--retry", "3s"]);
    const streams = await hub.subscribeAll(t, ids(60));
    hub.signal("SIGTERM");
    for (const stream of streams) assert.ok((await stream.end()).complete, "terminating chunk");
    const last = streams.map(({ blocks }) => blocks.at(-1));
    assert.ok(last.every(({ retry }) => /^[1-9]\d*$/.test(retry)), JSON.stringify(last[0]));
    assert.ok(new Set(last.map(({ retry }) => retry)).size > 3, "jittered");
    assert.deepEqual(await hub.ended(), { code: 0, signal: null });
  });

  test("streams do not end all at the same moment", async (t) => {
    const hub = await Hub.started(t, ["--drain-time", "2s"]);
    const streams = await hub.subscribeAll(t, ids(60));
    hub.signal("SIGTERM");
    const ends = await Promise.all(streams.map(async (stream) => {
      await stream.end();
      return Date.now();
    }));
    const spread = Math.max(...ends) - Math.min(...ends);
    assert.ok(spread > 500, `all within ${spread} ms`);
  });

  test("what was published before is delivered before the end", async (t) => {
    const hub = await Hub.started(t, ["--drain-time", "500ms"]);
    const streams = await hub.subscribeAll(t, ids(20));
    await hub.publish({ broadcast: true, event: "last", payload: 1 });
    hub.signal("SIGTERM");
    for (const stream of streams) {
      await stream.end();
      assert.deepEqual(stream.published, [["last", "1"]]);
    }
  });

  test("a second SIGTERM ends at once, with 0", async (t) => {
    const hub = await Hub.started(t, ["--drain-time", "1h"]);
    await hub.subscribeAll(t, ids(50));
    hub.signal("SIGTERM");
    await eventually(async () => (await hub.get("/readyz")).status === 503, "the drain to begin");
    await finish(hub);
  });

  test("with nobody connected the hub ends without waiting for --drain-time", async (t) => {
    const hub = await Hub.started(t, ["--drain-time", "1h"]);
    hub.signal("SIGTERM");
    assert.deepEqual(await hub.ended(), { code: 0, signal: null });
  });

  test("idle and half-finished requests do not hold it up", async (t) => {
    const hub = await Hub.started(t, ["--drain-time", "300ms"]);
    const idle = await hub.connect(t);
    await idle.send(requestBytes("GET", "/healthz"));
    await idle.response();
    const half = await hub.connect(t);
    await half.send("GET /heal");
    hub.signal("SIGTERM");
    assert.deepEqual(await hub.ended(), { code: 0, signal: null });
  });

  test("a reader that does not read does not hold it up", async (t) => {
    const hub = await Hub.started(t, ["--drain-time", "300ms"]);
    const stream = await hub.subscribe(t, "stuck");
    stream.connection.socket.pause();
    for (let n = 0; n < 20; n++) await hub.publish({ broadcast: true, event: "x", payload: "y".repeat(200_000) });
    hub.signal("SIGTERM");
    assert.deepEqual(await hub.ended(), { code: 0, signal: null });
  });
});

describe("over a limit", () => {
  test("--max-connections: an event stream request gets __overloaded", async (t) => {
    const hub = await Hub.started(t, ["--max-connections", "2"]);
    const open = await hub.subscribeAll(t, ["a", "b"]);
    await assertOverloaded(await hub.stream(t, "/api/sse/subscribe/c"));
    await hub.publish({ broadcast: true, event: "x", payload: 1 });
    for (const stream of open) await stream.next("x");
  });

  test("--max-connections: anything else gets 429 or 503 with Retry-After", async (t) => {
    const hub = await Hub.started(t, ["--max-connections", "1"]);
    await hub.subscribe(t, "a");
    assertRefused(await hub.get("/api/sse/subscribe/b", PLAIN));
    assertRefused(await hub.get("/api/sse/subscribe/b"));
  });

  test("--max-connections: a place that is free again can be taken", async (t) => {
    const hub = await Hub.started(t, ["--max-connections", "1"]);
    const first = await hub.subscribe(t, "a");
    await assertOverloaded(await hub.stream(t, "/api/sse/subscribe/b"));
    first.close();
    await hub.totals(0, 0);
    await hub.subscribe(t, "b");
  });

  test("--max-connections: those turned away are in no metrics and no list", async (t) => {
    const hub = await Hub.started(t, ["--max-connections", "1"]);
    await hub.subscribe(t, "a");
    for (let n = 0; n < 10; n++) await assertOverloaded(await hub.stream(t, "/api/sse/subscribe/b"));
    assert.equal((await hub.metrics()).totalConnections, 1);
    assert.equal((await hub.get("/api/sse/clients/b")).status, 404);
    assert.equal((await hub.publish({ clientId: "b", event: "x", payload: 1 })).sent, false);
  });

  test("--max-connections: other requests are answered all the same", async (t) => {
    const hub = await Hub.started(t, ["--max-connections", "1"]);
    await hub.subscribe(t, "a");
    assert.equal((await hub.get("/healthz")).status, 200);
    assert.equal((await hub.publish({ clientId: "a", event: "x", payload: 1 })).sent, true);
  });

  test("--max-connections-per-client: the next one of that client only", async (t) => {
    const hub = await Hub.started(t, ["--max-connections-per-client", "2"]);
    await hub.subscribeAll(t, ["a", "a"]);
    await assertOverloaded(await hub.stream(t, "/api/sse/subscribe/a"));
    assertRefused(await hub.get("/api/sse/subscribe/a", PLAIN));
    await hub.subscribe(t, "b");
  });

  test("--max-connections-per-client is 100 unless set", async (t) => {
    const hub = await Hub.started(t);
    await hub.subscribeAll(t, Array(100).fill("greedy"));
    await assertOverloaded(await hub.stream(t, "/api/sse/subscribe/greedy"));
  });

  test("__overloaded has the jittered retry of its own event, and works on HTTP/1.0", async (t) => {
    const hub = await Hub.started(t, ["--max-connections", "1"]);
    await hub.subscribe(t, "a");
    const waits = [];
    for (let n = 0; n < 20; n++) waits.push((await assertOverloaded(await hub.stream(t, "/api/sse/subscribe/b"))).retryMs);
    assert.ok(new Set(waits).size > 3, `jittered: ${waits}`);
    const old = await hub.stream(t, "/api/sse/subscribe/b", { version: "1.0" });
    assert.equal(old.headers.get("transfer-encoding"), undefined);
    await assertOverloaded(old);
  });

  test("EventSource hears __overloaded and gets in later by itself", async (t) => {
    const hub = await Hub.started(t, ["--max-connections", "1", "--retry", "200ms"]);
    const first = await hub.subscribe(t, "first");
    const events = new EventSource(`${hub.url}/api/sse/subscribe/waiting`);
    t.after(() => events.close());
    const heard = (name) => within(new Promise((resolve) => events.addEventListener(name, resolve, { once: true })), name);
    const joined = heard("__connected");
    await heard("__overloaded");
    first.close();
    await joined;
  });

  test("a refusal is logged with the limit's name", async (t) => {
    const hub = await Hub.started(t, ["--max-connections", "1"]);
    await hub.subscribe(t, "a");
    await assertOverloaded(await hub.stream(t, "/api/sse/subscribe/b"));
    await hub.logged(/max.connections/);
  });
});

describe("descriptors run out", () => {
  const LOW = { descriptors: 128 };

  // They say nothing, not even what begins TLS.
  async function fill(t, hub) {
    const { host, port } = hub.target;
    const idle = [];
    for (let n = 0; n < 140; n++) idle.push(await hub.connect(t, { host, port }));
    return idle;
  }

  test("new connections are shed with an answer or closed, and the hub does not spin", HTTP1_ONLY, async (t) => {
    const hub = await Hub.started(t, ["--head-timeout", "1h"], LOW);
    const honest = await hub.subscribe(t, "honest");
    await fill(t, hub);
    const late = await hub.connect(t).catch(() => null); // over TLS there is no time for an answer
    await late?.send(requestBytes("GET", "/api/sse/subscribe/late", { headers: { Accept: "text/event-stream" } }));
    const answer = (await late?.rest()) ?? "";
    if (answer.length > 0) assert.match(answer.toString("latin1"), /^HTTP\/1\.1 (200|429|503) /);
    const ticks = hub.cpuTicks();
    const began = Date.now();
    await new Promise((resolve) => setTimeout(resolve, 1000)); // what is measured is this second itself
    const used = (hub.cpuTicks() - ticks) * 10;
    assert.ok(used < (Date.now() - began) / 2, `${used} ms of processor time in a second of nothing`);
    assert.equal(honest.connection.over, false);
  });

  test("open streams keep their events, and everything recovers when descriptors are free again", async (t) => {
    const hub = await Hub.started(t, ["--head-timeout", "1h"], LOW);
    const honest = await hub.subscribe(t, "honest");
    const publisher = await hub.connect(t);
    await publisher.send(requestBytes("GET", "/healthz"));
    await publisher.response();
    const idle = await fill(t, hub);
    const body = '{"broadcast":true,"event":"x","payload":1}';
    await publisher.send(requestBytes("POST", "/api/sse/notify", { headers: { "Content-Type": "application/json" }, body }));
    assert.equal((await publisher.response()).json.sent, true);
    await honest.next("x");
    for (const connection of idle) connection.close();
    await eventually(async () => {
      const status = await hub.get("/healthz").then(({ status }) => status, () => 0);
      return status === 200;
    }, "the hub to answer again");
    const streams = await hub.subscribeAll(t, ids(SMALL ? 5 : 20));
    await hub.publish({ broadcast: true, event: "y", payload: 1 });
    for (const stream of streams) await stream.next("y");
  });

  test("streams alone end at the automatic limit, with __overloaded", async (t) => {
    const hub = await Hub.started(t, [], LOW);
    let refused;
    for (let n = 0; n < 140 && !refused; n++) {
      const stream = await hub.stream(t, `/api/sse/subscribe/c${n}`);
      await stream.next((block) => block.event !== undefined);
      if (stream.events[0].event === "__overloaded") refused = stream;
    }
    assert.ok(refused, "the limit was never reached");
    assert.equal((await hub.get("/healthz")).status, 200);
    assert.ok((await hub.metrics()).totalConnections > 30);
  });
});

test("--max-connection-age and DELETE of the same stream do not collide", async (t) => {
  const hub = await Hub.started(t, ["--max-connection-age", "300ms"]);
  for (let n = 0; n < 20; n++) {
    const stream = await hub.subscribe(t, "both");
    const answer = await hub.request("DELETE", "/api/sse/clients/both");
    assert.ok([200, 404].includes(answer.status));
    if (answer.status === 404) assertProblem(answer, 404);
    await stream.end();
  }
  await hub.totals(0, 0);
});

// Streams of one HTTP/2 session stop at different events, and each holds the one that it is in the middle of.
test("memory is bounded while subscribers that never read stay connected", { skip: SMALL }, async (t) => {
  const hub = await Hub.started(t, ["--max-stalled-bytes", "4MiB"]);
  const deaf = await hub.subscribeAll(t, ids(100));
  for (const stream of deaf) stream.connection.socket.pause();
  const payload = JSON.stringify({ broadcast: true, event: "big", payload: "x".repeat(500_000) });
  for (let n = 0; n < 10; n++) await hub.notify(payload);
  const before = hub.memory();
  for (let n = 0; n < 200; n++) await hub.notify(payload);
  const grown = hub.memory() - before;
  assert.ok(grown < 8 * 1024, `${grown} KiB more after another 100 MB for each of 100 readers`);
  const used = 'tidings_limit_used{limit="max-stalled-bytes"}';
  const { text } = await hub.get("/metrics");
  const stalled = Number(text.split("\n").find((line) => line.startsWith(used)).slice(used.length));
  assert.ok(stalled <= 4 << 20, `${stalled} bytes of events that are given up and not sent`);
  const { totalConnections } = await hub.metrics();
  if (OVER_H2) assert.ok(totalConnections > 0 && totalConnections <= 100);
  else assert.equal(totalConnections, 100, "they all stand in the same event");
});
