// Coming back: resume with a cursor, and replay for newcomers.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { postArray } from "../lib/batch.mjs";
import { Browser } from "../lib/browser.mjs";
import { assertProblem } from "../lib/expect.mjs";
import { BROWSER, Hub, SMALL } from "../lib/hub.mjs";
import { ALL, Book, CutProxy, caughtUp, client, comeBack, gotten, history, seeded, tail, topic } from "../lib/replay.mjs";
import { eventually } from "../lib/wait.mjs";

describe("resume", () => {
  const hub = new Hub();
  before(() => hub.start());
  after(() => hub.stop());

  test("from every place: exactly the missed events of own, broadcasts and topics, in order", async (t) => {
    const book = new Book(hub);
    const others = [client("stranger"), topic("unread"), client("every")];
    const mine = [client("ann"), ALL, topic("a"), topic("b")];
    const random = seeded(1);
    const cursors = [await tail(t, hub)];
    for (let n = 0; n < 40; n++) {
      const targets = random(3) === 0 ? others : mine;
      cursors.push(await book.publish(targets[random(targets.length)]));
    }
    for (const cursor of cursors) {
      const { hello, got } = await comeBack(t, hub, "ann", { cursor, query: "topic=a&topic=b" });
      assert.equal(hello.resume, "complete");
      assert.equal(hello.id, cursor);
      assert.deepEqual(got, book.owed(cursor, ...mine));
    }
    const { got } = await comeBack(t, hub, "ann", { cursor: cursors[0], query: "topic=unread" });
    assert.deepEqual(got, book.owed(cursors[0], client("ann"), ALL, topic("unread")), "one id resumes any set of topics");
  });

  test("by each of the query's names; the header wins; an empty cursor is none", async (t) => {
    const book = new Book(hub);
    const cursor = await tail(t, hub);
    const [first] = await book.fill(client("names"), 3);
    for (const name of ["lastEventId", "last_event_id", "lastEventID"]) {
      const { hello, got } = await comeBack(t, hub, "names", { query: `${name}=${cursor}` });
      assert.equal(hello.resume, "complete");
      assert.deepEqual(got, book.owed(cursor, client("names")));
    }
    const both = await comeBack(t, hub, "names", { cursor: first, query: `lastEventId=${cursor}` });
    assert.deepEqual(both.got, book.owed(first, client("names")));
    for (const how of [{ cursor: "" }, { query: "lastEventId=" }]) {
      const { hello, got } = await comeBack(t, hub, "names", how);
      assert.equal(hello.resume, "fresh");
      assert.deepEqual(got, []);
    }
  });

  test("without a cursor gives nothing of the past, and begins at the tail", async (t) => {
    const book = new Book(hub);
    const last = (await book.fill(client("fresh"), 3)).at(-1);
    const { hello, got } = await comeBack(t, hub, "fresh");
    assert.equal(hello.resume, "fresh");
    assert.ok(hello.id >= last);
    assert.deepEqual(got, []);
    const again = await comeBack(t, hub, "fresh", { cursor: hello.id });
    assert.equal(again.hello.resume, "complete");
    assert.deepEqual(again.got, []);
  });

  test("goes on where a replay was cut: the rest follows, nothing twice", async (t) => {
    const book = new Book(hub);
    let cursor = await tail(t, hub);
    await book.fill(client("cut"), 30);
    const got = [];
    for (const until of [7, 19]) {
      const stream = await hub.subscribe(t, "cut", { headers: { "Last-Event-ID": cursor } });
      assert.equal(stream.hello.resume, "complete");
      const last = await stream.next(({ data }) => data === String(until));
      stream.reset();
      got.push(...gotten(stream).filter(([id]) => id <= last.id)); // what came behind it was on its way
      cursor = last.id;
    }
    got.push(...(await comeBack(t, hub, "cut", { cursor })).got);
    assert.deepEqual(got, book.owed("", client("cut")));
  });

  test("on HTTP/1.0 is the same", async (t) => {
    const book = new Book(hub);
    const cursor = await tail(t, hub);
    await book.fill(client("old"), 3);
    const stream = await hub.subscribe(t, "old", { version: "1.0", headers: { "Last-Event-ID": cursor } });
    assert.equal(stream.hello.resume, "complete");
    assert.deepEqual(await caughtUp(hub, stream, "old"), book.owed(cursor, client("old")));
  });

  test("a repeated topic is one topic", async (t) => {
    const book = new Book(hub);
    const cursor = await tail(t, hub);
    await book.fill(topic("twice"), 3);
    const { got } = await comeBack(t, hub, "repeats", { cursor, query: "topic=twice&topic=twice" });
    assert.deepEqual(got, book.owed(cursor, topic("twice")));
  });
});

describe("heartbeats", () => {
  test("carry a quiet connection's cursor on, and their ids resume", async (t) => {
    const hub = await Hub.started(t, ["--heartbeat", "300ms", "--history-size", "3"]);
    const stream = await hub.subscribe(t, "quiet");
    const book = new Book(hub);
    const last = (await book.fill(client("busy"), 20)).at(-1);
    const beat = await stream.next(({ event, id }) => event === "__heartbeat" && id >= last);
    stream.reset();
    await book.fill(client("quiet"), 2);
    const { hello, got } = await comeBack(t, hub, "quiet", { cursor: beat.id });
    assert.equal(hello.resume, "complete");
    assert.deepEqual(got, book.owed(beat.id, client("quiet")));
  });
});

/** Somebody who comes, reads a few events, is cut, and comes again. */
class Comer {
  constructor(t, hub, n) {
    Object.assign(this, { t, hub, id: `comer-${n}`, topic: `t${n % 3}`, got: [], visits: 0 });
    this.targets = [client(this.id), topic(this.topic), ALL];
  }

  async visit(enough) {
    const headers = this.cursor === undefined ? {} : { "Last-Event-ID": this.cursor };
    const stream = await this.hub.subscribe(this.t, this.id, { query: `topic=${this.topic}`, headers });
    assert.equal(stream.hello.resume, this.cursor === undefined ? "fresh" : "complete");
    await stream.connection.until(() => enough(stream) || undefined, "enough events");
    stream.reset();
    this.got.push(...gotten(stream));
    this.cursor = stream.lastEventId;
    this.visits++;
  }
}

test("cut again and again while publishing goes on: the union is what was published, once and in order", async (t) => {
  const hub = await Hub.started(t, ["--loops", "2", "--heartbeat", "200ms", "--history-size", "10000"]);
  const random = seeded(7);
  const book = new Book(hub);
  const comers = Array.from({ length: 12 }, (_, n) => new Comer(t, hub, n));
  for (const comer of comers) await comer.visit(() => true);
  let end = null;
  const coming = comers.map(async (comer) => {
    while (end === null) {
      const few = random(12);
      await comer.visit((stream) => end !== null || gotten(stream).length >= few);
    }
    await comer.visit((stream) => stream.lastEventId >= end);
  });
  for (let n = 0; n < (SMALL ? 150 : 500); n++) {
    const { targets } = comers[random(comers.length)];
    await book.publish(targets[random(3)]);
  }
  end = await book.publish(ALL);
  await Promise.all(coming);
  for (const { got, targets, visits } of comers) {
    assert.deepEqual(got, book.owed("", ...targets));
    assert.ok(visits > 3, `${visits} visits`);
  }
});

describe("incomplete", () => {
  for (const [what, target, query] of [
    ["the client's own events", client("edge")],
    ["those of a topic", topic("edge"), "topic=edge"],
    ["broadcasts", ALL],
  ]) {
    test(`begins exactly where ${what} are no longer held`, async (t) => {
      const hub = await Hub.started(t, ["--history-size", "5"]);
      const book = new Book(hub);
      for (let at = 0; at < 10; at++) {
        const ids = await book.fill(target, 10);
        const { hello, got } = await comeBack(t, hub, "edge", { cursor: ids[at], query });
        assert.equal(hello.resume, at < 4 ? "incomplete" : "complete", `${9 - at} are missing`);
        assert.equal(hello.id, ids[Math.max(at, 4)], "the cursor that came, or just before the oldest that is held");
        assert.deepEqual(got, book.owed(hello.id, target));
      }
    });
  }

  test("its position resumes what is held", async (t) => {
    const hub = await Hub.started(t, ["--history-size", "5"]);
    const book = new Book(hub);
    const ids = await book.fill(client("position"), 10);
    const first = await hub.subscribe(t, "position", { headers: { "Last-Event-ID": ids[0] } });
    first.close();
    assert.equal(first.hello.resume, "incomplete");
    const { hello, got } = await comeBack(t, hub, "position", { cursor: first.hello.id });
    assert.equal(hello.resume, "complete");
    assert.deepEqual(got, book.owed(ids[4], client("position")));
  });

  test("replays from the oldest held among own, broadcasts and topics", async (t) => {
    const own = await Hub.started(t, ["--history-size", "3"]);
    const book = new Book(own);
    const cursor = await tail(t, own);
    await book.publish(ALL);
    await book.publish(topic("x"));
    await book.fill(client("mixed"), 6);
    await book.publish(topic("x"));
    const { hello, got } = await comeBack(t, own, "mixed", { cursor, query: "topic=x" });
    assert.equal(hello.resume, "incomplete");
    const all = book.owed("", ALL, topic("x"), client("mixed"));
    assert.deepEqual(got, [...all.slice(0, 2), ...all.slice(5)]);
  });

  test("does not come from what somebody else, or a topic not asked for, has lost", async (t) => {
    const own = await Hub.started(t, ["--history-size", "3"]);
    const book = new Book(own);
    const cursor = await tail(t, own);
    await book.publish(client("me"));
    await book.fill(client("not-me"), 9);
    await book.fill(topic("not-mine"), 9);
    const { hello, got } = await comeBack(t, own, "me", { cursor, query: "topic=mine" });
    assert.equal(hello.resume, "complete");
    assert.deepEqual(got, book.owed(cursor, client("me")));
    assert.equal((await comeBack(t, own, "me", { cursor, query: "topic=not-mine" })).hello.resume, "incomplete");
  });

  test("is the answer to unknown cursors, which are given what is held", async (t) => {
    const hub = await Hub.started(t);
    const book = new Book(hub);
    const ids = await book.fill(client("unknown"), 7);
    const [epoch, number] = ids[6].split("-");
    const future = `${epoch}-${"z".repeat(number.length)}`;
    const elsewhere = `${epoch.slice(0, -1)}${epoch.endsWith("0") ? "1" : "0"}-${number}`;
    const garbage = ["garbage", "0", "-", epoch, `${epoch}-`, `${ids[6]}0`, `${ids[6]}-0`, ids[6].slice(0, -1), ` ${epoch} ${number}`];
    const held = book.owed("", client("unknown"));
    for (const cursor of [...garbage, future, elsewhere]) {
      const { hello, got } = await comeBack(t, hub, "unknown", { cursor });
      assert.equal(hello.resume, "incomplete", cursor);
      assert.deepEqual(got, held, cursor);
    }
  });

  test("with nothing held begins at the tail", async (t) => {
    const own = await Hub.started(t);
    const last = await new Book(own).publish(client("another"));
    const { hello, got } = await comeBack(t, own, "empty", { cursor: "unknown" });
    assert.equal(hello.resume, "incomplete");
    assert.deepEqual(got, []);
    assert.ok(hello.id >= last);
    assert.equal((await comeBack(t, own, "empty", { cursor: hello.id })).hello.resume, "complete");
  });

  test("is also said when nothing at all is kept (--history-size 0)", async (t) => {
    const own = await Hub.started(t, ["--history-size", "0"]);
    const book = new Book(own);
    const cursor = await tail(t, own);
    assert.equal((await comeBack(t, own, "unkept", { cursor })).hello.resume, "complete", "nothing was missed");
    const missed = await book.publish(client("unkept"));
    const { hello, got } = await comeBack(t, own, "unkept", { cursor });
    assert.equal(hello.resume, "incomplete");
    assert.deepEqual(got, []);
    assert.equal((await comeBack(t, own, "unkept", { cursor: missed })).hello.resume, "complete");
  });
});

describe("replay and since", () => {
  const hub = new Hub();
  const book = new Book(hub);
  const mine = [client("new"), ALL, topic("r")];
  let all;
  before(async () => {
    await hub.start();
    for (let n = 0; n < 4; n++) for (const target of [...mine, client("another")]) await book.publish(target);
    all = book.owed("", ...mine);
  });
  after(() => hub.stop());

  for (const [asked, expected] of [["0", 0], ["1", 1], ["3", 3], ["11", 11], ["12", 12], ["13", 12], ["10001", 12], ["4294967297", 12]]) {
    test(`replay=${asked} gives the newest ${expected} of own, broadcasts and topics`, async (t) => {
      const { hello, got } = await comeBack(t, hub, "new", { query: `topic=r&replay=${asked}` });
      assert.equal(hello.resume, "fresh");
      assert.deepEqual(got, expected === 0 ? [] : all.slice(-expected));
      if (expected > 0) assert.ok(hello.id < got[0][0], "it begins before the first");
      if (expected > 0 && expected < 12) assert.ok(hello.id >= all.at(-expected - 1)[0], "and after what is not given");
      const again = await comeBack(t, hub, "new", { cursor: hello.id, query: "topic=r" });
      assert.equal(again.hello.resume, "complete");
      assert.deepEqual(again.got, got, "a cut in the middle loses nothing");
    });
  }

  test("since=<ms> gives what was published at that time or later", async (t) => {
    const times = new Map((await history(hub, "clientId=new")).concat(await history(hub, "topic=r")).map(({ id, ts }) => [id, ts]));
    assert.equal(times.size, 12);
    const moments = [1, ...new Set(times.values()), Math.max(...times.values()) + 1, Date.now() + 3_600_000];
    for (const since of moments) {
      const { hello, got } = await comeBack(t, hub, "new", { query: `topic=r&since=${since}` });
      assert.equal(hello.resume, "fresh");
      assert.deepEqual(got, all.filter(([id]) => times.get(id) >= since), `since=${since}`);
    }
  });

  test("of both the later beginning counts, and 0 is as if it were not there", async (t) => {
    const future = Date.now() + 3_600_000;
    for (const [query, expected] of [["replay=2&since=1", 2], ["since=1&replay=100", 12], [`replay=100&since=${future}`, 0], ["replay=0&since=1", 12], ["replay=2&since=0", 2]]) {
      const { got } = await comeBack(t, hub, "new", { query: `topic=r&${query}` });
      assert.equal(got.length, expected, query);
    }
  });

  test("neither counts beside a cursor", async (t) => {
    const cursor = all[9][0];
    for (const query of ["replay=7", "since=1", "replay=0", `replay=1&since=1`]) {
      const { hello, got } = await comeBack(t, hub, "new", { cursor, query: `topic=r&${query}` });
      assert.equal(hello.resume, "complete");
      assert.deepEqual(got, all.slice(10));
    }
    assert.equal((await comeBack(t, hub, "new", { cursor: "unknown", query: "topic=r&replay=1" })).hello.resume, "incomplete");
  });

  for (const query of ["replay=many", "replay=-1", "replay=1.5", "replay=0x10", "since=yesterday", "since=-1", "since=1.5"]) {
    test(`${query} is a 400 that names it`, async () => {
      assertProblem(await hub.get(`/api/sse/subscribe/new?${query}`), 400, query.split("=")[0]);
    });
  }

  test("more than 10,000 is 10,000", async (t) => {
    const own = await Hub.started(t, ["--history-size", "20000", "--history-bytes", "64MiB"]);
    const item = (n) => ({ clientId: "many", event: "seq", payload: n });
    for (let n = 0; n < 10_005; n += 3335) {
      const answer = await postArray(own, Array.from({ length: 3335 }, (_, i) => item(n + i)));
      assert.equal(answer.status, 200, answer.text);
    }
    const { got } = await comeBack(t, own, "many", { query: "replay=20000" });
    assert.deepEqual(got.map(([, data]) => Number(data)), Array.from({ length: 10_000 }, (_, n) => n + 5));
  });
});

test(
  "a browser's own EventSource whose connection is cut gets every event, once and in order",
  { skip: BROWSER ? false : "the browser is left out of this run" },
  async (t) => {
    const hub = await Hub.started(t, ["--retry", "50ms"]);
    const proxy = await CutProxy.started(t, hub.port);
    const browser = await Browser.launch();
    t.after(() => browser.close());
    const page = await browser.page(t, proxy, "/healthz");
    await page.evaluate(() => {
      globalThis.heard = { seq: [], states: [] };
      const source = new EventSource("/api/sse/subscribe/surfer?topic=waves");
      source.addEventListener("seq", ({ lastEventId, data }) => heard.seq.push([lastEventId, data]));
      source.addEventListener("__connected", ({ data }) => heard.states.push(JSON.parse(data).resume));
    });
    const heard = () => page.evaluate(() => globalThis.heard);
    const states = (count) => eventually(async () => (await heard()).states.length >= count, `${count} connections`);
    const book = new Book(hub);
    const mine = [client("surfer"), ALL, topic("waves")];
    await states(1);
    for (let cuts = 1; cuts <= 4; cuts++) {
      for (let n = 0; n < 30; n++) {
        if (n === 15) proxy.cut();
        await book.publish(n % 4 === 3 ? client("somebody-else") : mine[n % 4]);
      }
      await states(cuts + 1);
    }
    const all = book.owed("", ...mine);
    await eventually(async () => (await heard()).seq.length >= all.length, "the last event");
    const { seq, states: resumes } = await heard();
    assert.deepEqual(seq, all);
    assert.deepEqual(resumes, ["fresh", ...Array(resumes.length - 1).fill("complete")]);
  },
);
