// --authorize-url: the application decides who subscribes to what.

import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, test } from "node:test";
import { Application } from "../lib/application.mjs";
import { assertProblem } from "../lib/expect.mjs";
import { Hub } from "../lib/hub.mjs";
import { connectTo } from "../lib/over.mjs";
import { eventually, within } from "../lib/wait.mjs";

const json = (value, headers = {}) => ({ body: JSON.stringify(value), headers });
const start = (t, application, flags = []) => Hub.started(t, ["--authorize-url", `${application.url}/ask`, ...flags]);
const ask = (hub, path, headers = {}) => hub.request("GET", path, { headers: { Accept: "text/event-stream", ...headers } });

describe("the question", () => {
  test("carries what the visitor sent, and nothing of the hub's own", async (t) => {
    const application = await Application.started(t, () => ({}));
    const hub = await start(t, application, ["--trusted-proxy", "127.0.0.0/8"]);
    await hub.subscribe(t, "ada lovelace", {
      query: "name=Ada&topic=a&topic=b%22",
      headers: { Cookie: "sid=1; other=2", Origin: "http://app.example", "Accept-Language": "de", "User-Agent": "probe", "X-Forwarded-For": "192.0.2.7" },
    }).catch(async () => {});
    const [request] = application.requests;
    assert.equal(request.method, "POST");
    assert.equal(request.path, "/ask");
    assert.equal(request.headers["content-type"], "application/json");
    assert.equal(request.headers.cookie, "sid=1; other=2");
    assert.equal(request.headers.origin, "http://app.example");
    assert.equal(request.headers["accept-language"], "de");
    assert.equal(request.headers["x-forwarded-for"], "192.0.2.7");
    assert.equal(request.json.address, "192.0.2.7");
    assert.equal(request.json.userAgent, "probe");
    assert.equal(request.headers.authorization, undefined);
  });

  test("has the token as it came, from the header or the query", async (t) => {
    const application = await Application.started(t, () => ({}));
    const hub = await start(t, application, ["--publish-key", "ours"]);
    await hub.subscribe(t, "a", { headers: { Authorization: "Bearer theirs" } });
    await hub.subscribe(t, "b", { query: "access_token=in%2Dquery" });
    assert.deepEqual(application.requests.map(({ headers }) => headers.authorization), ["Bearer theirs", "Bearer in-query"]);
  });

  test("is not asked of who brings the hub's own credentials", async (t) => {
    const application = await Application.started(t, () => ({ status: 403 }));
    const hub = await start(t, application, ["--admin-key", "boss"]);
    await hub.subscribe(t, "a", { headers: { Authorization: "Bearer boss" } });
    assert.equal(application.requests.length, 0);
    assertProblem(await ask(hub, "/api/sse/subscribe/a"), 403);
  });
});

test("a publish key subscribes to nothing where the application decides, and the log says who does", async (t) => {
  const application = await Application.started(t, () => ({}));
  const hub = await start(t, application, ["--publish-key", "backend"]);
  const key = { Authorization: "Bearer backend" };
  assertProblem(await ask(hub, "/api/sse/subscribe/a", key), 403);
  assert.equal(application.requests.length, 0);
  await hub.subscribe(t, "a");
  assert.equal(application.requests.length, 1);
  await hub.logged(/your application says who may subscribe/);
  const open = await start(t, application, ["--publish-key", "backend", "--anonymous"]);
  await open.subscribe(t, "a", { headers: key });
  assert.equal(application.requests.length, 1);
});

describe("the answer", () => {
  test("may say who he really is, what he gets besides, and until when", async (t) => {
    const application = await Application.started(t, () => json({ clientId: "user-7", name: "Seven", topics: ["extra"], subscribe: ["news*"], expiresIn: 1 }));
    const hub = await start(t, application);
    const stream = await hub.stream(t, "/api/sse/subscribe/me?topic=news-1");
    const hello = JSON.parse((await stream.next("__connected")).data);
    assert.deepEqual([hello.clientId, hello.name], ["user-7", "Seven"]);
    for (const target of [{ clientId: "user-7" }, { topic: "news-1" }, { topic: "extra" }]) {
      assert.equal((await hub.publish({ ...target, event: "e", payload: 1 })).connections, 1);
      await stream.next("e");
    }
    assert.equal(JSON.parse((await stream.next("__expired")).data).reason, "authorization_expired");
  });

  test("refuses: him, or one topic", async (t) => {
    const application = await Application.started(t, ({ json: { clientId } }) =>
      clientId === "who" ? { status: 401 } : clientId === "no" ? { status: 403 } : json({ subscribe: ["a", "b*"] }));
    const hub = await start(t, application);
    assert.equal(assertProblem(await ask(hub, "/api/sse/subscribe/who"), 401).code, "unauthorized");
    assert.equal(assertProblem(await ask(hub, "/api/sse/subscribe/no"), 403).code, "forbidden");
    assertProblem(await ask(hub, "/api/sse/subscribe/x?topic=a&topic=c"), 403, /"c"/);
    await hub.subscribe(t, "x", { query: "topic=a&topic=bee" });
  });

  for (const [what, answer] of [
    ["a 500", { status: 500 }],
    ["a redirect", { status: 302, headers: { Location: "http://127.0.0.1:1/" } }],
    ["no JSON", { body: "yes" }],
    ["a list", { body: "[]" }],
    ["a wrong type", json({ clientId: 7 })],
    ["an impossible client", json({ clientId: "a\nb" })],
    ["a field twice", { body: '{"clientId":"a","clientId":"b"}' }],
    ["too many topics", json({ topics: Array.from({ length: 300 }, (_, i) => `t${i}`) })],
    ["far too much", { body: `{"name":"${"x".repeat(100_000)}"}` }],
  ])
    test(`that cannot be used admits nobody: ${what}`, async (t) => {
      const application = await Application.started(t, () => answer);
      const hub = await start(t, application);
      const refused = await ask(hub, "/api/sse/subscribe/x");
      assert.equal(refused.status, 200);
      assert.match(refused.text, /event: __overloaded\ndata: {"reason":"authorize_unavailable",/);
      assert.equal((await hub.metrics()).totalConnections, 0);
      assert.match((await hub.get("/metrics")).text, /tidings_authorize_total{verdict="unknown"} 1\n/);
    });

  test("is kept for as long as it says, for the same question only", async (t) => {
    const application = await Application.started(t, ({ json: { clientId } }) => ({
      status: clientId === "no" ? 403 : 200, headers: clientId === "fresh" ? {} : { "Cache-Control": "private, max-age=600" },
    }));
    const hub = await start(t, application);
    const count = async (probe) => {
      const before = application.requests.length;
      await probe();
      return application.requests.length - before;
    };
    const one = (cookie) => () => hub.subscribe(t, "a", { headers: { Cookie: cookie } });
    assert.equal(await count(one("sid=1")), 1);
    assert.equal(await count(one("sid=1")), 0);
    assert.equal(await count(one("sid=2")), 1);
    assert.equal(await count(() => hub.subscribe(t, "a", { query: "topic=t", headers: { Cookie: "sid=1" } })), 1);
    assert.equal(await count(() => ask(hub, "/api/sse/subscribe/no")), 1);
    assert.equal(await count(() => ask(hub, "/api/sse/subscribe/no")), 0);
    assert.equal(await count(() => hub.subscribe(t, "fresh")), 1);
    assert.equal(await count(() => hub.subscribe(t, "fresh")), 1);
  });
});

describe("what is kept of an answer", () => {
  const kept = { "Cache-Control": "max-age=600" };

  test("is not longer than it holds: who comes back when it is over is asked about again", async (t) => {
    const application = await Application.started(t, () => json({ expiresIn: 1 }, kept));
    const hub = await start(t, application);
    for (let n = 1; n <= 2; n++) {
      const stream = await hub.subscribe(t, "a");
      await stream.next("__expired");
      assert.equal(application.requests.length, n);
    }
  });

  test("is nothing if one of several Cache-Control lines forbids it", async (t) => {
    const application = await Application.started(t, () => ({ headers: { "Cache-Control": ["no-store", "max-age=600"] } }));
    const hub = await start(t, application);
    for (let n = 1; n <= 2; n++) {
      await hub.subscribe(t, "a");
      assert.equal(application.requests.length, n);
    }
  });
});

describe("an answer and the hub's own rules", () => {
  test("a client that is banned stays away, under whatever name he came", async (t) => {
    const application = await Application.started(t, () => json({ clientId: "user-7" }));
    const hub = await start(t, application);
    assert.equal((await hub.request("DELETE", "/api/sse/clients/user-7?ban=60")).status, 200);
    assert.equal((await ask(hub, "/api/sse/subscribe/me")).status, 204);
  });

  test("a topic that he asked for and is given as well is his once", async (t) => {
    const application = await Application.started(t, () => json({ topics: ["a", "a"] }));
    const hub = await start(t, application);
    const stream = await hub.subscribe(t, "x", { query: "topic=a" });
    await hub.publish({ topic: "a", event: "e", payload: 1 });
    await hub.publish({ topic: "a", event: "e", payload: 2 });
    assert.deepEqual([(await stream.next("e")).data, (await stream.next("e")).data], ["1", "2"]);
  });

  test("an address that is banned while the question is out does not get in", async (t) => {
    let answer;
    const application = await Application.started(t, () => new Promise((resolve) => (answer = () => resolve({}))));
    const hub = await start(t, application, ["--trusted-proxy", "127.0.0.0/8", "--authorize-timeout", "30s"]);
    const waiting = ask(hub, "/api/sse/subscribe/x", { "X-Forwarded-For": "192.0.2.7" });
    await eventually(() => answer, "the question");
    assert.equal((await hub.request("DELETE", "/api/sse/addresses/192.0.2.7?ban=60")).status, 200);
    answer();
    assert.equal((await within(waiting, "the refusal")).status, 204);
  });
});

describe("an application that is down or slow", () => {
  test("is waited for no longer than said by those who wait for a place, too", async (t) => {
    const application = await Application.started(t, () => null);
    const hub = await start(t, application, ["--authorize-timeout", "500ms", "--authorize-concurrency", "1"]);
    const waiting = Array.from({ length: 12 }, (_, i) => ask(hub, `/api/sse/subscribe/v${i}`));
    for (const refused of await Promise.all(waiting)) assert.match(refused.text, /authorize_unavailable/);
  });

  test("lets nobody in, and holds nobody else up", async (t) => {
    const application = await Application.started(t, ({ json: { clientId } }) => (clientId === "slow" ? null : {}));
    const hub = await start(t, application, ["--authorize-timeout", "300ms", "--authorize-concurrency", "100"]);
    const stream = await hub.subscribe(t, "quick");
    const waiting = Array.from({ length: 50 }, () => ask(hub, "/api/sse/subscribe/slow"));
    for (let n = 0; n < 20; n++) {
      await hub.publish({ clientId: "quick", event: "n", payload: n });
      await stream.next("n");
    }
    for (const refused of await Promise.all(waiting)) assert.match(refused.text, /authorize_unavailable/);
    await application.stop();
    assert.match((await ask(hub, "/api/sse/subscribe/other")).text, /authorize_unavailable/);
    assertProblem(await hub.request("GET", "/api/sse/subscribe/other", { headers: { Accept: "*/*" } }), 503);
    await application.listen(application.port);
    await hub.subscribe(t, "again");
  });

  test("is not asked by more than so many at once; visitors may leave", async (t) => {
    let most = 0, now = 0;
    const answers = [];
    const application = await Application.started(t, () => {
      most = Math.max(most, ++now);
      return new Promise((resolve) => answers.push(() => resolve((now--, {}))));
    });
    const hub = await start(t, application, ["--authorize-concurrency", "3", "--authorize-timeout", "60s"]);
    const sockets = Array.from({ length: 10 }, (_, i) => {
      const { socket, reset } = connectTo(hub.target);
      socket.reset = reset;
      socket.on("error", () => {});
      socket.write(`GET /api/sse/subscribe/v${i} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
      return socket;
    });
    t.after(() => sockets.forEach((socket) => socket.destroy()));
    while (application.requests.length < 3) await within(new Promise((resolve) => setImmediate(resolve)), "three questions");
    for (const socket of sockets.slice(0, 5)) socket.reset();
    let answered = 0;
    while (answered < 10) {
      while (answers.length === 0) await within(new Promise((resolve) => setImmediate(resolve)), "a question");
      answers.shift()();
      answered++;
    }
    await Promise.all(sockets.slice(5).map((socket) => within(once(socket, "data"), "a stream")));
    assert.equal(most, 3);
    assert.ok((await hub.metrics()).totalConnections <= 5);
  });

  test("can be seen among the limits, with who waits for it", async (t) => {
    const application = await Application.started(t, () => null);
    const hub = await start(t, application, ["--authorize-timeout", "60s", "--authorize-concurrency", "1", "--event-url", `${application.url}/events`]);
    for (let i = 0; i < 3; i++) ask(hub, `/api/sse/subscribe/v${i}`).catch(() => {});
    const line = (text, name, limit) => new RegExp(`^tidings_${name}{limit="${limit}"} (\\d+)$`, "m").exec(text)?.[1];
    const text = await eventually(async () => {
      const { text } = await hub.get("/metrics");
      return line(text, "limit_used", "authorize-questions") === "3" && text;
    }, "three questions among the limits");
    assert.equal(line(text, "limit", "authorize-questions"), "1025");
    assert.equal(line(text, "limit", "event-queue"), "10000");
  });

  test("a hub that stops does not wait for it", async (t) => {
    const application = await Application.started(t, () => null);
    const hub = await start(t, application, ["--authorize-timeout", "60s"]);
    ask(hub, "/api/sse/subscribe/x").catch(() => {});
    await within(once(application, "asked"), "the question");
    hub.child.kill("SIGTERM");
    assert.deepEqual(await within(hub.exit, "the end"), { code: 0, signal: null });
  });
});
