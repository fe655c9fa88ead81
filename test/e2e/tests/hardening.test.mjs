// What the process shows of its secrets, and what is left that it can do: read from /proc, which is where others would look.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, test } from "node:test";
import { Application } from "../lib/application.mjs";
import { BIN, Hub, cleanEnv, SMALL, runTidings, tempDir } from "../lib/hub.mjs";
import { bearer } from "../lib/tokens.mjs";
import { eventually, within } from "../lib/wait.mjs";

const ROOT = { skip: process.getuid() !== 0 && "only root can become somebody else" };
const NOBODY = Number(execFileSync("id", ["-u", "nobody"], { encoding: "utf8" }));
const NOGROUP = Number(execFileSync("id", ["-g", "nobody"], { encoding: "utf8" }));
// Sanitizers make system calls of their own, and the one for leaks reads what a process that changed its user may not.
const SECCOMP = SMALL ? [] : ["--seccomp"];
const PATIENT = SMALL ? { ASAN_OPTIONS: "detect_leaks=0" } : {};

const PUBLISH = "publish-key-of-this-test";
const ADMIN = "admin-key-of-this-test-x";
const JWT = "jwt-secret-of-this-test-0123456789";
const EVENT = "event-secret-of-this-test";

const shown = (hub, what) => readFileSync(`/proc/${hub.pid}/${what}`, "latin1").split("\0");

const named = (stream, event) => stream.next((block) => block.event === event);

async function statusOf(hub, key) {
  const answer = await hub.notify({ broadcast: true, event: "n", payload: 1 }, { headers: bearer(key) });
  if (answer.status === 503) throw new Error(answer.text); // nothing here is ever unavailable
  return answer.status;
}

/** A directory that belongs to nobody, as the one of the unit does, and that he can reach: others of a test run he cannot. */
function nobodysDir(t) {
  const dir = mkdtempSync("/tmp/tidings-e2e-");
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  chownSync(dir, NOBODY, NOGROUP);
  return dir;
}

describe("secrets", () => {
  test("given as flags are not in /proc/PID/cmdline, and still work after a reload", async (t) => {
    const flags = ["--publish-key", PUBLISH, `--admin-key=${ADMIN}`, "--jwt-secret", JWT, "--event-secret", EVENT, "--event-url", "http://127.0.0.1:9/"];
    const hub = await Hub.started(t, flags);
    const words = shown(hub, "cmdline");
    for (const secret of [PUBLISH, ADMIN, JWT, EVENT]) assert.doesNotMatch(words.join(" "), new RegExp(secret));
    assert.ok(words.includes("--publish-key"), "what is shown is the command line of this hub");
    assert.equal(await statusOf(hub, PUBLISH), 200);
    hub.signal("SIGHUP");
    await hub.logged(/settings read again/);
    assert.equal(await statusOf(hub, PUBLISH), 200);
    assert.equal(await statusOf(hub, ADMIN), 200);
    assert.equal(await statusOf(hub, "x".repeat(PUBLISH.length)), 401);
  });

  test("of the environment are not in /proc/PID/environ", async (t) => {
    const hub = await Hub.started(t, [], { env: { TIDINGS_PUBLISH_KEY: `other,${PUBLISH}`, TIDINGS_ADMIN_KEY: ADMIN, TIDINGS_JWT_SECRET: JWT } });
    const variables = shown(hub, "environ");
    for (const secret of ["other", PUBLISH, ADMIN, JWT]) assert.doesNotMatch(variables.join(" "), new RegExp(secret));
    assert.ok(variables.some((text) => /^TIDINGS_ADMIN_KEY=x+$/.test(text)), variables.join("\n"));
    assert.equal(await statusOf(hub, PUBLISH), 200);
  });

  test("of the client commands are not in /proc/PID/cmdline", async (t) => {
    const hub = await Hub.started(t, ["--admin-key", ADMIN]);
    const command = spawn(BIN, ["subscribe", "--url", hub.url, "--key", ADMIN, "ann"], { env: cleanEnv(), stdio: ["ignore", "pipe", "inherit"] });
    const over = once(command, "close");
    t.after(() => command.kill("SIGKILL"));
    let text = "";
    command.stdout.setEncoding("utf8").on("data", (piece) => (text += piece));
    const event = { clientId: "ann", event: "n", payload: 1 };
    await eventually(async () => (await hub.notify(event, { headers: bearer(ADMIN) })).json.sent, "the stream of the command");
    while (!text.includes("\n")) await within(once(command.stdout, "data"), "what the command prints");
    const words = shown(command, "cmdline");
    assert.ok(words.includes("--key") && !words.includes(ADMIN), words.join(" "));
    command.kill("SIGTERM");
    await within(over, "the command to end");
  });

  test("come from files, which a reload reads again", async (t) => {
    const file = path.join(await tempDir(t), "keys");
    writeFileSync(file, `${PUBLISH}\nsecond-key-of-this-test\n`, { mode: 0o600 });
    const hub = await Hub.started(t, [], { env: { TIDINGS_PUBLISH_KEY_FILE: file } });
    assert.equal(await statusOf(hub, PUBLISH), 200);
    assert.equal(await statusOf(hub, "second-key-of-this-test"), 200);
    writeFileSync(file, "third-key-of-this-test\n");
    hub.signal("SIGHUP");
    await hub.logged(/settings read again/);
    assert.equal(await statusOf(hub, PUBLISH), 401);
    assert.equal(await statusOf(hub, "third-key-of-this-test"), 200);

    writeFileSync(file, "not a key of anybody\n");
    hub.signal("SIGHUP");
    const [line] = await hub.logged(/the old settings stay: [^\n]*/);
    assert.ok(line.includes(`TIDINGS_PUBLISH_KEY_FILE: ${file}:1: cannot be a value of publish-key`), line);
    assert.equal(await statusOf(hub, "third-key-of-this-test"), 200);
    assert.doesNotMatch(hub.stderr, /of-this-test|of anybody/);
  });

  test("in a file that everybody may read are worth a warning", async (t) => {
    const file = path.join(await tempDir(t), "keys");
    writeFileSync(file, PUBLISH);
    chmodSync(file, 0o644);
    const hub = await Hub.started(t, ["--publish-key-file", file]);
    await hub.logged(/warn {2}\S+ holds secrets, and everybody on this machine may read it/);
  });
});

describe("the user", () => {
  test("root is worth a warning", ROOT, async (t) => {
    const hub = await Hub.started(t);
    await hub.logged(/warn {2}running as root/);
  });

  test("is checked before anything else", async () => {
    for (const [name, what] of [["no-such-user", "there is no such user"], ["root", "the superuser"], ["nobody:no-such-group", "no such group"]]) {
      for (const more of [[], ["--check-config"]]) {
        const { code, stderr } = await runTidings(["serve", "--listen", "127.0.0.1:0", "--user", name, ...more]);
        assert.equal(code, 2, stderr);
        assert.match(stderr, new RegExp(`^tidings: --user: "${name}": .*${what}[^\\n]*\\n$`));
      }
    }
  });

  test("who may not write the store gets none", ROOT, async (t) => {
    const dir = await tempDir(t); // root's
    const args = ["serve", "--listen", "127.0.0.1:0", "--user", "nobody", "--store", `sqlite:${path.join(dir, "s.db")}`];
    const { code, stderr } = await runTidings(args, { env: PATIENT });
    assert.equal(code, 1, stderr);
    assert.match(stderr, /s\.db/);
    assert.deepEqual(readdirSync(dir), []);
  });

  test("is told whose fault it is when root's socket was left over", ROOT, async (t) => {
    const socket = path.join(nobodysDir(t), "s.sock");
    const before = new Hub([], { listen: [`unix:${socket}`] });
    t.after(() => before.stop());
    await before.start();
    await before.kill();
    const { code, stderr } = await runTidings(["serve", "--user", "nobody", "--listen", `unix:${socket}`], { env: PATIENT });
    assert.equal(code, 1, stderr);
    assert.match(stderr, /s\.sock: Permission denied/);
  });

  // At the start it could be reached, by a right that is then given up: the hub would run until it tidies its store.
  test("who cannot reach the store any more gets none", ROOT, async (t) => {
    const dir = nobodysDir(t);
    const inner = path.join(dir, "inner");
    mkdirSync(inner);
    chownSync(inner, NOBODY, NOGROUP);
    chownSync(dir, 0, 0);
    const refused = async (flags) => {
      const { code, stderr } = await runTidings(["serve", "--user", "nobody", ...flags], { env: PATIENT });
      assert.equal(code, 1, stderr);
      assert.match(stderr, /^[^\n]*--user: nobody may not write in \S+\/inner: Permission denied[^\n]*\n$/);
    };
    await refused(["--listen", "127.0.0.1:0", "--store", `sqlite:${path.join(inner, "s.db")}`]);
    await refused(["--listen", `unix:${path.join(inner, "s.sock")}`]);
  });

  test("is somebody without rights in every thread, and the hub does all its work", ROOT, async (t) => {
    const application = await Application.started(t, () => ({ status: 200 }));
    const dir = nobodysDir(t);
    const [store, socket, cert, key, keys] = ["hub.db", "hub.sock", "cert.pem", "key.pem", "keys"].map((name) => path.join(dir, name));
    const kind = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost".split(" ");
    execFileSync("openssl", [...kind, "-keyout", key, "-out", cert], { stdio: "pipe" });
    for (const file of [key, cert]) chmodSync(file, 0o600); // and root's
    writeFileSync(keys, PUBLISH, { mode: 0o600 });
    const low = `127.${1 + (process.pid % 250)}.77.9:443`; // a low port, of an address that nobody else takes
    const flags = ["--user", "nobody", ...SECCOMP, "--store", `sqlite:${store}`, "--tls-cert", cert, "--tls-key", key,
      "--publish-key-file", keys, "--admin-key", ADMIN, "--anonymous", "--event-url", application.url.replace("127.0.0.1", "localhost")];
    const hub = await Hub.started(t, flags, { listen: ["http://127.0.0.1:0", `unix:${socket}`, `https://${low}`], env: PATIENT });
    await hub.logged(/info {2}running as nobody/);
    const stream = await hub.subscribe(t, "ann");
    assert.equal(await statusOf(hub, PUBLISH), 200);
    assert.equal((await named(stream, "n")).data, "1");
    if (application.requests.length === 0) await new Promise((resolve) => application.once("asked", resolve));

    const threads = readdirSync(`/proc/${hub.pid}/task`);
    assert.ok(threads.length >= 5, "the log, the store, outgoing requests and the loops have threads");
    for (const thread of threads) {
      const status = readFileSync(`/proc/${hub.pid}/task/${thread}/status`, "latin1");
      const field = (name) => new RegExp(`^${name}:\\s*(.*)$`, "m").exec(status)[1].trim();
      assert.match(field("Uid"), new RegExp(`^${NOBODY}(\\s+${NOBODY}){3}$`));
      assert.match(field("Gid"), new RegExp(`^${NOGROUP}(\\s+${NOGROUP}){3}$`));
      for (const set of ["CapInh", "CapPrm", "CapEff", "CapAmb"]) assert.match(field(set), /^0+$/, `${set} of thread ${thread}`);
      assert.equal(field("NoNewPrivs"), "1");
      if (SECCOMP.length > 0) assert.equal(field("Seccomp"), "2", `the filter of thread ${thread}`);
    }
    for (const file of [store, socket]) assert.equal(statSync(file).uid, NOBODY, file);

    // A key that only root can read could be read at the start, and cannot be any more: what was there stays.
    hub.signal("SIGHUP");
    await hub.logged(/error {1}[^\n]*keys[^\n]*Permission denied/);
    assert.equal(await statusOf(hub, PUBLISH), 200);
    chownSync(keys, NOBODY, NOGROUP);
    for (const file of [key, cert]) chownSync(file, NOBODY, NOGROUP);
    hub.signal("SIGHUP");
    await hub.logged(/settings read again/);
    assert.equal(await statusOf(hub, PUBLISH), 200);
    await hub.stop();
    assert.ok(!existsSync(socket), "the socket goes with the hub");
    assert.ok(!existsSync(`${store}-wal`), "the store is closed in order");
    assert.doesNotMatch(hub.stderr, new RegExp(`${PUBLISH}|${ADMIN}`));
  });
});

describe("--seccomp", { skip: SMALL && "sanitizers need more system calls" }, () => {
  test("is said to be there, and the pages, a batch and a reload work behind it", async (t) => {
    const hub = await Hub.started(t, ["--seccomp"]);
    assert.match(readFileSync(`/proc/${hub.pid}/status`, "latin1"), /^Seccomp:\s*2$/m);
    assert.equal((await hub.get("/client")).status, 200);
    const stream = await hub.subscribe(t, "ann");
    await hub.publish({ clientId: "ann", event: "n", payload: [1] });
    assert.equal((await named(stream, "n")).data, "[1]");
    hub.signal("SIGHUP");
    await hub.logged(/settings read again/);
    await hub.publish({ clientId: "ann", event: "m", payload: 2 });
    assert.equal((await named(stream, "m")).data, "2");
  });
});
