// SPDX-License-Identifier: MIT
//
// An answer that grows token by token, in a page that may be reloaded at any moment and misses nothing.
//
//     TIDINGS_URL=http://127.0.0.1:3000 PORT=4001 node llm-stream.mjs [--rate 30]
//
// Backend to hub: one request for each answer, whose body stays open; each line of it leaves at once. Hub to
// browser: an EventSource on the topic `answer:<id>`; llm-stream.html says how it goes on after a reload.
// Tokens are numbered, so that one that is sent again, because a connection broke, does no harm.
import { randomUUID } from "node:crypto";
import { EventEmitter, once } from "node:events";
import { readFile } from "node:fs/promises";
import http from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";

const HUB = process.env.TIDINGS_URL ?? "http://127.0.0.1:3000";
const PAGE = new URL("llm-stream.html", import.meta.url);
const { values } = parseArgs({ options: { rate: { type: "string", default: "30" } } });
const ANSWERS_MAX = 100; // the oldest are forgotten
const answers = new Map(); // id → {tokens, done, acknowledged, news}; who knows the id may read it

/** Stands for a language model. */
async function* model(question) {
  const text = Array.from({ length: 20 }, (_, i) => `${i + 1}. Of “${question}” I have thought ${i} times. ✓\n`).join("");
  for (const token of text.match(/\s*\S{1,6}/g)) {
    await pause(1000 / Number(values.rate));
    yield token;
  }
}

/** What is to be published, from the first token that the hub has not acknowledged, as the tokens come. */
async function* lines(id, answer) {
  const line = (event, payload) => `${JSON.stringify({ topic: `answer:${id}`, event, payload })}\n`;
  for (let n = answer.acknowledged; ; n++) {
    while (n === answer.tokens.length && !answer.done) await once(answer.news, "news");
    if (n === answer.tokens.length) return yield line("done", { n });
    yield line("token", { n: n + 1, text: answer.tokens[n] });
  }
}

/** Reads a result for each line. They must be read: a hub whose results nobody takes stops taking lines. */
async function readResults(request, answer) {
  const [response] = await once(request, "response");
  let rest = "";
  for await (const piece of response.setEncoding("utf8")) {
    const results = (rest + piece).split("\n");
    rest = results.pop();
    for (const result of results.map((text) => JSON.parse(text))) {
      if (!result.ok) throw Object.assign(new Error(`${result.code}: ${result.detail}`), { status: result.status });
      answer.acknowledged++;
    }
  }
  if (rest) throw new Error(rest); // the request was refused as a whole
  if (!isDelivered(answer)) throw new Error("the hub has ended the request");
}

const isDelivered = (answer) => answer.done && answer.acknowledged > answer.tokens.length; // and `done`

/** Publishes the answer over one request; over another one from where it was if that breaks. */
async function publish(id, answer) {
  while (!isDelivered(answer)) {
    const headers = { "Content-Type": "application/x-ndjson" };
    const request = http.request(new URL("/api/sse/notify/batch", HUB), { method: "POST", headers });
    request.setNoDelay(true);
    try {
      await Promise.all([pipeline(Readable.from(lines(id, answer)), request), readResults(request, answer)]);
    } catch (error) {
      request.destroy();
      console.error(`answer ${id}: ${error.message}`);
      if (error.status < 500 || !answers.has(id)) return;
      await pause(500);
    }
  }
}

async function think(question, answer) {
  for await (const token of model(question)) {
    answer.tokens.push(token);
    answer.news.emit("news");
  }
  answer.done = true;
  answer.news.emit("news");
}

function ask(question) {
  const id = randomUUID();
  const answer = { tokens: [], done: false, acknowledged: 0, news: new EventEmitter() };
  answers.set(id, answer);
  if (answers.size > ANSWERS_MAX) answers.delete(answers.keys().next().value);
  think(question, answer);
  publish(id, answer);
  return { id };
}

/** The whole text so far, for a reader who was away for longer than the hub remembers. */
function wholeText(id) {
  const { tokens, done } = answers.get(id) ?? { tokens: [], done: true };
  return { text: tokens.join(""), n: tokens.length, done };
}

/** The event stream of the hub, on the page's own origin. Subscribing only: publishing is not for browsers. */
function proxy(request, response) {
  const { host, ...headers } = request.headers;
  const upstream = http.request(new URL(request.url, HUB), { headers }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    pipeline(answer, response).catch(() => {});
  });
  // An EventSource comes back after a broken connection, but never after a status such as 502.
  upstream.on("error", () => response.destroy()).end();
  response.on("close", () => upstream.destroy());
}

async function readText(request) {
  let text = "";
  for await (const piece of request.setEncoding("utf8")) {
    text += piece;
    if (text.length > 10_000) throw new Error("the question is too long");
  }
  return text;
}

async function serve(request, response) {
  const json = (value) => response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(value));
  if (request.method === "GET" && request.url.startsWith("/api/sse/subscribe/")) proxy(request, response);
  else if (request.method === "GET" && request.url.startsWith("/answers/")) json(wholeText(request.url.slice(9)));
  else if (request.method === "POST" && request.url === "/ask") json(ask(await readText(request)));
  else if (request.url === "/") response.writeHead(200, { "Content-Type": "text/html; charset=utf-8" }).end(await readFile(PAGE));
  else response.writeHead(404).end();
}

const server = http.createServer((request, response) => {
  serve(request, response).catch((error) => response.writeHead(400).end(error.message));
});
server.listen(Number(process.env.PORT ?? 4001), "127.0.0.1", () => {
  console.log(`llm-stream on http://127.0.0.1:${server.address().port}`);
});
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(0));
