// The dashboard's login: the cookie over plain HTTP, what may not be done with it, and the page in Chromium.

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { Browser, picture } from "../lib/browser.mjs";
import { BROWSER, Hub, tempDir } from "../lib/hub.mjs";
import { OVER_TLS } from "../lib/over.mjs";
import { SECRET, bearer, token } from "../lib/tokens.mjs";

const ADMIN = "admin-key-0123456789";
const PUBLISH = "publish-key-0123456789";
const LISTED = "https://app.example.com";
const FLAGS = ["--admin-key", ADMIN, "--publish-key", PUBLISH, "--jwt-secret", SECRET, "--cors-origin", LISTED];
const JSON_TYPE = { "Content-Type": "application/json" };
const options = { skip: BROWSER ? false : "the browser is left out of this run" };

const login = (hub, key, headers = {}) =>
  hub.request("POST", "/api/sse/admin/login", { headers: { ...JSON_TYPE, ...headers }, body: JSON.stringify({ key }) });

/** The cookie as one sends it back, from the answer that set it. */
function cookieOf(answer) {
  const [pair, ...attributes] = answer.headers.get("set-cookie").split("; ");
  return { Cookie: pair, attributes };
}

describe("the login", () => {
  const hub = new Hub(FLAGS);
  before(() => hub.start());
  after(() => hub.stop());
  const own = () => ({ Origin: hub.url });

  test("exchanges a key for a cookie that is not the key", async () => {
    const answer = await login(hub, ADMIN, own());
    assert.equal(answer.status, 200);
    const { Cookie, attributes } = cookieOf(answer);
    assert.ok(!Cookie.includes(ADMIN));
    assert.match(Cookie, /^tidings_admin=[0-9a-f.]+$/);
    for (const wanted of ["HttpOnly", "SameSite=Strict", "Path=/"]) assert.ok(attributes.includes(wanted), wanted);
    assert.equal(attributes.includes("Secure"), OVER_TLS);
    assert.equal(Number(/Max-Age=(\d+)/.exec(attributes.join(";"))[1]), 12 * 3600);
    assert.ok(Math.abs(answer.json.until - Date.now() - 12 * 3600 * 1000) < 60_000);
    assert.equal((await hub.get("/api/sse/clients", { headers: { Cookie } })).status, 200);
    assert.deepEqual((await hub.get("/api/sse/admin/session", { headers: { Cookie } })).json, {
      needed: true,
      admin: true,
      until: answer.json.until,
    });
  });

  test("is Secure when the browser has come by https, also through a proxy", async () => {
    const answer = await login(hub, ADMIN, { Origin: `https://${hub.host}` });
    assert.ok(cookieOf(answer).attributes.includes("Secure"));
  });

  test("takes the token of an admin, for as long as that lives", async () => {
    const exp = Math.floor(Date.now() / 1000) + 100;
    const answer = await login(hub, token({ exp, tidings: { admin: true } }));
    assert.equal(answer.json.until, exp * 1000);
    assert.equal((await hub.get("/api/sse/clients", { headers: { Cookie: cookieOf(answer).Cookie } })).status, 200);
  });

  test("refuses everything else", async () => {
    for (const [key, status, code] of [
      ["wrong", 401, "invalid_key"],
      ["", 401, "invalid_key"],
      [`${ADMIN} `, 401, "invalid_key"],
      [PUBLISH, 403, "forbidden"],
      [token({ sub: "ada" }), 403, "forbidden"],
      [token({ exp: 1, tidings: { admin: true } }), 401, "token_expired"],
    ]) {
      const answer = await login(hub, key);
      assert.equal(answer.status, status, key);
      assert.equal(answer.json.code, code);
      assert.equal(answer.headers.get("set-cookie"), undefined);
    }
    for (const [body, code] of [
      ["{}", "missing_field"],
      ['{"key":7}', "invalid_login"],
      ['{"key":"a","key":"b"}', "invalid_login"],
      ['{"key":"a","also":1}', "invalid_login"],
      ["[]", "invalid_json"],
      ['{"key":"a"', "invalid_json"],
    ]) {
      const answer = await hub.request("POST", "/api/sse/admin/login", { headers: JSON_TYPE, body });
      assert.equal(answer.status, 400, body);
      assert.equal(answer.json.code, code, body);
    }
    assert.equal((await hub.request("POST", "/api/sse/admin/login", { body: JSON.stringify({ key: ADMIN }) })).status, 415);
    assert.ok(!hub.stderr.includes(ADMIN));
  });

  test("a page of somebody else can neither log in nor out", async () => {
    for (const Origin of ["https://evil.example", "null", `${hub.url}.evil.example`, hub.url.replace("http", "ftp")]) {
      assert.equal((await login(hub, ADMIN, { Origin })).json.code, "origin");
      assert.equal((await hub.request("POST", "/api/sse/admin/logout", { headers: { Origin } })).status, 403);
    }
  });

  test("logging out takes the cookie away", async () => {
    const answer = await hub.request("POST", "/api/sse/admin/logout", { headers: own() });
    assert.equal(answer.status, 200);
    const secure = OVER_TLS ? "; Secure" : "";
    assert.equal(answer.headers.get("set-cookie"), `tidings_admin=; Max-Age=0; Path=/; HttpOnly; SameSite=Strict${secure}`);
  });

  test("a forged, an old and an empty session are none", async () => {
    const { Cookie } = cookieOf(await login(hub, ADMIN));
    const [, end, key, code] = Cookie.split(".");
    for (const forged of [
      `tidings_admin=1.${Number(end) + 1}.${key}.${code}`,
      `tidings_admin=1.${end}.${"0".repeat(16)}.${code}`,
      `tidings_admin=1.1.${key}.${code}`,
      `${Cookie.slice(0, -1)}${Cookie.endsWith("0") ? "1" : "0"}`,
      "tidings_admin=x",
    ]) {
      const answer = await hub.get("/api/sse/clients", { headers: { Cookie: forged } });
      assert.equal(answer.status, 401, forged);
      assert.equal(answer.json.code, "session_expired");
    }
    assert.equal((await hub.get("/api/sse/clients", { headers: { Cookie: "tidings_admin=" } })).json.code, "missing_credentials");
  });
});

describe("what a cookie may change", () => {
  const hub = new Hub(FLAGS);
  before(() => hub.start());
  after(() => hub.stop());

  const CHANGES = [
    ["POST", "/api/sse/notify", { clientId: "ada", event: "x", payload: 1 }],
    ["POST", "/api/sse/notify/batch", []],
    ["DELETE", "/api/sse/clients/ada"],
    ["DELETE", "/api/sse/connections/none"],
  ];
  const send = ([method, target, body], headers) =>
    hub.request(method, target, {
      headers: body === undefined ? headers : { ...headers, ...JSON_TYPE },
      body: body === undefined ? undefined : JSON.stringify(body),
    });

  test("only a page of the hub's own or of a listed origin changes anything with it", async () => {
    const session = cookieOf(await login(hub, ADMIN)).Cookie;
    const tokenCookie = `tidings_token=${token({ tidings: { admin: true } })}`;
    for (const Cookie of [session, tokenCookie]) {
      for (const change of CHANGES) {
        for (const Origin of [hub.url, `https://${hub.host}`, LISTED]) {
          assert.ok([200, 404].includes((await send(change, { Cookie, Origin })).status), `${change} from ${Origin}`);
        }
        for (const Origin of [undefined, "null", "https://evil.example", "https://app.example.com:8443", `http://127.0.0.1:${hub.port + 1}`]) {
          const answer = await send(change, Origin ? { Cookie, Origin } : { Cookie });
          assert.equal(answer.status, 403, `${change} from ${Origin}`);
          assert.equal(answer.json.code, "origin");
        }
      }
    }
    const { text } = await hub.get("/metrics", { headers: bearer(ADMIN) });
    assert.match(text, /^tidings_denied_total\{reason="origin"\} 40$/m);
  });

  test("a key in the header needs no Origin, whatever cookies come with it", async () => {
    for (const change of CHANGES) {
      assert.ok([200, 404].includes((await send(change, { ...bearer(ADMIN), Cookie: "tidings_admin=old" })).status));
    }
  });
});

describe("the end of a login", () => {
  test("a reload without its key ends it, and a restart does", async (t) => {
    const file = path.join(await tempDir(t), "hub.conf");
    await writeFile(file, `admin-key = ${ADMIN}\n`);
    const hub = await Hub.started(t, ["--config", file]);
    const { Cookie } = cookieOf(await login(hub, ADMIN));
    await writeFile(file, "admin-key = another-key-0123456789\n");
    hub.signal("SIGHUP");
    await hub.logged(/settings read again/);
    assert.equal((await hub.get("/api/sse/clients", { headers: { Cookie } })).json.code, "session_expired");
    const other = await Hub.started(t, ["--admin-key", ADMIN]);
    assert.equal((await other.get("/api/sse/clients", { headers: { Cookie } })).json.code, "session_expired");
  });

  test("the dashboard's stream ends with it", async (t) => {
    const hub = await Hub.started(t, ["--jwt-secret", SECRET]);
    const exp = Math.floor(Date.now() / 1000) + 2;
    const { Cookie } = cookieOf(await login(hub, token({ exp, tidings: { admin: true } })));
    const stream = await hub.stream(t, "/api/sse/admin/stream", { headers: { Cookie } });
    assert.deepEqual(JSON.parse((await stream.next("__expired")).data), { reason: "session_expired" });
  });

  test("without credentials nobody has to log in", async (t) => {
    const hub = await Hub.started(t);
    assert.deepEqual((await hub.get("/api/sse/admin/session")).json, { needed: false, admin: true, until: null });
  });
});

describe("the dashboard in Chromium", options, () => {
  let browser;
  let hub;
  before(async () => {
    hub = new Hub([...FLAGS, "--heartbeat", "1s", "--retry", "200ms"]);
    await hub.start();
    browser = await Browser.launch();
  });
  after(async () => {
    await browser?.close();
    await hub?.stop();
  });

  test("wrong key, right key, reload, send, kick, log out", async (t) => {
    const page = await browser.page(t, hub, "/admin");
    const key = page.getByLabel("Admin key");
    const enter = page.getByRole("button", { name: "Log in", exact: true });
    await key.waitFor();
    await picture(page, "login");
    await enter.click();
    await page.getByText("Enter a key.").waitFor();
    await key.fill("wrong");
    await enter.click();
    await page.getByText("The hub does not know this key.").waitFor();
    assert.equal(await key.getAttribute("aria-invalid"), "true");
    await picture(page, "login-wrong");
    await key.fill(PUBLISH);
    await key.press("Enter");
    await page.getByText("not an admin's").waitFor();
    await key.fill(ADMIN);
    await key.press("Enter");
    await page.locator('[data-testid="state"][data-state="connected"]').waitFor();
    assert.deepEqual(await page.evaluate(() => document.cookie), "", "scripts cannot read it");

    await page.reload();
    await page.locator('[data-testid="state"][data-state="connected"]').waitFor();
    assert.equal(await key.count(), 0);
    await picture(page, "logged-in");

    const stream = await hub.subscribe(t, "ada", { headers: bearer(token({ sub: "ada" })) });
    const row = page.getByTestId("client-row").filter({ hasText: "ada" });
    await row.waitFor();
    await page.getByLabel("One client", { exact: true }).check();
    await page.getByLabel("Client", { exact: true }).fill("ada");
    await page.getByLabel("Event", { exact: true }).fill("note");
    await page.getByLabel("Payload (JSON)", { exact: true }).fill("1");
    await page.getByRole("button", { name: "Send Notification", exact: true }).click();
    assert.equal((await stream.next("note")).data, "1");
    const kicked = await page.evaluate(async () => (await fetch("/api/sse/clients/ada", { method: "DELETE" })).json());
    assert.deepEqual(kicked, { ok: true, disconnected: 1 });
    await row.waitFor({ state: "detached" });

    await page.getByRole("button", { name: "Log out", exact: true }).click();
    await key.waitFor();
    assert.equal(await page.evaluate(async () => (await fetch("/api/sse/clients")).status), 401);
    await page.reload();
    await key.waitFor();
    await page.check();
  });

  test("a login that is over brings the form back, with the reason", async (t) => {
    const exp = Math.floor(Date.now() / 1000) + 3;
    const page = await browser.page(t, hub, "/admin");
    await page.getByLabel("Admin key").fill(token({ exp, tidings: { admin: true } }));
    await page.getByLabel("Admin key").press("Enter");
    await page.locator('[data-testid="state"][data-state="connected"]').waitFor();
    await page.getByText("The login is over. Enter the key again.").waitFor();
    await page.check();
  });
});
