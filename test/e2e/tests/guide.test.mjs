// The integration guide, example by example, as it is printed there.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { EventSource } from "eventsource";
import { Hub } from "../lib/hub.mjs";
import { within } from "../lib/wait.mjs";

const JSON_TYPE = { "Content-Type": "application/json" };

function post(hub, body) {
  return fetch(`${hub.url}/api/sse/notify`, { method: "POST", headers: JSON_TYPE, body: JSON.stringify(body) });
}

/** An EventSource of the npm package, closed after the test. */
function source(t, hub, clientId) {
  const events = new EventSource(`${hub.url}/api/sse/subscribe/${clientId}`);
  t.after(() => events.close());
  return events;
}

function heard(events, name) {
  return within(new Promise((resolve) => events.addEventListener(name, resolve, { once: true })), `the event ${name}`);
}

describe("guide: API endpoints", () => {
  const hub = new Hub();
  before(() => hub.start());
  after(() => hub.stop());

  test("GET /api/sse/subscribe/{clientId} answers with the three printed headers", async (t) => {
    const stream = await hub.stream(t, "/api/sse/subscribe/user-123");
    assert.equal(stream.status, 200);
    assert.equal(stream.headers.get("content-type"), "text/event-stream; charset=utf-8");
    assert.equal(stream.headers.get("cache-control"), "no-cache, no-transform");
    assert.equal(stream.headers.get("connection"), "keep-alive");
  });

  test("fetch can read the stream", async () => {
    const abort = new AbortController();
    const answer = await fetch(`${hub.url}/api/sse/subscribe/fetcher`, { signal: abort.signal });
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get("content-type"), "text/event-stream; charset=utf-8");
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    while (!text.includes("event: __connected\n")) {
      const { value, done } = await within(reader.read(), "the first bytes");
      assert.ok(!done);
      text += value;
    }
    abort.abort();
  });

  test("POST /api/sse/notify to a client answers ok, sent, clientId and connections", async (t) => {
    await hub.subscribeAll(t, Array(5).fill("five-tabs"));
    const answer = await post(hub, {
      clientId: "five-tabs",
      event: "notification",
      payload: { message: "..." },
      broadcast: false,
    });
    assert.equal(answer.status, 200);
    assert.match(answer.headers.get("content-type"), /^application\/json/);
    const { id, ...printed } = await answer.json();
    assert.deepEqual(printed, { ok: true, sent: true, clientId: "five-tabs", connections: 5 });
    assert.equal(typeof id, "string");
  });

  test("clientId is optional if broadcast is true", async (t) => {
    const stream = await hub.subscribe(t, "anybody");
    const answer = await post(hub, { event: "system-alert", payload: { level: "warning" }, broadcast: true });
    assert.equal(answer.status, 200);
    assert.equal((await stream.next("system-alert")).data, '{"level":"warning"}');
  });

  test("a broadcast with a clientId beside it goes to everybody", async (t) => {
    const [one, other] = await hub.subscribeAll(t, ["named", "not-named"]);
    const answer = await post(hub, { clientId: "named", event: "beside", payload: 1, broadcast: true });
    assert.equal((await answer.json()).clientId, null);
    assert.equal((await one.next("beside")).data, "1");
    assert.equal((await other.next("beside")).data, "1");
  });

  test("an event to one client does not reach another", async (t) => {
    const [one, other] = await hub.subscribeAll(t, ["only-me", "bystander"]);
    await hub.publish({ clientId: "only-me", event: "notification", payload: "mine" });
    await hub.publish({ broadcast: true, event: "end-mark", payload: 0 });
    await Promise.all([one.next("end-mark"), other.next("end-mark")]);
    assert.deepEqual(other.published.filter(([event]) => event === "notification"), []);
  });
});

test("GET /api/sse/metrics answers the printed numbers for 10 connections of 3 clients", async (t) => {
  const hub = await Hub.started(t);
  await hub.subscribeAll(t, ["a", "a", "a", "a", "b", "b", "b", "c", "c", "c"]);
  const answer = await fetch(`${hub.url}/api/sse/metrics`);
  assert.equal(answer.status, 200);
  assert.match(answer.headers.get("content-type"), /^application\/json/);
  const metrics = await answer.json();
  assert.equal(metrics.totalConnections, 10);
  assert.equal(metrics.totalClients, 3);
  assert.equal(metrics.averageConnectionsPerClient, 3.33);
});

describe("guide: event types", () => {
  test("a subscriber sees __connected, then events, then __heartbeat", async (t) => {
    const hub = await Hub.started(t, ["--heartbeat", "500ms"]);
    const stream = await hub.subscribe(t, "user-123");
    await hub.publish({ clientId: "user-123", event: "notification", payload: { message: "Hello!" } });
    await stream.next("notification");
    const beat = await stream.next("__heartbeat");
    assert.ok(Number.isInteger(JSON.parse(beat.data).ts));
    const names = stream.events.map(({ event }) => event);
    assert.equal(names[0], "__connected");
    assert.ok(names.indexOf("notification") < names.lastIndexOf("__heartbeat"));
  });

  for (const event of ["notification", "system-alert", "maintenance", "job-completed", "job-failed", "user-update", "maintenance-alert"]) {
    test(`the custom event ${event} arrives under its name`, async (t) => {
      const hub = await Hub.started(t);
      const stream = await hub.subscribe(t, "user-123");
      await hub.publish({ clientId: "user-123", event, payload: { jobId: 7, status: "completed" } });
      assert.equal((await stream.next(event)).data, '{"jobId":7,"status":"completed"}');
    });
  }
});

describe("guide: client-side integration with the npm EventSource", () => {
  const hub = new Hub(["--heartbeat", "500ms", "--retry", "200ms"]);
  before(() => hub.start());
  after(() => hub.stop());

  test("the basic set-up hears __connected, notification and __heartbeat", async (t) => {
    const events = source(t, hub, "user-123");
    const connected = await heard(events, "__connected");
    assert.equal(JSON.parse(connected.data).message, "connected");
    assert.equal(JSON.parse(connected.data).clientId, "user-123");
    const notification = heard(events, "notification");
    await hub.publish({ clientId: "user-123", event: "notification", payload: { message: "Hello!", timestamp: 1 } });
    assert.deepEqual(JSON.parse((await notification).data), { message: "Hello!", timestamp: 1 });
    await heard(events, "__heartbeat");
  });

  test("the React hook's sequence holds: connected, events in order, and closed on unmount", async (t) => {
    const events = source(t, hub, "hook-user");
    const got = [];
    let connected = false;
    events.addEventListener("__connected", () => (connected = true));
    events.addEventListener("notification", (e) => got.push(JSON.parse(e.data)));
    await heard(events, "__connected");
    assert.equal(connected, true);
    const last = heard(events, "last");
    for (let n = 0; n < 20; n++) await hub.publish({ clientId: "hook-user", event: "notification", payload: n });
    await hub.publish({ clientId: "hook-user", event: "last", payload: {} });
    await last;
    assert.deepEqual(got, Array.from({ length: 20 }, (_, n) => n));
    events.close();
    await hub.totals(0, 0);
  });

  test("EventSource reconnects by itself after its stream was ended", async (t) => {
    const events = source(t, hub, "comes-back");
    const first = JSON.parse((await heard(events, "__connected")).data);
    const again = heard(events, "__connected");
    const answer = await fetch(`${hub.url}/api/sse/connections/${first.connectionId}`, { method: "DELETE" });
    assert.deepEqual(await answer.json(), { ok: true, disconnected: 1 });
    const second = JSON.parse((await again).data);
    assert.notEqual(second.connectionId, first.connectionId);
    assert.notEqual(second.resume, "fresh", "the cursor came back in Last-Event-ID");
  });
});

test("guide: disconnected clients are cleaned up", async (t) => {
  const hub = await Hub.started(t);
  const stream = await hub.subscribe(t, "passing");
  await hub.totals(1, 1);
  stream.close();
  await hub.totals(0, 0);
});

describe("guide: logging", () => {
  test("connections and disconnections are logged", async (t) => {
    const hub = await Hub.started(t);
    const stream = await hub.subscribe(t, "logged-client");
    await hub.logged(/[^\n]*connect[^\n]*logged-client/);
    const mark = hub.stderr.length;
    stream.close();
    await hub.logged(/[^\n]*disconnect[^\n]*logged-client|logged-client[^\n]*disconnect/, mark);
  });

  test("sending attempts and broadcasts are logged at debug level", async (t) => {
    const hub = await Hub.started(t, ["--log-level", "debug"]);
    await hub.publish({ clientId: "absent-one", event: "notification", payload: 1 });
    await hub.logged(/publish[^\n]*absent-one|absent-one[^\n]*publish/);
    const mark = hub.stderr.length;
    await hub.publish({ broadcast: true, event: "alert-all", payload: 1 });
    await hub.logged(/broadcast/, mark);
  });
});
