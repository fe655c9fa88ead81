// Rates, limits by address, and whose address counts.

import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, test } from "node:test";
import { assertProblem } from "../lib/expect.mjs";
import { Hub, tempDir } from "../lib/hub.mjs";

const PROXY = ["--trusted-proxy", "127.0.0.0/8"];
const from = (address) => ({ "X-Forwarded-For": address });
const notify = (hub, headers = {}, n = 1) =>
  hub.request("POST", "/api/sse/notify", {
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify({ topic: "t", event: "e", payload: n }),
  });

describe("events", () => {
  test("are refused beyond twice the rate, with the time to wait, and counted", async (t) => {
    const hub = await Hub.started(t, ["--publish-rate", "1"]);
    const answers = [];
    for (let i = 0; i < 6; i++) answers.push(await notify(hub));
    assert.deepEqual(answers.slice(0, 2).map(({ status }) => status), [200, 200]);
    const refused = answers.filter(({ status }) => status === 429);
    assert.ok(refused.length >= 3, `${refused.length} refused`);
    assert.equal(assertProblem(refused[0], 429).code, "publish_rate");
    assert.match(refused[0].headers.get("retry-after"), /^[12]$/);
    const metrics = (await hub.get("/metrics")).text;
    assert.match(metrics, new RegExp(`tidings_refused_total{limit="publish-rate"} ${refused.length}\n`));
    assert.match(metrics, /tidings_limit{limit="publish-rate"} 1\n/);
  });

  test("of one address do not use up another's, and IPv6 counts by /64", async (t) => {
    const hub = await Hub.started(t, [...PROXY, "--publish-rate-per-address", "1"]);
    const many = async (addresses) => {
      const statuses = [];
      for (const address of addresses) statuses.push((await notify(hub, from(address))).status);
      return statuses;
    };
    assert.deepEqual(await many(["192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.2", "192.0.2.3"]), [200, 200, 200, 200, 200]);
    assert.ok((await many(Array(6).fill("192.0.2.9"))).includes(429));
    assert.equal((await many(["192.0.2.10"]))[0], 200);
    const one64 = Array.from({ length: 6 }, (_, i) => `2001:db8:1:2::${i + 1}`);
    assert.ok((await many(one64)).includes(429));
    assert.equal((await many(["2001:db8:1:3::1"]))[0], 200);
  });

  test("count by key, and each message of a batch is one", async (t) => {
    const hub = await Hub.started(t, ["--publish-key", "one", "--publish-key", "two", "--publish-rate-per-key", "5"]);
    const batch = async (key) => {
      const items = Array.from({ length: 14 }, (_, n) => ({ topic: "t", event: "e", payload: n }));
      const headers = { "Content-Type": "application/json", Authorization: `Bearer ${key}` };
      const answer = await hub.request("POST", "/api/sse/notify/batch", { headers, body: JSON.stringify(items) });
      return JSON.parse(answer.text);
    };
    const results = await batch("one");
    assert.ok(results.slice(0, 10).every(({ ok }) => ok));
    assert.ok(results.some(({ ok, code, status }) => !ok && code === "publish_rate_per_key" && status === 429));
    assert.ok((await batch("two")).slice(0, 10).every(({ ok }) => ok));
  });
});

describe("streams", () => {
  const ask = (hub, client, headers = {}) => hub.request("GET", `/api/sse/subscribe/${client}`, { headers: { Accept: "text/event-stream", ...headers } });

  test("of one address have a ceiling that is exact while they come and go", async (t) => {
    const hub = await Hub.started(t, [...PROXY, "--max-connections-per-address", "3"]);
    const open = (client, address) => hub.subscribe(t, client, { headers: from(address) });
    const first = [await open("a", "192.0.2.1"), await open("b", "192.0.2.1"), await open("c", "192.0.2.1")];
    const refused = await ask(hub, "d", from("192.0.2.1"));
    assert.equal(refused.status, 200);
    assert.match(refused.text, /event: __overloaded\ndata: {"reason":"max_connections_per_address",/);
    await open("other", "192.0.2.2");
    const ended = hub.stderr.length;
    first[1].close();
    await hub.logged(/event=disconnect client=b /, ended);
    await open("e", "192.0.2.1");
    assert.match((await ask(hub, "f", from("192.0.2.1"))).text, /__overloaded/);
    const list = await hub.get("/api/sse/clients/e");
    assert.equal(list.json.connections[0].address, "192.0.2.1");
  });

  test("come at a rate, and who is too quick is told so politely", async (t) => {
    const hub = await Hub.started(t, [...PROXY, "--connect-rate-per-address", "2"]);
    for (let i = 0; i < 4; i++) await hub.subscribe(t, `x${i}`, { headers: from("192.0.2.1") });
    const plain = await hub.request("GET", "/api/sse/subscribe/y", { headers: { Accept: "*/*", ...from("192.0.2.1") } });
    if (plain.status !== 200) assert.equal(assertProblem(plain, 429).code, "connect_rate_per_address");
    assert.match((await hub.get("/metrics")).text, /limit="connect-rate-per-address"} [01]\n/);
    await hub.subscribe(t, "z", { headers: from("192.0.2.2") });
  });
});

describe("whose address", () => {
  const seen = async (t, flags, headers) => {
    const hub = await Hub.started(t, flags);
    await hub.subscribe(t, "me", { headers });
    return (await hub.get("/api/sse/clients/me")).json.connections[0].address;
  };
  test("a stranger's word counts for nothing", async (t) => {
    assert.match(await seen(t, [], from("192.0.2.1")), /^127\.0\.0\.1:\d+$/);
    assert.match(await seen(t, ["--trusted-proxy", "10.0.0.0/8"], from("192.0.2.1")), /^127\.0\.0\.1:\d+$/);
  });
  test("a trusted proxy's does, and stops at the first address that is none", async (t) => {
    assert.equal(await seen(t, PROXY, from("198.51.100.1, 192.0.2.7, 127.0.0.9")), "192.0.2.7");
    assert.equal(await seen(t, PROXY, { Forwarded: 'for="[2001:db8::7]:4711";proto=https' }), "2001:db8::7");
    assert.equal(await seen(t, PROXY, { Forwarded: "for=198.51.100.1", "X-Forwarded-For": "192.0.2.7" }), "192.0.2.7");
  });
});

test("wrong credentials brake all of their address, and nobody else's", async (t) => {
  const hub = await Hub.started(t, [...PROXY, "--admin-key", "right", "--auth-failure-rate-per-address", "2"]);
  const clients = (key, address) => hub.get("/api/sse/clients", { headers: { Authorization: `Bearer ${key}`, ...from(address) } });
  const statuses = [];
  for (let i = 0; i < 8; i++) statuses.push((await clients(`wrong${i}`, "192.0.2.1")).status);
  assert.deepEqual(statuses.slice(0, 4), [401, 401, 401, 401]);
  assert.ok(statuses.includes(429), statuses.join(" "));
  assert.equal((await clients("right", "192.0.2.2")).status, 200);
  const login = () => hub.request("POST", "/api/sse/admin/login", {
    headers: { "Content-Type": "application/json", ...from("192.0.2.3") }, body: '{"key":"wrong"}',
  });
  const logins = [];
  for (let i = 0; i < 8; i++) logins.push((await login()).status);
  assert.ok(logins.includes(401) && logins.includes(429), logins.join(" "));
});

test("SIGHUP changes limits, and a wrong one changes nothing", async (t) => {
  const config = path.join(await tempDir(t), "hub.conf");
  await writeFile(config, "publish-rate = 0\n");
  const hub = await Hub.started(t, ["--config", config]);
  for (let i = 0; i < 5; i++) assert.equal((await notify(hub)).status, 200);
  const reload = async (text, pattern) => {
    const at = hub.stderr.length;
    await writeFile(config, text);
    hub.child.kill("SIGHUP");
    await hub.logged(pattern, at);
  };
  await reload("publish-rate = 1\n", /settings read again/);
  const statuses = [];
  for (let i = 0; i < 8; i++) statuses.push((await notify(hub)).status);
  assert.ok(statuses.includes(429), statuses.join(" "));
  await reload("publish-rate = fast\n", /the old settings stay/);
  assert.match((await hub.get("/metrics")).text, /tidings_limit{limit="publish-rate"} 1\n/);
  await reload("publish-rate = 0\n", /settings read again/);
  assert.equal((await notify(hub)).status, 200);
});

test("each limit has one name: its ceiling, its use, its refusals, the dashboard and the page", async (t) => {
  const nobody = "http://127.0.0.1:9/"; // is never asked
  const hub = await Hub.started(t, ["--authorize-url", nobody, "--event-url", nobody]);
  const metrics = (await hub.get("/metrics")).text;
  const named = (metric) => [...metrics.matchAll(new RegExp(`^${metric}{limit="([^"]+)"} \\d+$`, "gm"))].map(([, name]) => name).sort();
  const limits = named("tidings_limit");
  assert.ok(limits.length > 10, limits.join());
  assert.deepEqual(named("tidings_refused_total"), [...limits, "descriptors", "draining"].sort());
  for (const name of named("tidings_limit_used")) assert.ok(limits.includes(name), name);

  const dashboard = await hub.stream(t, "/api/sse/admin/stream");
  const { limits: shown } = JSON.parse((await dashboard.next(({ event }) => event === "stats")).data);
  assert.deepEqual(shown.map(({ name }) => name).sort(), limits);
  assert.deepEqual(shown.filter(({ used }) => used !== null).map(({ name }) => name).sort(), named("tidings_limit_used"));

  const page = await readFile(new URL("../../../docs/limits.md", import.meta.url), "utf8");
  for (const name of [...limits, "descriptors", "draining"]) assert.ok(page.includes(`\`${name}\``), `docs/limits.md names ${name}`);
});
