// The guide's "How to Run and Test", in a real browser.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Browser, picture } from "../lib/browser.mjs";
import { BROWSER, Hub, freePort } from "../lib/hub.mjs";
import { DEADLINE, eventually } from "../lib/wait.mjs";

const options = { skip: BROWSER ? false : "the browser is left out of this run" };

/** Waits until the element's text matches. */
async function shows(locator, pattern) {
  await locator.filter({ hasText: pattern }).first().waitFor({ timeout: DEADLINE });
}

async function join(page, name) {
  await page.getByLabel("Name", { exact: true }).fill(name);
  await page.getByRole("button", { name: "Join", exact: true }).click();
  await page.locator('[data-testid="state"][data-state="connected"]').waitFor();
}

function row(page, clientId) {
  return page.getByTestId("client-row").filter({ hasText: clientId });
}

async function send(page, { target, client, topic, event, payload }) {
  await page.getByLabel(target, { exact: true }).check();
  if (client !== undefined) await page.getByLabel("Client", { exact: true }).fill(client);
  if (topic !== undefined) await page.getByLabel("Topic", { exact: true }).fill(topic);
  await page.getByLabel("Event", { exact: true }).fill(event);
  await page.getByLabel("Payload (JSON)", { exact: true }).fill(payload);
  await page.getByRole("button", { name: "Send Notification", exact: true }).click();
}

describe("the pages in Chromium", options, () => {
  let browser;
  let hub;
  before(async () => {
    hub = new Hub(["--heartbeat", "1s", "--retry", "200ms"]);
    await hub.start();
    browser = await Browser.launch();
  });
  after(async () => {
    await browser?.close();
    await hub?.stop();
  });

  test("the guide's walk: join, see the client in the dashboard, send, see it arrive", async (t) => {
    const client = await browser.page(t, hub, "/client");
    await join(client, "Ada");
    const admin = await browser.page(t, hub, "/admin");
    await admin.getByRole("heading", { name: "Connected Clients" }).waitFor();
    await row(admin, "Ada").waitFor();
    await shows(admin.getByTestId("total-connections"), /^1$/);
    await shows(admin.getByTestId("total-clients"), /^1$/);
    await send(admin, { target: "One client", client: "Ada", event: "notification", payload: '{"message":"Hello from the walk"}' });
    await shows(admin.getByTestId("answer"), /\b1 connection\b/);
    await shows(client.getByTestId("notification"), "Hello from the walk");
    await admin.getByTestId("sent-row").first().waitFor();
    await picture(client, "client");
    await picture(admin, "admin");
    await client.check();
    await admin.check();
  });

  test("a broadcast reaches every client page", async (t) => {
    const pages = [];
    for (const name of ["Grace", "Edsger"]) {
      const page = await browser.page(t, hub, "/client");
      await join(page, name);
      pages.push(page);
    }
    const admin = await browser.page(t, hub, "/admin");
    await send(admin, { target: "Everyone (broadcast)", event: "system-alert", payload: '{"level":"warning","message":"To all"}' });
    for (const page of pages) {
      await shows(page.getByTestId("notification"), "To all");
      await shows(page.getByTestId("notification"), "system-alert");
    }
    await shows(admin.getByTestId("answer"), /\b2 connections\b/);
  });

  test("a topic reaches those who subscribed to it", async (t) => {
    const stream = await hub.subscribe(t, "topic-reader", { query: "topic=news" });
    const admin = await browser.page(t, hub, "/admin");
    await send(admin, { target: "A topic", topic: "news", event: "notification", payload: "1.10" });
    assert.equal((await stream.next("notification")).data, "1.10");
  });

  test("leaving makes the client vanish from the dashboard by itself", async (t) => {
    const admin = await browser.page(t, hub, "/admin");
    const client = await browser.page(t, hub, "/client");
    await join(client, "Leaver");
    await row(admin, "Leaver").waitFor();
    await client.getByRole("button", { name: "Leave", exact: true }).click();
    await row(admin, "Leaver").waitFor({ state: "detached" });
    await client.getByRole("button", { name: "Join", exact: true }).waitFor();
    await client.check();
  });

  test("closing the tab makes the client vanish too", async (t) => {
    const admin = await browser.page(t, hub, "/admin");
    const client = await browser.page(t, hub, "/client");
    await join(client, "TabCloser");
    await row(admin, "TabCloser").waitFor();
    await client.close();
    await row(admin, "TabCloser").waitFor({ state: "detached" });
  });

  test("who does not read is seen: a tile, and how many events wait for whom", async (t) => {
    const own = await Hub.started(t, ["--send-buffer", "16KiB", "--history-bytes", "16MiB"]);
    const stream = await own.subscribe(t, "dawdler");
    stream.connection.socket.pause();
    const admin = await browser.page(t, own, "/admin");
    await shows(admin.getByTestId("slow-readers"), /^0$/);
    const payload = "x".repeat(100_000);
    await eventually(async () => {
      await own.publish({ clientId: "dawdler", event: "filler", payload });
      return (await own.get("/api/sse/clients")).json.clients[0].pending >= 10;
    }, "the socket to be full, and to stay so");
    const last = await own.publish({ clientId: "dawdler", event: "last", payload: 1 });
    await shows(admin.getByTestId("slow-readers"), /^1$/);
    await shows(row(admin, "dawdler").getByTestId("client-pending"), /^[1-9]/);
    await picture(admin, "admin-slow");
    stream.connection.socket.resume();
    await stream.next(({ id }) => id === last.id);
    await shows(admin.getByTestId("slow-readers"), /^0$/);
    await shows(row(admin, "dawdler").getByTestId("client-pending"), /^0$/);
    await shows(row(admin, "dawdler").getByTestId("client-resyncs"), /^0$/);
    await admin.check();
  });

  test("clients that are no browsers come and go in the dashboard as well", async (t) => {
    const admin = await browser.page(t, hub, "/admin");
    const stream = await hub.subscribe(t, "raw-socket");
    await row(admin, "raw-socket").waitFor();
    stream.close();
    await row(admin, "raw-socket").waitFor({ state: "detached" });
  });

  test("the dashboard says when nobody was there to get it", async (t) => {
    const admin = await browser.page(t, hub, "/admin");
    await send(admin, { target: "One client", client: "nobody-at-all", event: "notification", payload: "1" });
    await shows(admin.getByTestId("answer"), /nobody|not connected|0 connections/i);
  });

  test("a payload that is no JSON is not sent", async (t) => {
    const stream = await hub.subscribe(t, "careful");
    const admin = await browser.page(t, hub, "/admin");
    await send(admin, { target: "One client", client: "careful", event: "notification", payload: '{"broken":' });
    await admin.locator('textarea[aria-invalid="true"]').waitFor();
    await send(admin, { target: "One client", client: "careful", event: "notification", payload: '{"whole":1}' });
    await stream.next("notification");
    assert.deepEqual(stream.published, [["notification", '{"whole":1}']]);
  });

  test("a payload reaches the hub as it was typed", async (t) => {
    const stream = await hub.subscribe(t, "exact");
    const admin = await browser.page(t, hub, "/admin");
    await send(admin, { target: "One client", client: "exact", event: "notification", payload: '{"n":12345678901234567890,"f":1.10}' });
    assert.equal((await stream.next("notification")).data, '{"n":12345678901234567890,"f":1.10}');
  });

  test("the whole walk works with the keyboard alone", async (t) => {
    const client = await browser.page(t, hub, "/client");
    await focus(client, client.getByLabel("Name", { exact: true }));
    await client.keyboard.type("Keys");
    await client.keyboard.press("Enter");
    await client.locator('[data-testid="state"][data-state="connected"]').waitFor();
    const admin = await browser.page(t, hub, "/admin");
    await row(admin, "Keys").waitFor();
    await focus(admin, admin.locator('input[type="radio"]:checked'));
    await admin.keyboard.press("ArrowDown");
    await admin.keyboard.press("ArrowUp");
    assert.ok(await admin.getByLabel("One client", { exact: true }).isChecked());
    await focus(admin, admin.getByLabel("Client", { exact: true }));
    await admin.keyboard.type("Keys");
    await focus(admin, admin.getByLabel("Payload (JSON)", { exact: true }));
    await admin.keyboard.press("Control+A");
    await admin.keyboard.type('"typed"');
    await focus(admin, admin.getByRole("button", { name: "Send Notification", exact: true }));
    await admin.keyboard.press("Enter");
    await shows(client.getByTestId("notification"), "typed");
    await client.bringToFront();
    await focus(client, client.getByRole("button", { name: "Leave", exact: true }));
    await client.keyboard.press("Enter");
    await row(admin, "Keys").waitFor({ state: "detached" });
  });

  /** Moves to the element with Tab. */
  async function focus(page, locator) {
    await page.bringToFront();
    for (let n = 0; n < 80; n++) {
      if (await locator.evaluate((element) => element === document.activeElement)) return;
      await page.keyboard.press("Tab");
    }
    assert.fail(`${locator} cannot be reached with Tab`);
  }

  test("/ leads to both pages", async (t) => {
    for (const target of ["/client", "/admin"]) {
      const page = await browser.page(t, hub, "/");
      await page.locator(`a[href="${target}"]`).first().click();
      await page.waitForURL(`${hub.url}${target}`);
      await page.check();
    }
  });

  test("pages fit a phone: nothing is wider than the screen", async (t) => {
    for (const address of ["/", "/client", "/admin"]) {
      const page = await browser.page(t, hub, address);
      await page.setViewportSize({ width: 360, height: 740 });
      const [content, screen] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
      assert.ok(content <= screen, `${address}: ${content} > ${screen}`);
      await picture(page, `phone${address.replace("/", "-")}`);
      await page.check();
    }
  });

  test("pages follow the colour scheme", async (t) => {
    const page = await browser.page(t, hub, "/admin");
    const background = () => page.evaluate(() => ["html", "body"].map((name) => getComputedStyle(document.querySelector(name)).background).join());
    await page.emulateMedia({ colorScheme: "light" });
    const light = await background();
    await page.emulateMedia({ colorScheme: "dark" });
    await eventually(async () => (await background()) !== light, "another background");
    await picture(page, "admin-dark");
  });

  test("an event whose payload is HTML is shown as text", async (t) => {
    const client = await browser.page(t, hub, "/client");
    await join(client, "Careful<b>x</b>");
    await hub.publish({ clientId: "Careful<b>x</b>", event: "<img src=x>", payload: "<img src=x onerror=alert(1)>" });
    await shows(client.getByTestId("notification"), "<img src=x onerror=alert(1)>");
    assert.equal(await client.locator("img[src=x]").count(), 0);
    await client.check();
  });
});

describe("pages over plain HTTP", () => {
  const hub = new Hub();
  before(() => hub.start());
  after(() => hub.stop());

  for (const target of ["/", "/client", "/admin"]) {
    test(`${target} is HTML with a policy that allows files of the hub only`, options, async () => {
      const answer = await hub.get(target);
      assert.equal(answer.status, 200);
      assert.match(answer.headers.get("content-type"), /^text\/html; charset=utf-8$/i);
      const policy = answer.headers.get("content-security-policy");
      assert.match(policy, /default-src 'self'|default-src 'none'/);
      assert.doesNotMatch(policy, /unsafe-eval|https?:/);
      assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
    });

    test(`${target} is compressed for those who ask, and 304 for those who have it`, options, async () => {
      const plain = await hub.get(target);
      const etag = plain.headers.get("etag");
      assert.match(etag, /^(W\/)?"[^"]+"$/);
      const gzip = await hub.get(target, { headers: { "Accept-Encoding": "gzip" } });
      const coding = gzip.headers.get("content-encoding");
      if (coding !== undefined) {
        assert.equal(coding, "gzip");
        const { gunzipSync } = await import("node:zlib");
        assert.deepEqual(gunzipSync(gzip.bytes), plain.bytes);
      }
      const again = await hub.get(target, { headers: { "If-None-Match": etag } });
      assert.equal(again.status, 304);
    });

    test(`HEAD ${target} has the length of the page and no body`, options, async () => {
      const [get, head] = [await hub.get(target), await hub.request("HEAD", target)];
      assert.equal(head.status, 200);
      assert.equal(head.headers.get("content-length"), get.headers.get("content-length"));
    });
  }
});

describe("a browser's own EventSource", options, () => {
  let browser;
  before(async () => {
    browser = await Browser.launch();
  });
  after(() => browser?.close());

  /** Opens an EventSource in the page and keeps what it hears. */
  async function listen(page, clientId, names = ["__connected", "__overloaded", "__heartbeat", "x"]) {
    await page.evaluate(
      ([url, events]) => {
        globalThis.heard = [];
        globalThis.source = new EventSource(url);
        for (const name of events) {
          globalThis.source.addEventListener(name, (e) => globalThis.heard.push({ name, data: JSON.parse(e.data), id: e.lastEventId }));
        }
      },
      [`/api/sse/subscribe/${clientId}`, names],
    );
  }

  /** Waits for the n-th event of that name. */
  async function heard(page, name, n = 1) {
    return eventually(async () => {
      const found = await page.evaluate((wanted) => globalThis.heard.filter((event) => event.name === wanted), name);
      return found.length >= n ? found[n - 1] : undefined;
    }, `${name} number ${n} in the page`);
  }

  test("gets __connected, events and heartbeats, each with an id", async (t) => {
    const hub = await Hub.started(t, ["--heartbeat", "500ms"]);
    const page = await browser.page(t, hub);
    await listen(page, "native");
    assert.equal((await heard(page, "__connected")).data.clientId, "native");
    const { id } = await hub.publish({ clientId: "native", event: "x", payload: { n: 1 } });
    assert.deepEqual(await heard(page, "x"), { name: "x", data: { n: 1 }, id });
    assert.notEqual((await heard(page, "__heartbeat")).id, "");
    await page.check();
  });

  test("resumes after the hub was started again on the same port", async (t) => {
    const listenOn = { listen: [`127.0.0.1:${await freePort()}`] };
    const first = await Hub.started(t, ["--retry", "200ms"], listenOn);
    const page = await browser.page(t, first);
    await listen(page, "survivor");
    assert.equal((await heard(page, "__connected")).data.resume, "fresh");
    await first.stop();
    const second = await Hub.started(t, ["--retry", "200ms"], listenOn);
    assert.equal((await heard(page, "__connected", 2)).data.resume, "incomplete");
    await second.publish({ clientId: "survivor", event: "x", payload: 2 });
    assert.equal((await heard(page, "x")).data, 2);
  });

  test("survives a crash of the hub", async (t) => {
    const listenOn = { listen: [`127.0.0.1:${await freePort()}`] };
    const first = await Hub.started(t, ["--retry", "200ms"], listenOn);
    const page = await browser.page(t, first);
    await listen(page, "survivor");
    await heard(page, "__connected");
    await first.kill();
    await Hub.started(t, ["--retry", "200ms"], listenOn);
    await heard(page, "__connected", 2);
  });

  test("gets __overloaded, comes back by itself and is let in", async (t) => {
    const hub = await Hub.started(t, ["--max-connections", "1", "--retry", "200ms"]);
    const page = await browser.page(t, hub);
    const stream = await hub.subscribe(t, "first");
    await listen(page, "second");
    assert.equal(typeof (await heard(page, "__overloaded")).data.reason, "string");
    stream.close();
    await heard(page, "__connected");
    assert.equal(await page.evaluate(() => globalThis.source.readyState), 1);
  });

  test("stops for good when it is banned", async (t) => {
    const hub = await Hub.started(t, ["--retry", "200ms"]);
    const page = await browser.page(t, hub);
    await listen(page, "banned");
    await heard(page, "__connected");
    await hub.request("DELETE", "/api/sse/clients/banned?ban=600");
    await eventually(() => page.evaluate(() => globalThis.source.readyState === 2), "readyState CLOSED");
  });
});
