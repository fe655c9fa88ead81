// POST /api/sse/notify/batch, an array or a stream of lines; and keys of idempotency.

import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { BATCH, LineStream, postArray, postLines } from "../lib/batch.mjs";
import { ID, assertProblem } from "../lib/expect.mjs";
import { Hub, SMALL } from "../lib/hub.mjs";
import { requestBytes } from "../lib/raw.mjs";
import { caughtUp, comeBack } from "../lib/replay.mjs";
import { eventually } from "../lib/wait.mjs";
import { HTTP1_ONLY } from "../lib/over.mjs";

const item = (clientId, payload, more = {}) => ({ clientId, event: "seq", payload, ...more });

/** The result of an item that was refused. */
function assertRefusedItem(result, status, code) {
  assert.equal(result.ok, false, JSON.stringify(result));
  assert.equal(result.status, status, JSON.stringify(result));
  assert.equal(typeof result.detail, "string");
  if (code === undefined) assert.match(result.code, /^[a-z][a-z0-9_]*$/);
  else assert.equal(result.code, code);
}

/** Items of every kind, good and bad, and what each must come to. */
const MIXED = [
  [item("a", 0), true],
  [{ clientId: "a", event: "seq" }, "missing_field"],
  [item("a", 1), true],
  [{ event: "seq", payload: 1 }, "missing_field"],
  [{ clientId: "a", topic: "t", event: "seq", payload: 1 }],
  [item("a", 2, { extra: 1 }), "unknown_field"],
  [{ topic: "t", event: "seq", payload: 3 }, true],
  [item("a", 4, { event: "__mine" })],
  [item("a", 4, { ttl: -1 }), "invalid_ttl"],
  [item("\u0000", 4)],
  [1],
  [null],
  ["text"],
  [[item("a", 5)]],
  [{}, "missing_field"],
  [{ broadcast: true, event: "seq", payload: 6 }, true],
];
const ARRIVING = ["0", "1", "3", "6"];

function assertMixed(results) {
  assert.equal(results.length, MIXED.length);
  for (const [n, [asked, expected]] of MIXED.entries()) {
    if (expected !== true) {
      assertRefusedItem(results[n], 400, expected);
      continue;
    }
    const { id, ...rest } = results[n];
    assert.deepEqual(rest, { ok: true, sent: true, clientId: asked.clientId ?? null, connections: 1 });
    assert.match(id, ID);
  }
  const ids = results.filter(({ ok }) => ok).map(({ id }) => id);
  assert.deepEqual(ids, [...new Set(ids)].sort(), "in the order of the items");
}

describe("a batch as an array", () => {
  const hub = new Hub();
  before(() => hub.start());
  after(() => hub.stop());

  test("answers each item in its place, and a bad one does not stop the others", async (t) => {
    const stream = await hub.subscribe(t, "a", { query: "topic=t" });
    const answer = await postArray(hub, MIXED.map(([asked]) => asked));
    assert.equal(answer.status, 200, answer.text);
    assert.match(answer.headers.get("content-type"), /^application\/json/);
    assertMixed(answer.json);
    const got = await caughtUp(hub, stream, "a");
    assert.deepEqual(got, answer.json.filter(({ ok }) => ok).map(({ id }, n) => [id, ARRIVING[n]]));
  });

  test("answers a result as notify does, byte for byte", async () => {
    const { text, json } = await hub.notify(item("alone", 1));
    const batch = await postArray(hub, [item("alone", 1)]);
    assert.equal(batch.text.replace(batch.json[0].id, json.id), `[${text}]`);
  });

  test("that is empty answers an empty array", async () => {
    for (const text of ["[]", " [ ] \n"]) {
      const answer = await postArray(hub, text);
      assert.equal(answer.status, 200);
      assert.equal(answer.text, "[]");
    }
  });

  test("keeps payloads as they were published", async (t) => {
    const stream = await hub.subscribe(t, "bytes");
    const payloads = ["1.10", "12345678901234567890", '{"z":1,"a":2}', '"\\u00fc\\/ü🎉"', "[[],{}]"];
    const answer = await postArray(hub, `[ ${payloads.map((payload) => `{"clientId":"bytes","event":"seq","payload":${payload}}`).join(" ,\n")} ]`);
    assert.equal(answer.status, 200, answer.text);
    assert.deepEqual((await caughtUp(hub, stream, "bytes")).map(([, data]) => data), payloads);
  });

  test("may have 10,000 items and no more", async (t) => {
    const hub = await Hub.started(t, ["--history-size", "20000", "--history-bytes", "8MiB"]);
    const stream = await hub.subscribe(t, "many");
    const small = (n) => `{"clientId":"many","event":"seq","payload":${n}}`;
    const items = Array.from({ length: 10_000 }, (_, n) => small(n));
    const refused = await postArray(hub, `[${items.join(",")},${small(10_000)}]`);
    assert.equal(assertProblem(refused, 413).code, "too_many_items");
    assert.deepEqual(await caughtUp(hub, stream, "many"), [], "nothing of it was published");
    const answer = await postArray(hub, `[${items.join(",")}]`);
    assert.equal(answer.status, 200);
    assert.ok(answer.json.every(({ ok, sent, connections }) => ok && sent && connections === 1));
    const got = await caughtUp(hub, stream, "many");
    assert.deepEqual(got, answer.json.map(({ id }, n) => [id, String(n)]));
  });

  for (const [what, text] of [
    ["an object", JSON.stringify(item("c", 1))],
    ["a string", '"x"'],
    ["nothing", ""],
    ["no JSON", "[1,"],
    ["broken after a good item", `[${JSON.stringify(item("broken", 1))},{"clientId":"broken"`],
    ["followed by more", `[${JSON.stringify(item("broken", 1))}]]`],
    ["lines", `${JSON.stringify(item("broken", 1))}\n${JSON.stringify(item("broken", 2))}\n`],
  ]) {
    test(`that is ${what} is a 400, and nothing of it is published`, async (t) => {
      const stream = await hub.subscribe(t, "broken");
      assertProblem(await postArray(hub, text), 400);
      assert.deepEqual(await caughtUp(hub, stream, "broken"), []);
    });
  }

  test("larger than --max-body is a 413", async () => {
    assertProblem(await postArray(hub, [item("big", "x".repeat(1 << 20))]), 413);
  });

  for (const type of ["text/plain", "application/x-www-form-urlencoded", "application/xml", "application/json-seq"]) {
    test(`as ${type} is a 415`, async () => {
      assertProblem(await postArray(hub, [], { headers: { "Content-Type": type } }), 415);
    });
  }

  test("takes parameters of the content type", async () => {
    const answer = await hub.request("POST", BATCH, { headers: { "Content-Type": "application/json; charset=utf-8" }, body: "[]" });
    assert.equal(answer.text, "[]");
  });

  test("with an Idempotency-Key header is a 400 unsupported_header: items carry keys", async () => {
    const headers = { "Idempotency-Key": "k" };
    assert.equal(assertProblem(await postArray(hub, [item("c", 1)], { headers }), 400).code, "unsupported_header");
    assert.equal(assertProblem(await postLines(hub, "", { headers }), 400).code, "unsupported_header");
  });

  test("answers GET with 405 and Allow", async () => {
    const answer = await hub.get(BATCH);
    assertProblem(answer, 405);
    assert.match(answer.headers.get("allow"), /\bPOST\b/);
  });
});

describe("a batch of lines", () => {
  const hub = new Hub();
  before(() => hub.start());
  after(() => hub.stop());

  test("answers each line with a line, and a bad one does not stop the others", async (t) => {
    const stream = await hub.subscribe(t, "a", { query: "topic=t" });
    const answer = await postLines(hub, MIXED.map(([asked]) => `${JSON.stringify(asked)}\n`).join(""));
    assert.equal(answer.status, 200, answer.text);
    assert.match(answer.headers.get("content-type"), /^application\/x-ndjson/);
    assertMixed(answer.lines);
    const got = await caughtUp(hub, stream, "a");
    assert.deepEqual(got, answer.lines.filter(({ ok }) => ok).map(({ id }, n) => [id, ARRIVING[n]]));
  });

  test("skips empty lines, takes CRLF, white space, and a last line without an end", async (t) => {
    const stream = await hub.subscribe(t, "lines");
    const line = (n) => JSON.stringify(item("lines", n));
    const { lines } = await postLines(hub, `\n${line(0)}\r\n\r\n  \n ${line(1)} \t\n\n\n${line(2)}`);
    assert.deepEqual(lines.map(({ ok }) => ok), [true, true, true]);
    assert.deepEqual((await caughtUp(hub, stream, "lines")).map(([, data]) => data), ["0", "1", "2"]);
  });

  test("that is empty answers nothing", async () => {
    for (const text of ["", "\n\n"]) {
      const answer = await postLines(hub, text);
      assert.equal(answer.status, 200, answer.text);
      assert.equal(answer.text, "");
    }
  });

  test("goes on after a line that is no JSON, wherever it breaks", async (t) => {
    const stream = await hub.subscribe(t, "broken");
    const good = (n) => JSON.stringify(item("broken", n));
    const bad = ["{", "}", good(9).slice(0, -1), `${good(9)}}`, `${good(9)} ${good(9)}`, "\u0001", '"', "{'a':1}"];
    const { lines } = await postLines(hub, bad.map((line, n) => `${good(n)}\n${line}\n`).join("") + good(bad.length));
    assert.equal(lines.length, 2 * bad.length + 1);
    for (const [n, result] of lines.entries()) {
      if (n % 2 === 0) assert.equal(result.ok, true);
      else assertRefusedItem(result, 400);
    }
    assert.deepEqual((await caughtUp(hub, stream, "broken")).map(([, data]) => Number(data)), bad.map((_, n) => n).concat(bad.length));
  });

  test("goes on after a line that is no UTF-8", async (t) => {
    const stream = await hub.subscribe(t, "latin");
    const bytes = Buffer.concat([Buffer.from('{"clientId":"latin","event":"seq","payload":"'), Buffer.from([0xff]), Buffer.from(`"}\n${JSON.stringify(item("latin", 1))}\n`)]);
    const { lines } = await postLines(hub, bytes);
    assertRefusedItem(lines[0], 400);
    assert.equal(lines[1].ok, true);
    assert.deepEqual((await caughtUp(hub, stream, "latin")).map(([, data]) => data), ["1"]);
  });
});

describe("lines on a body that stays open", () => {
  const hub = new Hub();
  before(() => hub.start());
  after(() => hub.stop());

  test("leave at once, each answered before the next is sent", async (t) => {
    const reader = await hub.subscribe(t, "live");
    const lines = await LineStream.open(t, hub);
    for (let n = 0; n < 20; n++) {
      await lines.send(item("live", n));
      const { id, ...rest } = await lines.next();
      assert.deepEqual(rest, { ok: true, sent: true, clientId: "live", connections: 1 });
      const block = await reader.next("seq");
      assert.deepEqual([block.id, block.data], [id, String(n)]);
    }
    await lines.finish();
    assert.equal((await lines.end()).length, 20);
  });

  test("are lines, however the bytes are cut", async (t) => {
    const reader = await hub.subscribe(t, "cut");
    const lines = await LineStream.open(t, hub);
    const text = [0, 1, 2].map((n) => `${JSON.stringify(item("cut", `${n}ü`))}\n`).join("");
    for (const byte of text) await lines.write(byte);
    for (let n = 0; n < 3; n++) assert.equal((await lines.next()).ok, true);
    await lines.write(text + text.slice(0, -1));
    for (let n = 0; n < 5; n++) assert.equal((await lines.next()).ok, true);
    assert.equal(lines.results.length, 8, "the line that has not ended waits");
    await lines.write("\n");
    assert.equal((await lines.next()).ok, true);
    await lines.finish();
    assert.equal((await lines.end()).length, 9);
    assert.deepEqual((await caughtUp(hub, reader, "cut")).map(([, data]) => data), [0, 1, 2, 0, 1, 2, 0, 1, 2].map((n) => `"${n}ü"`));
  });

  test("stay in order when thousands come before the first answer is read", async (t) => {
    const count = SMALL ? 2000 : 20_000;
    const hub = await Hub.started(t, ["--history-size", String(count), "--history-bytes", "8MiB"]);
    const reader = await hub.subscribe(t, "flood");
    const lines = await LineStream.open(t, hub);
    lines.connection.socket.pause();
    let sent = 0;
    while (sent < count) {
      const some = Array.from({ length: 1000 }, (_, n) => `${JSON.stringify(item("flood", sent + n))}\n`);
      lines.write(some.join(""));
      sent += 1000;
    }
    lines.finish();
    lines.connection.socket.resume();
    const results = await lines.end();
    assert.equal(results.length, count);
    const ids = results.map(({ id }) => id);
    await reader.next(({ id }) => id === ids.at(-1));
    const got = reader.events.filter(({ event }) => event === "seq").map(({ id, data }) => [id, Number(data)]);
    assert.deepEqual(got, ids.map((id, n) => [id, n]));
  });

  test("whose answers are never read do not fill the hub's memory", async (t) => {
    const own = await Hub.started(t, ["--history-size", "10"]);
    const lines = await LineStream.open(t, own);
    lines.connection.socket.pause();
    await lines.send(item("deaf", 0));
    const before = own.memory();
    const line = `${JSON.stringify(item("deaf", 1))}\n`.repeat(2000);
    // The hub stops reading at some point: what is written then waits here.
    for (let n = 0; n < 200 && lines.connection.socket.writableLength < 4 << 20; n++) {
      lines.write(line);
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal((await own.get("/healthz")).status, 200);
    if (!SMALL) assert.ok(own.memory() - before < 16 << 10, `${own.memory() - before} KiB more`);
  });

  test("published so far are there, and half of one is not, when the connection is cut", HTTP1_ONLY, async (t) => {
    const lines = await LineStream.open(t, hub);
    await lines.send(item("crash", 0));
    const { id } = await lines.next();
    await lines.write(JSON.stringify(item("crash", 1)));
    lines.connection.reset();
    const lone = await comeBack(t, hub, "crash", { query: "replay=10" });
    assert.deepEqual(lone.got, [[id, "0"]]);
  });

  test("too long for --max-body: a 413 in its place", async (t) => {
    const own = await Hub.started(t, ["--max-body", "4KiB"]);
    const lines = await LineStream.open(t, own);
    for (let n = 0; n < 10; n++) {
      await lines.send(item("long", n, { payload: "x".repeat(2000) }));
      assert.equal((await lines.next()).ok, true, "the limit is for a line, not for the body");
    }
    await lines.send(item("long", "x".repeat(5000)));
    assertRefusedItem(await lines.next(), 413);
    assert.equal((await own.get("/healthz")).status, 200);
  });

  test("may come slowly: the body has no deadline while lines come", async (t) => {
    const own = await Hub.started(t, ["--body-timeout", "600ms", "--idle-timeout", "600ms"]);
    const lines = await LineStream.open(t, own);
    const end = Date.now() + 2000;
    while (Date.now() < end) {
      await lines.send(item("slow", 1));
      assert.equal((await lines.next()).ok, true);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    await lines.finish();
    await lines.end();
  });

  test("end with the hub: what was acknowledged is whole, and the exit is clean", async (t) => {
    const own = await Hub.started(t);
    const lines = await LineStream.open(t, own);
    await lines.send(item("draining", 0));
    await lines.next();
    own.signal("SIGTERM");
    assert.deepEqual(await own.ended(), { code: 0, signal: null });
  });

  test("on a connection that is used again afterwards", async (t) => {
    const lines = await LineStream.open(t, hub);
    await lines.send(item("again", 0));
    await lines.finish();
    await lines.end();
    const { connection } = lines;
    connection.offset = connection.received.length;
    await connection.send(requestBytes("GET", "/healthz"));
    assert.equal((await connection.response()).status, 200);
  });

  test("as a broken chunked body end the connection and harm nobody", async (t) => {
    const lines = await LineStream.open(t, hub);
    await lines.send(item("chunks", 0));
    await lines.next();
    await lines.connection.send("zz\r\n");
    if (!lines.connection.over) await once(lines.connection.socket, "end").catch(() => {});
    assert.equal((await hub.get("/healthz")).status, 200);
  });
});

describe("idempotency", () => {
  const hub = new Hub();
  before(() => hub.start());
  after(() => hub.stop());

  const keyed = (key, body) => hub.notify(body, { headers: { "Idempotency-Key": key } });

  function assertReplayed(again, first) {
    assert.equal(again.status, 200, again.text);
    assert.equal(again.text, first.text);
    assert.equal(again.headers.get("idempotent-replayed"), "true");
    assert.equal(first.headers.get("idempotent-replayed"), undefined);
  }

  test("a repeat gets the same answer and delivers nothing", async (t) => {
    const stream = await hub.subscribe(t, "once");
    const first = await keyed("once-1", item("once", 1));
    assert.equal(first.json.connections, 1);
    for (let n = 0; n < 3; n++) assertReplayed(await keyed("once-1", item("once", 1)), first);
    assertReplayed(await hub.notify(item("once", 1, { idempotencyKey: "once-1" })), first);
    await hub.subscribe(t, "once");
    assertReplayed(await keyed("once-1", item("once", 1)), first);
    assert.deepEqual(await caughtUp(hub, stream, "once"), [[first.json.id, "1"]]);
    const other = await keyed("once-2", item("once", 1));
    assert.notEqual(other.json.id, first.json.id);
  });

  test("also for somebody absent: the first result stands", async (t) => {
    const first = await keyed("absent", item("absent", 1));
    assert.equal(first.json.sent, false);
    const stream = await hub.subscribe(t, "absent");
    assertReplayed(await keyed("absent", item("absent", 1)), first);
    assert.deepEqual(await caughtUp(hub, stream, "absent"), []);
    assert.equal((await comeBack(t, hub, "absent", { query: "replay=9" })).got.length, 1);
  });

  test("quotes around the header's value are none of the key", async () => {
    const first = await keyed('"quoted"', item("q", 1));
    assertReplayed(await keyed("quoted", item("q", 1)), first);
    assertReplayed(await hub.notify(item("q", 1, { idempotencyKey: "quoted" })), first);
    const inner = await hub.notify(item("q", 1, { idempotencyKey: '"quoted"' }));
    assert.notEqual(inner.json.id, first.json.id, "a field is taken as it is");
  });

  test("header and field may agree, not differ", async () => {
    const both = (header, field) => hub.notify(item("both", 1, { idempotencyKey: field }), { headers: { "Idempotency-Key": header } });
    const first = await both("same", "same");
    assert.equal(first.status, 200, first.text);
    assertReplayed(await both("same", "same"), first);
    assert.equal(assertProblem(await both("one", "other"), 400).code, "ambiguous_key");
    assert.equal((await both("one", "one")).headers.get("idempotent-replayed"), undefined, "a refused request uses no key up");
  });

  test("white space and the order of keys do not matter", async () => {
    const first = await hub.notify('{"clientId":"order","event":"seq","payload":{"a":1,"b":2},"idempotencyKey":"order"}');
    for (const text of [
      '{ "idempotencyKey" : "order",\n"payload" : {"a":1,"b":2} , "event":"seq", "clientId":"order" }',
      '{"clientId":"order","event":"seq","payload":{"a":1,"b":2},"idempotencyKey":"order","broadcast":false,"topic":null,"ttl":null}',
      '{"clientId":"\\u006frder","event":"s\\u0065q","payload":{"a":1,"b":2},"idempotencyKey":"\\u006frder"}',
    ]) {
      assertReplayed(await hub.notify(text), first);
    }
  });

  test("the same key for something else is a 422, and the first stands", async (t) => {
    const base = { clientId: "mismatch", event: "seq", payload: { n: 1 } };
    const stream = await hub.subscribe(t, "mismatch", { query: "topic=mismatch" });
    const first = await keyed("mismatch", base);
    for (const other of [
      { ...base, clientId: "another" },
      { topic: "mismatch", event: "seq", payload: { n: 1 } },
      { broadcast: true, event: "seq", payload: { n: 1 } },
      { ...base, event: "sequel" },
      { ...base, payload: { n: 2 } },
      { ...base, payload: "{\"n\":1}" },
      { ...base, ttl: 0 },
      { ...base, ttl: 60 },
    ]) {
      const problem = assertProblem(await keyed("mismatch", other), 422);
      assert.equal(problem.code, "idempotency_mismatch", JSON.stringify(other));
    }
    assertReplayed(await keyed("mismatch", base), first);
    await caughtUp(hub, stream, "mismatch");
    assert.deepEqual(stream.published.filter(([event]) => event !== "mark"), [["seq", '{"n":1}']]);
  });

  test("a refused request does not use the key up", async () => {
    for (const wrong of [{ clientId: "refused", event: "seq" }, item("refused", 1, { event: "__x" }), item("refused", 1, { extra: 1 })]) {
      assertProblem(await keyed("refused", wrong), 400);
    }
    const answer = await keyed("refused", item("refused", 1));
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get("idempotent-replayed"), undefined);
  });

  for (const [what, key] of [["one byte", "k"], ["255 bytes", "k".repeat(255)], ["UTF-8", "schlüssel-🔑"], ["255 bytes of UTF-8", `${"ü".repeat(127)}x`], ["spaces", "a b"]]) {
    test(`a key may be ${what}`, async () => {
      const first = await hub.notify(item("keys", 1, { idempotencyKey: key }));
      assertReplayed(await hub.notify(item("keys", 1, { idempotencyKey: key })), first);
    });
  }

  for (const [what, key] of [["empty", ""], ["256 bytes", "k".repeat(256)], ["256 bytes of UTF-8", "ü".repeat(128)], ["with a control character", "a\u0001b"], ["with DEL", "a\u007f"], ["with a C1 control character", "a\u0085"], ["a number", 5], ["an object", {}]]) {
    test(`a key may not be ${what}`, async () => {
      const problem = assertProblem(await hub.notify(item("keys", 1, { idempotencyKey: key })), 400, /idempotencyKey|Idempotency-Key/i);
      if (typeof key === "string") assert.equal(problem.code, "invalid_idempotency_key");
    });
  }

  for (const [what, key] of [["empty", ""], ["only quotes", '""'], ["256 bytes", "k".repeat(256)], ["no UTF-8", "\xff"]]) {
    test(`the header may not be ${what}`, async () => {
      assert.equal(assertProblem(await keyed(key, item("keys", 1)), 400).code, "invalid_idempotency_key");
    });
  }

  test("a header in UTF-8 is the same key as the field", async () => {
    const first = await hub.notify(item("utf8", 1, { idempotencyKey: "schlüssel" }));
    assertReplayed(await keyed(Buffer.from("schlüssel").toString("latin1"), item("utf8", 1)), first);
  });

  test("twenty at once: one is sent, all get its answer", async (t) => {
    const own = await Hub.started(t, ["--loops", "2"]);
    const stream = await own.subscribe(t, "race");
    const answers = await Promise.all(Array.from({ length: 20 }, () => own.notify(item("race", 1, { idempotencyKey: "race" }))));
    assert.deepEqual(new Set(answers.map(({ text }) => text)).size, 1);
    assert.equal(answers.filter(({ headers }) => headers.get("idempotent-replayed") === undefined).length, 1);
    assert.deepEqual(await caughtUp(own, stream, "race"), [[answers[0].json.id, "1"]]);
  });

  test("a batch's items have keys, shared with notify; a repeat within the batch is one, too", async (t) => {
    const stream = await hub.subscribe(t, "batch");
    const first = await keyed("shared", item("batch", 0));
    const items = [
      item("batch", 0, { idempotencyKey: "shared" }),
      item("batch", 1, { idempotencyKey: "twice" }),
      item("batch", 1, { idempotencyKey: "twice" }),
      item("batch", 2, { idempotencyKey: "twice" }),
      item("batch", 3, { idempotencyKey: "" }),
    ];
    const { json } = await postArray(hub, items);
    const { lines } = await postLines(hub, items.map((one) => JSON.stringify(one)).join("\n"));
    for (const results of [json, lines]) {
      assert.equal(results[0].id, first.json.id);
      assert.equal(results[1].id, json[1].id);
      assert.equal(results[2].id, json[1].id);
      assertRefusedItem(results[3], 422, "idempotency_mismatch");
      assertRefusedItem(results[4], 400, "invalid_idempotency_key");
    }
    assert.deepEqual(await caughtUp(hub, stream, "batch"), [[first.json.id, "0"], [json[1].id, "1"]]);
  });

  test("the window ends: then the key is free", async (t) => {
    const own = await Hub.started(t, ["--idempotency-window", "1s"]);
    const send = (payload) => own.notify(item("window", payload, { idempotencyKey: "k" }));
    const first = await send(1);
    assert.equal((await own.notify(item("window", 1, { idempotencyKey: "other" }))).status, 200);
    const later = await eventually(async () => {
      const answer = await send(2);
      return answer.status === 200 ? answer : undefined;
    }, "the key to be free");
    assert.notEqual(later.json.id, first.json.id);
    assertReplayed(await send(2), later);
  });
});
