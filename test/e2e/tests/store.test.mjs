// --store sqlite:PATH: what survives a restart, and what happens when the file is not what it should be. Death in the
// middle of publishing, and disks that are full, are in crash.test.mjs.

import assert from "node:assert/strict";
import { mkdir, open, readFile, rename, stat, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, test } from "node:test";
import { LineStream, postArray } from "../lib/batch.mjs";
import { assertProblem } from "../lib/expect.mjs";
import { Hub, SMALL, runTidings, tempDir } from "../lib/hub.mjs";
import { ALL, Book, caughtUp, client, comeBack, gotten, history, metric, tail, topic } from "../lib/replay.mjs";
import { eventually } from "../lib/wait.mjs";

const epochOf = (id) => id.split("-")[0];

/** A path for a store of this test. */
async function storePath(t) {
  return path.join(await tempDir(t), "tidings.db");
}

/** A hub with a store, and the same again after each end(). */
class Stored {
  static async started(t, flags = []) {
    const stored = new Stored(t, await storePath(t), flags);
    await stored.start();
    return stored;
  }

  constructor(t, file, flags) {
    Object.assign(this, { t, file, flags: ["--store", `sqlite:${file}`, ...flags] });
  }

  async start() {
    this.hub = await Hub.started(this.t, this.flags);
    return this.hub;
  }

  /** Ends the hub, "SIGTERM" or "SIGKILL", and starts it again. */
  async restart(signal = "SIGTERM") {
    await (signal === "SIGKILL" ? this.hub.kill() : this.hub.stop());
    return this.start();
  }
}

for (const signal of ["SIGTERM", "SIGKILL"]) {
  describe(`after ${signal} and a start`, () => {
    test("the epoch goes on, cursors are complete, and exactly what was missed follows", async (t) => {
      const stored = await Stored.started(t);
      const mine = [client("ann"), ALL, topic("a")];
      const book = new Book(stored.hub);
      const cursors = [await tail(t, stored.hub)];
      for (let life = 0; life < 3; life++) {
        for (let n = 0; n < 12; n++) cursors.push(await book.publish([...mine, client("stranger"), topic("b")][n % 5]));
        book.hub = await stored.restart(signal);
      }
      assert.equal(new Set(cursors.map(epochOf)).size, 1);
      assert.deepEqual(cursors, [...new Set(cursors)].sort());
      for (const cursor of cursors) {
        const { hello, got } = await comeBack(t, stored.hub, "ann", { cursor, query: "topic=a" });
        assert.equal(hello.resume, "complete");
        assert.equal(hello.id, cursor);
        assert.deepEqual(got, book.owed(cursor, ...mine));
      }
    });

    test("a stream that was open goes on without a loss or a double", async (t) => {
      const stored = await Stored.started(t);
      const book = new Book(stored.hub);
      const stream = await stored.hub.subscribe(t, "ann");
      await book.fill(client("ann"), 5);
      await stream.next(({ data }) => data === "4");
      book.hub = await stored.restart(signal);
      await book.fill(client("ann"), 5);
      const back = await stored.hub.subscribe(t, "ann", { headers: { "Last-Event-ID": stream.lastEventId } });
      assert.equal(back.hello.resume, "complete");
      await book.fill(client("ann"), 5);
      await caughtUp(stored.hub, back, "ann");
      assert.deepEqual([...gotten(stream), ...gotten(back)], book.owed("", client("ann")));
    });

    test("history shows the same bytes", async (t) => {
      const stored = await Stored.started(t);
      for (const payload of ["1.10", '{"z":1,"a":"\\u00fc\\/ü🎉"}', "12345678901234567890", '""']) {
        for (const target of ['"clientId":"bytes/ü"', '"broadcast":true', '"topic":"bytes/ü"']) {
          assert.equal((await stored.hub.notify(`{${target},"event":"e \\"1\\"","payload":${payload}}`)).status, 200);
        }
      }
      const ask = async () => {
        const queries = ["clientId=bytes%2F%C3%BC", "topic=bytes%2F%C3%BC", "broadcast=true"];
        return Promise.all(queries.map(async (query) => (await stored.hub.get(`/api/sse/history?${query}`)).text));
      };
      const before = await ask();
      assert.ok(before[0].includes('{"z":1,"a":"\\u00fc\\/ü🎉"}'));
      await stored.restart(signal);
      assert.deepEqual(await ask(), before);
    });

    test("keys are remembered with their answers", async (t) => {
      const stored = await Stored.started(t);
      const body = { clientId: "keyed", event: "seq", payload: 1, idempotencyKey: "schlüssel" };
      await stored.hub.subscribe(t, "keyed");
      const first = await stored.hub.notify(body);
      assert.equal(first.json.connections, 1);
      const broadcast = await stored.hub.notify({ broadcast: true, event: "seq", payload: 2, ttl: 0, idempotencyKey: "unkept" });
      await stored.restart(signal);
      const again = await stored.hub.notify(body);
      assert.equal(again.status, 200, again.text);
      assert.equal(again.text, first.text);
      assert.equal(again.headers.get("idempotent-replayed"), "true");
      const unkept = await stored.hub.notify({ broadcast: true, event: "seq", payload: 2, ttl: 0, idempotencyKey: "unkept" });
      assert.equal(unkept.text, broadcast.text, "also of an event that is not kept");
      const problem = assertProblem(await stored.hub.notify({ ...body, payload: 2 }), 422);
      assert.equal(problem.code, "idempotency_mismatch");
      assert.equal((await history(stored.hub, "clientId=keyed")).length, 1);
    });

    test("what was given up before is still known to be missing", async (t) => {
      const stored = await Stored.started(t, ["--history-size", "3"]);
      const book = new Book(stored.hub);
      const start = await tail(t, stored.hub);
      const own = await book.fill(client("edge"), 6);
      const shared = await book.fill(topic("edge"), 6);
      await stored.restart(signal);
      for (const [ids, target, query] of [[own, client("edge"), ""], [shared, topic("edge"), "topic=edge"]]) {
        const who = query === "" ? "edge" : "another";
        const held = book.owed(ids[2], target);
        for (const [n, cursor] of [start, ...ids].entries()) {
          const { hello, got } = await comeBack(t, stored.hub, who, { cursor, query });
          assert.equal(hello.resume, n < 3 ? "incomplete" : "complete", `cursor ${n}`);
          assert.deepEqual(got, n < 3 ? held : book.owed(cursor, target));
        }
      }
    });

    test("also of somebody of whom nothing is held any more", async (t) => {
      const stored = await Stored.started(t);
      const book = new Book(stored.hub);
      const start = await tail(t, stored.hub);
      const short = await book.publish(client("gone"), { ttl: 1 });
      await book.publish(client("stays"));
      await eventually(async () => (await metric(stored.hub, "tidings_held_events")) === 1, "the short one to be given up");
      await stored.restart(signal);
      assert.equal((await comeBack(t, stored.hub, "gone", { cursor: start })).hello.resume, "incomplete");
      assert.equal((await comeBack(t, stored.hub, "gone", { cursor: short })).hello.resume, "complete");
      assert.equal((await comeBack(t, stored.hub, "stays", { cursor: start })).hello.resume, "complete");
    });

    test("ids that were handed out without anything stored behind them resume, and none comes again", async (t) => {
      const stored = await Stored.started(t, ["--heartbeat", "200ms"]);
      const book = new Book(stored.hub);
      const stream = await stored.hub.subscribe(t, "quiet");
      await book.publish(client("busy"));
      let last;
      for (let n = 0; n < 20; n++) last = (await stored.hub.publish({ clientId: "quiet", event: "typing", payload: n, ttl: 0 })).id;
      const beat = await stream.next(({ event, id }) => event === "__heartbeat" && id >= last);
      book.hub = await stored.restart(signal);
      const missed = await book.publish(client("quiet"));
      assert.ok(missed > beat.id && missed > last, `${missed} after ${beat.id} and ${last}`);
      for (const cursor of [beat.id, last, stream.hello.id]) {
        const { hello, got } = await comeBack(t, stored.hub, "quiet", { cursor });
        assert.equal(hello.resume, "complete");
        assert.deepEqual(got, book.owed("", client("quiet")));
      }
    });

    test("latest-only topics have their value", async (t) => {
      const file = path.join(await tempDir(t), "tidings.conf");
      await writeFile(file, "[topic prices.*]\nlatest-only = true\n");
      const stored = await Stored.started(t, ["--config", file]);
      const book = new Book(stored.hub);
      const start = await tail(t, stored.hub);
      await book.fill(topic("prices.eur"), 5);
      await stored.restart(signal);
      const last = book.owed("", topic("prices.eur")).slice(-1);
      const fresh = await comeBack(t, stored.hub, "buyer", { query: "topic=prices.eur" });
      assert.equal(fresh.hello.resume, "fresh");
      assert.deepEqual(fresh.got, last);
      const back = await comeBack(t, stored.hub, "buyer", { cursor: start, query: "topic=prices.eur" });
      assert.equal(back.hello.resume, "complete");
      assert.deepEqual(back.got, last);
    });
  });
}

test("what grew old while the hub was away is not replayed, and is missing", async (t) => {
  const stored = await Stored.started(t);
  const book = new Book(stored.hub);
  const start = await tail(t, stored.hub);
  await book.publish(client("late"), { ttl: 1 });
  const long = await book.publish(client("late"), { ttl: 3600 });
  const end = Date.now() + 1000;
  await stored.hub.kill();
  while (Date.now() <= end) await new Promise((resolve) => setTimeout(resolve, end + 1 - Date.now()));
  await stored.start();
  const { hello, got } = await comeBack(t, stored.hub, "late", { cursor: start });
  assert.equal(hello.resume, "incomplete");
  assert.deepEqual(got, [[long, "1"]]);
});

test("a smaller history takes effect on what is stored", async (t) => {
  const stored = await Stored.started(t);
  const book = new Book(stored.hub);
  const ids = await book.fill(client("c"), 10);
  stored.flags.push("--history-size", "4");
  await stored.restart();
  await eventually(async () => (await history(stored.hub, "clientId=c")).length === 4, "the new size");
  assert.equal((await comeBack(t, stored.hub, "c", { cursor: ids[4] })).hello.resume, "incomplete");
  assert.equal((await comeBack(t, stored.hub, "c", { cursor: ids[5] })).hello.resume, "complete");
});

test("with a store batches, lines and full sync keep what they have answered", async (t) => {
  const stored = await Stored.started(t, ["--store-sync", "full"]);
  const item = (n) => ({ clientId: "b", event: "seq", payload: n });
  const array = await postArray(stored.hub, [item(0), { clientId: "b" }, item(1)]);
  assert.deepEqual(array.json.map(({ ok }) => ok), [true, false, true]);
  const lines = await LineStream.open(t, stored.hub);
  for (let n = 2; n < 10; n++) lines.send(item(n));
  const results = [];
  while (results.length < 8) results.push(await lines.next());
  await stored.restart("SIGKILL");
  const ids = [...array.json.filter(({ ok }) => ok), ...results].map(({ id }) => id);
  assert.deepEqual((await history(stored.hub, "clientId=b")).map(({ id, payload }) => [id, payload]), ids.map((id, n) => [id, n]));
});

test("publishers with many in flight are answered in order, each with what was stored", async (t) => {
  const stored = await Stored.started(t, ["--loops", "2"]);
  const stream = await stored.hub.subscribe(t, "many");
  const answers = await Promise.all(Array.from({ length: 64 }, (_, n) => stored.hub.publish({ clientId: "many", event: "seq", payload: n })));
  const byId = answers.map(({ id }, n) => [id, String(n)]).sort();
  assert.deepEqual(await caughtUp(stored.hub, stream, "many"), byId);
  await stored.restart("SIGKILL");
  assert.deepEqual((await comeBack(t, stored.hub, "many", { cursor: stream.hello.id })).got, byId);
});

test("the file belongs to its owner alone, and stays bounded whatever goes through it", async (t) => {
  const stored = await Stored.started(t, ["--history-total-bytes", "1MiB"]);
  assert.equal((await stat(stored.file)).mode & 0o777, 0o600);
  const payload = "x".repeat(900);
  const size = async () => {
    const sizes = await Promise.all(["", "-wal"].map((end) => stat(stored.file + end).then((found) => found.size, () => 0)));
    return sizes[0] + sizes[1];
  };
  for (let round = 0; round < (SMALL ? 8 : 60); round++) {
    const items = Array.from({ length: 1000 }, (_, n) => ({ clientId: `c${round}-${n % 100}`, event: "seq", payload }));
    const answer = await postArray(stored.hub, items);
    assert.equal(answer.status, 200, answer.text);
    assert.ok(answer.json.every(({ ok }) => ok));
    const bytes = await size();
    assert.ok(bytes < 24 << 20, `${bytes} bytes`);
  }
  const left = (await readFile(stored.file)).length;
  await stored.hub.stop();
  const closed = await size();
  assert.ok(closed <= Math.max(left, 8 << 20), `${closed} bytes when closed`);
});

describe("a start is refused, in one line, with", () => {
  /** The line. */
  async function refused(store, pattern) {
    const { code, stderr, stdout } = await runTidings(["serve", "--listen", "127.0.0.1:0", "--store", store]);
    assert.equal(code, 1, stderr);
    assert.equal(stdout, "");
    assert.equal(stderr.trimEnd().split("\n").length, 1, stderr);
    assert.match(stderr, pattern);
    assert.ok(stderr.includes(store.replace("sqlite:", "")), `${stderr} names the file`);
    return stderr;
  }

  /** The file of a hub that has ended well. */
  async function written(t, count = 5) {
    const stored = await Stored.started(t);
    await new Book(stored.hub).fill(client("c"), count);
    await stored.hub.stop();
    return stored.file;
  }

  async function overwrite(file, at, bytes) {
    const handle = await open(file, "r+");
    await handle.write(bytes, 0, bytes.length, at);
    await handle.close();
  }

  test("a file that is no database, which is left alone", async (t) => {
    const file = await storePath(t);
    const text = "dear diary, ".repeat(1000);
    await writeFile(file, text);
    await refused(`sqlite:${file}`, /store_corrupt|no store/);
    assert.equal(await readFile(file, "utf8"), text);
  });

  test("a newer schema, which is left alone", async (t) => {
    const file = await written(t);
    await overwrite(file, 60, Buffer.from([0, 0, 0, 99]));
    const before = await readFile(file);
    await refused(`sqlite:${file}`, /newer version/);
    assert.deepEqual(await readFile(file), before);
  });

  test("a damaged file", async (t) => {
    const file = await written(t, 50);
    const { size } = await stat(file);
    for (let page = 4096; page < size; page += 4096) await overwrite(file, page, Buffer.alloc(600, 0xa5));
    await refused(`sqlite:${file}`, /damaged/);
  });

  test("a file that another hub has open, which goes on", async (t) => {
    const stored = await Stored.started(t);
    const book = new Book(stored.hub);
    await book.publish(client("c"));
    await refused(`sqlite:${stored.file}`, /another process/);
    await book.publish(client("c"));
    assert.equal((await history(stored.hub, "clientId=c")).length, 2);
    await stored.restart("SIGKILL");
    assert.equal((await history(stored.hub, "clientId=c")).length, 2);
  });

  test("a path that is a directory", async (t) => {
    const file = await storePath(t);
    await mkdir(file);
    await refused(`sqlite:${file}`, /cannot be written/);
  });

  test("a directory that is not there", async (t) => {
    await refused(`sqlite:${path.join(await tempDir(t), "absent", "tidings.db")}`, /cannot be written/);
  });

  test("a link, which may lead anywhere", async (t) => {
    const file = await written(t);
    const link = `${file}.link`;
    await symlink(file, link);
    await refused(`sqlite:${link}`, /cannot be written/);
  });

  test("a directory that may not be written", { skip: process.getuid() === 0 ? "root may write everywhere" : false }, async (t) => {
    const dir = path.join(await tempDir(t), "readonly");
    await mkdir(dir, { mode: 0o555 });
    await refused(`sqlite:${path.join(dir, "tidings.db")}`, /cannot be written/);
  });

  for (const store of ["sqlite:", "sqlite", "redis:x", "disk", ""]) {
    test(`--store ${JSON.stringify(store)}: exit code 2`, async () => {
      const { code, stderr } = await runTidings(["serve", "--listen", "127.0.0.1:0", "--store", store]);
      assert.equal(code, 2, stderr);
      assert.match(stderr, /store/);
    });
  }

  test("--store-sync sometimes: exit code 2", async () => {
    const { code, stderr } = await runTidings(["serve", "--listen", "127.0.0.1:0", "--store-sync", "sometimes"]);
    assert.equal(code, 2, stderr);
    assert.match(stderr, /store-sync/);
  });
});

test("--store memory is no store: a restart is a new epoch", async (t) => {
  const first = await Hub.started(t, ["--store", "memory"]);
  const { id } = await first.publish({ clientId: "c", event: "x", payload: 1 });
  await first.stop();
  const second = await Hub.started(t, ["--store", "memory"]);
  assert.equal((await comeBack(t, second, "c", { cursor: id })).hello.resume, "incomplete");
});

describe("a file that is moved away while the hub runs", () => {
  test("is a 503 store_moved: nothing is sent, the key is not used up, what is held is served; put back, it goes on", async (t) => {
    const stored = await Stored.started(t);
    const { hub, file } = stored;
    const book = new Book(hub);
    const start = await tail(t, hub);
    const stream = await hub.subscribe(t, "c");
    await book.fill(client("c"), 3);
    for (const end of ["", "-wal"]) await rename(file + end, `${file}.away${end}`);
    const body = { clientId: "c", event: "seq", payload: 3, idempotencyKey: "moved" };
    const refused = await eventually(async () => {
      const answer = await hub.notify({ clientId: "canary", event: "x", payload: 0 });
      return answer.status === 200 ? undefined : answer;
    }, "a 503");
    assert.equal(assertProblem(refused, 503).code, "store_moved");
    assert.match(refused.headers.get("retry-after"), /^[1-9][0-9]*$/);
    assert.equal(assertProblem(await hub.notify(body), 503).code, "store_moved");
    const batch = await postArray(hub, [body, { ...body, idempotencyKey: undefined }]);
    assert.deepEqual(batch.json.map(({ ok, code }) => [ok, code]), [[false, "store_moved"], [false, "store_moved"]]);
    assert.equal((await hub.get("/readyz")).status, 200);
    assert.equal(await metric(hub, "tidings_store_up"), 0);
    const held = await comeBack(t, hub, "c", { cursor: start });
    assert.equal(held.hello.resume, "complete");
    assert.deepEqual(held.got, book.owed("", client("c")));
    assert.deepEqual(await caughtUp(hub, stream, "c"), book.owed("", client("c")), "ttl 0 needs no store; nothing else was sent");

    for (const end of ["", "-wal"]) await rename(`${file}.away${end}`, file + end);
    await eventually(async () => (await hub.notify({ clientId: "canary", event: "x", payload: 0 })).status === 200, "it to be found again");
    assert.equal(await metric(hub, "tidings_store_up"), 1);
    await hub.logged(/store/);
    const sent = await hub.notify(body);
    assert.equal(sent.headers.get("idempotent-replayed"), undefined);
    await stored.restart("SIGKILL");
    const after = await comeBack(t, stored.hub, "c", { cursor: start });
    assert.equal(after.hello.resume, "complete");
    assert.deepEqual(after.got, [...book.owed("", client("c")), [sent.json.id, "3"]]);
  });

  test("after a start without it everything is new, and everybody is told", async (t) => {
    const stored = await Stored.started(t);
    const book = new Book(stored.hub);
    const [id] = await book.fill(client("c"), 2);
    await stored.hub.stop();
    await rename(stored.file, `${stored.file}.away`);
    await stored.start();
    const { hello, got } = await comeBack(t, stored.hub, "c", { cursor: id });
    assert.equal(hello.resume, "incomplete");
    assert.deepEqual(got, []);
    assert.notEqual(epochOf(hello.id), epochOf(id));
  });
});
