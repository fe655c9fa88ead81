// GET /api/sse/admin/stream: what the dashboard lives on.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Hub } from "../lib/hub.mjs";

async function admin(t, hub) {
  const stream = await hub.stream(t, "/api/sse/admin/stream");
  assert.equal(stream.status, 200, stream.body);
  assert.equal(stream.headers.get("content-type"), "text/event-stream; charset=utf-8");
  return stream;
}

/** Reads `clients` events until the client is in (or out of) what they add up to, and gives its row. */
async function seen(stream, clientId, present = true) {
  let row;
  await stream.next(({ event, data }) => {
    if (event !== "clients") return false;
    const { changed, removed } = JSON.parse(data);
    row = changed.find((candidate) => candidate.clientId === clientId);
    return present ? row !== undefined : removed.includes(clientId);
  });
  return row;
}

async function stats(stream, wanted) {
  const block = await stream.next(({ event, data }) => event === "stats" && wanted(JSON.parse(data)));
  return JSON.parse(block.data);
}

test("stats has the promised shape", async (t) => {
  const hub = await Hub.started(t);
  const stream = await admin(t, hub);
  const now = await stats(stream, () => true);
  assert.deepEqual(
    ["ts", "totalConnections", "totalClients", "slowReaders", "published", "delivered", "uptimeMs", "version", "draining", "limits"].filter((key) => !(key in now)),
    [],
  );
  for (const key of ["ts", "totalConnections", "totalClients", "slowReaders", "published", "delivered", "uptimeMs"]) {
    assert.ok(Number.isInteger(now[key]) && now[key] >= 0, `${key}: ${now[key]}`);
  }
  assert.match(now.version, /^\d+\.\d+\.\d+/);
  assert.equal(now.draining, false);
  assert.ok(now.limits.length > 0);
  for (const limit of now.limits) {
    assert.equal(typeof limit.name, "string");
    for (const key of ["limit", "refused"]) assert.equal(typeof limit[key], "number", `${limit.name}.${key}`);
    // What counts for each client, address or request has no single current use.
    assert.ok(limit.used === null || typeof limit.used === "number", `${limit.name}.used`);
  }
});

test("stats counts what is published and delivered", async (t) => {
  const hub = await Hub.started(t);
  const stream = await admin(t, hub);
  await hub.subscribeAll(t, ["a", "b", "b"]);
  await hub.publish({ broadcast: true, event: "x", payload: 1 });
  await hub.publish({ clientId: "b", event: "x", payload: 1 });
  await hub.publish({ clientId: "nobody", event: "x", payload: 1 });
  const now = await stats(stream, ({ published, delivered }) => published === 3 && delivered === 5);
  assert.equal(now.totalConnections, 3);
  assert.equal(now.totalClients, 2);
});

test("stats keeps coming by itself", async (t) => {
  const hub = await Hub.started(t);
  const stream = await admin(t, hub);
  const first = await stats(stream, () => true);
  await stats(stream, ({ uptimeMs }) => uptimeMs > first.uptimeMs);
});

test("clients tells of those who come, with the row that the list has, and of those who leave", async (t) => {
  const hub = await Hub.started(t);
  const stream = await admin(t, hub);
  const late = await hub.subscribe(t, "late", { query: "name=Ada&topic=red" });
  const row = await seen(stream, "late");
  const [listed] = (await hub.get("/api/sse/clients")).json.clients;
  assert.deepEqual(Object.keys(row).sort(), Object.keys(listed).sort());
  assert.deepEqual([row.name, row.connections, row.topics], ["Ada", 1, ["red"]]);
  late.close();
  await seen(stream, "late", false);
});

test("list and stream together miss nobody: who is in neither the list nor a later event is not there", async (t) => {
  const hub = await Hub.started(t);
  const early = await hub.subscribe(t, "early");
  const stream = await admin(t, hub);
  await stats(stream, () => true);
  const { clients } = (await hub.get("/api/sse/clients")).json;
  assert.deepEqual(clients.map(({ clientId }) => clientId), ["early"]);
  early.close();
  await seen(stream, "early", false);
});

test("stats counts nothing as published or delivered that is for dashboards only", async (t) => {
  const hub = await Hub.started(t);
  const one = await admin(t, hub);
  const two = await admin(t, hub);
  for (const id of ["a", "b", "c"]) (await hub.subscribe(t, id)).close();
  await seen(one, "c", false);
  await hub.publish({ clientId: "nobody", event: "x", payload: 1 });
  for (const stream of [one, two]) {
    const now = await stats(stream, ({ published }) => published > 0);
    assert.deepEqual([now.published, now.delivered], [1, 0]);
  }
});

test("clients has changed, removed, truncated and total", async (t) => {
  const hub = await Hub.started(t);
  const stream = await admin(t, hub);
  await hub.subscribe(t, "one");
  const block = await stream.next(({ event, data }) => event === "clients" && JSON.parse(data).total === 1);
  const data = JSON.parse(block.data);
  assert.ok(Array.isArray(data.changed));
  assert.ok(Array.isArray(data.removed));
  assert.equal(data.truncated, false);
});

test("clients tells when a client gets another tab", async (t) => {
  const hub = await Hub.started(t);
  const stream = await admin(t, hub);
  await hub.subscribe(t, "tabs");
  await seen(stream, "tabs");
  await hub.subscribe(t, "tabs");
  await stream.next(({ event, data }) =>
    event === "clients" && JSON.parse(data).changed.some(({ clientId, connections }) => clientId === "tabs" && connections === 2));
});

test("admin streams are not counted in the metrics, nor do they get broadcasts", async (t) => {
  const hub = await Hub.started(t);
  const stream = await admin(t, hub);
  await stats(stream, () => true);
  const { totalConnections, totalClients } = await hub.metrics();
  assert.deepEqual([totalConnections, totalClients], [0, 0]);
  assert.equal((await hub.publish({ broadcast: true, event: "x", payload: 1 })).connections, 0);
  await stats(stream, ({ published }) => published === 1);
  assert.deepEqual(stream.events.filter(({ event }) => event === "x"), []);
});

test("an admin stream ends with the drain as a whole answer", async (t) => {
  const hub = await Hub.started(t);
  const stream = await admin(t, hub);
  await stats(stream, () => true);
  hub.signal("SIGTERM");
  assert.ok((await stream.end()).complete);
});
