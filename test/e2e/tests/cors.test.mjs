// Pages of other origins: what listed ones may, what others may not, over raw HTTP and in Chromium.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { connect } from "node:http2";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { Browser } from "../lib/browser.mjs";
import { BROWSER, Hub, runTidings, tempDir } from "../lib/hub.mjs";
import { OVER_TLS } from "../lib/over.mjs";
import { requestBytes } from "../lib/raw.mjs";
import { snippet } from "../lib/snippet.mjs";
import { SECRET, bearer, token } from "../lib/tokens.mjs";
import { eventually } from "../lib/wait.mjs";

const APP = "https://app.example.com";
const DEV = "http://localhost:5173";
const ADMIN = "admin-key-0123456789";
const JSON_TYPE = { "Content-Type": "application/json" };
const NOTE = JSON.stringify({ clientId: "ada", event: "note", payload: 1 });
const options = { skip: BROWSER ? false : "the browser is left out of this run" };

/** A list may come in several fields (RFC 9110 section 5.3). */
const vary = (headers) => headers.all("vary").join(", ");

function assertAllowed(headers, origin, what) {
  assert.equal(headers.get("access-control-allow-origin"), origin, what);
  assert.equal(headers.get("access-control-allow-credentials"), "true", what);
  assert.match(headers.get("access-control-expose-headers"), /\bRetry-After\b/, what);
  assert.match(vary(headers), /\bOrigin\b/, what);
}

function assertNotAllowed(headers, what) {
  for (const [name] of headers.fields) assert.ok(!name.toLowerCase().startsWith("access-control-"), `${what}: ${name}`);
}

describe("answers to other origins", () => {
  const hub = new Hub(["--admin-key", ADMIN, "--jwt-secret", SECRET, "--cors-origin", APP, "--cors-origin", DEV, "--max-connections-per-client", "1"]);
  before(() => hub.start());
  after(() => hub.stop());
  const ada = bearer(token({ sub: "ada" }));

  // Every kind of answer: [name, method, target, headers, body, status].
  const ANSWERS = [
    ["a body", "GET", "/healthz", {}, undefined, 200],
    ["a list", "GET", "/api/sse/clients", bearer(ADMIN), undefined, 200],
    ["a receipt", "POST", "/api/sse/notify", { ...bearer(ADMIN), ...JSON_TYPE }, NOTE, 200],
    ["lines", "POST", "/api/sse/notify/batch", { ...bearer(ADMIN), "Content-Type": "application/x-ndjson" }, `${NOTE}\n`, 200],
    ["an array", "POST", "/api/sse/notify/batch", { ...bearer(ADMIN), ...JSON_TYPE }, `[${NOTE}]`, 200],
    ["a page", "GET", "/", {}, undefined, 200],
    ["Prometheus", "GET", "/metrics", bearer(ADMIN), undefined, 200],
    ["HEAD", "HEAD", "/api/sse/clients", bearer(ADMIN), undefined, 200],
    ["OPTIONS", "OPTIONS", "/api/sse/clients", {}, undefined, 204],
    ["bad input", "POST", "/api/sse/notify", { ...bearer(ADMIN), ...JSON_TYPE }, "{}", 400],
    ["no credentials", "GET", "/api/sse/clients", {}, undefined, 401],
    ["wrong credentials", "GET", "/api/sse/subscribe/ada", bearer("x"), undefined, 401],
    ["not allowed", "GET", "/api/sse/subscribe/bob", ada, undefined, 403],
    ["nothing there", "GET", "/nothing", {}, undefined, 404],
    ["a wrong method", "PUT", "/api/sse/notify", {}, undefined, 405],
    ["not acceptable", "GET", "/api/sse/subscribe/ada", { ...ada, Accept: "text/html" }, undefined, 406],
    ["no length", "POST", "/api/sse/notify", { ...bearer(ADMIN), ...JSON_TYPE }, undefined, 411],
    ["a wrong type", "POST", "/api/sse/notify", { ...bearer(ADMIN), "Content-Type": "text/plain" }, "x", 415],
  ];

  for (const [name, method, target, headers, body, status] of ANSWERS) {
    test(`${name}: ${status}`, async () => {
      for (const Origin of [APP, DEV]) {
        const answer = await hub.request(method, target, { headers: { ...headers, Origin }, body });
        assert.equal(answer.status, status, answer.text);
        assertAllowed(answer.headers, Origin, Origin);
      }
      for (const Origin of [undefined, "null", "https://evil.example", `${APP}:443`, `${APP}/`, "https://APP.example.com", `${APP}.evil.example`, "http://app.example.com"]) {
        const answer = await hub.request(method, target, { headers: Origin ? { ...headers, Origin } : headers, body });
        assert.equal(answer.status, status, answer.text);
        assertNotAllowed(answer.headers, Origin);
        assert.match(vary(answer.headers), /\bOrigin\b/, "caches must not mix these up");
      }
    });
  }

  test("a stream, one that is refused with __overloaded, and a banned client's 204", async (t) => {
    const stream = await hub.subscribe(t, "ada", { headers: { ...ada, Origin: APP } });
    assertAllowed(stream.headers, APP, "a stream");
    const second = await hub.stream(t, "/api/sse/subscribe/ada", { headers: { ...ada, Origin: DEV } });
    assert.equal((await second.next("__overloaded")).event, "__overloaded");
    assertAllowed(second.headers, DEV, "__overloaded");
    const plain = await hub.get("/api/sse/subscribe/ada", { headers: { ...ada, Origin: DEV, Accept: "*/*" } });
    assert.equal(plain.status, 429);
    assert.ok(plain.headers.get("retry-after"));
    assertAllowed(plain.headers, DEV, "429");
    await hub.request("DELETE", "/api/sse/clients/ada?ban=60", { headers: bearer(ADMIN) });
    const banned = await hub.get("/api/sse/subscribe/ada", { headers: { ...ada, Origin: APP } });
    assert.equal(banned.status, 204);
    assertAllowed(banned.headers, APP, "204");
  });

  test("what is not HTTP gets no permission", async (t) => {
    const connection = await hub.connect(t);
    await connection.send(`GET / HTTP/1.1\r\nHost: h\r\nOrigin: ${APP}\r\n bad: fold\r\n\r\n`);
    const answer = await connection.response({ method: "GET" });
    assert.equal(answer.status, 400);
    assertNotAllowed(answer.headers, "400");
  });

  test("what is HTTP, but too large or too slow, is answered like anything else", async (t) => {
    const small = await Hub.started(t, ["--cors-origin", APP, "--max-headers", "600", "--max-body", "10", "--head-timeout", "200ms", "--body-timeout", "200ms"]);
    const chunked = `POST /api/sse/notify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n`;
    for (const [status, origin, begin, end] of [
      [431, APP, `GET / HTTP/1.1\r\nHost: localhost\r\n`, `Cookie: ${"x".repeat(600)}\r\n\r\n`],
      [408, APP, `GET / HTTP/1.1\r\nHost: localhost\r\n`, `X-Slow: `],
      [408, APP, chunked, `\r\n2\r\n{}\r\n`],
      [413, APP, chunked, `\r\nb\r\n{         }\r\n0\r\n\r\n`],
      [431, "https://evil.example", `GET / HTTP/1.1\r\nHost: localhost\r\n`, `Cookie: ${"x".repeat(600)}\r\n\r\n`],
    ]) {
      const connection = await small.connect(t);
      await connection.send(`${begin}Origin: ${origin}\r\n${end}`);
      const answer = await connection.response({ method: "GET" });
      assert.equal(answer.status, status);
      if (origin === APP) assertAllowed(answer.headers, APP, `${status}`);
      else assertNotAllowed(answer.headers, `${status}`);
    }
  });

  test("the preflight names the methods of its path, and asks for no credentials", async () => {
    for (const [target, methods] of [
      ["/api/sse/subscribe/ada", "GET, HEAD"],
      ["/api/sse/notify", "POST"],
      ["/api/sse/notify/batch", "POST"],
      ["/api/sse/clients/ada", "GET, HEAD, DELETE"],
      ["/api/sse/connections/x", "DELETE"],
      ["/api/sse/admin/login", "POST"],
      ["/metrics", "GET, HEAD"],
    ]) {
      const headers = { Origin: APP, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization" };
      const answer = await hub.request("OPTIONS", target, { headers });
      assert.equal(answer.status, 204, target);
      assertAllowed(answer.headers, APP, target);
      assert.equal(answer.headers.get("access-control-allow-methods"), methods, target);
      assert.equal(answer.headers.get("access-control-max-age"), "7200");
      const allowed = answer.headers.get("access-control-allow-headers").toLowerCase().split(", ");
      for (const name of ["last-event-id", "authorization", "content-type", "idempotency-key"]) assert.ok(allowed.includes(name), name);
      const stranger = await hub.request("OPTIONS", target, { headers: { ...headers, Origin: "https://evil.example" } });
      assert.equal(stranger.status, 204);
      assertNotAllowed(stranger.headers, target);
      const plain = await hub.request("OPTIONS", target, { headers: { Origin: APP } });
      assert.equal(plain.headers.get("access-control-allow-methods"), undefined, "no preflight");
    }
    assert.equal((await hub.request("OPTIONS", "/nothing", { headers: { Origin: APP, "Access-Control-Request-Method": "GET" } })).status, 404);
  });

  test("over HTTP/2 as well", async (t) => {
    const session = connect(hub.url);
    t.after(() => session.close());
    const head = await new Promise((resolve, reject) => {
      const request = session.request({ ":path": "/api/sse/clients", origin: APP });
      request.on("response", resolve).on("error", reject);
      request.resume();
    });
    assert.equal(head[":status"], 401);
    assert.equal(head["access-control-allow-origin"], APP);
    assert.match(head.vary, /Origin/);
  });
});

describe("without listed origins", () => {
  test("nothing is said about them", async (t) => {
    const hub = await Hub.started(t);
    for (const target of ["/healthz", "/api/sse/clients", "/nothing"]) {
      const answer = await hub.get(target, { headers: { Origin: APP } });
      assertNotAllowed(answer.headers, target);
      assert.doesNotMatch(vary(answer.headers), /Origin/);
    }
  });

  test("origins that cannot be listed stop the start with a sentence", async () => {
    for (const origin of ["*", "null", `${APP}/`, "https://APP.example.com", `${APP}:443`, "app.example.com"]) {
      const { code, stderr } = await runTidings(["serve", "--listen", "127.0.0.1:0", "--cors-origin", origin]);
      assert.equal(code, 2, origin);
      assert.match(stderr, /^tidings: --cors-origin: .* is not an origin such as .*\n$/);
    }
  });
});

// A handshake has no place there: over TLS the last word is the end.
describe("when descriptors run out", { skip: OVER_TLS }, () => {
  test("the last word is for listed origins, too", async (t) => {
    const hub = await Hub.started(t, ["--cors-origin", APP, "--head-timeout", "1h"], { descriptors: 128 });
    // With a byte sent a connection is not idle, so none of them makes room.
    for (let n = 0; n < 140; n++) await (await hub.connect(t)).send("G");
    const request = requestBytes("GET", "/api/sse/subscribe/late", { headers: { Accept: "text/event-stream", Origin: APP } });
    await eventually(async () => {
      const late = await hub.connect(t);
      await late.send(request);
      // One that found a place after all has no last word to wait for: the next one may.
      const answer = (await Promise.race([late.rest().catch(() => ""), pause(1000, "")])).toString("latin1");
      late.close();
      return /__overloaded/.test(answer) && answer.includes(`Access-Control-Allow-Origin: ${APP}\r\n`);
    }, "__overloaded with the permission");
  });
});

describe("answers that come later", () => {
  test("an event that waits for the store is answered with the permission", async (t) => {
    const dir = await tempDir(t);
    const hub = await Hub.started(t, ["--cors-origin", APP, "--store", `sqlite:${path.join(dir, "events.db")}`]);
    const answer = await hub.notify(NOTE, { headers: { Origin: APP } });
    assert.equal(answer.status, 200);
    assertAllowed(answer.headers, APP, "a stored event");
    const array = await hub.request("POST", "/api/sse/notify/batch", { headers: { ...JSON_TYPE, Origin: APP }, body: `[${NOTE},${NOTE}]` });
    assertAllowed(array.headers, APP, "a stored batch");
  });
});

describe("other origins in Chromium", options, () => {
  let browser;
  let hub;
  let listed;
  let stranger;
  let tokensGiven = 0;

  /** A site of its own: a page without anything, and a cookie, or a token of two seconds, for whoever asks. */
  async function site() {
    const server = createServer((request, response) => {
      const [, seconds] = /^\/login(?:\?(\d+))?$/.exec(request.url) ?? [];
      const exp = Math.floor(Date.now() / 1000) + Number(seconds ?? 300);
      if (request.url === "/stream-token") {
        tokensGiven++;
        response.end(token({ sub: "user-123", exp: Math.floor(Date.now() / 1000) + 2, tidings: { subscribe: ["news"] } }));
        return;
      }
      if (request.url.startsWith("/login")) response.setHeader("Set-Cookie", `tidings_token=${token({ sub: "ada", exp, tidings: { publish: ["*"] } })}; Path=/; HttpOnly`);
      response.setHeader("Content-Type", "text/html").end("<!doctype html><title>app</title>");
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    return Object.assign(server, { url: `http://127.0.0.1:${server.address().port}` });
  }

  before(async () => {
    listed = await site();
    stranger = await site();
    hub = new Hub(["--admin-key", ADMIN, "--jwt-secret", SECRET, "--cors-origin", listed.url, "--retry", "1s"]);
    await hub.start();
    browser = await Browser.launch();
  });
  after(async () => {
    await browser?.close();
    await hub?.stop();
    for (const server of [listed, stranger]) {
      server?.closeAllConnections();
      server?.close();
    }
  });

  async function open(t, url) {
    const page = await browser.context.newPage();
    t.after(() => page.close());
    await page.goto(url);
    return page;
  }

  /** Opens an EventSource in the page; heard[] has names, and "closed" when it has given up. */
  const listen = (page, withCredentials) =>
    page.evaluate(
      ([url, credentials]) => {
        globalThis.heard = [];
        const source = new EventSource(url, { withCredentials: credentials });
        for (const name of ["__connected", "note"]) source.addEventListener(name, () => globalThis.heard.push(name));
        source.onerror = () => source.readyState === EventSource.CLOSED && globalThis.heard.push("closed");
      },
      [`${hub.url}/api/sse/subscribe/ada`, withCredentials],
    );
  const heard = (page, name) => eventually(() => page.evaluate((wanted) => globalThis.heard.includes(wanted), name), name);

  test("an EventSource of a listed origin brings its cookie, and reads the stream", async (t) => {
    const page = await open(t, `${listed.url}/login`);
    await listen(page, true);
    await heard(page, "__connected");
    await hub.notify(NOTE, { headers: bearer(ADMIN) });
    await heard(page, "note");
  });

  test("when its token ends it goes on with the next one, as docs/tokens.md has it, and misses nothing", async (t) => {
    const page = await open(t, `${listed.url}/login?2`);
    await page.evaluate((url) => {
      globalThis.heard = [];
      const source = new EventSource(url, { withCredentials: true });
      source.addEventListener("__expired", () => {
        globalThis.heard.push("__expired");
        fetch("/login", { method: "POST" });
      });
      source.addEventListener("__connected", (e) => globalThis.heard.push(JSON.parse(e.data).resume));
      source.addEventListener("note", (e) => globalThis.heard.push(e.data));
    }, `${hub.url}/api/sse/subscribe/ada`);
    await heard(page, "fresh");
    await hub.notify(NOTE, { headers: bearer(ADMIN) });
    await heard(page, "1");
    await heard(page, "__expired");
    await hub.notify(NOTE.replace('"payload":1', '"payload":2'), { headers: bearer(ADMIN) });
    await heard(page, "2");
    assert.deepEqual(await page.evaluate(() => globalThis.heard), ["fresh", "1", "__expired", "complete", "2"]);
  });

  test("with its token in the query, as docs/tokens.md has it, it goes on with the next one and misses nothing", async (t) => {
    const page = await open(t, listed.url);
    const run = `const HUB = ${JSON.stringify(hub.url)}; globalThis.shown = []; const show = (event) => shown.push(event.data);
${await snippet("tokens.md", "query")}
open();`;
    await page.addScriptTag({ content: run });
    const publish = (payload) => hub.notify(JSON.stringify({ topic: "news", event: "notification", payload }), { headers: bearer(ADMIN) });
    const shown = () => page.evaluate(() => globalThis.shown);
    await eventually(async () => { // from its first event on it has a place to go on from
      await publish(0);
      return (await shown()).length > 0;
    }, "the first event");
    for (let number = 1; number <= 2; number++) { // each over a token of its own
      const before = tokensGiven;
      await eventually(() => tokensGiven > before, "the next token");
      await publish(number);
      await eventually(async () => (await shown()).includes(String(number)), "what was sent meanwhile");
    }
    assert.deepEqual((await shown()).filter((text) => text !== "0"), ["1", "2"]);
    await hub.logged(/event=disconnect .*client=user-123 .*cause=expired/);
  });

  test("without its cookie it is refused for good", async (t) => {
    const page = await open(t, `${listed.url}/login`);
    await listen(page, false);
    await heard(page, "closed");
  });

  test("that of another origin reads nothing, cookie or not", async (t) => {
    const page = await open(t, `${stranger.url}/login`);
    await listen(page, true);
    await heard(page, "closed");
  });

  const ask = (page, target, init) =>
    page.evaluate(
      async ([url, options]) => {
        try {
          const answer = await fetch(url, options);
          return { status: answer.status, code: (await answer.json()).code, retry: answer.headers.get("Retry-After") };
        } catch {
          return "blocked";
        }
      },
      [`${hub.url}${target}`, init],
    );

  test("fetch with headers of its own: after a preflight for listed origins, never for others", async (t) => {
    const mine = await open(t, listed.url);
    const theirs = await open(t, stranger.url);
    const init = {
      method: "POST",
      headers: { ...bearer(ADMIN), ...JSON_TYPE, "Idempotency-Key": "once", "Last-Event-ID": "x", "Cache-Control": "no-cache" },
      body: NOTE,
    };
    assert.equal((await ask(mine, "/api/sse/notify", init)).status, 200);
    assert.equal(await ask(theirs, "/api/sse/notify", init), "blocked");
    assert.deepEqual(await ask(mine, "/api/sse/clients", {}), { status: 401, code: "missing_credentials", retry: null }, "refusals can be read");
    assert.equal(await ask(theirs, "/api/sse/clients", {}), "blocked");
  });

  test("a page of a stranger changes nothing with the visitor's cookie", async (t) => {
    const page = await open(t, `${stranger.url}/login`);
    const before = await hub.get("/metrics", { headers: bearer(ADMIN) });
    const published = (text) => Number(/^tidings_published_total\{target="client"\} (\d+)$/m.exec(text)[1]);
    await page.evaluate(
      async ([url, body]) => {
        // As near to a simple request as it gets, and one that needs a preflight.
        await fetch(`${url}/api/sse/notify`, { method: "POST", mode: "no-cors", credentials: "include", headers: { "Content-Type": "text/plain" }, body });
        await fetch(`${url}/api/sse/notify`, { method: "POST", credentials: "include", headers: { "Content-Type": "application/json" }, body }).catch(() => {});
        await fetch(`${url}/api/sse/clients/ada`, { method: "DELETE", credentials: "include" }).catch(() => {});
      },
      [hub.url, NOTE],
    );
    const form = page.waitForNavigation();
    await page.evaluate((url) => {
      document.body.innerHTML = `<form method="post" enctype="text/plain" action="${url}/api/sse/notify"><input name='{"a":"' value='"}'></form>`;
      document.forms[0].submit();
    }, hub.url);
    assert.equal((await form).status(), 403);
    const after = await hub.get("/metrics", { headers: bearer(ADMIN) });
    assert.equal(published(after.text), published(before.text));
  });

  test("a page of a listed origin may publish with it", async (t) => {
    const page = await open(t, `${listed.url}/login`);
    assert.equal((await ask(page, "/api/sse/notify", { method: "POST", credentials: "include", headers: JSON_TYPE, body: NOTE })).status, 200);
  });
});
