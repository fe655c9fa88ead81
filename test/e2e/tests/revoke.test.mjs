// Ending and barring streams by address and by token, and lifting it again.

import assert from "node:assert/strict";
import crypto from "node:crypto";
import { describe, test } from "node:test";
import { assertProblem } from "../lib/expect.mjs";
import { Hub } from "../lib/hub.mjs";

const PROXY = ["--trusted-proxy", "127.0.0.0/8"];
const from = (address) => ({ "X-Forwarded-For": address });

function token(secret, claims) {
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const text = `${encode({ alg: "HS256" })}.${encode({ exp: Math.floor(Date.now() / 1000) + 600, ...claims })}`;
  return `${text}.${crypto.createHmac("sha256", secret).update(text).digest("base64url")}`;
}

/** Waits for the end of a stream. */
const ended = (stream) => stream.end();

describe("an address", () => {
  test("loses its streams on all loops at once, and is kept away until it is let in again", async (t) => {
    const hub = await Hub.started(t, [...PROXY, "--loops", "2"]);
    const bad = await Promise.all(Array.from({ length: 8 }, (_, i) => hub.subscribe(t, `bad${i}`, { headers: from("192.0.2.1") })));
    const good = await hub.subscribe(t, "good", { headers: from("192.0.2.2") });
    const answer = await hub.request("DELETE", "/api/sse/addresses/192.0.2.1?ban=3600");
    assert.deepEqual(answer.json, { ok: true, disconnected: 8 });
    await Promise.all(bad.map(ended));
    assert.equal((await hub.metrics()).totalConnections, 1);
    const again = await hub.request("GET", "/api/sse/subscribe/bad0", { headers: { Accept: "text/event-stream", ...from("192.0.2.1") } });
    assert.equal(again.status, 204);
    const other = await hub.request("POST", "/api/sse/notify", {
      headers: { "Content-Type": "application/json", ...from("192.0.2.1") }, body: '{"topic":"t","event":"e","payload":1}',
    });
    assert.equal(assertProblem(other, 403).code, "banned");
    assert.equal((await hub.get("/healthz", { headers: from("192.0.2.1") })).status, 200);
    await hub.publish({ clientId: "good", event: "still", payload: 1 });
    await good.next("still");
    const { bans, total } = (await hub.get("/api/sse/bans")).json;
    assert.equal(total, 1);
    assert.equal(bans[0].kind, "address");
    assert.equal(bans[0].key, "192.0.2.1");
    assert.ok(bans[0].until > Date.now());
    assert.match((await hub.get("/metrics")).text, /tidings_limit_used{limit="bans"} 1\n/);
    assert.equal((await hub.request("DELETE", "/api/sse/bans/addresses/192.0.2.1")).status, 200);
    assert.equal(assertProblem(await hub.request("DELETE", "/api/sse/bans/addresses/192.0.2.1"), 404).code, "not_banned");
    await hub.subscribe(t, "bad0", { headers: from("192.0.2.1") });
  });

  test("of IPv6 means its /64", async (t) => {
    const hub = await Hub.started(t, PROXY);
    const stream = await hub.subscribe(t, "six", { headers: from("2001:db8:1:2::1") });
    assert.equal((await hub.request("DELETE", "/api/sse/addresses/2001:db8:1:2::ffff")).json.disconnected, 1);
    await ended(stream);
  });

  test("that is none is refused, and one without streams is not found unless it is banned", async (t) => {
    const hub = await Hub.started(t, PROXY);
    assert.equal(assertProblem(await hub.request("DELETE", "/api/sse/addresses/somewhere"), 400).code, "invalid_address");
    assert.equal(assertProblem(await hub.request("DELETE", "/api/sse/addresses/192.0.2.1"), 404).code, "not_connected");
    assert.deepEqual((await hub.request("DELETE", "/api/sse/addresses/192.0.2.1?ban=10")).json, { ok: true, disconnected: 0 });
  });
});

test("a client's ban is listed and can be lifted", async (t) => {
  const hub = await Hub.started(t);
  await hub.request("DELETE", "/api/sse/clients/ada?ban=3600");
  assert.deepEqual((await hub.get("/api/sse/bans")).json.bans.map(({ kind, key }) => [kind, key]), [["client", "ada"]]);
  assert.equal((await hub.request("GET", "/api/sse/subscribe/ada")).status, 204);
  assert.equal((await hub.request("DELETE", "/api/sse/bans/clients/ada")).status, 200);
  await hub.subscribe(t, "ada");
});

test("a token is revoked by its id, whoever holds it", async (t) => {
  const secret = "a secret of at least thirty-two bytes";
  const hub = await Hub.started(t, ["--jwt-secret", secret, "--admin-key", "boss"]);
  const admin = { Authorization: "Bearer boss" };
  const bearer = (claims) => ({ Authorization: `Bearer ${token(secret, claims)}` });
  const stolen = bearer({ sub: "ada", jti: "t-1" });
  const one = await hub.subscribe(t, "ada", { headers: stolen });
  const two = await hub.subscribe(t, "ada", { headers: bearer({ sub: "ada", jti: "t-2" }) });
  const answer = await hub.request("DELETE", "/api/sse/tokens/t-1?ban=3600", { headers: admin });
  assert.deepEqual(answer.json, { ok: true, disconnected: 1 });
  await ended(one);
  assert.equal((await hub.request("GET", "/api/sse/subscribe/ada", { headers: stolen })).status, 204);
  const publisher = bearer({ jti: "t-1", tidings: { publish: ["*"] } });
  const refused = await hub.request("POST", "/api/sse/notify", {
    headers: { "Content-Type": "application/json", ...publisher }, body: '{"clientId":"ada","event":"e","payload":1}',
  });
  assert.equal(assertProblem(refused, 403).code, "banned");
  const sent = await hub.request("POST", "/api/sse/notify", {
    headers: { "Content-Type": "application/json", ...admin }, body: '{"clientId":"ada","event":"still","payload":1}',
  });
  assert.equal(sent.json.connections, 1);
  await two.next("still");
});
