// Malformed, hostile and slow HTTP. Each case gets its clear answer or a closed connection, and an honest subscriber
// who is connected at the same time notices nothing.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { assertProblem } from "../lib/expect.mjs";
import { Hub, SMALL } from "../lib/hub.mjs";
import { requestBytes } from "../lib/raw.mjs";
import { eventually } from "../lib/wait.mjs";

const NOTIFY = "/api/sse/notify";
const BODY = '{"clientId":"honest","event":"forged","payload":1}';
const SMUGGLED = `POST ${NOTIFY} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`;

function post(lines, body = "") {
  return `POST ${NOTIFY} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n${lines.map((line) => `${line}\r\n`).join("")}\r\n${body}`;
}

function get(lines, target = "/healthz") {
  return `GET ${target} HTTP/1.1\r\nHost: localhost\r\n${lines.map((line) => `${line}\r\n`).join("")}\r\n`;
}

const CHUNKED = "Transfer-Encoding: chunked";

const REFUSED = [
  // Two opinions about where the body ends (RFC 9112 section 6.3): request smuggling.
  ["Content-Length and Transfer-Encoding", post(["Content-Length: 5", CHUNKED], `0\r\n\r\n${SMUGGLED}`), [400]],
  ["Transfer-Encoding and Content-Length", post([CHUNKED, "Content-Length: 5"], `0\r\n\r\n${SMUGGLED}`), [400]],
  ["two different Content-Lengths", post(["Content-Length: 5", "Content-Length: 6"], `12345${SMUGGLED}`), [400]],
  ["a list of different Content-Lengths", post(["Content-Length: 5, 6"], `12345${SMUGGLED}`), [400]],
  ["Transfer-Encoding: xchunked", post(["Transfer-Encoding: xchunked"], `0\r\n\r\n${SMUGGLED}`), [400, 501]],
  ["Transfer-Encoding: chunked, identity", post(["Transfer-Encoding: chunked, identity"], "0\r\n\r\n"), [400, 501]],
  ["Transfer-Encoding: gzip, chunked", post(["Transfer-Encoding: gzip, chunked"], "0\r\n\r\n"), [400, 501]],
  ["chunked twice", post([CHUNKED, CHUNKED], "0\r\n\r\n"), [400, 501]],
  ["an empty Transfer-Encoding", post(["Transfer-Encoding:"], "0\r\n\r\n"), [400, 501]],
  ["Transfer-Encoding with a vertical tab", post(["Transfer-Encoding: \x0bchunked"], "0\r\n\r\n"), [400, 501]],
  ["Transfer-Encoding on HTTP/1.0", post([CHUNKED], "0\r\n\r\n").replace("HTTP/1.1", "HTTP/1.0"), [400]],
  ["a negative Content-Length", post(["Content-Length: -1"]), [400]],
  ["a Content-Length with a sign", post(["Content-Length: +5"], "12345"), [400]],
  ["a hexadecimal Content-Length", post(["Content-Length: 0x5"], "12345"), [400]],
  ["an empty Content-Length", post(["Content-Length:"]), [400]],
  ["a Content-Length with a space inside", post(["Content-Length: 1 2"], "1"), [400]],
  ["a Content-Length beyond 64 bits", post(["Content-Length: 99999999999999999999999"]), [400, 413]],
  ["a Content-Length of 2^64 - 1", post(["Content-Length: 18446744073709551615"]), [400, 413]],
  // Chunks.
  ["a chunk size beyond 64 bits", post([CHUNKED], "fffffffffffffffff\r\nx"), [400, 413]],
  ["a chunk size of 2^64 - 1", post([CHUNKED], "ffffffffffffffff\r\nx"), [400, 413]],
  ["a negative chunk size", post([CHUNKED], "-1\r\nx"), [400]],
  ["a chunk size with 0x", post([CHUNKED], "0x1\r\nx\r\n0\r\n\r\n"), [400]],
  ["a chunk size with a space before it", post([CHUNKED], " 1\r\nx\r\n0\r\n\r\n"), [400]],
  ["an empty chunk size", post([CHUNKED], "\r\nx\r\n0\r\n\r\n"), [400]],
  ["a chunk longer than its size", post([CHUNKED], "1\r\nxyz\r\n0\r\n\r\n"), [400]],
  ["a chunk size line that ends in a bare LF", post([CHUNKED], "1\nx\r\n0\r\n\r\n"), [400]],
  ["a chunk that ends in a bare LF", post([CHUNKED], "1\r\nx\n0\r\n\r\n"), [400]],
  ["a chunk extension without end", post([CHUNKED], `1;${"x".repeat(100_000)}`), [400, 413, 431]],
  ["a bare CR in a chunk extension", post([CHUNKED], "1;a\rb\r\nx\r\n0\r\n\r\n"), [400]],
  ["trailers without end", post([CHUNKED], `0\r\n${"X-T: 1\r\n".repeat(20_000)}`), [400, 413, 431]],
  ["a trailer that is folded", post([CHUNKED], "0\r\nX: 1\r\n y\r\n\r\n"), [400]],
  // Lines and fields.
  ["a bare LF after the request line", "GET /healthz HTTP/1.1\nHost: localhost\r\n\r\n", [400]],
  ["a bare LF after a field", "GET /healthz HTTP/1.1\r\nHost: localhost\nX: 1\r\n\r\n", [400]],
  ["bare LFs only", "GET /healthz HTTP/1.1\nHost: localhost\n\n", [400]],
  ["a bare CR in a field", get(["X: a\rb"]), [400]],
  ["obs-fold", get(["X: a", " b"]), [400]],
  ["obs-fold with a tab", get(["X: a", "\tb"]), [400]],
  ["a folded first field", "GET /healthz HTTP/1.1\r\n Host: localhost\r\n\r\n", [400]],
  ["NUL in a field value", get(["X: a\0b"]), [400]],
  ["NUL in a field name", get(["X\0: a"]), [400]],
  ["NUL in the target", "GET /heal\0thz HTTP/1.1\r\nHost: localhost\r\n\r\n", [400]],
  ["a control character in a field value", get(["X: a\x01b"]), [400]],
  ["DEL in a field value", get(["X: a\x7fb"]), [400]],
  ["a space before the colon", get(["X : a"]), [400]],
  ["a space before the colon of Content-Length", post(["Content-Length : 5"], "12345"), [400]],
  ["a tab before the colon of Transfer-Encoding", post(["Transfer-Encoding\t: chunked"], "0\r\n\r\n"), [400]],
  ["a field without a colon", get(["garbage"]), [400]],
  ["an empty field name", get([": a"]), [400]],
  ["a field name with a bracket", get(["X(y): a"]), [400]],
  ["a field name that is not ASCII", get(["X\xfc: a"]), [400]],
  // Request lines.
  ["no Host on HTTP/1.1", "GET /healthz HTTP/1.1\r\n\r\n", [400]],
  ["two Hosts", get(["Host: localhost"]), [400]],
  ["a Host that is no host", "GET /healthz HTTP/1.1\r\nHost: a b\r\n\r\n", [400, 421]],
  ["a Host with a user", "GET /healthz HTTP/1.1\r\nHost: x@localhost\r\n\r\n", [400, 421]],
  ["an empty Host", "GET /healthz HTTP/1.1\r\nHost:\r\n\r\n", [400, 421]],
  ["a lower-case version", "GET /healthz http/1.1\r\nHost: localhost\r\n\r\n", [400, 505]],
  ["HTTP/2.0 in the request line", "GET /healthz HTTP/2.0\r\nHost: localhost\r\n\r\n", [400, 505]],
  ["HTTP/1.2", "GET /healthz HTTP/1.2\r\nHost: localhost\r\n\r\n", [200, 400, 505]],
  ["HTTP/1.10", "GET /healthz HTTP/1.10\r\nHost: localhost\r\n\r\n", [400, 505]],
  ["HTTP/0.9", "GET /healthz\r\n\r\n", [400]],
  ["nearly the HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSN\r\n\r\n", [400, 505]],
  ["two spaces in the request line", "GET  /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", [400]],
  ["a space at the end of the request line", "GET /healthz HTTP/1.1 \r\nHost: localhost\r\n\r\n", [400]],
  ["a space before the method", " GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", [400]],
  ["a space in the target", "GET /heal thz HTTP/1.1\r\nHost: localhost\r\n\r\n", [400]],
  ["a tab between the parts", "GET\t/healthz\tHTTP/1.1\r\nHost: localhost\r\n\r\n", [400]],
  ["a target without a slash", "GET healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", [400]],
  ["authority-form", "CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", [400, 404, 405, 501]],
  ["a method that is no token", "G(T /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", [400]],
  ["no method", "/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", [400]],
  ["a method of 100 KB", `${"A".repeat(100_000)} / HTTP/1.1\r\nHost: localhost\r\n\r\n`, [400, 414, 501]],
  ["an unknown expectation", post(["Expect: 42-beans", "Content-Length: 2"], "{}"), [400, 417]],
  // Sizes.
  ["a target beyond 64 KiB", `GET /${"a".repeat(70_000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`, [414]],
  ["a target without end", `GET /${"a".repeat(300_000)}`, [414]],
  ["a field beyond 64 KiB", get([`X: ${"a".repeat(70_000)}`]), [431]],
  ["fields that are together beyond 64 KiB", get(Array.from({ length: 90 }, (_, n) => `X-${n}: ${"a".repeat(900)}`)), [431]],
  ["a field without end", `GET / HTTP/1.1\r\nHost: localhost\r\nX: ${"a".repeat(300_000)}`, [431]],
  ["101 fields", get(Array.from({ length: 100 }, (_, n) => `X-${n}: 1`)), [431]],
  ["10,000 fields", get(Array.from({ length: 10_000 }, (_, n) => `X-${n}: 1`)), [431]],
  ["a body beyond 1 MiB", post(["Content-Length: 1048577"]), [413]],
];

const GARBAGE = [
  ["a TLS hello", Buffer.from("16030100c8010000c40303", "hex")],
  ["a whole TLS hello with zeros", Buffer.concat([Buffer.from("160301020001fc0303", "hex"), Buffer.alloc(508)])],
  ["NUL bytes", Buffer.alloc(4096)],
  ["0xff bytes", Buffer.alloc(4096, 0xff)],
  ["line ends without end", Buffer.from("\r\n".repeat(50_000))],
  ["an SSH banner", Buffer.from("SSH-2.0-OpenSSH_9.2\r\n")],
  ["pseudo-random bytes", pseudoRandom(65_536, 20_240)],
];

/** The same bytes each time (xorshift). */
function pseudoRandom(length, seed) {
  const bytes = Buffer.alloc(length);
  for (let i = 0, x = seed; i < length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    bytes[i] = x;
  }
  return bytes;
}

/** Runs `attack`, then proves that a subscriber from before it still gets the next broadcast, and nothing else. */
async function beside(t, hub, attack) {
  const honest = await hub.subscribe(t, "honest");
  await attack();
  const bystander = await hub.subscribe(t, "newcomer");
  await hub.publish({ broadcast: true, event: "later", payload: 1 });
  await honest.next("later");
  await bystander.next("later");
  assert.deepEqual(honest.published, [["later", "1"]]);
}

describe("is refused, the connection closed, and nobody else disturbed:", () => {
  const hub = new Hub();
  before(() => hub.start());
  after(() => hub.stop());

  for (const [what, bytes, statuses] of REFUSED) {
    test(what, async (t) => {
      await beside(t, hub, async () => {
        const connection = await hub.connect(t);
        connection.send(Buffer.from(bytes, "latin1"));
        const answer = await connection.response();
        assert.ok(statuses.includes(answer.status), `${answer.status} ${answer.text}`);
        if (answer.status >= 400) assertProblem(answer, answer.status);
        if (answer.status === 405 || answer.status === 404 || answer.status < 400) return;
        const rest = await connection.rest();
        assert.equal(rest.toString("latin1"), "", "one answer, then the end");
      });
    });
  }

  for (const [what, bytes] of GARBAGE) {
    test(what, async (t) => {
      await beside(t, hub, async () => {
        const connection = await hub.connect(t);
        connection.send(bytes);
        connection.finish();
        const all = await connection.rest();
        assert.ok(all.length === 0 || /^HTTP\/1\.1 4\d\d /.test(all.toString("latin1")), all.toString("latin1"));
      });
    });
  }

  test("the same bytes one at a time get the same answer", async (t) => {
    await beside(t, hub, async () => {
      for (const [what, bytes, statuses] of REFUSED.filter(([, text]) => text.length < 400)) {
        const connection = await hub.connect(t);
        const sending = connection.sendByteByByte(Buffer.from(bytes, "latin1"));
        const answer = await connection.response();
        assert.ok(statuses.includes(answer.status), `${what}: ${answer.status} ${answer.text}`);
        connection.close();
        await sending;
      }
    });
  });
});

describe("is legal and answered:", () => {
  const hub = new Hub();
  before(() => hub.start());
  after(() => hub.stop());

  async function ask(t, bytes) {
    const connection = await hub.connect(t);
    await connection.send(Buffer.from(bytes, "latin1"));
    return connection.response();
  }

  for (const [what, bytes] of [
    ["an empty line before the request", `\r\n${get([])}`],
    ["100 fields", get(Array.from({ length: 99 }, (_, n) => `X-${n}: 1`))],
    ["fields of nearly 64 KiB", get([`X: ${"a".repeat(60_000)}`])],
    ["an empty field value", get(["X:"])],
    ["white space around a value", get(["X: \t a \t "])],
    ["bytes above 0x7f in a value", get(["X: \xfc\xff"])],
    ["field names in any case", "GET /healthz HTTP/1.1\r\nhOST: localhost\r\n\r\n"],
    ["a query that nobody reads", get([], "/healthz?a=b&c")],
    ["absolute-form", "GET http://localhost/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"],
    ["absolute-form with a port and another Host", "GET http://127.0.0.1:3000/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"],
    ["a GET with a body", get(["Content-Length: 2"]) + "hi"],
    ["HTTP/1.0 without Host", "GET /healthz HTTP/1.0\r\n\r\n"],
  ]) {
    test(what, async (t) => assert.equal((await ask(t, bytes)).status, 200));
  }

  test("a GET with a body is followed by the next request", async (t) => {
    const connection = await hub.connect(t);
    await connection.send(`${get(["Content-Length: 2"])}hi${get([], "/nothing")}`);
    assert.equal((await connection.response()).status, 200);
    assert.equal((await connection.response()).status, 404);
  });

  test("the same Content-Length twice is refused or counted once, never taken for two bodies", async (t) => {
    const answer = await ask(t, post([`Content-Length: ${BODY.length}`, `Content-Length: ${BODY.length}`], BODY));
    assert.ok([200, 400].includes(answer.status), String(answer.status));
  });

  test("absolute-form with a foreign host is a 421", async (t) => {
    assertProblem(await ask(t, "GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"), 421);
  });

  for (const target of ["/../etc/passwd", "/%2e%2e/etc/passwd", "/client/../../etc/passwd", "//etc/passwd", "/assets/..%2f..%2fetc%2fpasswd"]) {
    test(`${target} leads nowhere`, async (t) => {
      const { status } = await ask(t, get([], target));
      assert.ok([400, 404].includes(status), String(status));
    });
  }

  for (const method of ["BREW", "TRACE", "get"]) {
    test(`the method ${method} is refused as such`, async (t) => {
      const answer = await ask(t, `${method} /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n`);
      assert.ok([405, 501].includes(answer.status), String(answer.status));
      if (answer.status === 405) assert.match(answer.headers.get("allow"), /\bGET\b/);
      assertProblem(answer, answer.status);
    });
  }
});

describe("slow peers", () => {
  test("--head-timeout: half a head is a 408, and the end", async (t) => {
    const hub = await Hub.started(t, ["--head-timeout", "500ms"]);
    await beside(t, hub, async () => {
      const connection = await hub.connect(t);
      await connection.send("GET /healthz HTTP/1.1\r\nHost: loc");
      assertProblem(await connection.response(), 408);
      assert.equal((await connection.rest()).length, 0);
    });
  });

  test("--head-timeout: nothing at all is closed silently", async (t) => {
    const hub = await Hub.started(t, ["--head-timeout", "500ms"]);
    await beside(t, hub, async () => {
      const connection = await hub.connect(t);
      assert.equal((await connection.rest()).toString("latin1"), "");
    });
  });

  test("--head-timeout: a head that drips does not win time", async (t) => {
    const hub = await Hub.started(t, ["--head-timeout", "500ms"]);
    await beside(t, hub, async () => {
      const connection = await hub.connect(t);
      await connection.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n");
      const drip = setInterval(() => connection.send("X: 1\r\n"), 100);
      try {
        assertProblem(await connection.response(), 408);
      } finally {
        clearInterval(drip);
      }
    });
  });

  test("--body-timeout: half a body is a 408, and the end", async (t) => {
    const hub = await Hub.started(t, ["--body-timeout", "500ms"]);
    await beside(t, hub, async () => {
      const connection = await hub.connect(t);
      await connection.send(post(["Content-Length: 100"], '{"clientId"'));
      assertProblem(await connection.response(), 408);
      assert.equal((await connection.rest()).length, 0);
    });
  });

  test("--body-timeout: half a chunked body is a 408 too", async (t) => {
    const hub = await Hub.started(t, ["--body-timeout", "500ms"]);
    const connection = await hub.connect(t);
    await connection.send(post([CHUNKED], "5\r\n{\"cli"));
    assertProblem(await connection.response(), 408);
  });

  test("--idle-timeout: a kept-alive connection without a request is closed silently", async (t) => {
    const hub = await Hub.started(t, ["--idle-timeout", "500ms"]);
    const connection = await hub.connect(t);
    await connection.send(get([]));
    await connection.response();
    assert.equal((await connection.rest()).toString("latin1"), "");
  });

  test("--idle-timeout and --head-timeout do not touch an open stream", async (t) => {
    const hub = await Hub.started(t, ["--idle-timeout", "300ms", "--head-timeout", "300ms", "--body-timeout", "300ms", "--heartbeat", "1s"]);
    const stream = await hub.subscribe(t, "long");
    await stream.next("__heartbeat");
    await stream.next("__heartbeat");
    assert.equal(stream.connection.over, false);
  });

  test("a hundred peers that send nothing do not keep an honest one from being answered", async (t) => {
    const hub = await Hub.started(t);
    for (let n = 0; n < 100; n++) {
      const connection = await hub.connect(t);
      await connection.send("GET / HT");
    }
    await beside(t, hub, async () => {});
  });

  test("a reader that never reads does not delay the others", async (t) => {
    const hub = await Hub.started(t);
    const deaf = await hub.connect(t);
    await deaf.send(requestBytes("GET", "/api/sse/subscribe/deaf"));
    deaf.socket.pause();
    const honest = await hub.subscribe(t, "honest");
    const payload = "x".repeat(100_000);
    for (let n = 0; n < 100; n++) {
      await hub.publish({ broadcast: true, event: "big", payload: `${n}:${payload}` });
      await honest.next("big");
    }
    assert.deepEqual(honest.published.map(([, data]) => parseInt(data.slice(1), 10)), Array.from({ length: 100 }, (_, n) => n));
  });

  test("a peer that pipelines and never reads its answers costs little memory, and gets them all once it reads", async (t) => {
    const hub = await Hub.started(t);
    const greedy = await hub.connect(t);
    greedy.socket.pause();
    const count = SMALL ? 5_000 : 50_000;
    const before_ = hub.memory();
    greedy.send(requestBytes("GET", "/api/sse/metrics").toString("latin1").repeat(count));
    await beside(t, hub, async () => {
      for (let n = 0; n < 50; n++) await hub.metrics();
    });
    const grown = hub.memory() - before_;
    assert.ok(grown < 8 * 1024 || SMALL, `${grown} KiB more`);
    let answers = 0;
    greedy.on("bytes", (piece) => (answers += piece.toString("latin1").split('"totalConnections"').length - 1));
    greedy.pieces = [];
    greedy.socket.resume();
    await greedy.until(() => (answers >= count - 100 || undefined), `${count} answers`);
  });
});

test("refused requests leave no descriptor behind", async (t) => {
  const hub = await Hub.started(t);
  await hub.metrics();
  const start = hub.descriptors();
  for (const [, bytes] of [...REFUSED, ...GARBAGE]) {
    const connection = await hub.connect(t);
    connection.send(Buffer.from(bytes, "latin1"));
    connection.finish();
    await connection.rest();
    connection.close();
  }
  await eventually(() => hub.descriptors() <= start, `descriptors back to ${start}`);
});

describe("limits of one request are settings", () => {
  test("--max-request-line", async (t) => {
    const hub = await Hub.started(t, ["--max-request-line", "1KiB"]);
    assertProblem(await hub.get(`/${"a".repeat(2000)}`), 414);
    assert.equal((await hub.get(`/healthz?${"a".repeat(900)}`)).status, 200);
  });

  test("--max-headers", async (t) => {
    const hub = await Hub.started(t, ["--max-headers", "1KiB"]);
    assertProblem(await hub.get("/healthz", { headers: { X: "a".repeat(2000) } }), 431);
    assert.equal((await hub.get("/healthz", { headers: { X: "a".repeat(800) } })).status, 200);
  });
});
