// POST /api/sse/notify

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ID, assertProblem } from "../lib/expect.mjs";
import { Hub } from "../lib/hub.mjs";
import { requestBytes } from "../lib/raw.mjs";
import { HTTP1_ONLY } from "../lib/over.mjs";

const NOTIFY = "/api/sse/notify";
const JSON_TYPE = { "Content-Type": "application/json" };

function nested(depth) {
  return "[".repeat(depth) + "]".repeat(depth);
}

describe("the answer", () => {
  const hub = new Hub();
  before(() => hub.start());
  after(() => hub.stop());

  test("has ok, sent, clientId, connections and id", async (t) => {
    await hub.subscribeAll(t, ["present", "present"]);
    const answer = await hub.notify({ clientId: "present", event: "x", payload: 1 });
    assert.equal(answer.status, 200);
    assert.match(answer.headers.get("content-type"), /^application\/json/);
    const { id, ...rest } = answer.json;
    assert.deepEqual(rest, { ok: true, sent: true, clientId: "present", connections: 2 });
    assert.match(id, ID);
  });

  test("for an absent client is ok: true, sent: false", async () => {
    const { id, ...rest } = await hub.publish({ clientId: "absent", event: "x", payload: 1 });
    assert.deepEqual(rest, { ok: true, sent: false, clientId: "absent", connections: 0 });
    assert.match(id, ID);
  });

  test("has clientId null for a topic", async (t) => {
    await hub.subscribe(t, "reader", { query: "topic=news" });
    const { id, ...rest } = await hub.publish({ topic: "news", event: "x", payload: 1 });
    assert.deepEqual(rest, { ok: true, sent: true, clientId: null, connections: 1 });
  });

  test("for a topic without subscribers is sent: false", async () => {
    const { id, ...rest } = await hub.publish({ topic: "no-one-reads", event: "x", payload: 1 });
    assert.deepEqual(rest, { ok: true, sent: false, clientId: null, connections: 0 });
  });

  test("has clientId null for a broadcast, also with a clientId beside it", async () => {
    assert.equal((await hub.publish({ broadcast: true, event: "x", payload: 1 })).clientId, null);
    assert.equal((await hub.publish({ broadcast: true, clientId: "me", event: "x", payload: 1 })).clientId, null);
  });

  test("keeps a clientId with quotes, escapes and UTF-8", async () => {
    const clientId = "\"\\/ü🎉";
    assert.equal((await hub.publish({ clientId, event: "x", payload: 1 })).clientId, clientId);
  });
});

test("connections of a broadcast is the number of all open streams, clients and topics aside", async (t) => {
  const hub = await Hub.started(t);
  await hub.subscribeAll(t, ["a", "a", "b"]);
  await hub.subscribe(t, "c", { query: "topic=x&topic=y" });
  assert.equal((await hub.publish({ broadcast: true, event: "x", payload: 1 })).connections, 4);
});

describe("the target", () => {
  const hub = new Hub();
  before(() => hub.start());
  after(() => hub.stop());

  const refused = [
    ["no target", {}],
    ["broadcast: false and nothing else", { broadcast: false }],
    ["all targets null", { clientId: null, topic: null, broadcast: null }],
    ["a topic beside a clientId", { topic: "t", clientId: "c" }],
    ["a topic beside broadcast: true", { topic: "t", broadcast: true }],
    ["all three", { topic: "t", clientId: "c", broadcast: true }],
    ["broadcast as text", { broadcast: "true" }],
    ["broadcast as a number", { broadcast: 1 }],
    ["a clientId that is a number", { clientId: 123 }],
    ["an empty clientId", { clientId: "" }],
    ["a clientId of 129 bytes", { clientId: "x".repeat(129) }],
    ["a clientId with a control character", { clientId: "a\nb" }],
    ["a clientId with a C1 control character", { clientId: "a\u0080b" }],
    ["a clientId with DEL", { clientId: "a\u007fb" }],
    ["a clientId with NUL", { clientId: "a\u0000b" }],
    ["a topic that is an array", { topic: ["t"] }],
    ["an empty topic", { topic: "" }],
    ["a topic of 257 bytes", { topic: "t".repeat(257) }],
    ["a topic with a control character", { topic: "a\u0001" }],
    ["an invalid clientId beside broadcast: true", { broadcast: true, clientId: 7 }],
  ];
  for (const [what, target] of refused) {
    test(`${what} is a 400`, async () => {
      assertProblem(await hub.notify({ ...target, event: "x", payload: 1 }), 400);
    });
  }

  const accepted = [
    ["broadcast: false beside a clientId", { clientId: "c", broadcast: false }],
    ["broadcast: false beside a topic", { topic: "t", broadcast: false }],
    ["a null topic beside a clientId", { clientId: "c", topic: null, broadcast: null }],
    ["a null clientId beside a topic", { clientId: null, topic: "t" }],
    ["a clientId of 128 bytes", { clientId: "ü".repeat(64) }],
    ["a topic of 256 bytes", { topic: "ü".repeat(128) }],
  ];
  for (const [what, target] of accepted) {
    test(`${what} is accepted`, async () => {
      await hub.publish({ ...target, event: "x", payload: 1 });
    });
  }
});

describe("fields", () => {
  const hub = new Hub();
  before(() => hub.start());
  after(() => hub.stop());

  test("payload is required: `payload: missing`, missing_field", async () => {
    const problem = assertProblem(await hub.notify({ clientId: "c", event: "x" }), 400);
    assert.equal(problem.detail, "payload: missing");
    assert.equal(problem.code, "missing_field");
  });

  test("a payload of null counts as absent", async () => {
    const problem = assertProblem(await hub.notify({ clientId: "c", event: "x", payload: null }), 400, /^payload/);
    assert.equal(problem.code, "missing_field");
  });

  for (const [what, body] of [["absent", { clientId: "c", payload: 1 }], ["null", { clientId: "c", payload: 1, event: null }]]) {
    test(`event is required: ${what}`, async () => {
      const problem = assertProblem(await hub.notify(body), 400, /^event/);
      assert.equal(problem.code, "missing_field");
    });
  }

  test("an unknown field is a 400 that names it", async () => {
    assertProblem(await hub.notify({ clientId: "c", event: "x", payload: 1, paylod: 2 }), 400, /paylod/);
  });

  test("an unknown field is refused also when it is null", async () => {
    assertProblem(await hub.notify({ clientId: "c", event: "x", payload: 1, extra: null }), 400, /extra/);
  });

  test("names of fields are case-sensitive", async () => {
    assertProblem(await hub.notify({ clientID: "c", event: "x", payload: 1 }), 400, /clientID/);
  });

  for (const field of ["clientId", "event", "payload", "broadcast"]) {
    test(`a duplicate ${field} is a 400 that names it`, async () => {
      const value = { clientId: '"c"', event: '"x"', payload: "1", broadcast: "false" };
      const all = Object.entries(value).map(([key, text]) => `"${key}":${text}`);
      assertProblem(await hub.notify(`{${[...all, `"${field}":${value[field]}`].join(",")}}`), 400, new RegExp(field));
    });
  }

  test("a duplicate is found behind an escape", async () => {
    assertProblem(await hub.notify('{"clientId":"c","event":"x","payload":1,"\\u0065vent":"y"}'), 400, /event/);
  });

  test("an escaped field name is the same name", async () => {
    const answer = await hub.notify('{"\\u0063lientId":"c","event":"x","payload":1}');
    assert.equal(answer.json.clientId, "c");
  });

  for (const event of ["__x", "__connected", "__", "open", "error"]) {
    test(`the event name ${event} is reserved`, async () => {
      assertProblem(await hub.notify({ clientId: "c", event, payload: 1 }), 400, /event/);
    });
  }

  for (const [what, event] of [
    ["empty", ""],
    ["a number", 5],
    ["129 bytes long", "e".repeat(129)],
    ["with a line feed", "a\nb"],
    ["with a carriage return", "a\rb"],
    ["with NUL", "a\u0000"],
    ["with DEL", "a\u007f"],
    ["with a C1 control", "a\u0085"],
  ]) {
    test(`an event name may not be ${what}`, async () => {
      assertProblem(await hub.notify({ clientId: "c", event, payload: 1 }), 400, /event/);
    });
  }

  for (const event of ["e".repeat(128), "Open", "errors", "_x", "a b", "größe🎉", "a:b", "message", " padded "]) {
    test(`the event name ${event.length > 20 ? "of 128 bytes" : JSON.stringify(event)} arrives as given`, async (t) => {
      const stream = await hub.subscribe(t, "named-events");
      await hub.publish({ clientId: "named-events", event, payload: 1 });
      await hub.publish({ clientId: "named-events", event: "mark", payload: 1 });
      await stream.next("mark");
      assert.equal(stream.events.at(-2).event, event);
    });
  }

  for (const ttl of ["1.5", "-1", '"5"', "true", "[]", "1e400", "99999999999999999999"]) {
    test(`ttl ${ttl} is a 400 that names it`, async () => {
      assertProblem(await hub.notify(`{"clientId":"c","event":"x","payload":1,"ttl":${ttl}}`), 400, /ttl/);
    });
  }

  for (const ttl of ["0", "60", "null"]) {
    test(`ttl ${ttl} is accepted, and the event is delivered`, async (t) => {
      const stream = await hub.subscribe(t, "ttl");
      assert.equal((await hub.notify(`{"clientId":"ttl","event":"x","payload":1,"ttl":${ttl}}`)).status, 200);
      await stream.next("x");
    });
  }
});

describe("the payload arrives as published", () => {
  const hub = new Hub();
  before(() => hub.start());
  after(() => hub.stop());

  async function roundTrip(t, payload) {
    const stream = await hub.subscribe(t, "payload");
    const answer = await hub.notify(`{"clientId":"payload","event":"x","payload":${payload}}`);
    assert.equal(answer.status, 200, answer.text);
    return (await stream.next("x")).data;
  }

  const kept = [
    "1.10",
    "12345678901234567890",
    "-0",
    "1E400",
    "0.1e+10",
    "true",
    "false",
    '"text"',
    '""',
    "[]",
    "{}",
    '{"z":1,"a":2,"m":3}',
    '{"2":1,"1":2}',
    '{"a":1,"a":2}',
    '{"":null}',
    "[null,null]",
    '"\\u00fc\\u0041\\/\\n\\t\\b"',
    '"\\ud83c\\udf89"',
    '"ü🎉"',
    '"line\u2028separator\u2029"',
    '"\u007f"',
    '"  two  spaces  "',
    '"data: x\\n\\nevent: y"',
    '{"deep":[[[{"x":[1,2,{"y":"z"}]}]]]}',
    '{"__proto__":{"a":1}}',
    '"\\u0000"',
  ];
  for (const payload of kept) {
    test(`${payload} byte for byte`, async (t) => assert.equal(await roundTrip(t, payload), payload));
  }

  test("without insignificant white space", async (t) => {
    const payload = ' {\r\n\t"a" : [ 1 , 2.50 ,\n {"b":\t"c  d"} ] ,\n"e" : null }\n';
    assert.equal(await roundTrip(t, payload), '{"a":[1,2.50,{"b":"c  d"}],"e":null}');
  });

  test("as one data line also when it was printed over many", async (t) => {
    const value = { list: Array.from({ length: 50 }, (_, n) => ({ n })) };
    const stream = await hub.subscribe(t, "pretty");
    await hub.publish(JSON.stringify({ clientId: "pretty", event: "x", payload: value }, null, 4));
    const block = await stream.next("x");
    assert.equal(block.text.match(/^data:/gm).length, 1);
    assert.equal(block.data, JSON.stringify(value));
  });

  test("512 levels deep", async (t) => assert.equal(await roundTrip(t, nested(512)), nested(512)));

  test("but not 513 levels deep", async () => {
    assertProblem(await hub.notify(`{"clientId":"c","event":"x","payload":${nested(513)}}`), 400, /payload|512|deep/);
  });

  test("but not a hundred thousand levels deep", async () => {
    assertProblem(await hub.notify(`{"clientId":"c","event":"x","payload":${"[".repeat(100_000)}`), 400);
  });

  test("of nearly a mebibyte", async (t) => {
    const payload = JSON.stringify("ü".repeat(500_000));
    assert.equal(await roundTrip(t, payload), payload);
  });

  test("the exact bytes of an event are id, event, data and an empty line", async (t) => {
    const stream = await hub.subscribe(t, "exact");
    const { id } = await hub.publish({ clientId: "exact", event: "x", payload: { a: 1 } });
    await stream.next("x");
    assert.ok(stream.body.endsWith(`\n\nid: ${id}\nevent: x\ndata: {"a":1}\n\n`), JSON.stringify(stream.body));
  });
});

describe("malformed JSON is a 400", () => {
  const hub = new Hub();
  before(() => hub.start());
  after(() => hub.stop());

  const good = '"clientId":"c","event":"x"';
  const bad = [
    ["an empty body", ""],
    ["white space only", "  \n"],
    ["an array", "[]"],
    ["text", '"text"'],
    ["null", "null"],
    ["a number", "1"],
    ["an unfinished object", `{${good},"payload":1`],
    ["something after the object", `{${good},"payload":1} x`],
    ["two objects", `{${good},"payload":1}{}`],
    ["a trailing comma", `{${good},"payload":1,}`],
    ["single quotes", "{'event':'x'}"],
    ["a comment", `{${good}, // note\n"payload":1}`],
    ["NaN", `{${good},"payload":NaN}`],
    ["a leading zero", `{${good},"payload":01}`],
    ["a bare dot", `{${good},"payload":1.}`],
    ["a plus sign", `{${good},"payload":+1}`],
    ["an unknown escape", `{${good},"payload":"\\x41"}`],
    ["a cut escape", `{${good},"payload":"\\u12"}`],
    ["a lone high surrogate", `{${good},"payload":"\\ud800"}`],
    ["a lone low surrogate", `{${good},"payload":"\\udc00"}`],
    ["a high surrogate twice", `{${good},"payload":"\\ud800\\ud800"}`],
    ["a lone surrogate in a key of the payload", `{${good},"payload":{"\\ud800":1}}`],
    ["a raw line feed in a string", `{${good},"payload":"a\nb"}`],
    ["a raw NUL", `{${good},"payload":"a\0b"}`],
    ["a mismatched bracket", `{${good},"payload":[1}}`],
    ["a missing colon", `{${good},"payload" 1}`],
    ["bytes that are not UTF-8", Buffer.from(`{${good},"payload":"\xff"}`, "latin1")],
    ["an overlong UTF-8 form", Buffer.from(`{${good},"payload":"\xc0\xaf"}`, "latin1")],
    ["a surrogate in UTF-8", Buffer.from(`{${good},"payload":"\xed\xa0\x80"}`, "latin1")],
  ];
  for (const [what, body] of bad) {
    test(what, async () => assertProblem(await hub.notify(body), 400));
  }

  test("and the detail has the byte offset", async () => {
    assertProblem(await hub.notify(`{${good},"payload":tru}`), 400, /\d/);
  });

  test("and nothing is sent", async (t) => {
    const stream = await hub.subscribe(t, "c");
    for (const [, body] of bad) await hub.notify(body);
    await hub.publish({ clientId: "c", event: "mark", payload: 1 });
    await stream.next("mark");
    assert.deepEqual(stream.published, [["mark", "1"]]);
  });
});

describe("media types and methods", () => {
  const hub = new Hub();
  before(() => hub.start());
  after(() => hub.stop());
  const body = '{"clientId":"c","event":"x","payload":1}';

  for (const type of [null, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonp", "text/json", "application", ""]) {
    test(`Content-Type ${type ?? "absent"} is a 415`, async () => {
      const headers = type === null ? {} : { "Content-Type": type };
      assertProblem(await hub.request("POST", NOTIFY, { headers, body }), 415);
    });
  }

  for (const type of ["application/json", "application/json; charset=utf-8", "application/json;charset=UTF-8", "Application/JSON"]) {
    test(`Content-Type ${type} is accepted`, async () => {
      assert.equal((await hub.request("POST", NOTIFY, { headers: { "Content-Type": type }, body })).status, 200);
    });
  }

  for (const method of ["GET", "PUT", "PATCH", "DELETE"]) {
    test(`${method} is a 405 with Allow: POST`, async () => {
      const answer = await hub.request(method, NOTIFY, method === "GET" ? {} : { headers: JSON_TYPE, body });
      assertProblem(answer, 405);
      assert.match(answer.headers.get("allow"), /\bPOST\b/);
    });
  }

  test("HEAD is a 405 without a body", async () => {
    const answer = await hub.request("HEAD", NOTIFY);
    assert.equal(answer.status, 405);
  });

  for (const path of ["/api/sse/notify/", "/api/sse/nothing", "/nothing", "/api/sse/subscribe", "/api//sse/metrics", "/API/sse/metrics"]) {
    test(`${path} is a 404`, async () => assertProblem(await hub.get(path), 404));
  }

  test("the query of a publish is ignored", async () => {
    assert.equal((await hub.request("POST", `${NOTIFY}?x=1`, { headers: JSON_TYPE, body })).status, 200);
  });

  test("a problem's title is the reason of its status", async () => {
    const answer = await hub.get("/nothing");
    assert.equal(answer.json.title, "Not Found");
    assert.equal(answer.reason, "Not Found");
  });
});

describe("bodies on the wire", () => {
  const hub = new Hub(["--max-body", "4KiB"]);
  before(() => hub.start());
  after(() => hub.stop());
  const json = (n) => `{"clientId":"c","event":"x","payload":${JSON.stringify(n)}}`;

  function chunked(...pieces) {
    return pieces.map((piece) => `${Buffer.byteLength(piece).toString(16)}\r\n${piece}\r\n`).join("") + "0\r\n\r\n";
  }

  async function sendAs(t, headers, body) {
    const connection = await hub.connect(t);
    await connection.send(requestBytes("POST", NOTIFY, { headers: { ...JSON_TYPE, ...headers }, body }));
    return connection.response();
  }

  test("chunked", async (t) => {
    const answer = await sendAs(t, { "Transfer-Encoding": "chunked" }, chunked('{"clientId":"c",', '"event":"x","payload"', ":1}"));
    assert.equal(answer.json.ok, true);
  });

  test("chunked in single bytes, with extensions and trailers", async (t) => {
    const pieces = [...json(1)].map((byte) => `1;ext="v"\r\n${byte}\r\n`).join("");
    const answer = await sendAs(t, { "Transfer-Encoding": "chunked" }, `${pieces}000\r\nX-Trailer: 1\r\n\r\n`);
    assert.equal(answer.status, 200, answer.text);
  });

  test("split at each byte of the request", async (t) => {
    const connection = await hub.connect(t);
    await connection.sendByteByByte(requestBytes("POST", NOTIFY, { headers: JSON_TYPE, body: json("ü") }));
    assert.equal((await connection.response()).json.ok, true);
  });

  test("chunked, split at each byte", async (t) => {
    const connection = await hub.connect(t);
    const headers = { ...JSON_TYPE, "Transfer-Encoding": "chunked" };
    await connection.sendByteByByte(requestBytes("POST", NOTIFY, { headers, body: chunked(json(1).slice(0, 9), json(1).slice(9)) }));
    assert.equal((await connection.response()).json.ok, true);
  });

  test("split in two at every place", async (t) => {
    const bytes = requestBytes("POST", NOTIFY, { headers: JSON_TYPE, body: json(1) });
    const connection = await hub.connect(t);
    for (let at = 1; at < bytes.length; at++) {
      await connection.sendPieces([bytes.subarray(0, at), bytes.subarray(at)]);
      const answer = await connection.response();
      assert.equal(answer.status, 200, `split at ${at}: ${answer.text}`);
    }
  });

  test("of exactly --max-body bytes", async () => {
    const body = json("x".repeat(4096 - json("").length));
    assert.equal(body.length, 4096);
    assert.equal((await hub.notify(body)).status, 200);
  });

  test("of one byte more are a 413 that names the limit", async () => {
    assertProblem(await hub.notify(json("x".repeat(4097 - json("").length))), 413, /max-body|4096|4 ?KiB/);
  });

  test("chunked, growing beyond --max-body are a 413", async (t) => {
    const answer = await sendAs(t, { "Transfer-Encoding": "chunked" }, chunked(json("x".repeat(3000)), "y".repeat(3000)));
    assertProblem(answer, 413);
  });

  test("announced beyond --max-body are a 413 before any of it comes", async (t) => {
    const connection = await hub.connect(t);
    await connection.send(requestBytes("POST", NOTIFY, { headers: { ...JSON_TYPE, "Content-Length": "1000000" } }));
    assertProblem(await connection.response(), 413);
  });

  test("without a length are a 411, or a 400 for the empty body", async (t) => {
    const connection = await hub.connect(t);
    await connection.send(requestBytes("POST", NOTIFY, { headers: JSON_TYPE }));
    const answer = await connection.response();
    assert.ok([411, 400].includes(answer.status), String(answer.status));
    assertProblem(answer, answer.status);
  });

  test("with Expect: 100-continue: 100 first, then the answer", async (t) => {
    const connection = await hub.connect(t);
    const body = json(1);
    await connection.send(requestBytes("POST", NOTIFY, { headers: { ...JSON_TYPE, Expect: "100-continue", "Content-Length": String(body.length) } }));
    assert.equal((await connection.response()).status, 100);
    await connection.send(body);
    assert.equal((await connection.response()).json.ok, true);
  });

  test("with Expect: 100-continue and the body already there: one final answer", async (t) => {
    const connection = await hub.connect(t);
    await connection.send(requestBytes("POST", NOTIFY, { headers: { ...JSON_TYPE, Expect: "100-continue" }, body: json(1) }));
    let answer = await connection.response();
    if (answer.status === 100) answer = await connection.response();
    assert.equal(answer.json.ok, true);
  });

  test("with Expect: 100-continue and too large: 413 and no 100", HTTP1_ONLY, async (t) => {
    const connection = await hub.connect(t);
    await connection.send(requestBytes("POST", NOTIFY, { headers: { ...JSON_TYPE, Expect: "100-continue", "Content-Length": "1000000" } }));
    assertProblem(await connection.response(), 413);
  });

  test("a 200 leaves the connection open for the next request", async (t) => {
    const connection = await hub.connect(t);
    for (let n = 0; n < 20; n++) {
      await connection.send(requestBytes("POST", NOTIFY, { headers: JSON_TYPE, body: json(n) }));
      assert.equal((await connection.response()).status, 200);
    }
  });

  test("a 400 for what is in the JSON leaves the connection open too", async (t) => {
    const connection = await hub.connect(t);
    await connection.send(requestBytes("POST", NOTIFY, { headers: JSON_TYPE, body: "{}" }));
    assertProblem(await connection.response(), 400);
    await connection.send(requestBytes("POST", NOTIFY, { headers: JSON_TYPE, body: json(1) }));
    assert.equal((await connection.response()).status, 200);
  });

  test("pipelined requests are answered in order", async (t) => {
    const connection = await hub.connect(t);
    const ids = Array.from({ length: 40 }, (_, n) => `pipe-${n}`);
    const requests = ids.map((clientId) =>
      requestBytes("POST", NOTIFY, { headers: JSON_TYPE, body: JSON.stringify({ clientId, event: "x", payload: 1 }) }),
    );
    await connection.send(Buffer.concat(requests));
    const answers = [];
    for (const _ of ids) answers.push((await connection.response()).json);
    assert.deepEqual(answers.map(({ clientId }) => clientId), ids);
    assert.deepEqual(answers.map(({ id }) => id), answers.map(({ id }) => id).sort());
  });

  test("pipelined requests of different kinds are answered in order", async (t) => {
    const connection = await hub.connect(t);
    const requests = [
      requestBytes("GET", "/healthz"),
      requestBytes("POST", NOTIFY, { headers: JSON_TYPE, body: json(1) }),
      requestBytes("GET", "/nothing"),
      requestBytes("HEAD", "/healthz"),
      requestBytes("POST", NOTIFY, { headers: { ...JSON_TYPE, "Transfer-Encoding": "chunked" }, body: chunked(json(2)) }),
      requestBytes("GET", "/api/sse/metrics"),
    ];
    await connection.send(Buffer.concat(requests));
    const statuses = [];
    for (const method of ["GET", "POST", "GET", "HEAD", "POST", "GET"]) {
      statuses.push((await connection.response({ method })).status);
    }
    assert.deepEqual(statuses, [200, 200, 404, 200, 200, 200]);
  });

  test("pipelined requests split at every place are answered in order", async (t) => {
    const both = Buffer.concat([
      requestBytes("POST", NOTIFY, { headers: JSON_TYPE, body: json(1) }),
      requestBytes("GET", "/healthz"),
    ]);
    const connection = await hub.connect(t);
    for (let at = 1; at < both.length; at += 3) {
      await connection.sendPieces([both.subarray(0, at), both.subarray(at)]);
      assert.equal((await connection.response()).json.clientId, "c");
      assert.equal((await connection.response()).status, 200);
    }
  });

  test("HTTP/1.0 is answered and the connection closed", async (t) => {
    const connection = await hub.connect(t);
    await connection.send(requestBytes("POST", NOTIFY, { headers: JSON_TYPE, body: json(1), version: "1.0" }));
    const answer = await connection.response();
    assert.equal(answer.json.ok, true);
    assert.equal(answer.headers.get("transfer-encoding"), undefined);
    assert.equal((await connection.rest()).length, 0);
  });

  test("Connection: close is honoured", async (t) => {
    const connection = await hub.connect(t);
    await connection.send(requestBytes("POST", NOTIFY, { headers: { ...JSON_TYPE, Connection: "close" }, body: json(1) }));
    assert.equal((await connection.response()).headers.get("connection"), "close");
    assert.equal((await connection.rest()).length, 0);
  });

  test("a publisher that half-closes after its request still gets its answer", HTTP1_ONLY, async (t) => {
    const connection = await hub.connect(t);
    await connection.send(requestBytes("POST", NOTIFY, { headers: JSON_TYPE, body: json(1) }));
    connection.finish();
    assert.equal((await connection.response()).json.ok, true);
  });
});

test("publishers at the same time do not mix their events", async (t) => {
  const hub = await Hub.started(t);
  const clients = Array.from({ length: 20 }, (_, n) => `client-${n}`);
  const streams = await hub.subscribeAll(t, clients);
  await Promise.all(
    clients.map(async (clientId) => {
      for (let n = 0; n < 20; n++) await hub.publish({ clientId, event: "x", payload: `${clientId}:${n}` });
    }),
  );
  for (const [i, stream] of streams.entries()) {
    await stream.next(({ data }) => data === JSON.stringify(`${clients[i]}:19`));
    assert.deepEqual(stream.published.map(([, data]) => data), Array.from({ length: 20 }, (_, n) => JSON.stringify(`${clients[i]}:${n}`)));
  }
});
