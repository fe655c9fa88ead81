// Starting, settings, listeners, logs, reload.

import assert from "node:assert/strict";
import { existsSync, statSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { describe, test } from "node:test";
import { assertOverloaded, assertProblem } from "../lib/expect.mjs";
import { Hub, cleanEnv, freePort, runTidings, tempDir } from "../lib/hub.mjs";
import { requestBytes } from "../lib/raw.mjs";
import { eventually } from "../lib/wait.mjs";

async function configFile(t, text, name = "tidings.conf") {
  const file = path.join(await tempDir(t), name);
  await writeFile(file, text);
  return file;
}

/** How many streams of one client the hub lets in, up to five. */
async function perClientLimit(t, hub) {
  for (let n = 0; n < 5; n++) {
    const stream = await hub.stream(t, "/api/sse/subscribe/counting");
    const first = await stream.next((block) => block.event !== undefined);
    if (first.event === "__overloaded") return n;
  }
  return 5;
}

/** A start that must fail: one line on stderr that names `culprit`, nothing on stdout. */
async function assertRefusedStart(args, code, culprit, options) {
  const { code: got, stdout, stderr } = await runTidings(args, options);
  assert.equal(got, code, stderr);
  assert.match(stderr, culprit);
  assert.equal(stdout, "");
  return stderr;
}

describe("settings come from", () => {
  test("the flag", async (t) => {
    const hub = await Hub.started(t, ["--max-connections-per-client", "3"]);
    assert.equal(await perClientLimit(t, hub), 3);
  });

  test("the flag with =", async (t) => {
    const hub = await Hub.started(t, ["--max-connections-per-client=3"]);
    assert.equal(await perClientLimit(t, hub), 3);
  });

  test("the environment", async (t) => {
    const hub = await Hub.started(t, [], { env: { TIDINGS_MAX_CONNECTIONS_PER_CLIENT: "2" } });
    assert.equal(await perClientLimit(t, hub), 2);
  });

  test("the file", async (t) => {
    const file = await configFile(t, "# limits\n\nmax-connections-per-client = 1\n");
    const hub = await Hub.started(t, ["--config", file]);
    assert.equal(await perClientLimit(t, hub), 1);
  });

  test("the environment before the file", async (t) => {
    const file = await configFile(t, "max-connections-per-client = 1\n");
    const hub = await Hub.started(t, ["--config", file], { env: { TIDINGS_MAX_CONNECTIONS_PER_CLIENT: "2" } });
    assert.equal(await perClientLimit(t, hub), 2);
  });

  test("the flag before both", async (t) => {
    const file = await configFile(t, "max-connections-per-client = 1\n");
    const hub = await Hub.started(t, ["--config", file, "--max-connections-per-client", "3"], {
      env: { TIDINGS_MAX_CONNECTIONS_PER_CLIENT: "2" },
    });
    assert.equal(await perClientLimit(t, hub), 3);
  });

  test("a file that the environment names", async (t) => {
    const file = await configFile(t, "max-connections-per-client = 1\n");
    const hub = await Hub.started(t, [], { env: { TIDINGS_CONFIG: file } });
    assert.equal(await perClientLimit(t, hub), 1);
  });

  test("repeated lines of the file for what is repeatable", async (t) => {
    const file = await configFile(t, "listen = 127.0.0.1:0\nlisten = 127.0.0.1:0\n");
    const hub = await Hub.started(t, ["--config", file], { listen: [], listeners: 2 });
    assert.equal(new Set(hub.urls).size, 2);
  });
});

describe("durations and sizes", () => {
  for (const value of ["500ms", "15s", "2m", "1h", "15", "0"]) {
    test(`--heartbeat ${value} is understood`, async () => {
      const { code, stderr } = await runTidings(["serve", "--check-config", "--heartbeat", value]);
      assert.equal(code, 0, stderr);
    });
  }
  for (const value of ["16KiB", "1MiB", "65536"]) {
    test(`--max-body ${value} is understood`, async () => {
      const { code, stderr } = await runTidings(["serve", "--check-config", "--max-body", value]);
      assert.equal(code, 0, stderr);
    });
  }
  for (const [flag, value] of [
    ["heartbeat", "soon"],
    ["heartbeat", "15x"],
    ["heartbeat", "-1s"],
    ["heartbeat", "1.5s"],
    ["heartbeat", ""],
    ["heartbeat", "99999999999999h"],
    ["max-body", "1XB"],
    ["max-body", "-1"],
    ["max-connections", "many"],
    ["max-connections-per-client", "1.5"],
    ["listen", "nowhere"],
    ["listen", "127.0.0.1:99999"],
    ["listen", "127.0.0.1"],
    ["log-format", "xml"],
    ["log-level", "loud"],
    ["loops", "x"],
  ]) {
    test(`--${flag} ${JSON.stringify(value)} is exit code 2 and one line that names it`, async () => {
      const stderr = await assertRefusedStart(["serve", `--${flag}`, value], 2, new RegExp(flag));
      assert.equal(stderr.trimEnd().split("\n").length, 1, stderr);
    });
  }
});

describe("a wrong start", () => {
  test("with an unknown flag is exit code 2 and names it", async () => {
    await assertRefusedStart(["serve", "--no-such-flag"], 2, /no-such-flag/);
  });

  test("with an unknown command is exit code 2 and names it", async () => {
    await assertRefusedStart(["sevre"], 2, /sevre/);
  });

  test("with a flag that lacks its value is exit code 2 and names it", async () => {
    await assertRefusedStart(["serve", "--heartbeat"], 2, /heartbeat/);
  });

  test("with a bad value in the environment is exit code 2 and names it", async () => {
    await assertRefusedStart(["serve", "--listen", "127.0.0.1:0"], 2, /heartbeat/i, { env: { TIDINGS_HEARTBEAT: "soon" } });
  });

  test("with a bad value in the file is exit code 2 and names it and the file", async (t) => {
    const file = await configFile(t, "heartbeat = 15s\nretry = never\n");
    const stderr = await assertRefusedStart(["serve", "--config", file], 2, /retry/);
    assert.match(stderr, /tidings\.conf/);
  });

  test("with an unknown line in the file is exit code 2 and names it", async (t) => {
    await assertRefusedStart(["serve", "--config", await configFile(t, "hartbeat = 15s\n")], 2, /hartbeat/);
  });

  test("with a file that is missing is exit code 2 and names it", async (t) => {
    const file = path.join(await tempDir(t), "absent.conf");
    await assertRefusedStart(["serve", "--config", file], 2, /absent\.conf/);
  });

  test("on a port in use is exit code 1 and names it", async (t) => {
    const hub = await Hub.started(t);
    await assertRefusedStart(["serve", "--listen", `127.0.0.1:${hub.port}`], 1, new RegExp(String(hub.port)));
    assert.equal((await hub.get("/healthz")).status, 200);
  });

  for (const address of ["0.0.0.0:0", "[::]:0"]) {
    test(`on ${address} without --insecure is exit code 2 and says why`, async () => {
      await assertRefusedStart(["serve", "--listen", address], 2, /insecure/);
    });
  }

  test("on a loopback and another address is refused as a whole", async () => {
    await assertRefusedStart(["serve", "--listen", "127.0.0.1:0", "--listen", "0.0.0.0:0"], 2, /insecure/);
  });
});

describe("--check-config", () => {
  test("is 0 for good settings, and listens nowhere", async (t) => {
    const hub = await Hub.started(t);
    const { code, stderr } = await runTidings(["serve", "--check-config", "--listen", `127.0.0.1:${hub.port}`]);
    assert.equal(code, 0, stderr);
    assert.doesNotMatch(stderr, /listening on/);
  });

  test("is 2 for bad ones, which it names", async (t) => {
    const file = await configFile(t, "max-body = lots\n");
    await assertRefusedStart(["serve", "--check-config", "--config", file], 2, /max-body/);
  });

  test("is 2 for an address that would be refused", async () => {
    await assertRefusedStart(["serve", "--check-config", "--listen", "0.0.0.0:3000"], 2, /insecure/);
  });
});

test("--help lists every setting that exists now", async () => {
  const { code, stdout } = await runTidings(["serve", "--help"]);
  assert.equal(code, 0);
  for (const flag of [
    "listen", "config", "check-config", "max-connections", "max-connections-per-client", "max-request-line", "max-headers",
    "max-body", "max-topics", "max-streams", "head-timeout", "body-timeout", "idle-timeout", "heartbeat", "retry", "max-connection-age",
    "drain-time", "user-timeout", "log-format", "log-level", "public-host", "insecure", "loops",
  ]) {
    assert.match(stdout, new RegExp(`--${flag}\\b`), flag);
  }
});

test("plain `tidings` serves", async (t) => {
  const hub = await Hub.started(t, [], { command: [] });
  assert.equal((await hub.get("/healthz")).status, 200);
});

describe("listeners", () => {
  test("port 0 picks one, and one line for each listener says which", async (t) => {
    const hub = await Hub.started(t, [], { listen: ["127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"] });
    assert.equal(new Set(hub.urls).size, 3);
    for (const url of hub.urls) {
      assert.match(url, /^http:\/\/127\.0\.0\.1:[1-9]\d*$/);
      assert.equal((await fetch(`${url}/healthz`)).status, 200);
    }
  });

  test("all listeners are one hub", async (t) => {
    const hub = await Hub.started(t, [], { listen: ["127.0.0.1:0", "127.0.0.1:0"] });
    const [, second] = hub.urls.map((url) => ({ host: "127.0.0.1", port: Number(new URL(url).port) }));
    const stream = await hub.subscribe(t, "here");
    const answer = await hub.notify({ clientId: "here", event: "x", payload: 1 }, { on: second });
    assert.equal(answer.json.connections, 1);
    await stream.next("x");
  });

  const ipv6 = Object.values(os.networkInterfaces()).flat().some(({ address }) => address === "::1");
  test("[::1] is one", { skip: ipv6 ? false : "this machine has no IPv6 loopback" }, async (t) => {
    const hub = await Hub.started(t, [], { listen: ["[::1]:0"] });
    assert.match(hub.urls[0], /^http:\/\/\[::1\]:[1-9]\d*$/);
    const answer = await hub.get("/healthz", { headers: { Host: `[::1]:${hub.port}` } });
    assert.equal(answer.status, 200);
  });

  test("localhost is one", async (t) => {
    const hub = await Hub.started(t, [], { listen: ["localhost:0"] });
    assert.equal((await hub.get("/healthz")).status, 200);
  });

  test("unix:PATH is one", async (t) => {
    const socket = path.join(await tempDir(t), "hub.sock");
    const hub = await Hub.started(t, [], { listen: [`unix:${socket}`] });
    assert.deepEqual(hub.urls, [`unix:${socket}`]);
    const stream = await hub.subscribe(t, "local", { target: { path: socket } });
    const answer = await hub.notify({ clientId: "local", event: "x", payload: 1 }, { on: { path: socket } });
    assert.equal(answer.json.connections, 1);
    await stream.next("x");
    const { connections } = (await hub.get("/api/sse/clients/local", { on: { path: socket } })).json;
    assert.equal(connections[0].address, "unix");
  });

  test("a stale unix socket is replaced, and one in use is not", async (t) => {
    const socket = path.join(await tempDir(t), "hub.sock");
    const dead = await Hub.started(t, [], { listen: [`unix:${socket}`] });
    await dead.kill();
    assert.ok(existsSync(socket), "a killed hub leaves its socket");
    const alive = await Hub.started(t, [], { listen: [`unix:${socket}`] });
    await assertRefusedStart(["serve", "--listen", `unix:${socket}`], 1, /hub\.sock/);
    assert.equal((await alive.get("/healthz", { on: { path: socket } })).status, 200);
  });

  test("a file that is no socket is not replaced", async (t) => {
    const file = await configFile(t, "precious", "precious.txt");
    const { code } = await runTidings(["serve", "--listen", `unix:${file}`]);
    assert.ok(code === 1 || code === 2, String(code));
    assert.equal(statSync(file).size, 8);
  });

  test("a hub without credentials says that it serves loopback only", async (t) => {
    const hub = await Hub.started(t);
    await hub.logged(/loopback/);
  });

  test("--insecure allows other addresses, and says so", async (t) => {
    const hub = await Hub.started(t, ["--insecure"], { listen: ["0.0.0.0:0"] });
    assert.match(hub.urls[0], /^http:\/\/0\.0\.0\.0:[1-9]\d*$/);
    assert.equal((await hub.get("/healthz", { on: { port: hub.port, host: "127.0.0.1" } })).status, 200);
    await hub.logged(/insecure/);
  });
});

describe("the Host rule", () => {
  async function status(hub, host, target = "/healthz") {
    return (await hub.get(target, { headers: { Host: host } })).status;
  }

  test("loopback names are answered, with and without port", async (t) => {
    const hub = await Hub.started(t);
    for (const host of ["localhost", "LOCALHOST", "127.0.0.1", "127.1.2.3", "[::1]"]) {
      assert.equal(await status(hub, host), 200, host);
      assert.equal(await status(hub, `${host}:${hub.port}`), 200, host);
    }
  });

  test("others get 421, on every path", async (t) => {
    const hub = await Hub.started(t);
    for (const host of ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil-localhost", "0.0.0.0", "192.0.2.1", "128.0.0.1", "[::2]", "127.0.0.1x"]) {
      assertProblem(await hub.get("/api/sse/metrics", { headers: { Host: host } }), 421);
    }
    for (const target of ["/", "/client", "/admin", "/healthz", "/metrics", "/openapi.json", "/api/sse/subscribe/x", "/api/sse/admin/stream", "/nothing"]) {
      assert.equal(await status(hub, "evil.example", target), 421, target);
    }
  });

  test("a publish with a foreign Host is a 421 and sends nothing", async (t) => {
    const hub = await Hub.started(t);
    const stream = await hub.subscribe(t, "c");
    assertProblem(await hub.notify({ clientId: "c", event: "x", payload: 1 }, { headers: { Host: "evil.example" } }), 421);
    await hub.publish({ clientId: "c", event: "mark", payload: 1 });
    await stream.next("mark");
    assert.deepEqual(stream.published, [["mark", "1"]]);
  });

  test("--public-host names are answered too, and only they", async (t) => {
    const hub = await Hub.started(t, ["--public-host", "hub.example", "--public-host", "other.example"]);
    for (const host of ["hub.example", "HUB.example:8443", "other.example", "localhost"]) assert.equal(await status(hub, host), 200, host);
    for (const host of ["x.hub.example", "hub.example.evil", "evil.example"]) assert.equal(await status(hub, host), 421, host);
  });

  test("--insecure does not lift it", async (t) => {
    const hub = await Hub.started(t, ["--insecure"]);
    assert.equal(await status(hub, "evil.example"), 421);
  });
});

describe("logs", () => {
  test("go to standard error only", async (t) => {
    const hub = await Hub.started(t, ["--log-level", "debug"]);
    await (await hub.subscribe(t, "a")).close();
    await hub.publish({ clientId: "a", event: "x", payload: 1 });
    await hub.stop();
    assert.equal(hub.stdout, "");
    assert.notEqual(hub.stderr, "");
  });

  test("in JSON are one object a line, with the listening words as msg", async (t) => {
    const hub = await Hub.started(t, ["--log-format", "json", "--log-level", "debug"]);
    const stream = await hub.subscribe(t, "quoted\"\n".trim() + "\\ü");
    await hub.publish({ broadcast: true, event: "x", payload: 1 });
    await hub.get("/nothing");
    stream.close();
    await hub.totals(0, 0);
    await hub.stop();
    const records = hub.stderr.trimEnd().split("\n").map((line) => JSON.parse(line));
    assert.ok(records.some(({ msg }) => msg === `listening on ${hub.url}`));
    for (const record of records) assert.equal(typeof record.msg, "string");
  });

  test("in text are one line an event, whatever a client sends", async (t) => {
    const hub = await Hub.started(t, ["--log-level", "debug"]);
    await hub.subscribe(t, "a", { headers: { "User-Agent": "x\ty" }, query: "name=%0Aforged" }).catch(() => {});
    await hub.notify({ clientId: "esc\u001b[31m", event: "x", payload: 1 });
    await hub.notify({ clientId: "c", event: "x\nforged", payload: 1 });
    await hub.get("/%0Aforged");
    await hub.stop();
    assert.doesNotMatch(hub.stderr, /^forged/m);
    assert.doesNotMatch(hub.stderr, /\u001b/);
  });

  test("--log-level error leaves out connects", async (t) => {
    const hub = new Hub(["--log-level", "error"]);
    t.after(() => hub.stop());
    await hub.start();
    await hub.subscribe(t, "unseen");
    await hub.stop();
    assert.doesNotMatch(hub.stderr, /unseen/);
  });

  test("never hold an access_token, an Authorization or a cookie, not even at debug level", async (t) => {
    const hub = await Hub.started(t, ["--log-level", "debug"]);
    const secret = "s3cr3t-t0ken";
    const headers = { Authorization: `Bearer ${secret}`, Cookie: `tidings_token=${secret}`, Accept: "text/event-stream" };
    await hub.get(`/nothing?access_token=${secret}`, { headers });
    await hub.get(`/api/sse/subscribe/%FF?access_token=${secret}`, { headers });
    await hub.request("POST", `/api/sse/notify?access_token=${secret}`, { headers, body: "{" });
    const bad = await hub.connect(t);
    await bad.send(`GET /healthz?access_token=${secret} HTTP/1.1\r\nHost: evil.example\r\nX : 1\r\n\r\n`);
    await bad.rest();
    const stream = await hub.stream(t, `/api/sse/subscribe/secretive?access_token=${secret}&name=Ada`, { headers: { Cookie: `tidings_token=${secret}` } });
    stream.close();
    await hub.stop();
    assert.doesNotMatch(hub.stderr, new RegExp(secret));
  });

  test("limit what is noisy and count what was left out", async (t) => {
    const hub = await Hub.started(t, ["--max-connections", "1"]);
    await hub.subscribe(t, "a");
    const refusals = 2000;
    for (let n = 0; n < refusals; n += 50) await Promise.all(Array.from({ length: 50 }, () => hub.get("/api/sse/subscribe/b")));
    await hub.stop();
    const lines = hub.stderr.split("\n");
    const written = lines.filter((line) => /event=refuse\b/.test(line)).length;
    const counts = lines.map((line) => Number(/event=left-out .*?count=(\d+)/.exec(line)?.[1] ?? 0));
    assert.equal(written + counts.reduce((sum, count) => sum + count, 0), refusals);
  });
});

describe("SIGHUP", () => {
  async function reloadable(t, text, flags = []) {
    const file = await configFile(t, text);
    const hub = await Hub.started(t, ["--config", file, ...flags]);
    return { hub, file };
  }

  async function reload(hub, file, text) {
    await writeFile(file, text);
    const mark = hub.stderr.length;
    hub.signal("SIGHUP");
    await hub.until(() => hub.stderr.length > mark || undefined, "a line about the reload");
    return mark;
  }

  test("applies a limit and keeps every connection", async (t) => {
    const { hub, file } = await reloadable(t, "max-connections-per-client = 1\n");
    const stream = await hub.subscribe(t, "steady");
    await assertOverloaded(await hub.stream(t, "/api/sse/subscribe/steady"));
    await reload(hub, file, "max-connections-per-client = 2\n");
    await eventually(async () => {
      const second = await hub.stream(t, "/api/sse/subscribe/steady");
      return (await second.next((block) => block.event !== undefined)).event === "__connected";
    }, "the new limit");
    await hub.publish({ clientId: "steady", event: "x", payload: 1 });
    await stream.next("x");
  });

  test("applies a smaller limit without ending what is open", async (t) => {
    const { hub, file } = await reloadable(t, "max-connections = 5\n");
    const streams = await hub.subscribeAll(t, ["a", "b", "c"]);
    await reload(hub, file, "max-connections = 1\n");
    await eventually(async () => {
      const stream = await hub.stream(t, "/api/sse/subscribe/d");
      const { event } = await stream.next((block) => block.event !== undefined);
      stream.close();
      return event === "__overloaded";
    }, "the new limit");
    await hub.publish({ broadcast: true, event: "x", payload: 1 });
    for (const stream of streams) await stream.next("x");
  });

  test("applies the log level", async (t) => {
    const { hub, file } = await reloadable(t, "log-level = info\n");
    await reload(hub, file, "log-level = debug\n");
    await eventually(async () => {
      await hub.publish({ clientId: "traced-client", event: "x", payload: 1 });
      return /traced-client/.test(hub.stderr);
    }, "debug lines");
  });

  test("a broken file keeps the old settings and says so", async (t) => {
    const { hub, file } = await reloadable(t, "max-connections-per-client = 2\n");
    const stream = await hub.subscribe(t, "steady");
    const mark = await reload(hub, file, "max-connections-per-client = 4\nmax-body = lots\n");
    await hub.logged(/max-body/, mark);
    await hub.subscribe(t, "steady");
    await assertOverloaded(await hub.stream(t, "/api/sse/subscribe/steady"));
    await hub.publish({ clientId: "steady", event: "x", payload: 1 });
    await stream.next("x");
  });

  test("without a file changes nothing and harms nothing", async (t) => {
    const hub = await Hub.started(t);
    const stream = await hub.subscribe(t, "steady");
    hub.signal("SIGHUP");
    for (let n = 0; n < 5; n++) await hub.publish({ clientId: "steady", event: "x", payload: n });
    await stream.next(({ data }) => data === "4");
  });

  test("many in a row harm nothing", async (t) => {
    const { hub } = await reloadable(t, "heartbeat = 1s\n");
    const stream = await hub.subscribe(t, "steady");
    for (let n = 0; n < 50; n++) hub.signal("SIGHUP");
    await hub.publish({ clientId: "steady", event: "x", payload: 1 });
    await stream.next("x");
  });
});

describe("several loops", () => {
  for (const loops of ["1", "2", "4"]) {
    test(`--loops ${loops} serves connections and delivers across them`, async (t) => {
      const hub = await Hub.started(t, ["--loops", loops]);
      const streams = await hub.subscribeAll(t, Array.from({ length: 40 }, (_, n) => `c${n}`));
      assert.equal((await hub.publish({ broadcast: true, event: "x", payload: 1 })).connections, 40);
      for (const stream of streams) await stream.next("x");
    });
  }
});

test("the port can be used again right after the end", async (t) => {
  const port = await freePort();
  for (let n = 0; n < 3; n++) {
    const hub = await Hub.started(t, [], { listen: [`127.0.0.1:${port}`] });
    const stream = await hub.subscribe(t, "again");
    await stream.connection.send(requestBytes("GET", "/"));
    await hub.stop();
  }
});

test("settings of the person who runs the tests do not reach the hub", () => {
  assert.ok(Object.keys(cleanEnv()).every((name) => !name.startsWith("TIDINGS_")));
});
