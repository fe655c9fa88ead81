// Lists, details, disconnecting and metrics.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { EventSource } from "eventsource";
import { assertProblem } from "../lib/expect.mjs";
import { Hub, SMALL } from "../lib/hub.mjs";
import { eventually, within } from "../lib/wait.mjs";
import { HTTP1_ONLY, OVER_H2 } from "../lib/over.mjs";

describe("GET /api/sse/clients", () => {
  test("is empty at first", async (t) => {
    const hub = await Hub.started(t);
    const { clients, total, next } = (await hub.get("/api/sse/clients")).json;
    assert.deepEqual(clients, []);
    assert.equal(total, 0);
    assert.equal(next, null);
  });

  test("has one row for each client with its fields", async (t) => {
    const hub = await Hub.started(t);
    const began = Date.now();
    await hub.subscribe(t, "user-1", { query: "name=Ada&topic=red&topic=blue" });
    await hub.subscribe(t, "user-1", { query: "name=Ada&topic=red" });
    const answer = await hub.get("/api/sse/clients");
    assert.match(answer.headers.get("content-type"), /^application\/json/);
    const { clients, total } = answer.json;
    assert.equal(total, 1);
    assert.equal(clients.length, 1);
    const [row] = clients;
    assert.deepEqual(Object.keys(row).sort(), ["clientId", "connectedAt", "connections", "lastSeen", "name", "pending", "resyncs", "topics"]);
    assert.equal(row.clientId, "user-1");
    assert.equal(row.name, "Ada");
    assert.equal(row.connections, 2);
    assert.deepEqual([row.pending, row.resyncs], [0, 0]);
    assert.deepEqual([...row.topics].sort(), ["blue", "red"]);
    for (const ts of [row.connectedAt, row.lastSeen]) assert.ok(Math.abs(ts - began) < 60_000, String(ts));
  });

  test("lists the most recent first", async (t) => {
    const hub = await Hub.started(t);
    for (const id of ["first", "second", "third"]) await hub.subscribe(t, id);
    const { clients } = (await hub.get("/api/sse/clients")).json;
    assert.deepEqual(clients.map(({ clientId }) => clientId), ["third", "second", "first"]);
  });

  test("gives pages: limit, next, after; every client once, none missed", async (t) => {
    const hub = await Hub.started(t);
    const ids = Array.from({ length: 25 }, (_, n) => `client-${String(n).padStart(2, "0")}`);
    for (const id of ids) await hub.subscribe(t, id);
    const seen = [];
    let after_ = "";
    for (let page = 0; ; page++) {
      assert.ok(page < 4, "no more than three pages");
      const { clients, total, next } = (await hub.get(`/api/sse/clients?limit=10${after_}`)).json;
      assert.equal(total, 25);
      assert.ok(clients.length <= 10);
      seen.push(...clients.map(({ clientId }) => clientId));
      if (next === null) break;
      after_ = `&after=${encodeURIComponent(next)}`;
    }
    assert.deepEqual(seen, [...ids].reverse());
  });

  test("a page goes on where it stopped although clients come and go meanwhile", async (t) => {
    const hub = await Hub.started(t);
    const streams = [];
    for (let n = 0; n < 10; n++) streams.push(await hub.subscribe(t, `c${n}`));
    const first = (await hub.get("/api/sse/clients?limit=4")).json;
    assert.deepEqual(first.clients.map(({ clientId }) => clientId), ["c9", "c8", "c7", "c6"]);
    streams[6].close();
    streams[4].close();
    await hub.subscribe(t, "c10");
    await hub.totals(9, 9);
    const second = (await hub.get(`/api/sse/clients?limit=10&after=${encodeURIComponent(first.next)}`)).json;
    assert.deepEqual(second.clients.map(({ clientId }) => clientId), ["c5", "c3", "c2", "c1", "c0"]);
  });

  test("prefix keeps only clients whose id begins with it", async (t) => {
    const hub = await Hub.started(t);
    for (const id of ["app-1", "app-2", "other", "App-3", "a p+1"]) await hub.subscribe(t, id);
    const { clients } = (await hub.get("/api/sse/clients?prefix=app-")).json;
    assert.deepEqual(clients.map(({ clientId }) => clientId), ["app-2", "app-1"]);
    const plus = (await hub.get("/api/sse/clients?prefix=a+p%2B")).json;
    assert.deepEqual(plus.clients.map(({ clientId }) => clientId), ["a p+1"]);
  });

  test("prefix and limit together reach every match", async (t) => {
    const hub = await Hub.started(t);
    for (let n = 0; n < 12; n++) await hub.subscribe(t, `${n % 2 ? "odd" : "even"}-${n}`);
    const seen = [];
    for (let query = "prefix=odd-&limit=2"; ; ) {
      const { clients, next } = (await hub.get(`/api/sse/clients?${query}`)).json;
      seen.push(...clients.map(({ clientId }) => clientId));
      if (next === null) break;
      query = `prefix=odd-&limit=2&after=${encodeURIComponent(next)}`;
    }
    assert.deepEqual(seen, ["odd-11", "odd-9", "odd-7", "odd-5", "odd-3", "odd-1"]);
  });

  for (const limit of ["abc", "-1", "1.5"]) {
    test(`limit=${limit} is a 400 that names it`, async (t) => {
      const hub = await Hub.started(t);
      assertProblem(await hub.get(`/api/sse/clients?limit=${limit}`), 400, /limit/);
    });
  }

  test("a huge number of clients never forms one answer", async (t) => {
    const hub = await Hub.started(t);
    const n = SMALL ? 300 : 1500;
    await hub.subscribeAll(t, Array.from({ length: n }, (_, i) => `crowd-${i}`));
    for (const query of ["", "?limit=1000", "?limit=1000000"]) {
      const answer = await hub.get(`/api/sse/clients${query}`);
      if (query.endsWith("1000000") && answer.status === 400) continue; // refusing it is an answer too
      const { clients, total, next } = answer.json;
      assert.equal(total, n);
      assert.ok(clients.length <= 1000, String(clients.length));
      assert.equal(next === null, clients.length === n);
    }
  });
});

describe("GET /api/sse/clients/{clientId}", () => {
  const hub = new Hub();
  before(() => hub.start());
  after(() => hub.stop());

  test("has each connection with its fields", async (t) => {
    const stream = await hub.subscribe(t, "detail/ü", { query: "name=Ada&topic=red", headers: { "User-Agent": "e2e/1 \"x\"" } });
    await hub.subscribe(t, "detail/ü", { version: "1.0" });
    const answer = await hub.get("/api/sse/clients/detail%2F%C3%BC");
    assert.equal(answer.status, 200);
    assert.equal(answer.json.clientId, "detail/ü");
    const { connections } = answer.json;
    assert.equal(connections.length, 2);
    const fields = ["address", "connectedAt", "connectionId", "lastSeen", "pending", "protocol", "resyncs", "topics", "userAgent"];
    for (const connection of connections) assert.deepEqual(Object.keys(connection).sort(), fields);
    const mine = connections.find(({ connectionId }) => connectionId === stream.hello.connectionId);
    assert.equal(mine.userAgent, "e2e/1 \"x\"");
    assert.deepEqual(mine.topics, ["red"]);
    assert.equal(mine.pending, 0);
    assert.match(mine.address, /^127\.0\.0\.1(:\d+)?$/);
    assert.equal(mine.protocol, OVER_H2 ? "h2" : "http/1.1");
    assert.ok(Math.abs(mine.connectedAt - Date.now()) < 60_000);
  });

  test("is a 404 for an absent client", async () => assertProblem(await hub.get("/api/sse/clients/nobody"), 404));
  test("is a 400 for an impossible one", async () => assertProblem(await hub.get("/api/sse/clients/%00"), 400));

  test("is a 404 again as soon as the client has left", async (t) => {
    const stream = await hub.subscribe(t, "leaver");
    stream.close();
    await eventually(async () => (await hub.get("/api/sse/clients/leaver")).status === 404, "the client to vanish");
  });
});

describe("DELETE", () => {
  const hub = new Hub();
  before(() => hub.start());
  after(() => hub.stop());
  const kick = (path) => hub.request("DELETE", `/api/sse/${path}`);

  test("of a client ends all its streams, each as a whole answer", async (t) => {
    const streams = await hub.subscribeAll(t, ["kicked", "kicked", "kicked"]);
    const other = await hub.subscribe(t, "not-kicked");
    const answer = await kick("clients/kicked");
    assert.equal(answer.status, 200);
    assert.deepEqual(answer.json, { ok: true, disconnected: 3 });
    for (const stream of streams) assert.ok((await stream.end()).complete, "terminating chunk");
    await hub.publish({ broadcast: true, event: "x", payload: 1 });
    await other.next("x");
  });

  test("of a client without a ban lets it come back at once", async (t) => {
    await hub.subscribe(t, "back");
    await kick("clients/back");
    await hub.subscribe(t, "back");
  });

  test("of one connection leaves the client's others", async (t) => {
    const [one, two] = await hub.subscribeAll(t, ["half", "half"]);
    assert.deepEqual((await kick(`connections/${one.hello.connectionId}`)).json, { ok: true, disconnected: 1 });
    assert.ok((await one.end()).complete);
    assert.equal((await hub.publish({ clientId: "half", event: "x", payload: 1 })).connections, 1);
    await two.next("x");
  });

  test("of nobody is a 404", async () => {
    assertProblem(await kick("clients/nobody-here"), 404);
    assertProblem(await kick("connections/none"), 404);
  });

  test("of a connection that has gone is a 404", async (t) => {
    const stream = await hub.subscribe(t, "gone");
    await kick(`connections/${stream.hello.connectionId}`);
    await stream.end();
    assertProblem(await kick(`connections/${stream.hello.connectionId}`), 404);
  });

  test("what was published before the DELETE still arrives", async (t) => {
    const stream = await hub.subscribe(t, "last-words");
    await hub.publish({ clientId: "last-words", event: "farewell", payload: 1 });
    await kick("clients/last-words");
    await stream.end();
    assert.deepEqual(stream.published, [["farewell", "1"]]);
  });

  test("with a ban: 204 when the client comes back, and others are not touched", async (t) => {
    const stream = await hub.subscribe(t, "banned");
    assert.deepEqual((await kick("clients/banned?ban=600")).json, { ok: true, disconnected: 1 });
    await stream.end();
    const answer = await hub.get("/api/sse/subscribe/banned", { headers: { Accept: "text/event-stream" } });
    assert.equal(answer.status, 204);
    assert.equal(answer.text, "");
    assert.equal(answer.headers.get("content-length"), undefined);
    await hub.subscribe(t, "banned-not");
  });

  test("with a ban of an absent client is 200 and 0", async () => {
    const answer = await kick("clients/absent-banned?ban=600");
    assert.equal(answer.status, 200);
    assert.deepEqual(answer.json, { ok: true, disconnected: 0 });
    assert.equal((await hub.get("/api/sse/subscribe/absent-banned")).status, 204);
  });

  test("with a ban through a connection bans its client and ends all it has", async (t) => {
    const [one, two] = await hub.subscribeAll(t, ["through", "through"]);
    const answer = await kick(`connections/${one.hello.connectionId}?ban=600`);
    assert.equal(answer.json.ok, true);
    await one.end();
    assert.equal((await hub.get("/api/sse/subscribe/through")).status, 204);
    two.close();
  });

  test("a ban ends by itself", async (t) => {
    await kick("clients/short?ban=1");
    assert.equal((await hub.get("/api/sse/subscribe/short")).status, 204);
    await eventually(async () => {
      const stream = await hub.stream(t, "/api/sse/subscribe/short");
      return stream.status === 200;
    }, "the ban to end");
  });

  test("a ban makes EventSource stop for good", async (t) => {
    const events = new EventSource(`${hub.url}/api/sse/subscribe/es-banned`);
    t.after(() => events.close());
    await within(new Promise((resolve) => events.addEventListener("__connected", resolve)), "__connected");
    await kick("clients/es-banned?ban=600");
    await eventually(() => events.readyState === EventSource.CLOSED, "readyState CLOSED");
  });

  for (const ban of ["abc", "-1", "1.5", "1e3"]) {
    test(`ban=${ban} is a 400 that names it, and nobody is disconnected`, async (t) => {
      const stream = await hub.subscribe(t, "bad-ban");
      assertProblem(await kick(`clients/bad-ban?ban=${ban}`), 400, /ban/);
      await hub.publish({ clientId: "bad-ban", event: "x", payload: 1 });
      await stream.next("x");
    });
  }

  test("a ban beyond all measure is refused or kept, and harms nobody", async () => {
    for (const ban of ["4294967296", "18446744073709551615", "99999999999999999999999"]) {
      assert.ok([200, 400].includes((await kick(`clients/for-ever?ban=${ban}`)).status), ban);
    }
    assert.equal((await hub.get("/healthz")).status, 200);
  });

  test("other methods on these paths are a 405 with Allow", async () => {
    const client = await hub.request("POST", "/api/sse/clients/x", { body: "" });
    assertProblem(client, 405);
    assert.match(client.headers.get("allow"), /\bGET\b/);
    assert.match(client.headers.get("allow"), /\bDELETE\b/);
    const connection = await hub.get("/api/sse/connections/x");
    assertProblem(connection, 405);
    assert.match(connection.headers.get("allow"), /\bDELETE\b/);
  });
});

describe("GET /api/sse/metrics", () => {
  test("is all zero when empty, and its three fields come first", async (t) => {
    const hub = await Hub.started(t);
    const answer = await hub.get("/api/sse/metrics");
    assert.match(answer.headers.get("content-type"), /^application\/json/);
    assert.deepEqual(Object.keys(answer.json).slice(0, 3), ["totalConnections", "totalClients", "averageConnectionsPerClient"]);
    assert.match(answer.text, /^\{"totalConnections":0,"totalClients":0,"averageConnectionsPerClient":0[,}]/);
  });

  test("is exact after each coming and each going", async (t) => {
    const hub = await Hub.started(t);
    const one = await hub.subscribe(t, "a");
    assert.deepEqual(pick(await hub.metrics()), [1, 1, 1]);
    const two = await hub.subscribe(t, "a");
    assert.deepEqual(pick(await hub.metrics()), [2, 1, 2]);
    await hub.subscribe(t, "b");
    assert.deepEqual(pick(await hub.metrics()), [3, 2, 1.5]);
    two.close();
    await hub.totals(2, 2);
    one.close();
    await hub.totals(1, 1);
  });

  test("rounds the average to two decimals", async (t) => {
    const hub = await Hub.started(t);
    await hub.subscribeAll(t, ["a", "a", "b", "b", "c"]);
    assert.equal((await hub.metrics()).averageConnectionsPerClient, 1.67);
  });

  test("connections and sent are exact while clients come and go", async (t) => {
    const hub = await Hub.started(t);
    let stop = false;
    const coming = (async () => {
      while (!stop) {
        const stream = await hub.subscribe(t, "passer-by");
        stream.close();
      }
    })();
    const steady = await hub.subscribeAll(t, ["steady", "steady", "steady"]);
    for (let n = 0; n < 100; n++) {
      const answer = await hub.publish({ clientId: "steady", event: "x", payload: n });
      assert.equal(answer.connections, 3);
    }
    stop = true;
    await coming;
    for (const stream of steady) {
      await stream.next(({ data }) => data === "99");
      assert.equal(stream.published.length, 100);
    }
    await hub.totals(3, 1);
  });

  function pick({ totalConnections, totalClients, averageConnectionsPerClient }) {
    return [totalConnections, totalClients, averageConnectionsPerClient];
  }
});

test("churn leaves metrics at zero and no descriptor behind", HTTP1_ONLY, async (t) => {
  const hub = await Hub.started(t);
  await hub.metrics();
  const start = await eventually(() => hub.descriptors(), "descriptors");
  const rounds = SMALL ? 5 : 20;
  for (let round = 0; round < rounds; round++) {
    const streams = await hub.subscribeAll(t, Array.from({ length: 50 }, (_, n) => `churn-${n % 20}`), { query: "topic=a&topic=b" });
    await hub.publish({ broadcast: true, event: "x", payload: round });
    for (const [n, stream] of streams.entries()) {
      if (n % 3 === 0) stream.close();
      else if (n % 3 === 1) stream.reset();
      else stream.finish();
    }
  }
  await hub.totals(0, 0);
  assert.deepEqual((await hub.get("/api/sse/clients")).json.clients, []);
  assert.equal((await hub.publish({ topic: "a", event: "x", payload: 1 })).connections, 0);
  await eventually(() => hub.descriptors() <= start, `descriptors back to ${start} (now ${hub.descriptors()})`);
});

describe("GET /metrics", () => {
  const hub = new Hub();
  before(() => hub.start());
  after(() => hub.stop());

  test("is valid Prometheus text", async (t) => {
    await hub.subscribe(t, "scraped");
    await hub.publish({ broadcast: true, event: "x", payload: 1 });
    const answer = await hub.get("/metrics");
    assert.equal(answer.status, 200);
    assert.match(answer.headers.get("content-type"), /^text\/plain; version=0\.0\.4/);
    assert.ok(answer.text.endsWith("\n"));
    const typed = new Set();
    const series = new Set();
    for (const line of answer.text.trimEnd().split("\n")) {
      const type = /^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram|summary|untyped)$/.exec(line);
      if (type) {
        assert.ok(!typed.has(type[1]), `TYPE twice: ${type[1]}`);
        typed.add(type[1]);
      }
      if (line.startsWith("#")) {
        assert.match(line, /^# (TYPE|HELP|EOF)/);
        continue;
      }
      const sample = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[a-zA-Z_]\w*="(?:[^"\\\n]|\\.)*"(?:,[a-zA-Z_]\w*="(?:[^"\\\n]|\\.)*")*\})? (-?\d+(\.\d+)?([eE][-+]?\d+)?|\+Inf|NaN)$/.exec(line);
      assert.ok(sample, `not a sample: ${line}`);
      assert.ok(!series.has(sample[1] + (sample[2] ?? "")), `twice: ${line}`);
      series.add(sample[1] + (sample[2] ?? ""));
      const family = sample[1].replace(/_(bucket|sum|count)$/, "");
      assert.ok(typed.has(sample[1]) || typed.has(family), `no TYPE before ${line}`);
    }
    assert.ok(series.size > 5);
  });

  test("shows the open connections", async (t) => {
    await hub.subscribe(t, "counted");
    const { totalConnections } = await hub.metrics();
    const { text } = await hub.get("/metrics");
    assert.match(text, new RegExp(`^tidings_\\w*connections\\w*(\\{[^}]*\\})? ${totalConnections}$`, "m"));
  });

  test("shows the limits with their current use", async () => {
    const { text } = await hub.get("/metrics");
    for (const limit of ["max.connections", "max.connections.per.client"]) assert.match(text, new RegExp(limit));
  });
});

describe("health", () => {
  const hub = new Hub();
  before(() => hub.start());
  after(() => hub.stop());

  for (const path of ["/healthz", "/readyz"]) {
    test(`${path} is 200 while the hub runs`, async () => assert.equal((await hub.get(path)).status, 200));
    test(`HEAD ${path} is 200 without a body`, async () => {
      const answer = await hub.request("HEAD", path);
      assert.equal(answer.status, 200);
    });
  }
});
