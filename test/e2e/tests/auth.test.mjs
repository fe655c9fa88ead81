// Who may do what, by which credentials, and what those are told who may not.

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { connect } from "node:http2";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { Hub, runTidings, tempDir } from "../lib/hub.mjs";
import { snippet } from "../lib/snippet.mjs";
import { SECRET, bearer, token } from "../lib/tokens.mjs";
import { eventually } from "../lib/wait.mjs";
import { OVER_H2 } from "../lib/over.mjs";

const PUBLISH = "publish-key-0123456789";
const ADMIN = "admin-key-0123456789";
const KEYS = ["--publish-key", PUBLISH, "--admin-key", ADMIN];
const JSON_TYPE = { "Content-Type": "application/json" };
const EVENT = { event: "note", payload: 1 };

const whole = (stream) => stream.connection.until(() => stream.complete || undefined, "the end of the answer");

describe("rights", () => {
  const hub = new Hub([...KEYS, "--jwt-secret", SECRET]);
  before(() => hub.start());
  after(() => hub.stop());

  // Each operation as [method, target, body].
  const OPERATIONS = {
    subscribe: ["GET", "/api/sse/subscribe/ada"],
    "subscribe to a topic": ["GET", "/api/sse/subscribe/ada?topic=news"],
    "subscribe as another": ["GET", "/api/sse/subscribe/bob"],
    send: ["POST", "/api/sse/notify", { clientId: "ada", ...EVENT }],
    "send to another": ["POST", "/api/sse/notify", { clientId: "bob", ...EVENT }],
    broadcast: ["POST", "/api/sse/notify", { broadcast: true, ...EVENT }],
    batch: ["POST", "/api/sse/notify/batch", []],
    totals: ["GET", "/api/sse/metrics"],
    list: ["GET", "/api/sse/clients"],
    details: ["GET", "/api/sse/clients/nobody"],
    kick: ["DELETE", "/api/sse/clients/nobody"],
    cut: ["DELETE", "/api/sse/connections/nothing"],
    history: ["GET", "/api/sse/history?broadcast=true"],
    dashboard: ["GET", "/api/sse/admin/stream"],
    metrics: ["GET", "/metrics"],
    health: ["GET", "/healthz"],
    ready: ["GET", "/readyz"],
    openapi: ["GET", "/openapi.json"],
    start: ["GET", "/"],
  };
  const OPEN = ["health", "ready", "openapi", "start"];
  const ALL = Object.keys(OPERATIONS);
  const SENDING = ["send", "send to another", "broadcast", "batch"];

  // What each kind of credentials may do beyond what is open to all.
  const CREDENTIALS = {
    nobody: [undefined, []],
    "a publish key": [PUBLISH, SENDING],
    "an admin key": [ADMIN, ALL],
    "a token for ada": [token({ sub: "ada" }), ["subscribe"]],
    "a token for ada and news": [token({ sub: "ada", tidings: { subscribe: ["news"] } }), ["subscribe", "subscribe to a topic"]],
    "a token for ada and n*": [token({ sub: "ada", tidings: { subscribe: ["n*"] } }), ["subscribe", "subscribe to a topic"]],
    "a token for all": [
      token({ sub: "*", tidings: { subscribe: ["*"] } }),
      ["subscribe", "subscribe to a topic", "subscribe as another"],
    ],
    "a token that may send to ada": [token({ tidings: { publish: ["client:ada"] } }), ["send", "batch"]],
    "a token that may broadcast": [token({ tidings: { publish: ["broadcast"] } }), ["broadcast", "batch"]],
    "a token that may send to all": [token({ tidings: { publish: ["*"] } }), SENDING],
    "an admin's token": [token({ tidings: { admin: true } }), ALL],
    "a token that says nothing": [token(), []],
  };

  async function ask(t, method, target, body, headers) {
    if (method === "GET" && /subscribe|stream/.test(target)) {
      const stream = await hub.stream(t, target, { headers });
      return { status: stream.status, get json() { return JSON.parse(stream.body); }, headers: stream.headers };
    }
    return hub.request(method, target, {
      headers: body === undefined ? headers : { ...headers, ...JSON_TYPE },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  }

  for (const [name, [secret, allowed]] of Object.entries(CREDENTIALS)) {
    test(name, async (t) => {
      for (const [operation, [method, target, body]] of Object.entries(OPERATIONS)) {
        const answer = await ask(t, method, target, body, secret ? bearer(secret) : {});
        const what = `${name}: ${operation}`;
        if (allowed.includes(operation) || OPEN.includes(operation)) {
          assert.ok([200, 404].includes(answer.status), `${what}: ${answer.status}`);
          continue;
        }
        assert.equal(answer.status, secret ? 403 : 401, what);
        if (secret) {
          assert.equal(answer.json.code, "forbidden", what);
        } else {
          assert.equal(answer.json.code, "missing_credentials", what);
          assert.equal(answer.headers.get("www-authenticate"), 'Bearer realm="tidings"', what);
        }
      }
    });
  }

  test("the refusal of one item of a batch is its result, and the others go on", async () => {
    const items = [{ clientId: "ada", ...EVENT }, { clientId: "bob", ...EVENT }, { topic: "t", ...EVENT }, { clientId: "ada", ...EVENT }];
    const headers = bearer(token({ tidings: { publish: ["client:ada"] } }));
    const array = await hub.request("POST", "/api/sse/notify/batch", { headers: { ...headers, ...JSON_TYPE }, body: JSON.stringify(items) });
    assert.deepEqual(array.json.map((one) => one.status ?? 200), [200, 403, 403, 200]);
    assert.match(array.json[1].detail, /"bob"/);
    const lines = await hub.request("POST", "/api/sse/notify/batch", {
      headers: { ...headers, "Content-Type": "application/x-ndjson" },
      body: items.map((one) => `${JSON.stringify(one)}\n`).join(""),
    });
    assert.deepEqual(lines.text.trim().split("\n").map((line) => JSON.parse(line).status ?? 200), [200, 403, 403, 200]);
  });

  test("a body that comes later belongs to whoever the head has shown", async (t) => {
    const connection = await hub.connect(t);
    const body = JSON.stringify({ clientId: "ada", ...EVENT });
    await connection.send(
      `POST /api/sse/notify HTTP/1.1\r\nHost: ${hub.host}\r\nAuthorization: Bearer ${token({ tidings: { publish: ["client:ada"] } })}\r\n` +
        `Content-Type: application/json\r\nContent-Length: ${body.length}\r\nExpect: 100-continue\r\n\r\n`,
    );
    await connection.until(() => (/100 Continue/.test(connection.received) ? true : undefined), "100 Continue");
    await connection.send(body);
    await connection.until(() => (/HTTP\/1\.1 200 OK/.test(connection.received) ? true : undefined), "the answer");
  });

  test("without the right the body is not waited for", async (t) => {
    const connection = await hub.connect(t);
    await connection.send(
      `POST /api/sse/notify HTTP/1.1\r\nHost: ${hub.host}\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n`,
    );
    assert.equal((await connection.response({ method: "POST" })).status, 401);
  });

  test("every Host is answered once there are credentials", async () => {
    const answer = await hub.get("/api/sse/metrics", { headers: { ...bearer(ADMIN) } });
    assert.equal(answer.status, 200);
    const connection = await hub.connect();
    await connection.send(`GET /healthz HTTP/1.1\r\nHost: hub.example.com\r\nConnection: close\r\n\r\n`);
    assert.equal((await connection.response({ method: "GET" })).status, 200);
    connection.close();
  });
});

describe("what is refused", () => {
  const hub = new Hub([...KEYS, "--jwt-secret", SECRET, "--jwt-issuer", "app", "--jwt-audience", "hub", "--auth-failure-rate-per-address", "0"]);
  before(() => hub.start());
  after(() => hub.stop());

  const now = Math.floor(Date.now() / 1000);
  const good = { sub: "ada", iss: "app", aud: "hub" };
  const REFUSED = [
    ["another scheme", ["Authorization: Basic YTpi"], 401, "invalid_credentials"],
    ["an empty header", ["Authorization:"], 401, "invalid_credentials"],
    ["an unknown key", ["Authorization: Bearer nothing-of-ours"], 401, "invalid_key"],
    ["a key with one byte more", [`Authorization: Bearer ${ADMIN}x`], 401, "invalid_key"],
    ["a key with one byte less", [`Authorization: Bearer ${ADMIN.slice(0, -1)}`], 401, "invalid_key"],
    ["two headers", [`Authorization: Bearer ${ADMIN}`, `Authorization: Bearer ${ADMIN}`], 400, "ambiguous_credentials"],
    ["two cookies that differ", [`Cookie: tidings_token=${token(good)}; tidings_token=x`], 400, "ambiguous_credentials"],
    ["three parts of nothing", ["Authorization: Bearer a.b.c"], 401, "token_malformed"],
    ["a signature of somebody else", [`Authorization: Bearer ${token(good, { secret: "x".repeat(32) })}`], 401, "token_signature"],
    ["no algorithm", [`Authorization: Bearer ${token(good, { header: { alg: "none" } })}`], 401, "token_algorithm"],
    ["another algorithm", [`Authorization: Bearer ${token(good, { header: { alg: "RS256" } })}`], 401, "token_algorithm"],
    ["a critical extension", [`Authorization: Bearer ${token(good, { header: { crit: ["b64"], b64: false } })}`], 401, "token_header"],
    ["a claim of a wrong type", [`Authorization: Bearer ${token({ ...good, sub: 7 })}`], 401, "token_claims"],
    ["a token that has expired", [`Authorization: Bearer ${token({ ...good, exp: now - 1 })}`], 401, "token_expired"],
    ["a token without an end", [`Authorization: Bearer ${token({ ...good, exp: undefined })}`], 401, "token_no_expiry"],
    ["a token of tomorrow", [`Authorization: Bearer ${token({ ...good, nbf: now + 3600 })}`], 401, "token_not_yet_valid"],
    ["another issuer", [`Authorization: Bearer ${token({ ...good, iss: "other" })}`], 401, "token_issuer"],
    ["another audience", [`Authorization: Bearer ${token({ ...good, aud: ["other"] })}`], 401, "token_audience"],
    ["a wrong header before a good cookie", ["Authorization: Bearer x", `Cookie: tidings_token=${token(good)}`], 401, "invalid_key"],
  ];

  for (const [name, headers, status, code] of REFUSED) {
    test(name, { skip: OVER_H2 && headers.length > 1 }, async (t) => {
      for (const target of ["/api/sse/subscribe/ada", "/api/sse/clients"]) {
        const stream = await hub.stream(t, target, { headers });
        await whole(stream);
        assert.equal(stream.status, status, target);
        const problem = JSON.parse(stream.body);
        assert.equal(problem.code, code);
        assert.equal(problem.ok, false);
        if (status === 401) assert.equal(stream.headers.get("www-authenticate"), 'Bearer realm="tidings", error="invalid_token"');
        for (const secret of [SECRET, ADMIN, PUBLISH]) assert.ok(!stream.body.includes(secret));
      }
    });
  }

  test("a token in the query counts only to subscribe", async (t) => {
    const stream = await hub.subscribe(t, "ada", { query: `access_token=${token(good)}` });
    assert.equal(stream.status, 200);
    assert.equal((await hub.get(`/api/sse/clients?access_token=${token({ ...good, tidings: { admin: true } })}`)).json.code, "missing_credentials");
  });

  test("HTTP/2 may split its cookies", async (t) => {
    const session = connect(hub.own);
    t.after(() => session.destroy());
    const status = (cookie) =>
      new Promise((resolve, reject) => {
        const request = session.request({ ":path": "/api/sse/subscribe/ada", accept: "text/event-stream", cookie });
        request.on("response", (head) => {
          request.close();
          resolve(head[":status"]);
        });
        request.on("error", reject);
      });
    assert.equal(await status(["a=1", `tidings_token=${token(good)}`, "b=2"]), 200);
    assert.equal(await status(["a=1", `tidings_token=${token(good)}`, "tidings_token=x"]), 400);
    assert.equal(await status(["a=1"]), 401);
  });

  test("nothing of it is in the log, and the refusals are counted", async () => {
    const secret = token({ ...good, exp: now - 1, jti: "never-logged" });
    await hub.get(`/api/sse/subscribe/ada?access_token=${secret}`);
    await hub.get("/api/sse/clients", { headers: bearer("a-key-that-is-wrong") });
    await hub.logged(/event=deny reason=invalid_key/);
    for (const text of [secret, secret.split(".")[1], "a-key-that-is-wrong", "access_token", ADMIN, SECRET]) assert.ok(!hub.stderr.includes(text), text);
    const { text } = await hub.get("/metrics", { headers: bearer(ADMIN) });
    for (const reason of ["missing", "invalid", "expired"]) assert.match(text, new RegExp(`^tidings_denied_total\\{reason="${reason}"\\} [1-9]`, "m"));
  });
});

describe("tokens and streams", () => {
  test("a stream ends with __expired when its token does", async (t) => {
    const hub = await Hub.started(t, ["--jwt-secret", SECRET, "--admin-key", ADMIN]);
    const exp = Math.floor(Date.now() / 1000) + 2;
    const stream = await hub.subscribe(t, "ada", { headers: bearer(token({ sub: "ada", exp, jti: "login-77" })) });
    const { json } = await hub.get("/api/sse/clients/ada", { headers: bearer(ADMIN) });
    assert.equal(json.connections[0].tokenId, "login-77");
    const last = await stream.next("__expired");
    assert.deepEqual(JSON.parse(last.data), { reason: "token_expired" });
    assert.equal(last.id, undefined);
    await whole(stream);
    assert.ok(Date.now() >= exp * 1000, "not before its time");
    assert.match(stream.blocks.at(-1).retry, /^\d+$/);
    await hub.logged(/event=disconnect .*cause=expired/);
    const { text } = await hub.get("/metrics", { headers: bearer(ADMIN) });
    assert.match(text, /^tidings_streams_closed_total\{cause="expired"\} 1$/m);
  });

  test("what one request was admitted with is nothing to the next one on its connection", async (t) => {
    const hub = await Hub.started(t, ["--jwt-secret", SECRET, "--admin-key", ADMIN, "--max-connections-per-client", "1"]);
    await hub.subscribe(t, "ada", { headers: bearer(ADMIN) });
    const connection = await hub.connect(t);
    const ask = (client, secret) =>
      connection.send(`GET /api/sse/subscribe/${client} HTTP/1.1\r\nHost: ${hub.host}\r\nAuthorization: Bearer ${secret}\r\n\r\n`);
    await ask("ada", token({ sub: "ada", jti: "login-1" }));
    await connection.until(() => (/"code":"max_connections_per_client"/.test(connection.received) ? true : undefined), "the refusal");
    await ask("bob", ADMIN);
    await connection.until(() => (/__connected/.test(connection.received) ? true : undefined), "the stream");
    const { json } = await hub.get("/api/sse/clients/bob", { headers: bearer(ADMIN) });
    assert.equal("tokenId" in json.connections[0], false);
  });

  test("a compressed stream ends with __expired, too", async (t) => {
    const hub = await Hub.started(t, ["--jwt-secret", SECRET, "--compress", "on"]);
    const exp = Math.floor(Date.now() / 1000) + 2;
    const answer = await fetch(`${hub.url}/api/sse/subscribe/ada`, { headers: bearer(token({ sub: "ada", exp })) });
    assert.equal(answer.headers.get("content-encoding"), "gzip");
    assert.match(await answer.text(), /\nevent: __expired\ndata: \{"reason":"token_expired"\}\n\nretry: \d+\n\n$/);
  });

  test("a body of lines outlives its token, and is told so", async (t) => {
    const hub = await Hub.started(t, ["--jwt-secret", SECRET]);
    const exp = Math.floor(Date.now() / 1000) + 2;
    const connection = await hub.connect(t);
    await connection.send(
      `POST /api/sse/notify/batch HTTP/1.1\r\nHost: ${hub.host}\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n` +
        `Authorization: Bearer ${token({ exp, tidings: { publish: ["*"] } })}\r\n\r\n`,
    );
    const line = `${JSON.stringify({ clientId: "ada", ...EVENT })}\n`;
    const send = () => connection.send(`${line.length.toString(16)}\r\n${line}\r\n`);
    await send();
    await connection.until(() => (/"sent":false/.test(connection.received) ? true : undefined), "the first result");
    await eventually(async () => {
      await send();
      return /"code":"token_expired"/.test(connection.received);
    }, "a line that is refused");
    assert.ok(Date.now() >= exp * 1000, "not before its time");
  });

  test("a reload rotates keys, and streams stay", async (t) => {
    const dir = await tempDir(t);
    const file = path.join(dir, "hub.conf");
    const write = (secret, key) => writeFile(file, `jwt-secret = ${secret}\nadmin-key = ${key}\n`);
    await write(SECRET, "first-admin-key-1234");
    const hub = await Hub.started(t, ["--config", file]);
    const stream = await hub.subscribe(t, "ada", { headers: bearer(token({ sub: "ada" })) });
    const next = "fedcba9876543210fedcba9876543210";
    await write(next, "second-admin-key-123");
    hub.signal("SIGHUP");
    await hub.logged(/settings read again/);
    const refused = await hub.stream(t, "/api/sse/subscribe/ada", { headers: bearer(token({ sub: "ada" })) });
    assert.equal(refused.status, 401);
    assert.equal((await hub.get("/api/sse/clients", { headers: bearer("first-admin-key-1234") })).status, 401);
    assert.equal((await hub.get("/api/sse/clients", { headers: bearer("second-admin-key-123") })).json.total, 1);
    await hub.subscribe(t, "ada", { headers: bearer(token({ sub: "ada" }, { secret: next })) });
    await hub.notify({ clientId: "ada", ...EVENT }, { headers: bearer("second-admin-key-123") });
    assert.equal((await stream.next("note")).data, "1");
  });

  test("a reload with a broken key file changes nothing and says so", async (t) => {
    const dir = await tempDir(t);
    const jwks = path.join(dir, "keys.json");
    const set = { keys: [{ kty: "oct", kid: "a", alg: "HS256", k: Buffer.from(SECRET).toString("base64url") }] };
    await writeFile(jwks, JSON.stringify(set));
    const hub = await Hub.started(t, ["--jwks", jwks]);
    await writeFile(jwks, JSON.stringify(set).slice(0, 40));
    hub.signal("SIGHUP");
    await hub.logged(/the old settings stay/);
    assert.match(hub.stderr, /keys of tokens: .*jwks/i);
    await hub.subscribe(t, "ada", { headers: bearer(token({ sub: "ada" }, { header: { kid: "a" } })) });
    await writeFile(jwks, "");
    const started = await runTidings(["serve", "--listen", "127.0.0.1:0", "--jwks", jwks]);
    assert.equal(started.code, 2);
    assert.match(started.stderr, /jwks/);
  });
});

describe("addresses", () => {
  test("beyond loopback a hub needs credentials, at its start and at a reload", async (t) => {
    const none = await runTidings(["serve", "--listen", "0.0.0.0:0"]);
    assert.equal(none.code, 2);
    const file = path.join(await tempDir(t), "hub.conf");
    await writeFile(file, `admin-key = ${ADMIN}\n`);
    const hub = await Hub.started(t, ["--config", file], { listen: ["0.0.0.0:0"] });
    assert.equal((await hub.get("/api/sse/clients")).status, 401);
    await writeFile(file, "");
    hub.signal("SIGHUP");
    await hub.logged(/the old settings stay: refused/);
    assert.equal((await hub.get("/api/sse/clients")).status, 401);
  });

  test("without keys of tokens anybody may subscribe, unless told otherwise", async (t) => {
    const open = await Hub.started(t, KEYS);
    await open.subscribe(t, "anybody", { headers: bearer("meant-for-somebody-else") });
    assert.equal((await open.get("/api/sse/metrics")).status, 401);
    const closed = await Hub.started(t, [...KEYS, "--anonymous=false", "--public-metrics"]);
    assert.equal((await closed.stream(t, "/api/sse/subscribe/ada")).status, 401);
    assert.equal((await closed.stream(t, "/api/sse/subscribe/ada", { headers: bearer(PUBLISH) })).status, 403);
    await closed.subscribe(t, "ada", { headers: bearer(ADMIN) });
    assert.equal((await closed.metrics()).totalConnections, 1);
    const both = await Hub.started(t, ["--jwt-secret", SECRET, "--anonymous"]);
    await both.subscribe(t, "ada");
    await both.subscribe(t, "ada", { headers: bearer(token({ sub: "bob" })) });
  });
});

describe("docs/tokens.md", () => {
  test("what it signs is believed, and its cookie opens a stream", async (t) => {
    const dir = await tempDir(t);
    await writeFile(path.join(dir, "sign.mjs"), await snippet("tokens.md", "sign"));
    await writeFile(path.join(dir, "app.mjs"), await snippet("tokens.md", "cookie"));
    process.env.JWT_SECRET = SECRET;
    globalThis.whoIsLoggedIn = () => "user-123";
    t.after(() => {
      delete process.env.JWT_SECRET;
      delete globalThis.whoIsLoggedIn;
    });
    const { app } = await import(pathToFileURL(path.join(dir, "app.mjs")));
    await new Promise((resolve) => app.listen(0, "127.0.0.1", resolve));
    t.after(() => app.close());
    const answer = await fetch(`http://127.0.0.1:${app.address().port}/stream-token`, { method: "POST" });
    assert.equal(answer.status, 204);
    const [cookie] = answer.headers.getSetCookie();
    const hub = await Hub.started(t, ["--jwt-secret", SECRET]);
    const stream = await hub.subscribe(t, "user-123", { query: "topic=news", headers: { Cookie: cookie.split(";")[0] } });
    assert.equal(stream.status, 200);
    const { tokenFor } = await import(pathToFileURL(path.join(dir, "sign.mjs")));
    await hub.subscribe(t, "user-123", { query: `access_token=${tokenFor("user-123")}` });
    assert.equal((await hub.stream(t, "/api/sse/subscribe/user-124", { headers: bearer(tokenFor("user-123")) })).status, 403);
  });
});
