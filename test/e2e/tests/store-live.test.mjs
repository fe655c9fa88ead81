// What a hub with a store does while it runs and in its last moments. What survives a restart is in store.test.mjs.

import assert from "node:assert/strict";
import { rename } from "node:fs/promises";
import path from "node:path";
import { test } from "node:test";
import { LineStream, postArray } from "../lib/batch.mjs";
import { assertProblem } from "../lib/expect.mjs";
import { Hub, SMALL, tempDir } from "../lib/hub.mjs";
import { Book, caughtUp, client, comeBack, history, metric, tail } from "../lib/replay.mjs";
import { eventually } from "../lib/wait.mjs";

const item = (clientId, payload, more = {}) => ({ clientId, event: "seq", payload, ...more });

/** The file of a store, and how to start a hub on it. */
async function shelf(t, flags = []) {
  const file = path.join(await tempDir(t), "hub.db");
  return { file, start: () => Hub.started(t, ["--store", `sqlite:${file}`, ...flags]) };
}

const started = async (t, flags) => (await shelf(t, flags)).start();

for (const [end, stop] of [["SIGTERM", (hub) => hub.stop()], ["SIGKILL", (hub) => hub.kill()]]) {
  test(`events with ttl 0 were for those who were there, also after ${end}; connections have new ids`, async (t) => {
    const { start } = await shelf(t);
    let hub = await start();
    const book = new Book(hub);
    const cursor = await tail(t, hub);
    const stream = await hub.subscribe(t, "now");
    const kept = await book.publish(client("now"));
    await book.publish(client("now"), { ttl: 0 });
    await book.publish(client("nobody"), { ttl: 0 });
    assert.deepEqual(await caughtUp(hub, stream, "now"), book.owed("", client("now")));
    await stop(hub);
    hub = await start();
    const { hello, got } = await comeBack(t, hub, "now", { cursor });
    assert.equal(hello.resume, "complete");
    assert.deepEqual(got, [[kept, "0"]]);
    assert.notEqual(hello.connectionId, stream.hello.connectionId);
    assert.equal((await comeBack(t, hub, "nobody", { cursor })).hello.resume, "complete");
  });
}

test("arrays and lines are answered in order, bad items and repeats included", async (t) => {
  const hub = await started(t, ["--history-size", "5000"]);
  const stream = await hub.subscribe(t, "batch");
  const count = SMALL ? 100 : 1500;
  const items = Array.from({ length: count }, (_, n) => item("batch", n, n % 10 === 9 ? { extra: 1 } : { idempotencyKey: `k${n}` }));
  const answer = await postArray(hub, items);
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.json.length, count);
  const lines = await LineStream.open(t, hub);
  for (const one of items) lines.send(one);
  await lines.finish();
  const results = await lines.end();
  for (const [n, result] of answer.json.entries()) {
    if (n % 10 === 9) assert.equal(result.code, "unknown_field");
    else assert.equal(result.ok, true, JSON.stringify(result));
    assert.deepEqual(results[n], result, "a line that repeats gets what the item of the array got");
  }
  const good = answer.json.map(({ id }, n) => [id, String(n)]).filter(([id]) => id !== undefined);
  assert.deepEqual(await caughtUp(hub, stream, "batch"), good);
});

test("a line on a body that stays open is answered before the next is sent", async (t) => {
  const hub = await started(t);
  const lines = await LineStream.open(t, hub);
  for (let n = 0; n < 5; n++) {
    await lines.send(item("live", n));
    assert.equal((await lines.next()).ok, true);
  }
  await lines.finish();
  assert.equal((await lines.end()).length, 5);
  assert.deepEqual((await history(hub, "clientId=live")).map(({ payload }) => payload), [0, 1, 2, 3, 4]);
});

test("dashboards see what they see without one", async (t) => {
  const hub = await started(t);
  const dashboard = await hub.stream(t, "/api/sse/admin/stream");
  assert.equal(dashboard.status, 200, dashboard.body);
  await dashboard.joined();
  const reader = await hub.subscribe(t, "watched");
  await dashboard.next(({ event, data }) => event === "clients" && data.includes('"watched"'));
  assert.equal((await hub.publish(item("watched", 1))).connections, 1);
  assert.deepEqual((await caughtUp(hub, reader, "watched")).map(([, data]) => data), ["1"]);
  await dashboard.next(({ event, data }) => event === "stats" && JSON.parse(data).published === 2);
  assert.ok(dashboard.events.every(({ event }) => event !== "seq"));
});

test("/metrics tells how it is; without a store it has nothing to tell", async (t) => {
  const hub = await started(t);
  const book = new Book(hub);
  await book.fill(client("counted"), 7);
  await book.publish(client("counted"), { ttl: 0 });
  assert.equal(await metric(hub, "tidings_store_up"), 1);
  assert.equal(await metric(hub, "tidings_store_queue"), 0);
  assert.equal(await metric(hub, "tidings_store_committed_events_total"), 7);
  assert.equal(await metric(hub, "tidings_store_failures_total"), 0);
  assert.ok((await metric(hub, "tidings_store_commits_total")) >= 7);
  assert.ok((await metric(hub, "tidings_store_commit_seconds_total")) > 0);
  await eventually(async () => (await metric(hub, "tidings_store_bytes")) > 0, "the file to be measured");
  const without = await Hub.started(t);
  assert.doesNotMatch((await without.get("/metrics")).text, /tidings_store_/);
});

test("while it fails, what need not be kept arrives, and says nothing of the store", async (t) => {
  const { file, start } = await shelf(t);
  const hub = await start();
  const reader = await hub.subscribe(t, "reader");
  await rename(file, `${file}.away`);
  await eventually(async () => (await hub.notify(item("c", 0))).status !== 200, "publishing to be refused");
  for (let n = 0; n < 3; n++) {
    assert.equal(assertProblem(await hub.notify(item("reader", n)), 503).code, "store_moved");
    assert.equal((await hub.publish(item("reader", 10 + n, { ttl: 0 }))).connections, 1);
    assert.equal(await metric(hub, "tidings_store_up"), 0);
  }
  assert.deepEqual((await caughtUp(hub, reader, "reader")).map(([, data]) => data), ["10", "11", "12"]);
  assert.equal(hub.stderr.match(/ code=store_moved/g).length, 1, "it is said once");
  assert.doesNotMatch(hub.stderr, /written to again/);
});

test("SIGTERM under load: all that was acknowledged is there afterwards", async (t) => {
  const { start } = await shelf(t, ["--history-size", "1000000", "--history-bytes", "0", "--loops", "2"]);
  let hub = await start();
  const acknowledged = [];
  let unknown = 0;
  const publish = async (clientId) => {
    for (let n = 0; ; n++) {
      const answer = await hub.notify(item(clientId, n)).catch(() => null);
      if (answer?.status !== 200) {
        unknown++;
        return;
      }
      acknowledged.push(answer.json.id);
      if (acknowledged.length === (SMALL ? 50 : 200)) hub.signal("SIGTERM");
    }
  };
  const names = Array.from({ length: 8 }, (_, n) => `load-${n}`);
  await Promise.all(names.map(publish));
  assert.deepEqual(await hub.ended(), { code: 0, signal: null });
  hub = await start();
  const stored = (await Promise.all(names.map((name) => history(hub, `clientId=${name}&limit=1000`)))).flat();
  const ids = new Set(stored.map(({ id }) => id));
  assert.equal(ids.size, stored.length);
  assert.deepEqual(acknowledged.filter((id) => !ids.has(id)), []);
  assert.ok(stored.length - acknowledged.length <= unknown, "and besides only what nobody knows of");
});
