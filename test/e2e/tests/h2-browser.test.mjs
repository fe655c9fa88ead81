// Many streams in one tab: over HTTP/2 a real Chromium opens as many as it is asked for, over HTTP/1.1 six.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Browser } from "../lib/browser.mjs";
import { certificate } from "../lib/certificate.mjs";
import { BROWSER, Hub, tempDir } from "../lib/hub.mjs";

const options = { skip: BROWSER ? false : "the browser is left out of this run" };
const STREAMS = 20;

/** Opens the streams in the page; what they have had so far is in its `tabs`. */
function open(page, count) {
  return page.evaluate((n) => {
    globalThis.tabs = Array.from({ length: n }, (_, i) => {
      const tab = { source: new EventSource(`/api/sse/subscribe/tab-${i}?topic=tabs`), open: false, data: [] };
      tab.source.addEventListener("__connected", () => (tab.open = true));
      tab.source.addEventListener("many", (event) => tab.data.push(event.data));
      return tab;
    });
  }, count);
}

const opened = (page, count) => page.waitForFunction((n) => globalThis.tabs.filter((tab) => tab.open).length >= n, count);

/** An event for all of them, sent by the same page: the hub's answer. */
function publish(page, payload) {
  return page.evaluate(async (value) => {
    const body = JSON.stringify({ topic: "tabs", event: "many", payload: value });
    const headers = { "Content-Type": "application/json" };
    return (await fetch("/api/sse/notify", { method: "POST", headers, body })).json();
  }, payload);
}

describe("EventSources of one page", options, () => {
  let browser;
  before(async () => {
    browser = await Browser.launch({ ignoreHTTPSErrors: true });
  });
  after(() => browser?.close());

  async function page(t, flags) {
    const { cert, key } = await certificate(await tempDir(t), "browser");
    const hub = await Hub.started(t, ["--tls-cert", cert, "--tls-key", key, ...flags]);
    return browser.page(t, hub, "/client");
  }

  test("are as many as it likes over HTTP/2, on one connection", async (t) => {
    const tab = await page(t, []);
    await open(tab, STREAMS);
    await opened(tab, STREAMS);
    assert.equal((await publish(tab, 42)).connections, STREAMS);
    await tab.waitForFunction(() => globalThis.tabs.every(({ data }) => data.length === 1 && data[0] === "42"));
    const connections = await tab.evaluate(async (n) => {
      const all = [];
      for (let i = 0; i < n; i++) all.push(...(await (await fetch(`/api/sse/clients/tab-${i}`)).json()).connections);
      return all;
    }, STREAMS);
    assert.deepEqual(connections.map(({ protocol }) => protocol), Array.from({ length: STREAMS }, () => "h2"));
    assert.equal(new Set(connections.map(({ address }) => address)).size, 1, "of one socket");
    await tab.check();
  });

  test("are six over HTTP/1.1: the others wait until one is closed", async (t) => {
    const tab = await page(t, ["--http2=false"]);
    await open(tab, STREAMS);
    await opened(tab, 6);
    // Not by fetch, which would wait as well: these streams have all the connections that there are.
    const open6 = await tab.evaluate(() => globalThis.tabs.map((one, i) => (one.open ? i : -1)).filter((i) => i >= 0));
    assert.equal(open6.length, 6);
    await tab.evaluate((i) => globalThis.tabs[i].source.close(), open6[0]);
    await opened(tab, 7);
    await tab.evaluate(() => globalThis.tabs.forEach(({ source }) => source.close()));
    await tab.check();
  });
});
