// --event-url: the application is told who has come and who has gone.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import crypto from "node:crypto";
import path from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Application } from "../lib/application.mjs";
import { Hub, freePort } from "../lib/hub.mjs";
import { eventually, until, within } from "../lib/wait.mjs";

const start = (t, application, flags = []) => Hub.started(t, ["--event-url", `${application.url}/events`, ...flags]);

/** Waits until the application has taken notices that satisfy the probe; gives all of them, each once. */
function taken(application, probe, what) {
  const all = () => application.requests.filter(({ taken }) => taken).flatMap(({ json }) => json.events);
  return until(application, "asked", () => (probe(all()) ? all() : undefined), () => what);
}

const take = (request) => ((request.taken = true), {});

describe("notices", () => {
  test("of connects and disconnects come in order, each client's own at least", async (t) => {
    const application = await Application.started(t, take);
    const hub = await start(t, application);
    const ada = await hub.subscribe(t, "ada", { query: "name=Ada" });
    const bob = await hub.subscribe(t, "bob");
    await ada.close();
    await hub.logged(/event=disconnect client=ada/);
    await bob.close();
    const events = await taken(application, (list) => list.length >= 4, "four notices");
    assert.deepEqual(events.map(({ seq }) => seq), [1, 2, 3, 4]);
    assert.deepEqual(events.map(({ type, clientId }) => `${type} ${clientId}`), ["connect ada", "connect bob", "disconnect ada", "disconnect bob"]);
    assert.equal(new Set(events.map(({ id }) => id)).size, 4);
    const [connect, , disconnect] = events;
    assert.equal(connect.name, "Ada");
    assert.match(connect.address, /^127\.0\.0\.1:\d+$/);
    assert.equal(disconnect.connectionId, connect.connectionId);
    assert.equal(disconnect.cause, "client_closed");
    assert.ok(Number.isInteger(disconnect.durationMs) && disconnect.ts >= connect.ts);
  });

  test("are signed with every secret", async (t) => {
    const application = await Application.started(t, take);
    const hub = await start(t, application, ["--event-secret", "old secret", "--event-secret", "new secret"]);
    await hub.subscribe(t, "ada");
    await taken(application, (list) => list.length >= 1, "a notice");
    const [{ headers, text }] = application.requests;
    const [time, ...signatures] = headers["tidings-signature"].split(",");
    const seconds = /^t=(\d+)$/.exec(time)[1];
    assert.ok(Math.abs(Date.now() / 1000 - Number(seconds)) < 60);
    const expected = ["old secret", "new secret"].map((secret) => `v1=${crypto.createHmac("sha256", secret).update(`${seconds}.${text}`).digest("hex")}`);
    assert.deepEqual(signatures, expected);
  });

  test("are repeated until they are taken, and none is left out", async (t) => {
    let refuse = 3;
    const application = await Application.started(t, (request) => (refuse-- > 0 ? { status: refuse === 1 ? 404 : 500 } : take(request)));
    const hub = await start(t, application);
    for (const client of ["a", "b", "c"]) await hub.subscribe(t, client);
    const events = await taken(application, (list) => list.length >= 3, "three notices");
    assert.deepEqual(events.map(({ clientId }) => clientId), ["a", "b", "c"]);
    assert.ok(application.requests.length >= 4);
    assert.match((await hub.get("/metrics")).text, /tidings_event_failures_total [3-9]/);
  });

  test("wait while the application is away", async (t) => {
    const application = await Application.started(t, take);
    const hub = await start(t, application);
    await application.stop();
    for (let i = 0; i < 20; i++) await hub.subscribe(t, `client-${i}`);
    await application.listen(application.port);
    const events = await taken(application, (list) => list.length >= 20, "all that waited");
    assert.deepEqual(events.map(({ clientId }) => clientId), Array.from({ length: 20 }, (_, i) => `client-${i}`));
  });

  test("for which there is no room are counted, and it is said how many", async (t) => {
    const application = await Application.started(t, take);
    const hub = await start(t, application, ["--event-queue", "5"]);
    await application.stop();
    for (let i = 0; i < 12; i++) await hub.subscribe(t, `client-${i}`);
    assert.match((await hub.get("/metrics")).text, /tidings_event_lost_total 7\n/);
    await application.listen(application.port);
    const events = await taken(application, (list) => list.some(({ type }) => type === "lost"), "word of the loss");
    assert.equal(events.filter(({ type }) => type === "lost").reduce((sum, { count }) => sum + count, 0), 7);
  });

  test("that wait for another attempt leave at once when the hub stops", async (t) => {
    const application = await Application.started(t, (request) => (request.json.events.length < 6 ? { status: 500 } : take(request)));
    const hub = await start(t, application);
    for (let i = 0; i < 3; i++) await hub.subscribe(t, `client-${i}`);
    await until(application, "asked", () => (application.requests.length >= 5 ? true : undefined), "attempts with long pauses");
    hub.child.kill("SIGTERM");
    await within(hub.exit, "the end");
    const events = await taken(application, (list) => list.length >= 6, "all notices");
    assert.deepEqual(events.map(({ seq }) => seq), [1, 2, 3, 4, 5, 6]);
  });

  test("of the last streams still leave when the hub stops", async (t) => {
    const application = await Application.started(t, take);
    const hub = await start(t, application);
    for (let i = 0; i < 30; i++) await hub.subscribe(t, `client-${i}`);
    hub.child.kill("SIGTERM");
    await within(hub.exit, "the end");
    const events = await taken(application, (list) => list.filter(({ type }) => type === "disconnect").length === 30, "all disconnects");
    assert.ok(events.filter(({ type }) => type === "disconnect").every(({ cause }) => cause === "drain" || cause === "stop"));
  });
});

test("examples/backend.mjs knows a visitor by his cookie, and is told of him", async (t) => {
  const port = await freePort();
  const file = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../../examples/backend.mjs");
  const child = spawn(process.execPath, [file], { env: { ...process.env, PORT: String(port), EVENT_SECRET: "shared" } });
  t.after(() => child.kill("SIGKILL"));
  let said = "";
  child.stdout.setEncoding("utf8").on("data", (text) => (said += text));
  const url = `http://127.0.0.1:${port}`;
  await eventually(() => fetch(url).then(() => true, () => undefined), "the example to listen");
  const hub = await Hub.started(t, ["--authorize-url", `${url}/authorize`, "--event-url", `${url}/events`, "--event-secret", "shared"]);
  const stranger = await hub.request("GET", "/api/sse/subscribe/me");
  assert.equal(stranger.status, 401);
  const stream = await hub.stream(t, "/api/sse/subscribe/me?topic=news", { headers: { Cookie: "session=ada-session" } });
  assert.equal(JSON.parse((await stream.next("__connected")).data).clientId, "user-1");
  await eventually(() => (said.includes("connect user-1") ? true : undefined), "word of the visitor");
});
