// What is kept: time to live, bounds, policies of topics, GET /api/sse/history; and readers that are slow.

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { postArray } from "../lib/batch.mjs";
import { ID, assertProblem } from "../lib/expect.mjs";
import { Hub, SMALL, runTidings, tempDir } from "../lib/hub.mjs";
import { ALL, Book, client, comeBack, gotten, history, metric, tail, topic } from "../lib/replay.mjs";
import { eventually } from "../lib/wait.mjs";

describe("time to live", () => {
  test("0: for those who are connected; never replayed, never missing, not in history", async (t) => {
    const hub = await Hub.started(t);
    const book = new Book(hub);
    const there = await hub.subscribe(t, "now");
    const before = await book.publish(client("now"));
    const gone = await book.publish(client("now"), { ttl: 0 });
    await book.publish(client("now"));
    await there.next(({ data }) => data === "2");
    assert.deepEqual(gotten(there), book.owed("", client("now")));
    for (const cursor of [there.hello.id, before, gone]) {
      const { hello, got } = await comeBack(t, hub, "now", { cursor });
      assert.equal(hello.resume, "complete");
      assert.deepEqual(got, book.owed(cursor, client("now")).filter(([id]) => id !== gone));
    }
    assert.deepEqual((await comeBack(t, hub, "now", { query: "replay=9" })).got.map(([, data]) => data), ["0", "2"]);
    assert.deepEqual((await history(hub, "clientId=now")).map(({ payload }) => payload), [0, 2]);
  });

  test("N: after N seconds it is not replayed, and whoever missed it is told; the others are not", async (t) => {
    const hub = await Hub.started(t);
    const book = new Book(hub);
    const cursor = await tail(t, hub);
    const short = await book.publish(client("late"), { ttl: 1 });
    const long = await book.publish(client("late"), { ttl: 3600 });
    await eventually(async () => (await history(hub, "clientId=late")).length === 1, "the short one to end");
    const late = await comeBack(t, hub, "late", { cursor });
    assert.equal(late.hello.resume, "incomplete");
    assert.deepEqual(late.got, [[long, "1"]]);
    const intime = await comeBack(t, hub, "late", { cursor: short });
    assert.equal(intime.hello.resume, "complete");
    assert.deepEqual(intime.got, [[long, "1"]]);
    assert.deepEqual((await comeBack(t, hub, "late", { query: "replay=9" })).got, [[long, "1"]]);
  });

  test("--history-ttl ends all, however long they asked for, also of clients that nobody has heard of since", async (t) => {
    const hub = await Hub.started(t, ["--history-ttl", "1s"]);
    const book = new Book(hub);
    const cursor = await tail(t, hub);
    const ids = [await book.publish(client("absent"), { ttl: 3600 }), await book.publish(client("absent"))];
    await eventually(async () => (await metric(hub, "tidings_held_events")) === 0, "nothing to be held");
    assert.deepEqual(await history(hub, "clientId=absent"), []);
    assert.equal((await comeBack(t, hub, "absent", { cursor })).hello.resume, "incomplete");
    assert.equal((await comeBack(t, hub, "absent", { cursor: ids[0] })).hello.resume, "incomplete");
    assert.equal((await comeBack(t, hub, "absent", { cursor: ids[1] })).hello.resume, "complete");
    assert.equal((await comeBack(t, hub, "never-told", { cursor })).hello.resume, "complete");
  });
});

describe("bounds", () => {
  test("--history-bytes keeps the newest that fit, of each target for itself", async (t) => {
    const hub = await Hub.started(t, ["--history-bytes", "64KiB"]);
    const filler = "x".repeat(4000);
    const ids = { big: [], small: [] };
    for (let n = 0; n < 40; n++) {
      ids.big.push((await hub.publish({ clientId: "big", event: "seq", payload: filler })).id);
      ids.small.push((await hub.publish({ clientId: "small", event: "seq", payload: n })).id);
    }
    const big = (await history(hub, "clientId=big")).map(({ id }) => id);
    assert.deepEqual(big, ids.big.slice(-big.length));
    assert.ok(big.length * 4000 <= 65536, `${big.length} events of 4000 bytes`);
    assert.ok(big.length >= 12, `${big.length} events of 4000 bytes`);
    assert.deepEqual((await history(hub, "clientId=small")).map(({ id }) => id), ids.small);
  });

  test("--history-total-bytes holds against a crowd of invented clients", async (t) => {
    const total = 4 << 20;
    const hub = await Hub.started(t, ["--history-total-bytes", String(total)]);
    const cursor = await tail(t, hub);
    const used = 'tidings_limit_used{limit="history-total-bytes"}';
    assert.equal(await metric(hub, 'tidings_limit{limit="history-total-bytes"}'), total);
    const filler = "x".repeat(900);
    const before = hub.memory();
    const rounds = SMALL ? 10 : 60;
    for (let round = 0; round < rounds; round++) {
      const items = Array.from({ length: 1000 }, (_, n) => ({ clientId: `invented-${round}-${n}`, event: "seq", payload: filler }));
      const answer = await postArray(hub, items);
      assert.equal(answer.status, 200, answer.text);
      assert.ok(answer.json.every(({ ok, sent }) => ok && !sent));
      assert.ok((await metric(hub, used)) <= total, "the total is kept");
    }
    assert.ok((await metric(hub, used)) > total / 2, "and used");
    if (!SMALL) assert.ok(hub.memory() - before < 24 << 10, `${hub.memory() - before} KiB more for 4 MiB of history`);
    assert.equal((await comeBack(t, hub, "invented-0-0", { cursor })).hello.resume, "incomplete");
    const newest = await comeBack(t, hub, `invented-${rounds - 1}-999`, { cursor });
    assert.deepEqual(newest.got.map(([, data]) => data), [JSON.stringify(filler)]);
  });

  test("a smaller --history-size takes effect with SIGHUP", async (t) => {
    const file = path.join(await tempDir(t), "tidings.conf");
    await writeFile(file, "history-size = 10\n[topic keep*]\nhistory-size = 8\n");
    const hub = await Hub.started(t, ["--config", file]);
    const book = new Book(hub);
    const ids = await book.fill(client("c"), 12);
    await book.fill(topic("keeper"), 12);
    assert.equal((await history(hub, "clientId=c")).length, 10);
    assert.equal((await history(hub, "topic=keeper")).length, 8);
    await writeFile(file, "history-size = 3\n[topic keeper]\nhistory-size = 2\n");
    hub.signal("SIGHUP");
    await eventually(async () => (await history(hub, "clientId=c")).length === 3, "the new size");
    await eventually(async () => (await history(hub, "topic=keeper")).length === 2, "the new policy");
    assert.equal((await comeBack(t, hub, "c", { cursor: ids[8] })).hello.resume, "complete");
    assert.equal((await comeBack(t, hub, "c", { cursor: ids[7] })).hello.resume, "incomplete");
  });
});

async function configured(t, text, flags = []) {
  const file = path.join(await tempDir(t), "tidings.conf");
  await writeFile(file, text);
  return { file, start: () => Hub.started(t, ["--config", file, ...flags]) };
}

describe("policies of topics", () => {
  test("an exact name counts before a beginning, a longer beginning before a shorter one", async (t) => {
    const sections = { "logs.*": 4, "logs.audit.*": 3, "logs.audit.login": 2, "*": 6, other: 1 };
    const text = Object.entries(sections).map(([name, size]) => `[topic ${name}]\nhistory-size = ${size}\n`);
    for (const order of [text, [...text].reverse()]) {
      const hub = await (await configured(t, `history-size = 7\n${order.join("")}`)).start();
      const book = new Book(hub);
      for (const [name, size] of [["logs.x", 4], ["logs.", 4], ["logs.audit.x", 3], ["logs.audit.login", 2], ["logs.audit.login.x", 3], ["logs", 6], ["other", 1], ["others", 6]]) {
        const ids = await book.fill(topic(name), 9);
        assert.deepEqual((await history(hub, `topic=${name}`)).map(({ id }) => id), ids.slice(-size), name);
      }
      const ids = await book.fill(client("logs.x"), 9);
      assert.deepEqual((await history(hub, "clientId=logs.x")).map(({ id }) => id), ids.slice(-7), "clients are no topics");
    }
  });

  test("bytes and age can differ too", async (t) => {
    const hub = await (await configured(t, "[topic short.*]\nhistory-ttl = 1s\n[topic narrow]\nhistory-bytes = 8KiB\n")).start();
    const book = new Book(hub);
    const cursor = await tail(t, hub);
    for (const name of ["short.x", "long.x"]) await book.fill(topic(name), 2);
    const filler = "x".repeat(1500);
    const ids = [];
    for (let n = 0; n < 10; n++) ids.push((await hub.publish({ topic: "narrow", event: "seq", payload: filler })).id);
    const narrow = (await history(hub, "topic=narrow")).map(({ id }) => id);
    assert.ok(narrow.length >= 2 && narrow.length <= 5, `${narrow.length} events of 1500 bytes`);
    assert.deepEqual(narrow, ids.slice(-narrow.length));
    await eventually(async () => (await history(hub, "topic=short.x")).length === 0, "the short ones to end");
    assert.equal((await comeBack(t, hub, "c", { cursor, query: "topic=short.x" })).hello.resume, "incomplete");
    const long = await comeBack(t, hub, "c", { cursor, query: "topic=long.x" });
    assert.equal(long.hello.resume, "complete");
    assert.deepEqual(long.got, book.owed("", topic("long.x")));
  });

  for (const [what, text, culprit] of [
    ["an unknown line", "[topic a]\nhistory-sise = 1\n", /history-sise/],
    ["a bad value", "[topic a]\nhistory-ttl = soon\n", /history-ttl/],
    ["a setting of the hub", "[topic a]\nheartbeat = 1s\n", /heartbeat/],
    ["a star in the middle", "[topic a*b]\nhistory-size = 1\n", /a\*b/],
    ["no name", "[topic]\nhistory-size = 1\n", /topic/],
    ["another kind of section", "[client a]\nhistory-size = 1\n", /client/],
    ["latest-only with more than one event", "[topic a]\nlatest-only = true\nhistory-size = 2\n", /latest-only|history-size/],
  ]) {
    test(`a section with ${what} stops the start and is named`, async (t) => {
      const { file } = await configured(t, text);
      const { code, stderr } = await runTidings(["serve", "--check-config", "--config", file]);
      assert.equal(code, 2, stderr);
      assert.match(stderr, culprit);
      assert.equal(stderr.trimEnd().split("\n").length, 1, stderr);
    });
  }
});

describe("latest-only", () => {
  const latest = topic("prices.eur");
  const started = async (t, more = "") => (await configured(t, `[topic prices.*]\nlatest-only = true\n${more}`)).start();

  test("a new subscriber gets the last value at once, then its place: the tail", async (t) => {
    const hub = await started(t);
    const book = new Book(hub);
    await book.fill(latest, 3);
    const value = book.entries.at(-1);
    const last = await book.publish(ALL);
    const stream = await hub.subscribe(t, "buyer", { query: "topic=prices.eur" });
    assert.equal(stream.hello.resume, "fresh");
    assert.equal(stream.hello.replayed, 1);
    assert.equal(stream.hello.id, last, "whoever is cut now has missed nothing later");
    const first = await stream.next("seq");
    assert.deepEqual([first.id, first.data], [value.id, value.data]);
    const place = await stream.next(({ id }) => id !== undefined);
    assert.equal(place.text, `id: ${place.id}`, "a block with nothing but an id");
    assert.equal(place.id, last);
    await book.publish(latest);
    assert.equal((await stream.next("seq")).data, "4");
    stream.close();
    const again = await comeBack(t, hub, "buyer", { cursor: place.id, query: "topic=prices.eur" });
    assert.equal(again.hello.resume, "complete");
    assert.deepEqual(again.got, book.owed(last, latest));
  });

  test("several of them come in the order of publishing; other topics, own and broadcasts do not", async (t) => {
    const hub = await started(t);
    const book = new Book(hub);
    const names = ["prices.eur", "prices.usd", "prices.gbp"];
    for (const name of [...names, "prices.usd", "news"]) await book.publish(topic(name));
    await book.publish(client("buyer"));
    await book.publish(ALL);
    const query = [...names, "prices.none", "news"].map((name) => `topic=${name}`).join("&");
    const { hello, got } = await comeBack(t, hub, "buyer", { query });
    assert.equal(hello.resume, "fresh");
    assert.deepEqual(got.map(([, data]) => data), ["0", "2", "3"]);
  });

  test("without a value there is nothing to give", async (t) => {
    const hub = await started(t);
    const { hello, got } = await comeBack(t, hub, "buyer", { query: "topic=prices.none" });
    assert.equal(hello.resume, "fresh");
    assert.deepEqual(got, []);
  });

  test("who comes back gets the last value if it is newer than the cursor, and has missed nothing", async (t) => {
    const hub = await started(t);
    const book = new Book(hub);
    const ids = [await tail(t, hub)];
    for (let n = 0; n < 5; n++) ids.push(await book.publish(latest), await book.publish(client("buyer")));
    const value = book.owed("", latest).at(-1);
    for (const cursor of ids) {
      const { hello, got } = await comeBack(t, hub, "buyer", { cursor, query: "topic=prices.eur" });
      assert.equal(hello.resume, "complete");
      const expected = [...book.owed(cursor, client("buyer")), ...(value[0] > cursor ? [value] : [])].sort();
      assert.deepEqual(got, expected);
    }
  });

  test("a section for a longer beginning can be without it", async (t) => {
    const hub = await started(t, "[topic prices.all.*]\nhistory-size = 5\nlatest-only = false\n");
    const book = new Book(hub);
    await book.fill(topic("prices.all.x"), 7);
    assert.deepEqual((await comeBack(t, hub, "b", { query: "topic=prices.all.x" })).got, []);
    assert.equal((await history(hub, "topic=prices.all.x")).length, 5);
  });

  test("holds one event, whatever was published", async (t) => {
    const hub = await started(t);
    const ids = await new Book(hub).fill(latest, 20);
    assert.deepEqual((await history(hub, "topic=prices.eur")).map(({ id }) => id), ids.slice(-1));
    assert.equal(await metric(hub, "tidings_held_events"), 1);
  });
});

describe("GET /api/sse/history", () => {
  const hub = new Hub(["--history-size", "150"]);
  const book = new Book(hub);
  const PATH = "/api/sse/history";
  let start;
  before(async () => {
    await hub.start();
    const stream = await hub.subscribe(null, "early");
    start = stream.hello.id;
    stream.close();
  });
  after(() => hub.stop());

  test("gives what was published, in the bytes that were published", async () => {
    const payloads = ["1.10", "12345678901234567890", '{"z":1,"a":[true,null,{"b":"\\u00fc\\/ü🎉"}]}', '"\u007f\u2028"', "[]"];
    const ids = [];
    for (const payload of payloads) {
      const answer = await hub.notify(`{"topic":"bytes/ü","event":"e \\"1\\"","payload":${payload}}`);
      assert.equal(answer.status, 200, answer.text);
      ids.push(answer.json.id);
    }
    const began = Date.now();
    const answer = await hub.get(`${PATH}?topic=bytes%2F%C3%BC`);
    assert.equal(answer.status, 200);
    assert.match(answer.headers.get("content-type"), /^application\/json/);
    const times = answer.json.events.map(({ ts }) => ts);
    assert.ok(times.every((ts, n) => Number.isInteger(ts) && Math.abs(ts - began) < 3_600_000 && ts >= (times[n - 1] ?? 0)));
    const events = payloads.map((payload, n) => `{"id":"${ids[n]}","event":"e \\"1\\"","payload":${payload},"ts":${times[n]},"topic":"bytes/ü"}`);
    assert.equal(answer.text, `{"events":[${events.join(",")}],"complete":true,"next":null}`);
  });

  test("for a client: its own and broadcasts, each with its target", async () => {
    const from = await book.publish(ALL);
    await book.publish(client("her"));
    await book.publish(client("him"));
    await book.publish(topic("hers"));
    await book.publish(ALL);
    const answer = (await hub.get(`${PATH}?clientId=her&after=${from}`)).json;
    assert.deepEqual(answer.events.map(({ id, payload }) => [id, String(payload)]), book.owed(from, client("her"), ALL));
    assert.deepEqual(answer.events.map(({ id, event, payload, ts, ...rest }) => rest), [{ clientId: "her" }, { broadcast: true }]);
    const all = (await hub.get(`${PATH}?broadcast=true&after=${from}`)).json;
    assert.deepEqual(all.events.map(({ id, payload }) => [id, String(payload)]), book.owed(from, ALL));
    assert.ok(all.events.every(({ broadcast, clientId }) => broadcast === true && clientId === undefined));
  });

  test("is given in pages; the last one has no next", async () => {
    const from = (await hub.publish({ topic: "elsewhere", event: "x", payload: 0 })).id;
    await book.fill(topic("paged"), 120);
    await book.publish(client("not-paged"));
    const all = book.owed(from, topic("paged")).map(([id]) => id);
    for (const limit of [1, 7, 60, 119, 120, 121, 1000]) {
      const got = [];
      let after = "";
      let pages = 0;
      for (; after !== null && pages <= 121; pages++) {
        const page = (await hub.get(`${PATH}?topic=paged&limit=${limit}${after && `&after=${after}`}`)).json;
        assert.equal(page.complete, true);
        assert.ok(page.events.length <= limit);
        if (page.next !== null) assert.equal(page.events.length, limit, "a page with a next one is full");
        got.push(...page.events.map(({ id }) => id));
        after = page.next;
      }
      assert.deepEqual(got, all, `limit=${limit}`);
      assert.ok(pages <= Math.ceil(120 / limit) + 1);
    }
    const page = (await hub.get(`${PATH}?topic=paged`)).json;
    assert.equal(page.events.length, 100);
    assert.match(page.next, ID);
  });

  test("after what is no longer held, or unknown, begins at the oldest and says so", async () => {
    const ids = await book.fill(client("long"), 155);
    const from = (await hub.get(`${PATH}?clientId=long&limit=1`)).json.events[0].id;
    for (const [after, complete] of [[ids[3], false], [ids[4], true], ["garbage", false], [`${ids[0].split("-")[0]}-zzzzzzzzzz`, false]]) {
      const answer = (await hub.get(`${PATH}?clientId=long&after=${after}&limit=1`)).json;
      assert.equal(answer.complete, complete, after);
      assert.equal(answer.events[0].id, complete ? ids[5] : from, after);
    }
    const end = (await hub.get(`${PATH}?clientId=long&after=${ids.at(-1)}`)).json;
    assert.deepEqual(end, { events: [], complete: true, next: null });
  });

  test("after a place before anything was published is complete while all is held", async () => {
    await book.fill(topic("whole"), 3);
    const answer = (await hub.get(`${PATH}?topic=whole&after=${start}`)).json;
    assert.equal(answer.complete, true);
    assert.equal(answer.events.length, 3);
  });

  test("of somebody unknown is empty", async () => {
    assert.deepEqual((await hub.get(`${PATH}?topic=unheard`)).json, { events: [], complete: true, next: null });
  });

  test("counts what it is asked for, not what others have: a long walk is no shorter for events of others", async () => {
    const payload = "x".repeat(20_000);
    for (let n = 0; n < 30; n++) await hub.publish({ topic: "wide", event: "x", payload });
    const wide = await history(hub, "topic=wide&limit=1000");
    assert.equal(wide.length, 30);
    assert.ok(wide.every((event) => event.payload === payload));
  });

  for (const [query, code] of [
    ["", "missing_field"],
    ["limit=5", "missing_field"],
    ["clientId=a&topic=b", "ambiguous_target"],
    ["clientId=a&broadcast=true", "ambiguous_target"],
    ["topic=a&broadcast=true", "ambiguous_target"],
    ["topic=a&broadcast=true&clientId=c", "ambiguous_target"],
  ]) {
    test(`?${query} is a 400 ${code}`, async () => {
      assert.equal(assertProblem(await hub.get(`${PATH}?${query}`), 400).code, code);
    });
  }

  for (const limit of ["0", "1001", "-1", "many", "1.5", ""]) {
    test(`limit=${limit} is a 400 that names it`, async () => {
      assertProblem(await hub.get(`${PATH}?topic=a&limit=${limit}`), 400, /limit/);
    });
  }

  for (const query of ["clientId=", "topic=", "clientId=%00", "topic=%FF", `topic=${"t".repeat(257)}`]) {
    test(`${query.slice(0, 20)} is a 400`, async () => {
      assertProblem(await hub.get(`${PATH}?${query}`), 400);
    });
  }
});

describe("slow readers", () => {
  /** A reader that does not read, and so many events for it that some wait in the hub. */
  async function stuck(t, flags) {
    const hub = await Hub.started(t, ["--send-buffer", "16KiB", ...flags]);
    const stream = await hub.subscribe(t, "slow");
    await hub.subscribe(t, "quick");
    stream.connection.socket.pause();
    const book = new Book(hub);
    const filler = "x".repeat(100_000);
    const fill = async (count) => {
      for (let n = 0; n < count; n++) await hub.publish({ clientId: "slow", event: "filler", payload: filler });
      await book.fill(client("slow"), 3);
    };
    return { hub, stream, book, fill };
  }

  const row = async (hub, id) => (await hub.get("/api/sse/clients")).json.clients.find(({ clientId }) => clientId === id);
  const details = async (hub) => (await hub.get("/api/sse/clients/slow")).json.connections[0];

  test("are seen in lists, details and metrics while they are behind, and not afterwards", async (t) => {
    const { hub, stream, book, fill } = await stuck(t, ["--history-bytes", "64MiB", "--history-total-bytes", "128MiB"]);
    assert.equal((await row(hub, "slow")).pending, 0);
    assert.equal(await metric(hub, "tidings_slow_readers"), 0);
    await fill(60);
    await eventually(async () => (await row(hub, "slow")).pending > 0, "events to wait");
    assert.equal((await row(hub, "quick")).pending, 0);
    assert.ok((await row(hub, "slow")).pending <= 63);
    assert.ok((await details(hub)).pending > 100_000, "bytes");
    await eventually(async () => (await metric(hub, "tidings_slow_readers")) === 1, "a slow reader to be counted");
    stream.connection.socket.resume();
    await stream.next(({ data }) => data === "2");
    assert.deepEqual(gotten(stream), book.owed("", client("slow")));
    await eventually(async () => (await row(hub, "slow")).pending === 0, "nothing to wait");
    assert.equal((await details(hub)).pending, 0);
    await eventually(async () => (await metric(hub, "tidings_slow_readers")) === 0, "no slow reader");
    assert.equal((await row(hub, "slow")).resyncs, 0);
    assert.equal(await metric(hub, "tidings_resyncs_total"), 0);
  });

  test("whose events were given up are told with __resync, counted, and go on", async (t) => {
    const { hub, stream, book, fill } = await stuck(t, ["--history-bytes", "32KiB", "--slow-reader", "resync"]);
    await fill(100);
    stream.connection.socket.resume();
    await stream.next("__resync");
    // It may have had some room in between, and have fallen behind again.
    await eventually(async () => (await row(hub, "slow")).pending === 0, "nothing to wait");
    await book.publish(client("slow"));
    await stream.next(({ data }) => data === "3");
    const resyncs = stream.events.filter(({ event }) => event === "__resync");
    for (const { id, data } of resyncs) {
      assert.equal(JSON.parse(data).resume, "incomplete");
      assert.match(id, ID);
    }
    const resync = resyncs.at(-1);
    assert.deepEqual(gotten(stream).filter(([id]) => id > resync.id), book.owed(resync.id, client("slow")));
    const got = stream.events.filter(({ event }) => !event.startsWith("__")).map(({ id }) => id);
    assert.deepEqual(got, [...new Set(got)].sort(), "in order, nothing twice");
    assert.equal((await row(hub, "slow")).resyncs, resyncs.length);
    assert.equal((await details(hub)).resyncs, resyncs.length);
    assert.equal((await row(hub, "quick")).resyncs, 0);
    assert.equal(await metric(hub, "tidings_resyncs_total"), resyncs.length);
    const back = await comeBack(t, hub, "slow", { cursor: resync.id });
    assert.equal(back.hello.resume, "complete");
    assert.deepEqual(back.got, book.owed(resync.id, client("slow")));
  });

  test("with --slow-reader disconnect come back to incomplete", async (t) => {
    const { hub, stream, book, fill } = await stuck(t, ["--history-bytes", "32KiB", "--slow-reader", "disconnect"]);
    await fill(100);
    stream.connection.socket.resume();
    await stream.end();
    const back = await hub.subscribe(t, "slow", { headers: { "Last-Event-ID": stream.lastEventId } });
    assert.equal(back.hello.resume, "incomplete");
    await back.next(({ data }) => data === "2");
    assert.deepEqual(gotten(back), book.owed("", client("slow")));
  });
});

test("events with ttl 0 take nobody's place in history", async (t) => {
  const hub = await Hub.started(t, ["--history-size", "10"]);
  const book = new Book(hub);
  const cursor = await tail(t, hub);
  await book.fill(client("ann"), 8);
  const stream = await hub.subscribe(t, "ann");
  for (let n = 0; n < 100; n++) await hub.publish({ clientId: "ann", event: "typing", payload: n, ttl: 0 });
  await stream.next(({ event, data }) => event === "typing" && data === "99");
  assert.equal((await history(hub, "clientId=ann")).length, 8);
  const back = await hub.subscribe(t, "ann", { headers: { "Last-Event-ID": cursor } });
  assert.deepEqual([back.hello.resume, back.hello.replayed], ["complete", 8]);
});
