// examples/llm-stream.mjs: an answer that is published token by token on a request that stays open, and a page that is
// reloaded in the middle.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { after, before, describe, test } from "node:test";
import { LineStream } from "../lib/batch.mjs";
import { Browser } from "../lib/browser.mjs";
import { BROWSER, Hub, cleanEnv } from "../lib/hub.mjs";
import { metric } from "../lib/replay.mjs";
import { within } from "../lib/wait.mjs";

const PROGRAM = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../../examples/llm-stream.mjs");
const options = { skip: BROWSER ? false : "the browser is left out of this run" };

/** The example in front of a hub, for as long as the test. */
async function startExample(t, hub, { rate = 100 } = {}) {
  const env = cleanEnv({ TIDINGS_URL: hub.url, PORT: "0" });
  const child = spawn(process.execPath, [PROGRAM, "--rate", String(rate)], { env, stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => child.kill("SIGKILL"));
  for await (const line of createInterface({ input: child.stdout })) {
    const said = /^llm-stream on (http:\S+)$/.exec(line);
    if (said) return { url: said[1] };
  }
  throw new Error("the example ended at once");
}

async function ask(example, question) {
  const answer = await fetch(`${example.url}/ask`, { method: "POST", body: question });
  return (await answer.json()).id;
}

/** What the model said, as the backend has it. */
async function wholeText(example, id) {
  const answer = await (await fetch(`${example.url}/answers/${id}`)).json();
  assert.equal(answer.done, true);
  assert.ok(answer.n > 100 && answer.text.includes("✓"), answer.text);
  return answer;
}

/** [n, text] of each token that has come. */
function tokensOf(stream) {
  const tokens = stream.published.filter(([event]) => event === "token");
  return tokens.map(([, data]) => JSON.parse(data)).map(({ n, text }) => [n, text]);
}

/** Makes the page reload itself as soon as it has so many tokens, whatever the test does meanwhile. */
function reloadAt(count) {
  if (location.hash || sessionStorage.getItem("reloaded")) return;
  addEventListener("DOMContentLoaded", () => {
    const seen = new MutationObserver(() => {
      const kept = JSON.parse(sessionStorage.getItem(location.hash.slice(1)));
      if (!kept || kept.n < count) return;
      seen.disconnect();
      sessionStorage.setItem("reloaded", kept.n);
      location.reload();
    });
    seen.observe(document.getElementById("answer"), { childList: true });
  });
}

const isDone = () => document.getElementById("state").textContent === "done";
const shown = (page) => page.evaluate(() => document.getElementById("answer").textContent);

describe("lines of an open request", () => {
  test("reach the readers of a topic one by one: each has come before the next is written", async (t) => {
    const hub = await Hub.started(t);
    const readers = await Promise.all(["one", "other"].map((id) => hub.subscribe(t, id, { query: "topic=answer%3A1" })));
    const lines = await LineStream.open(t, hub);
    for (let n = 1; n <= 50; n++) {
      await lines.send({ topic: "answer:1", event: "token", payload: { n, text: ` ü${n}` } });
      for (const reader of readers) assert.equal((await reader.next("token")).data, `{"n":${n},"text":" ü${n}"}`);
      assert.equal((await lines.next()).connections, 2);
    }
    await lines.finish();
    assert.equal((await lines.end()).length, 50);
  });
});

describe("the example's backend", () => {
  test("publishes every token in order on one request, and then done", async (t) => {
    const hub = await Hub.started(t);
    const example = await startExample(t, hub, { rate: 1000 });
    const id = await ask(example, "streams");
    const stream = await hub.subscribe(t, "reader", { query: `topic=answer%3A${id}&replay=10000` });
    await stream.next("done");
    const tokens = tokensOf(stream);
    const { text, n } = await wholeText(example, id);
    assert.deepEqual(tokens.map(([number]) => number), Array.from({ length: n }, (_, i) => i + 1));
    assert.equal(tokens.map(([, token]) => token).join(""), text);
    assert.equal(await metric(hub, "tidings_batches_total"), 1);
  });

  test("goes on over another request when the hub was away", async (t) => {
    const hub = await Hub.started(t);
    const example = await startExample(t, hub);
    const id = await ask(example, "outages");
    const first = await hub.subscribe(t, "reader", { query: `topic=answer%3A${id}&replay=10000` });
    await first.next((block) => block.event === "token" && JSON.parse(block.data).n === 10);
    await hub.kill();
    const again = await Hub.started(t, [], { listen: [`127.0.0.1:${hub.port}`] });
    const second = await again.subscribe(t, "reader", { query: `topic=answer%3A${id}&replay=10000` });
    await second.next("done");
    const tokens = new Map([...tokensOf(first), ...tokensOf(second)]);
    const { text, n } = await wholeText(example, id);
    assert.equal(Array.from({ length: n }, (_, i) => tokens.get(i + 1)).join(""), text);
  });
});

describe("the example's page in Chromium", options, () => {
  let browser;
  before(async () => (browser = await Browser.launch()));
  after(() => browser?.close());

  async function askOnPage(page, question) {
    await page.getByLabel("Question").fill(question);
    await page.getByRole("button", { name: "Ask" }).click();
  }

  /** The only answer of the tab: its id, and what the page keeps of it. */
  function keptOf(page) {
    return page.evaluate(() => [location.hash.slice(1), JSON.parse(sessionStorage.getItem(location.hash.slice(1)))]);
  }

  test("reloaded in the middle, it goes on from its cursor and has every token once", async (t) => {
    const hub = await Hub.started(t);
    const example = await startExample(t, hub);
    const page = await browser.page(t, example, "/");
    const streams = [];
    page.on("request", (request) => request.url().includes("/api/sse/subscribe/") && streams.push(request.url()));
    await page.addInitScript(reloadAt, 20);
    await page.reload();
    await askOnPage(page, "reloading");
    await page.waitForFunction(isDone);
    const [id] = await keptOf(page);
    const { text, n } = await wholeText(example, id);
    assert.equal(await shown(page), text);
    const before = Number(await page.evaluate(() => sessionStorage.getItem("reloaded")));
    assert.ok(before >= 20 && before < n, `reloaded after ${before} of ${n} tokens`);
    assert.equal(streams.length, 2);
    assert.match(streams[0], /[?&]replay=10000$/);
    assert.match(streams[1], /[?&]lastEventId=[0-9a-z-]+$/);
    assert.equal(await metric(hub, 'tidings_subscriptions_total{resume="complete"}'), 1);
    assert.equal(await metric(hub, 'tidings_subscriptions_total{resume="incomplete"}'), 0);
    await page.check();
  });

  test("away for longer than the hub remembers, it is told so and loads the whole text", async (t) => {
    const hub = await Hub.started(t, ["--history-size", "5"]);
    const example = await startExample(t, hub, { rate: 1000 });
    const page = await browser.page(t, example, "/");
    await askOnPage(page, "forgetting");
    await page.waitForFunction(isDone);
    const [id] = await keptOf(page);
    const { text } = await wholeText(example, id);
    assert.equal(await shown(page), text);
    // As if the page had been closed before the first token.
    await page.evaluate((key) => {
      const kept = JSON.parse(sessionStorage.getItem(key));
      const cursor = kept.cursor.replace(/-.*/, "-0000000000");
      sessionStorage.setItem(key, JSON.stringify({ text: "", n: 0, cursor, done: false }));
    }, id);
    const asked = page.waitForRequest((request) => request.url().includes(`/answers/${id}`));
    await page.reload();
    await within(asked, "the page to ask for the whole text");
    await page.waitForFunction(isDone);
    assert.equal(await shown(page), text);
    assert.equal(await metric(hub, 'tidings_subscriptions_total{resume="incomplete"}'), 1);
    await page.check();
  });
});
