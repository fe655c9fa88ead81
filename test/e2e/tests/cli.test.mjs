// The other commands of the binary, against a running hub.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { BIN, Hub, cleanEnv, freePort, runTidings, tempDir } from "../lib/hub.mjs";
import { SECRET, token } from "../lib/tokens.mjs";
import { eventually, within } from "../lib/wait.mjs";
import { OVER_TLS } from "../lib/over.mjs";

const parsed = (data) => (typeof data === "string" ? JSON.parse(data) : data);

/** `tidings subscribe` as a process: its lines as they come. */
class Subscriber {
  constructor(t, hub, args) {
    this.child = spawn(BIN, ["subscribe", "--url", hub.url, ...args], { env: cleanEnv(), stdio: ["ignore", "pipe", "pipe"] });
    this.out = "";
    this.err = "";
    this.child.stdout.setEncoding("utf8").on("data", (text) => (this.out += text));
    this.child.stderr.setEncoding("utf8").on("data", (text) => (this.err += text));
    this.exit = new Promise((resolve) => this.child.once("close", resolve));
    t.after(async () => {
      this.child.kill("SIGKILL");
      await this.exit;
    });
  }

  get lines() {
    return this.out.trimEnd().split("\n").filter(Boolean).map((line) => JSON.parse(line));
  }

  async ended() {
    const code = await within(this.exit, () => `the subscriber to end; ${this.out} ${this.err}`);
    return { code, lines: this.lines };
  }
}

describe("tidings version", () => {
  test("prints the version", async () => {
    const { code, stdout } = await runTidings(["version"]);
    assert.equal(code, 0);
    assert.match(stdout, /\b\d+\.\d+\.\d+/);
  });

  test("is the version that the API document has", async (t) => {
    const hub = await Hub.started(t);
    const { stdout } = await runTidings(["version"]);
    const { info } = (await hub.get("/openapi.json")).json;
    assert.ok(stdout.includes(info.version), `${stdout} ${info.version}`);
  });
});

describe("tidings publish", () => {
  const hub = new Hub();
  before(() => hub.start());
  after(() => hub.stop());
  const publish = (args, options) => runTidings(["publish", "--url", hub.url, ...args], options);

  test("--client prints the hub's answer and is 0", async (t) => {
    const stream = await hub.subscribe(t, "user-123");
    const { code, stdout, stderr } = await publish(["--client", "user-123", '{"message": "Hello!"}']);
    assert.equal(code, 0, stderr);
    const answer = JSON.parse(stdout);
    assert.equal(answer.ok, true);
    assert.equal(answer.connections, 1);
    assert.equal((await stream.next("notification")).data, '{"message":"Hello!"}');
  });

  test("--event names the event", async (t) => {
    const stream = await hub.subscribe(t, "named");
    assert.equal((await publish(["--client", "named", "--event", "job-completed", "1"])).code, 0);
    await stream.next("job-completed");
  });

  test("--topic and --broadcast choose the target", async (t) => {
    const stream = await hub.subscribe(t, "listener", { query: "topic=news" });
    assert.equal((await publish(["--topic", "news", '"t"'])).code, 0);
    assert.equal((await publish(["--broadcast", '"b"'])).code, 0);
    assert.equal((await stream.next("notification")).data, '"t"');
    assert.equal((await stream.next("notification")).data, '"b"');
  });

  test("- reads the payload from standard input", async (t) => {
    const stream = await hub.subscribe(t, "piped");
    const { code } = await publish(["--client", "piped", "-"], { input: '{"from": "stdin", "n": 12345678901234567890}\n' });
    assert.equal(code, 0);
    assert.equal((await stream.next("notification")).data, '{"from":"stdin","n":12345678901234567890}');
  });

  test("keeps a client id with quotes and UTF-8", async (t) => {
    const stream = await hub.subscribe(t, "\"ü🎉\\");
    assert.equal((await publish(["--client", "\"ü🎉\\", "1"])).code, 0);
    await stream.next("notification");
  });

  test("an absent client is accepted: 0, and sent is false", async () => {
    const { code, stdout } = await publish(["--client", "absent", "1"]);
    assert.equal(code, 0);
    assert.equal(JSON.parse(stdout).sent, false);
  });

  test("what the hub refuses is not 0, and says why", async () => {
    const { code, stdout, stderr } = await publish(["--client", "c", "--event", "__reserved", "1"]);
    assert.equal(code, 1);
    assert.match(stdout + stderr, /event/);
  });

  test("broken JSON is not 0", async () => {
    assert.notEqual((await publish(["--client", "c", "{broken"])).code, 0);
  });

  for (const [what, args] of [
    ["no target", ["1"]],
    ["two targets", ["--client", "c", "--topic", "t", "1"]],
    ["no payload", ["--client", "c"]],
    ["an unknown flag", ["--clint", "c", "1"]],
  ]) {
    test(`${what} is a usage error: 2`, async () => assert.equal((await publish(args)).code, 2));
  }

  test("TIDINGS_URL names the hub", async () => {
    const { code, stdout } = await runTidings(["publish", "--client", "c", "1"], { env: { TIDINGS_URL: hub.url } });
    assert.equal(code, 0);
    assert.equal(JSON.parse(stdout).ok, true);
  });

  test("no hub there is exit code 1 and says where", async () => {
    const port = await freePort();
    const { code, stderr } = await runTidings(["publish", "--url", `http://127.0.0.1:${port}`, "--client", "c", "1"]);
    assert.equal(code, 1);
    assert.match(stderr, new RegExp(String(port)));
  });
});

describe("tidings subscribe", () => {
  const hub = new Hub();
  before(() => hub.start());
  after(() => hub.stop());

  test("prints events as JSON lines and ends after --count", async (t) => {
    const subscriber = new Subscriber(t, hub, ["--count", "2", "cli-user"]);
    await hub.totals(1, 1);
    const ids = [];
    for (const payload of [{ n: 1 }, { n: 2 }, { n: 3 }]) ids.push((await hub.publish({ clientId: "cli-user", event: "x", payload })).id);
    const { code, lines } = await subscriber.ended();
    assert.equal(code, 0, subscriber.err);
    assert.deepEqual(lines.map(({ id, event, data }) => [id, event, parsed(data)]), [[ids[0], "x", { n: 1 }], [ids[1], "x", { n: 2 }]]);
    for (const line of lines) assert.deepEqual(Object.keys(line), ["id", "event", "data"]);
    await hub.totals(0, 0);
  });

  test("--all prints system events too", async (t) => {
    const subscriber = new Subscriber(t, hub, ["--all", "--count", "1", "cli-all"]);
    const { code, lines } = await subscriber.ended();
    assert.equal(code, 0);
    assert.equal(lines[0].event, "__connected");
    assert.equal(parsed(lines[0].data).clientId, "cli-all");
    await hub.totals(0, 0);
  });

  test("--topic is repeatable", async (t) => {
    const subscriber = new Subscriber(t, hub, ["--topic", "red", "--topic", "b l+ü", "--count", "2", "cli-topics"]);
    await hub.totals(1, 1);
    await hub.publish({ topic: "red", event: "x", payload: 1 });
    await hub.publish({ topic: "b l+ü", event: "x", payload: 2 });
    const { lines } = await subscriber.ended();
    assert.deepEqual(lines.map(({ data }) => parsed(data)), [1, 2]);
    await hub.totals(0, 0);
  });

  test("prints each event at once, also into a pipe", async (t) => {
    const subscriber = new Subscriber(t, hub, ["cli-live"]);
    await hub.totals(1, 1);
    await hub.publish({ clientId: "cli-live", event: "x", payload: 1 });
    await within(new Promise((resolve) => {
      if (subscriber.out.includes("\n")) resolve();
      subscriber.child.stdout.on("data", () => subscriber.out.includes("\n") && resolve());
    }), "a line");
    subscriber.child.kill("SIGTERM");
    await subscriber.exit;
    await hub.totals(0, 0);
  });

  test("without a client id is a usage error: 2", async () => {
    assert.equal((await runTidings(["subscribe", "--url", hub.url])).code, 2);
  });
});

describe("tidings clients", () => {
  test("lists who is connected", async (t) => {
    const hub = await Hub.started(t);
    await hub.subscribe(t, "user-one", { query: "name=Ada" });
    await hub.subscribe(t, "user-two");
    const { code, stdout } = await runTidings(["clients", "--url", hub.url]);
    assert.equal(code, 0);
    for (const text of ["user-one", "user-two", "Ada"]) assert.ok(stdout.includes(text), stdout);
  });

  test("--json prints them as JSON", async (t) => {
    const hub = await Hub.started(t);
    await hub.subscribeAll(t, ["user-one", "user-two"]);
    const { code, stdout } = await runTidings(["clients", "--json", "--url", hub.url]);
    assert.equal(code, 0);
    const lines = stdout.trimEnd().split("\n");
    const value = lines.length > 1 && !stdout.trimStart().startsWith("[") ? tryLines(lines, stdout) : JSON.parse(stdout);
    const rows = Array.isArray(value) ? value : value.clients;
    assert.deepEqual(rows.map(({ clientId }) => clientId).sort(), ["user-one", "user-two"]);
  });

  function tryLines(lines, stdout) {
    try {
      return JSON.parse(stdout);
    } catch {
      return lines.map((line) => JSON.parse(line));
    }
  }

  test("lists all of them, over more than one page", async (t) => {
    const hub = await Hub.started(t);
    const ids = Array.from({ length: 250 }, (_, n) => `crowd-${n}`);
    await hub.subscribeAll(t, ids);
    const { stdout } = await runTidings(["clients", "--url", hub.url]);
    for (const id of ids) assert.match(stdout, new RegExp(`\\b${id}\\b`));
  });

  test("control characters of a name do not reach the terminal", async (t) => {
    const hub = await Hub.started(t);
    await hub.stream(t, "/api/sse/subscribe/tty?name=%1B%5B31mred");
    const { stdout } = await runTidings(["clients", "--url", hub.url]);
    assert.doesNotMatch(stdout, /\u001b/);
  });
});

describe("a hub with credentials", () => {
  const PUBLISH = "publish-key-0123456789";
  const ADMIN = "admin-key-0123456789";
  const hub = new Hub(["--publish-key", PUBLISH, "--admin-key", ADMIN, "--jwt-secret", SECRET]);
  before(() => hub.start());
  after(() => hub.stop());
  const run = (args, env) => runTidings([...args.slice(0, 1), "--url", hub.url, ...args.slice(1)], { env });
  const SEND = ["publish", "--client", "ada", "1"];

  test("is told who asks by option, environment or file", async (t) => {
    const file = path.join(await tempDir(t), "key");
    await writeFile(file, `  ${PUBLISH}\r\nanother line\n`);
    for (const [args, env] of [
      [[...SEND, "--key", PUBLISH]],
      [[...SEND, "--key-file", file]],
      [SEND, { TIDINGS_KEY: PUBLISH }],
      [SEND, { TIDINGS_KEY_FILE: file }],
      [[...SEND, "--token", token({ tidings: { publish: ["client:ada"] } })]],
      [[...SEND, "--token-file", file]],
      [SEND, { TIDINGS_TOKEN: token({ tidings: { publish: ["*"] } }) }],
      [["clients", "--key", ADMIN]],
      [["subscribe", "--all", "--count", "1", "ada", "--token", token({ sub: "ada" })]],
      ...(OVER_TLS ? [] : [[["bench", "publish", "--duration", "100ms", "--warmup", "0", "--key", ADMIN]]]), // plain only
    ]) {
      const { code, stderr } = await run(args, env);
      assert.equal(code, 0, `${args}: ${stderr}`);
    }
  });

  test("refuses others, and the command says why", async () => {
    for (const [args, env, code, text] of [
      [SEND, {}, 1, /missing_credentials/],
      [[...SEND, "--key", "wrong"], {}, 1, /invalid_key/],
      [["clients"], { TIDINGS_KEY: PUBLISH }, 1, /403/],
      [["subscribe", "ada"], {}, 1, /missing_credentials|401/],
      [["subscribe", "bob", "--token", token({ sub: "ada" })], {}, 1, /403|forbidden/],
      [[...SEND, "--key", "a b"], {}, 2, /characters/],
      [[...SEND, "--key", PUBLISH, "--token", "x"], {}, 2, /give one of them/],
      [[...SEND, "--key-file", "/nonexistent"], {}, 2, /cannot read \/nonexistent/],
      [[...SEND, "--key-file", "/dev/null"], {}, 2, /the file is empty/],
    ]) {
      const ended = await run(args, env);
      assert.equal(ended.code, code, `${args}: ${ended.stderr}${ended.stdout}`);
      assert.match(ended.stderr + ended.stdout, text, `${args}`);
      assert.ok(!(ended.stderr + ended.stdout).includes(PUBLISH));
    }
  });
});

test("tidings --help lists the commands", async () => {
  const { code, stdout } = await runTidings(["--help"]);
  assert.equal(code, 0);
  for (const command of ["serve", "publish", "subscribe", "clients", "bench", "version"]) assert.match(stdout, new RegExp(`\\b${command}\\b`));
});

describe("tidings token", () => {
  const env = { TIDINGS_JWT_SECRET: SECRET };
  const mint = async (args) => {
    const { code, stdout, stderr } = await runTidings(["token", ...args], { env });
    assert.equal(code, 0, stderr);
    return stdout.trimEnd();
  };
  const look = async (args, options) => {
    const { code, stdout, stderr } = await runTidings(["token", ...args], options);
    return { code, stderr, shown: stdout && JSON.parse(stdout) };
  };

  test("signs what a hub believes: this client, these topics, these targets and no others", async (t) => {
    const hub = await Hub.started(t, ["--jwt-secret", SECRET]);
    const text = await mint(["--sub", "ada", "--subscribe", "news", "--publish", "topic:chat.*"]);
    const status = async (pathname, options = {}) =>
      (await hub.get(pathname, { ...options, headers: { ...options.headers, Authorization: `Bearer ${text}` } })).status;
    const reader = new Subscriber(t, hub, ["--topic", "news", "--all", "--count", "1", "--token", text, "ada"]);
    assert.equal((await reader.ended()).lines[0].event, "__connected");
    assert.equal(await status("/api/sse/subscribe/bob"), 403);
    assert.equal(await status("/api/sse/clients"), 403);
    const publish = (args) => runTidings(["publish", "--url", hub.url, "--token", text, ...args, "1"]);
    assert.equal((await publish(["--topic", "chat.lobby"])).code, 0);
    assert.equal((await publish(["--topic", "news"])).code, 1);
    const admin = await mint(["--admin"]);
    assert.equal((await runTidings(["clients", "--url", hub.url, "--token", admin])).code, 0);
  });

  test("a short life brings a stream to its end", async (t) => {
    const hub = await Hub.started(t, ["--jwt-secret", SECRET]);
    let stream;
    for (let seconds = 2; !stream; seconds *= 2) { // a machine may be slower than a token lives
      const text = await mint(["--sub", "ada", "--expires", `${seconds}s`]);
      const opened = await hub.stream(t, "/api/sse/subscribe/ada", { headers: { Authorization: `Bearer ${text}` } });
      if (opened.status === 200) stream = opened;
      else assert.equal(opened.status, 401);
    }
    assert.deepEqual(JSON.parse((await stream.next("__expired")).data), { reason: "token_expired" });
  });

  test("a secret is not to be seen in /proc while the command runs", async (t) => {
    const text = await mint(["--sub", "ada"]);
    for (const [args, variables, file] of [
      [["--secret", SECRET], {}, "cmdline"],
      [[`--secret=${SECRET}`], {}, "cmdline"],
      [[], env, "environ"],
    ]) {
      const child = spawn(BIN, ["token", ...args, "--inspect", "-"], { env: { ...cleanEnv(), ...variables }, stdio: ["pipe", "pipe", "inherit"] });
      const over = new Promise((resolve) => child.once("close", resolve));
      t.after(() => child.kill("SIGKILL"));
      let out = "";
      child.stdout.setEncoding("utf8").on("data", (piece) => (out += piece));
      const shown = async () => readFile(`/proc/${child.pid}/${file}`, "latin1");
      await eventually(async () => {
        const words = await shown();
        return /--inspect|PATH=/.test(words) && words.includes("x".repeat(SECRET.length)) && !words.includes(SECRET);
      }, `a secret covered in ${file}`);
      child.stdin.end(`${text}\n`);
      assert.equal(await within(over, "the command to end"), 0);
      assert.equal(JSON.parse(out).valid, true); // by the copy
    }
    const long = await runTidings(["token", "--secret", "s".repeat(4097), "--sub", "a"]);
    assert.deepEqual([long.code, long.stdout], [2, ""]);
  });

  test("signs all claims, and Node's own crypto agrees", async () => {
    const text = await mint(["--sub", "ä\"b", "--issuer", "us", "--audience", "hub", "--id", "k1", "--expires", "5m"]);
    const claims = JSON.parse(Buffer.from(text.split(".")[1], "base64url"));
    assert.equal(claims.exp - claims.iat, 300);
    assert.deepEqual([claims.sub, claims.iss, claims.aud, claims.jti], ["ä\"b", "us", "hub", "k1"]);
    const signed = text.slice(0, text.lastIndexOf("."));
    assert.equal(text.slice(signed.length + 1), createHmac("sha256", SECRET).update(signed).digest("base64url"));
    assert.notEqual(await mint(["--sub", "a"]), await mint(["--sub", "a"])); // each has a jti of its own
  });

  test("a secret from a file; none, two, or a target that no hub takes is a usage error that does not show it", async (t) => {
    const file = path.join(await tempDir(t), "secret");
    await writeFile(file, `${SECRET}\n`);
    const made = await runTidings(["token", "--secret-file", file, "--sub", "a"]);
    assert.equal(made.code, 0);
    assert.equal((await look(["--inspect", made.stdout.trim(), "--secret", SECRET])).shown.valid, true);
    for (const [args, options] of [
      [["--sub", "a"], {}],
      [["--secret", SECRET, "--secret-file", file], {}],
      [["--secret-file", `${file}.none`], {}],
      [["--publish", "everywhere"], { env }],
      [["--sub", "x".repeat(129)], { env }],
      [["--expires", "0"], { env }],
      [["extra"], { env }],
    ]) {
      const { code, stdout, stderr } = await runTidings(["token", ...args], options);
      assert.deepEqual([code, stdout], [2, ""], args.join(" "));
      assert.ok(stderr && !stderr.includes(SECRET));
    }
  });

  test("--inspect says what is in a token, and with a key whether a hub would believe it", async () => {
    const text = await mint(["--sub", "ada"]);
    const without = await look(["--inspect", text]);
    assert.deepEqual([without.code, without.shown.signature, "valid" in without.shown], [0, "not checked", false]);
    assert.equal(without.shown.claims.sub, "ada");
    assert.match(without.shown.expires, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    const checked = await look(["--inspect", "-"], { env, input: `${text}\n` });
    assert.deepEqual([checked.code, checked.shown.signature, checked.shown.valid], [0, "checked", true]);
    const other = await look(["--inspect", text, "--secret", "another secret of more than 32 bytes"]);
    assert.equal(other.code, 1);
    assert.match(other.shown.why, /^token_signature/);
    assert.match((await look(["--inspect", text, "--audience", "x"], { env })).shown.why, /^token_audience/);
    const old = token({ sub: "a", exp: 1000 });
    assert.match((await look(["--inspect", old])).shown.why, /^token_expired/);
    assert.match((await look(["--inspect", old], { env })).shown.why, /^token_expired/);
    const none = `${Buffer.from('{"alg":"none"}').toString("base64url")}.${text.split(".")[1]}.`;
    assert.match((await look(["--inspect", none], { env })).shown.why, /^token_algorithm/);
  });

  test("--inspect without a key never calls a token valid, and says what no key could mend", async () => {
    const part = (value) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");
    const exp = 4e9;
    for (const [header, claims, signature, why] of [
      [{ alg: "none" }, { exp }, "", /^token_algorithm/],
      [{ alg: "none" }, { exp }, "AAAA", /^token_algorithm/],
      [{}, { exp }, "AAAA", /^token_algorithm/],
      [{ alg: "HS256", crit: ["exp"] }, { exp }, "AAAA", /^token_header/],
      [{ alg: "HS256", typ: "dpop+jwt" }, { exp }, "AAAA", /^token_header/],
      [{ alg: "HS256" }, { exp }, "", /^token_signature/],
      [{ alg: "HS256" }, { exp }, "x", /^token_signature/],
      [{ alg: "HS256" }, { exp, sub: "a\u0001" }, "AAAA", /^token_claims/],
      [{ alg: "HS256" }, { exp, nbf: 3.9e9 }, "AAAA", /^token_not_yet_valid/],
      [{ alg: "HS256" }, { exp: "tomorrow" }, "AAAA", /^token_claims/],
      [{ alg: "HS256" }, {}, "AAAA", /^token_no_expiry/],
    ]) {
      const { code, shown } = await look(["--inspect", `${part(header)}.${part(claims)}.${signature}`]);
      assert.deepEqual([code, shown.valid, shown.signature], [1, false, "not checked"], JSON.stringify([header, claims]));
      assert.match(shown.why, why);
      assert.deepEqual([shown.header, shown.claims], [header, claims]);
    }
    const forever = await mint(["--sub", "a", "--no-expiry"]);
    for (const options of [{}, { env }]) {
      assert.match((await look(["--inspect", forever], options)).shown.why, /^token_no_expiry/);
      assert.equal((await look(["--inspect", forever, "--no-expiry"], options)).code, 0);
    }
    assert.match((await look(["--inspect", await mint([]), "--issuer", "us"])).shown.why, /^token_issuer/);
  });

  test("--inspect of what is no token is an error", async () => {
    for (const text of ["", ".", "..", "a.b.c", "====.====.", "x".repeat(9000), `${"A".repeat(4000)}.${"A".repeat(4000)}.`, "bnVsbA.bnVsbA.x", "é.é.é",
      "e30.e31.x", "e30A.e30.x", "e30AAA.e30.x", "e30.e30AAA.x", "e30.e30=.x", "e30.e30.x.x", "e3-.e30.x", "W10.e30.AAAA",
      `e30.${Buffer.from('{"sub":"a","sub":"b"}').toString("base64url")}.AAAA`,
      `e30.${Buffer.from('{"x":{"y":1,"\\u0079":2}}').toString("base64url")}.AAAA`]) {
      for (const options of [{ env }, {}]) {
        const { code, stdout, stderr } = await runTidings(["token", "--inspect", "-"], { ...options, input: `${text}\n` });
        assert.deepEqual([code, stdout], [1, ""], text.slice(0, 40));
        assert.match(stderr, /^tidings token: token_(malformed|too_large): /);
      }
    }
  });
});
