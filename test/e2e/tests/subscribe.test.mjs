// GET /api/sse/subscribe/{clientId}

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ID, assertProblem } from "../lib/expect.mjs";
import { Hub } from "../lib/hub.mjs";
import { requestBytes } from "../lib/raw.mjs";
import { SseStream } from "../lib/sse.mjs";
import { HTTP1_ONLY } from "../lib/over.mjs";

describe("the answer's head", () => {
  const hub = new Hub();
  before(() => hub.start());
  after(() => hub.stop());

  test("has exactly the promised fields on HTTP/1.1", async (t) => {
    const { headers, status } = await hub.stream(t, "/api/sse/subscribe/head");
    assert.equal(status, 200);
    assert.equal(headers.get("content-type"), "text/event-stream; charset=utf-8");
    assert.equal(headers.get("cache-control"), "no-cache, no-transform");
    assert.equal(headers.get("x-accel-buffering"), "no");
    assert.equal(headers.get("connection"), "keep-alive");
    assert.equal(headers.get("transfer-encoding"), "chunked");
    assert.equal(headers.get("content-length"), undefined);
    assert.equal(headers.get("content-encoding"), undefined);
    assert.match(headers.get("date"), /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$/);
  });

  test("says Connection: close if the request does, and streams all the same", async (t) => {
    const stream = await hub.subscribe(t, "closing", { headers: { Connection: "close" } });
    assert.equal(stream.headers.get("connection"), "close");
    await hub.publish({ clientId: "closing", event: "still", payload: 1 });
    await stream.next("still");
  });

  test("says neither on HTTP/1.0, and does not use chunks there", HTTP1_ONLY, async (t) => {
    const stream = await hub.subscribe(t, "old", { version: "1.0" });
    assert.equal(stream.headers.get("connection"), undefined);
    assert.equal(stream.headers.get("transfer-encoding"), undefined);
    assert.equal(stream.headers.get("content-length"), undefined);
    await hub.publish({ clientId: "old", event: "plain", payload: { n: 1 } });
    assert.equal((await stream.next("plain")).data, '{"n":1}');
  });

  test("is the same on HTTP/1.0 with Connection: keep-alive", HTTP1_ONLY, async (t) => {
    const stream = await hub.subscribe(t, "old-alive", { version: "1.0", headers: { Connection: "keep-alive" } });
    assert.equal(stream.headers.get("connection"), undefined);
    assert.equal(stream.headers.get("transfer-encoding"), undefined);
  });

  test("works on HTTP/1.0 without a Host field", async (t) => {
    const connection = await hub.connect(t);
    await connection.send("GET /api/sse/subscribe/hostless HTTP/1.0\r\n\r\n");
    const stream = new SseStream(connection);
    assert.equal((await stream.opened).status, 200);
    await stream.joined();
  });
});

describe("the first bytes", () => {
  const hub = new Hub(["--retry", "3s"]);
  before(() => hub.start());
  after(() => hub.stop());

  test("are the comment :ok, retry, and __connected", async (t) => {
    const stream = await hub.subscribe(t, "first", { query: "name=Ada" });
    assert.match(
      stream.body,
      /^:ok\n+retry: [1-9][0-9]*\n+id: [A-Za-z0-9._~-]{1,64}\nevent: __connected\ndata: \{[^\n]*\}\n\n/,
    );
  });

  test("leave at once, without an event or a heartbeat to push them", async (t) => {
    const stream = await hub.subscribe(t, "quiet");
    assert.deepEqual(stream.events.map(({ event }) => event), ["__connected"]);
  });

  test("__connected has its fields, in order", async (t) => {
    const began = Date.now();
    const stream = await hub.stream(t, "/api/sse/subscribe/user-123?name=Ada");
    const data = JSON.parse((await stream.next("__connected")).data);
    assert.deepEqual(Object.keys(data), ["message", "clientId", "name", "connectionId", "ts", "resume", "replayed"]);
    assert.equal(data.message, "connected");
    assert.equal(data.clientId, "user-123");
    assert.equal(data.name, "Ada");
    assert.equal(typeof data.connectionId, "string");
    assert.ok(data.connectionId.length > 0);
    assert.ok(Math.abs(data.ts - began) < 60_000, "ts is the wall clock in milliseconds");
    assert.equal(data.resume, "fresh");
    assert.equal(data.replayed, 0);
  });

  test("retry is jittered around --retry", async (t) => {
    const streams = await hub.subscribeAll(t, Array.from({ length: 30 }, (_, n) => `jitter-${n}`));
    const retries = streams.map((stream) => Number(stream.blocks.find(({ retry }) => retry !== undefined).retry));
    assert.ok(new Set(retries).size > 3, `all alike: ${retries}`);
    assert.ok(retries.every((ms) => ms >= 1500 && ms <= 6000), `far from 3 s: ${retries}`);
  });

  test("connection ids are unique", async (t) => {
    const streams = await hub.subscribeAll(t, Array(30).fill("same-client"));
    assert.equal(new Set(streams.map(({ hello }) => hello.connectionId)).size, 30);
  });
});

describe("event ids", () => {
  const hub = new Hub(["--heartbeat", "500ms"]);
  before(() => hub.start());
  after(() => hub.stop());

  test("stand on every event, system events included", async (t) => {
    const stream = await hub.subscribe(t, "ids");
    await hub.publish({ clientId: "ids", event: "a", payload: 1 });
    await hub.publish({ broadcast: true, event: "b", payload: 1 });
    await stream.next("b");
    await stream.next("__heartbeat");
    for (const { id, event } of stream.events) assert.match(id ?? "", ID, event);
  });

  test("use only the promised alphabet and at most 64 bytes", async () => {
    const { id } = await hub.publish({ clientId: "nobody", event: "x", payload: 1 });
    assert.match(id, ID);
  });

  test("are ordered within the hub, whatever the target", async () => {
    const ids = [];
    for (let n = 0; n < 40; n++) {
      const target = [{ clientId: `c${n}` }, { broadcast: true }, { topic: `t${n}` }][n % 3];
      ids.push((await hub.publish({ ...target, event: "x", payload: n })).id);
    }
    assert.deepEqual(ids, [...ids].sort());
    assert.equal(new Set(ids).size, ids.length);
  });

  test("in the answer and in the stream are the same", async (t) => {
    const stream = await hub.subscribe(t, "same-id");
    const { id } = await hub.publish({ clientId: "same-id", event: "x", payload: 1 });
    assert.equal((await stream.next("x")).id, id);
  });

  test("of __connected is the tail: before the next event, not before the last one", async (t) => {
    const before_ = await hub.publish({ broadcast: true, event: "x", payload: 1 });
    const stream = await hub.subscribe(t, "tail");
    const next = await hub.publish({ broadcast: true, event: "x", payload: 2 });
    assert.ok(stream.hello.id >= before_.id, `${stream.hello.id} is not behind ${before_.id}`);
    assert.ok(stream.hello.id < next.id, `${stream.hello.id} is not before ${next.id}`);
  });

  test("of a heartbeat is the connection's position, never ahead of what it was sent", async (t) => {
    const stream = await hub.subscribe(t, "position");
    const { id } = await hub.publish({ clientId: "position", event: "x", payload: 1 });
    await stream.next("x");
    const beat = await stream.next("__heartbeat");
    const later = await hub.publish({ clientId: "position", event: "y", payload: 1 });
    assert.ok(beat.id >= id && beat.id < later.id, `${id} <= ${beat.id} < ${later.id}`);
  });
});

describe("resume", () => {
  const hub = new Hub();
  before(() => hub.start());
  after(() => hub.stop());

  test("is fresh without a cursor", async (t) => {
    assert.equal((await hub.subscribe(t, "r")).hello.resume, "fresh");
  });

  test("is incomplete for an unknown cursor in Last-Event-ID", async (t) => {
    const stream = await hub.subscribe(t, "r", { headers: { "Last-Event-ID": "another-epoch-1" } });
    assert.equal(stream.hello.resume, "incomplete");
    assert.equal(stream.hello.replayed, 0);
  });

  for (const name of ["lastEventId", "last_event_id", "lastEventID"]) {
    test(`is incomplete for an unknown cursor in ?${name}`, async (t) => {
      const stream = await hub.subscribe(t, "r", { query: `${name}=another-epoch-1` });
      assert.equal(stream.hello.resume, "incomplete");
    });
  }

  test("is incomplete for a cursor that is no id at all, and that does no harm", async (t) => {
    for (const cursor of ["\"><script>", "%00", "x".repeat(2000), "-1", "0"]) {
      const stream = await hub.subscribe(t, "r", { headers: { "Last-Event-ID": cursor } });
      assert.equal(stream.hello.resume, "incomplete", cursor);
      assert.match(stream.hello.id, ID);
    }
  });

  test("is incomplete for a cursor with bytes above 0x7f", async (t) => {
    const stream = await hub.subscribe(t, "r", { headers: { "Last-Event-ID": "\xff\xfe" } });
    assert.equal(stream.hello.resume, "incomplete");
  });

  test("never claims fresh when the cursor is one of this hub's own", async (t) => {
    const { id } = await hub.publish({ clientId: "r", event: "x", payload: 1 });
    const stream = await hub.subscribe(t, "r", { headers: { "Last-Event-ID": id } });
    assert.ok(["incomplete", "complete"].includes(stream.hello.resume), stream.hello.resume);
  });
});

describe("methods and Accept", () => {
  const hub = new Hub();
  before(() => hub.start());
  after(() => hub.stop());

  test("HEAD never opens a stream", async () => {
    const answer = await hub.request("HEAD", "/api/sse/subscribe/head-only", { headers: { Accept: "text/event-stream" } });
    assert.ok([200, 204, 405].includes(answer.status), String(answer.status));
    assert.equal((await hub.get("/api/sse/clients/head-only")).status, 404);
  });

  test("a HEAD answer is followed by the next answer on the same connection", async (t) => {
    const connection = await hub.connect(t);
    await connection.send(requestBytes("HEAD", "/api/sse/subscribe/head-only"));
    await connection.response({ method: "HEAD" });
    await connection.send(requestBytes("GET", "/healthz"));
    assert.equal((await connection.response()).status, 200);
  });

  for (const method of ["POST", "PUT", "DELETE", "PATCH"]) {
    test(`${method} is a 405 with Allow`, async () => {
      const answer = await hub.request(method, "/api/sse/subscribe/x", { body: "" });
      assertProblem(answer, 405);
      assert.match(answer.headers.get("allow"), /\bGET\b/);
    });
  }

  for (const accept of ["text/html", "application/json", "text/event-stream;q=0", "text/event-stream;q=0, */*", "text/plain, image/*"]) {
    test(`Accept: ${accept} excludes the stream: 406`, async () => {
      assertProblem(await hub.get("/api/sse/subscribe/x", { headers: { Accept: accept } }), 406);
    });
  }

  for (const accept of [null, "*/*", "text/*", "text/event-stream", "text/event-stream;q=0.1", "text/html, */*;q=0.1", "TEXT/Event-Stream", "text/event-stream; charset=utf-8"]) {
    test(`Accept: ${accept ?? "(none)"} admits the stream`, async (t) => {
      await hub.subscribe(t, "accepting", { accept });
    });
  }
});

describe("clientId", () => {
  const hub = new Hub();
  before(() => hub.start());
  after(() => hub.stop());

  const good = [
    ["user-123", "user-123"],
    ["a%2Fb", "a/b", "a slash"],
    ["J%C3%BCrgen", "Jürgen", "UTF-8"],
    ["%F0%9F%8E%89", "🎉", "an astral character"],
    ["a+b", "a+b", "a plus, which is no space in a path"],
    ["a%2Bb", "a+b", "an encoded plus"],
    ["a%20b", "a b", "a space"],
    ["%25", "%", "a percent sign"],
    ["%3Fx%23y", "?x#y", "URL punctuation"],
    ["%22%5C", "\"\\", "JSON punctuation"],
    ["%C2%A0", "\u00a0", "the first character after C1"],
    ["%2e%2e", "..", "two dots"],
    ["__proto__", "__proto__"],
    ["x".repeat(128), "x".repeat(128), "128 bytes"],
    ["%C3%BC".repeat(64), "ü".repeat(64), "128 bytes of two-byte characters"],
  ];
  for (const [encoded, decoded, what] of good) {
    test(`may be ${what ?? decoded}`, async (t) => {
      const stream = await hub.stream(t, `/api/sse/subscribe/${encoded}`);
      assert.equal(stream.status, 200, stream.body);
      assert.equal((await stream.joined()).clientId, decoded);
      assert.equal((await hub.publish({ clientId: decoded, event: "x", payload: 1 })).connections, 1);
      await stream.next("x");
    });
  }

  const bad = [
    ["x".repeat(129), "129 bytes"],
    ["%C3%BC".repeat(64) + "x", "129 bytes in 65 characters"],
    ["%FF", "not UTF-8"],
    ["%C3", "a cut character"],
    ["%C0%AF", "an overlong form"],
    ["%ED%A0%80", "a surrogate"],
    ["%F4%90%80%80", "above U+10FFFF"],
    ["a%00b", "NUL"],
    ["a%0Ab", "a line feed"],
    ["a%1Fb", "the last C0 control"],
    ["a%7Fb", "DEL"],
    ["%C2%80", "the first C1 control"],
    ["%C2%9F", "the last C1 control"],
    ["%zz", "a broken percent-encoding"],
    ["%4", "a cut percent-encoding"],
  ];
  for (const [encoded, what] of bad) {
    test(`may not be ${what}`, async () => {
      assertProblem(await hub.get(`/api/sse/subscribe/${encoded}`), 400);
    });
  }

  test("may not be empty", async () => {
    const { status } = await hub.get("/api/sse/subscribe/");
    assert.ok(status === 400 || status === 404, String(status));
  });

  test("is one path segment: a bare slash belongs to no route", async () => {
    assertProblem(await hub.get("/api/sse/subscribe/a/b"), 404);
  });
});

describe("the query", () => {
  const hub = new Hub();
  before(() => hub.start());
  after(() => hub.stop());

  const nameOf = async (t, query) => (await hub.subscribe(t, "named", { query })).hello.name;

  test("+ is a space", async (t) => assert.equal(await nameOf(t, "name=Ada+Lovelace"), "Ada Lovelace"));
  test("%2B is a plus", async (t) => assert.equal(await nameOf(t, "name=a%2Bb"), "a+b"));
  test("unknown parameters are ignored", async (t) => assert.equal(await nameOf(t, "foo=1&name=Ada&bar&=&&x=%zz"), "Ada"));
  test("of a repeated parameter the last counts", async (t) => assert.equal(await nameOf(t, "name=a&name=b"), "b"));
  test("names of parameters are case-sensitive", async (t) => assert.notEqual(await nameOf(t, "NAME=Ada"), "Ada"));
  test("parameter names are decoded too", async (t) => assert.equal(await nameOf(t, "n%61me=Ada"), "Ada"));
  test("name may have 128 bytes", async (t) => assert.equal(await nameOf(t, `name=${"n".repeat(128)}`), "n".repeat(128)));

  test("name is written as JSON, whatever is in it", async (t) => {
    const name = "\"<b>\\ü🎉";
    assert.equal(await nameOf(t, `name=${encodeURIComponent(name)}`), name);
  });

  for (const [what, query, about] of [
    ["name with 129 bytes", `name=${"n".repeat(129)}`, /name/],
    ["name that is not UTF-8", "name=%FF", /name/],
    ["topic with 257 bytes", `topic=${"t".repeat(257)}`, /topic/],
    ["topic that is empty", "topic=", /topic/],
    ["topic with a control character", "topic=a%0Ab", /topic/],
    ["topic with a C1 control character", "topic=%C2%85", /topic/],
    ["topic that is not UTF-8", "topic=%FF", /topic/],
  ]) {
    test(`a ${what} is a 400 that names it`, async () => {
      assertProblem(await hub.get(`/api/sse/subscribe/x?${query}`), 400, about);
    });
  }
});

describe("topics of a subscription", () => {
  const hub = new Hub();
  before(() => hub.start());
  after(() => hub.stop());

  const topics = (n) => Array.from({ length: n }, (_, i) => `topic=t${i}`).join("&");

  test("topic is repeatable, and each one is delivered", async (t) => {
    const stream = await hub.subscribe(t, "two-topics", { query: "topic=red&topic=blue" });
    assert.equal((await hub.publish({ topic: "red", event: "x", payload: "r" })).connections, 1);
    assert.equal((await hub.publish({ topic: "blue", event: "x", payload: "b" })).connections, 1);
    assert.equal((await hub.publish({ topic: "green", event: "x", payload: "g" })).connections, 0);
    assert.equal((await stream.next("x")).data, '"r"');
    assert.equal((await stream.next("x")).data, '"b"');
  });

  test("64 topics are allowed, and the last one is delivered", async (t) => {
    const stream = await hub.subscribe(t, "many-topics", { query: topics(64) });
    await hub.publish({ topic: "t63", event: "x", payload: 1 });
    await stream.next("x");
  });

  test("65 topics are a 400", async () => {
    assertProblem(await hub.get(`/api/sse/subscribe/x?${topics(65)}`), 400, /topic/);
  });

  test("a topic named twice is delivered once", async (t) => {
    const stream = await hub.subscribe(t, "twice", { query: "topic=double&topic=double" });
    assert.equal((await hub.publish({ topic: "double", event: "x", payload: 1 })).connections, 1);
    await hub.publish({ clientId: "twice", event: "mark", payload: 1 });
    await stream.next("mark");
    assert.deepEqual(stream.published, [["x", "1"], ["mark", "1"]]);
  });

  test("a topic may have 256 bytes", async (t) => {
    const topic = "t".repeat(256);
    const stream = await hub.subscribe(t, "long-topic", { query: `topic=${topic}` });
    await hub.publish({ topic, event: "x", payload: 1 });
    await stream.next("x");
  });

  test("+ in a topic is a space, and UTF-8 is kept", async (t) => {
    const stream = await hub.subscribe(t, "odd-topic", { query: `topic=a+b&topic=${encodeURIComponent("größe/🎉")}` });
    await hub.publish({ topic: "a b", event: "x", payload: 1 });
    await hub.publish({ topic: "größe/🎉", event: "x", payload: 2 });
    await stream.next("x");
    assert.equal((await stream.next("x")).data, "2");
  });

  test("--max-topics changes the limit", async (t) => {
    const small = await Hub.started(t, ["--max-topics", "2"]);
    await small.subscribe(t, "x", { query: topics(2) });
    assertProblem(await small.get(`/api/sse/subscribe/x?${topics(3)}`), 400, /topic/);
  });
});

describe("delivery", () => {
  const hub = new Hub();
  before(() => hub.start());
  after(() => hub.stop());

  test("every connection of one client gets the event once", async (t) => {
    const streams = await hub.subscribeAll(t, Array(7).fill("tabs"));
    assert.equal((await hub.publish({ clientId: "tabs", event: "x", payload: 1 })).connections, 7);
    await hub.publish({ clientId: "tabs", event: "mark", payload: 1 });
    for (const stream of streams) {
      await stream.next("mark");
      assert.deepEqual(stream.published, [["x", "1"], ["mark", "1"]]);
    }
  });

  test("a connection with topics hears its client, its topics and broadcasts, in the order of publishing", async (t) => {
    const stream = await hub.subscribe(t, "all-three", { query: "topic=news" });
    const expected = [];
    for (let n = 0; n < 30; n++) {
      const target = [{ clientId: "all-three" }, { topic: "news" }, { broadcast: true }][n % 3];
      await hub.publish({ ...target, event: "seq", payload: n });
      expected.push(["seq", String(n)]);
    }
    await stream.next(({ event, data }) => event === "seq" && data === "29");
    assert.deepEqual(stream.published.filter(([event]) => event === "seq"), expected);
    const ids = stream.events.map(({ id }) => id);
    assert.deepEqual(ids, [...ids].sort());
  });

  test("a subscriber that joins later does not get what was published before", async (t) => {
    await hub.publish({ clientId: "late", event: "early", payload: 1 });
    const stream = await hub.subscribe(t, "late");
    await hub.publish({ clientId: "late", event: "mark", payload: 1 });
    await stream.next("mark");
    assert.deepEqual(stream.published, [["mark", "1"]]);
  });

  test("bytes that a subscriber sends after its request do not disturb its stream", HTTP1_ONLY, async (t) => {
    const stream = await hub.subscribe(t, "chatty");
    await stream.connection.send(requestBytes("GET", "/healthz"));
    await stream.connection.send("garbage\0\r\n\r\n");
    await hub.publish({ clientId: "chatty", event: "x", payload: 1 });
    await stream.next("x");
    assert.deepEqual(stream.events.map(({ event }) => event), ["__connected", "x"]);
  });

  test("a request that comes in single bytes opens a stream", async (t) => {
    const connection = await hub.connect(t);
    await connection.sendByteByByte(requestBytes("GET", "/api/sse/subscribe/slow", { headers: { Accept: "text/event-stream" } }));
    const stream = new SseStream(connection);
    await stream.opened;
    assert.equal((await stream.joined()).clientId, "slow");
  });

  test("a stream can follow another answer on the same connection", async (t) => {
    const connection = await hub.connect(t);
    await connection.send(requestBytes("GET", "/healthz"));
    await connection.response();
    const before_ = connection.received.length;
    await connection.send(requestBytes("GET", "/api/sse/subscribe/after-health"));
    await connection.until(
      () => connection.received.toString("latin1", before_).includes("event: __connected\n") || undefined,
      "the stream",
    );
  });

  test("heartbeats do not align between connections", async (t) => {
    const beating = await Hub.started(t, ["--heartbeat", "1s"]);
    const streams = await beating.subscribeAll(t, Array.from({ length: 30 }, (_, n) => `beat-${n}`));
    const beats = await Promise.all(streams.map(async (stream) => JSON.parse((await stream.next("__heartbeat")).data).ts));
    const first = Math.min(...beats);
    assert.ok(Math.max(...beats) - first >= 50, `all within 50 ms: ${beats.map((ts) => ts - first)}`);
  });
});
