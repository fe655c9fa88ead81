// TLS: certificates made by openssl, Node's clients and curl against the real binary.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { copyFile, readFile, writeFile } from "node:fs/promises";
import http2 from "node:http2";
import https from "node:https";
import net from "node:net";
import path from "node:path";
import { describe, test } from "node:test";
import tls from "node:tls";
import { promisify } from "node:util";
import { certificate } from "../lib/certificate.mjs";
import { Hub, runTidings, tempDir } from "../lib/hub.mjs";
import { within } from "../lib/wait.mjs";

const run = promisify(execFile);

const flags = ({ cert, key }) => ["--tls-cert", cert, "--tls-key", key];

/** One answer: {status, text, socket}. */
async function get(hub, ca, pathname, options = {}) {
  const request = https.get(`${hub.url}${pathname}`, { ca, agent: false, ...options });
  const [response] = await within(once(request, "response"), pathname);
  let text = "";
  for await (const piece of response.setEncoding("utf8")) text += piece;
  return { status: response.statusCode, text };
}

async function subscribe(t, hub, ca, client) {
  const request = https.get(`${hub.url}/api/sse/subscribe/${client}`, { ca, agent: false });
  request.on("error", () => {});
  t.after(() => request.destroy());
  const [response] = await within(once(request, "response"), `the stream of ${client}`);
  const stream = { text: "", response };
  response.setEncoding("utf8").on("data", (piece) => (stream.text += piece)).on("error", () => {});
  stream.until = async (pattern) => {
    while (!pattern.test(stream.text)) await within(once(response, "data"), `${pattern} in ${stream.text}`);
  };
  await stream.until(/__connected/);
  return stream;
}

async function publish(hub, ca, message) {
  const body = JSON.stringify(message);
  const request = https.request(`${hub.url}/api/sse/notify`, {
    method: "POST", ca, agent: false, headers: { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) },
  });
  request.end(body);
  const [response] = await within(once(request, "response"), "the answer");
  let text = "";
  for await (const piece of response.setEncoding("utf8")) text += piece;
  return JSON.parse(text);
}

describe("an encrypted listener", () => {
  test("serves streams and publishing, large answers and large events", async (t) => {
    const made = await certificate(await tempDir(t), "a");
    const hub = await Hub.started(t, flags(made));
    assert.match(hub.url, /^https:/);
    const stream = await subscribe(t, hub, made.ca, "ada");
    assert.equal((await publish(hub, made.ca, { clientId: "ada", event: "n", payload: { a: 1 } })).connections, 1);
    await stream.until(/event: n\ndata: {"a":1}\n\n/);
    const payload = "x".repeat(300_000); // many records, and more than the socket takes at once
    await publish(hub, made.ca, { clientId: "ada", event: "large", payload });
    await stream.until(new RegExp(`event: large\ndata: "${payload}"\n\n`));
    const metrics = await get(hub, made.ca, "/metrics");
    assert.match(metrics.text, /tidings_tls_handshakes_total [1-9]/);
  });

  test("offers HTTP/2 and HTTP/1.1, TLS 1.2 and 1.3, and nothing older", async (t) => {
    const made = await certificate(await tempDir(t), "a");
    const hub = await Hub.started(t, flags(made));
    const connect = async (options) => {
      const socket = tls.connect({ ...hub.target, servername: "localhost", ca: made.ca, ...options });
      t.after(() => socket.destroy());
      await within(Promise.race([once(socket, "secureConnect"), once(socket, "error").then(([error]) => Promise.reject(error))]), "a handshake");
      return { protocol: socket.getProtocol(), alpn: socket.alpnProtocol };
    };
    assert.deepEqual(await connect({ ALPNProtocols: ["http/1.1", "h2"] }), { protocol: "TLSv1.3", alpn: "h2" });
    assert.deepEqual(await connect({ ALPNProtocols: ["http/1.1"], maxVersion: "TLSv1.2" }), { protocol: "TLSv1.2", alpn: "http/1.1" });
    await assert.rejects(connect({ ALPNProtocols: ["spdy/3"] }));
    await assert.rejects(connect({ maxVersion: "TLSv1.1", minVersion: "TLSv1.1", ciphers: "ALL@SECLEVEL=0" }));
    const session = http2.connect(hub.url, { ca: made.ca });
    t.after(() => session.destroy());
    const stream = session.request({ ":path": "/healthz" });
    const [headers] = await within(once(stream, "response"), "an answer over HTTP/2");
    assert.equal(headers[":status"], 200);
  });

  test("leaves streams uncompressed, whatever a trusted proxy says of the visitor, unless it is told to", async (t) => {
    const made = await certificate(await tempDir(t), "a");
    const coding = async (hub, headers) => {
      const request = https.get(`${hub.url}/api/sse/subscribe/ada`, {
        ca: made.ca, agent: false, headers: { "Accept-Encoding": "gzip", ...headers },
      });
      request.on("error", () => {});
      t.after(() => request.destroy());
      const [response] = await within(once(request, "response"), "a stream");
      return response.headers["content-encoding"];
    };
    const hub = await Hub.started(t, [...flags(made), "--trusted-proxy", "127.0.0.0/8"]);
    assert.equal(await coding(hub, {}), undefined);
    assert.equal(await coding(hub, { "X-Forwarded-Proto": "http" }), undefined);
    assert.equal(await coding(hub, { Forwarded: "for=192.0.2.1;proto=http" }), undefined);
    const told = await Hub.started(t, [...flags(made), "--compress", "on"]);
    assert.equal(await coding(told, {}), "gzip");
  });

  test("is resumed with a ticket", async (t) => {
    const made = await certificate(await tempDir(t), "a");
    const hub = await Hub.started(t, flags(made));
    const connect = async (session) => {
      const socket = tls.connect({ ...hub.target, servername: "localhost", ca: made.ca, session });
      socket.on("error", () => {});
      const ticket = once(socket, "session");
      await within(once(socket, "secureConnect"), "a handshake");
      const [fresh] = await within(ticket, "a ticket");
      const reused = socket.isSessionReused();
      socket.destroy();
      return { fresh, reused };
    };
    const first = await connect();
    assert.equal(first.reused, false);
    assert.equal((await connect(first.fresh)).reused, true);
  });

  test("stands beside a plain one, and says what is wrong to who confuses them", async (t) => {
    const made = await certificate(await tempDir(t), "a");
    const hub = await Hub.started(t, flags(made), { listen: ["127.0.0.1:0", "http://127.0.0.1:0"] });
    const [secret, plain] = hub.urls.map((url) => new URL(url));
    assert.deepEqual([secret.protocol, plain.protocol], ["https:", "http:"]);
    assert.equal((await fetch(`${plain.origin}/healthz`)).status, 200);
    const confused = await fetch(`http://127.0.0.1:${secret.port}/healthz`);
    assert.equal(confused.status, 400);
    assert.match(await confused.text(), /HTTPS/);
  });

  test("takes a new certificate without dropping a stream, and keeps the old one if the new is broken", async (t) => {
    const dir = await tempDir(t);
    const [one, two] = [await certificate(dir, "one"), await certificate(dir, "two")];
    const live = { cert: path.join(dir, "live.crt"), key: path.join(dir, "live.key") };
    await copyFile(one.cert, live.cert);
    await copyFile(one.key, live.key);
    const hub = await Hub.started(t, flags(live));
    const stream = await subscribe(t, hub, one.ca, "ada");
    await copyFile(two.cert, live.cert);
    let from = hub.stderr.length;
    hub.child.kill("SIGHUP"); // its key is not there yet
    await hub.logged(/live\.key: not the private key/, from);
    assert.equal((await get(hub, one.ca, "/healthz")).status, 200);
    await copyFile(two.key, live.key);
    from = hub.stderr.length;
    hub.child.kill("SIGHUP");
    await hub.logged(/settings read again/, from);
    await assert.rejects(get(hub, one.ca, "/healthz"));
    await publish(hub, two.ca, { clientId: "ada", event: "still", payload: 1 });
    await stream.until(/event: still/);
  });

  test("ends a handshake that does not", async (t) => {
    const made = await certificate(await tempDir(t), "a");
    const hub = await Hub.started(t, [...flags(made), "--head-timeout", "300ms"]);
    const socket = net.connect(hub.target);
    socket.on("error", () => {});
    await once(socket, "connect");
    socket.write(Buffer.from([0x16, 3, 1]));
    await within(once(socket, "close"), "the end of it");
  });
});

describe("the client commands over https", () => {
  test("verify the certificate as they are told", async (t) => {
    const dir = await tempDir(t);
    const [made, other] = [await certificate(dir, "a"), await certificate(dir, "other")];
    const hub = await Hub.started(t, flags(made), { listen: ["https://127.0.0.1:0", "http://127.0.0.1:0"] });
    const clients = (url, ...more) => runTidings(["clients", "--json", "--url", url, ...more]);
    const { port } = new URL(hub.url);
    for (const more of [["--cacert", made.cert], ["--insecure"]]) {
      for (const host of ["127.0.0.1", "localhost"]) {
        const { code, stderr } = await clients(`https://${host}:${port}`, ...more);
        assert.equal(code, 0, stderr);
      }
    }
    for (const [url, more, pattern] of [
      [hub.url, [], /not trusted: self-signed/],
      [hub.url, ["--cacert", other.cert], /not trusted/],
      [hub.url, ["--cacert", path.join(dir, "nowhere.pem")], /nowhere\.pem/],
      [hub.urls[1].replace("http:", "https:"), ["--insecure"], /does not speak TLS/],
    ]) {
      const { code, stderr } = await clients(url, ...more);
      assert.equal(code, 1);
      assert.match(stderr, pattern);
    }
    const named = await certificate(dir, "named", { names: "DNS:hub.example.com" });
    const hub2 = await Hub.started(t, flags(named));
    const refused = await clients(hub2.url, "--cacert", named.cert);
    assert.match(refused.stderr, /not trusted: IP address mismatch/);
  });

  test("receive and send, large events too", async (t) => {
    const made = await certificate(await tempDir(t), "a");
    const hub = await Hub.started(t, flags(made), { listen: ["https://127.0.0.1:0", "http://127.0.0.1:0"] });
    const trust = ["--url", hub.url, "--cacert", made.cert];
    const receiving = runTidings(["subscribe", ...trust, "--count", "2", "ada"]);
    await hub.logged(/event=connect client=ada/);
    const payload = JSON.stringify("y".repeat(200_000));
    const sent = await runTidings(["publish", ...trust, "--client", "ada", "-"], { input: payload });
    assert.equal(sent.code, 0, sent.stderr);
    assert.equal(JSON.parse(sent.stdout).connections, 1);
    await runTidings(["publish", ...trust, "--client", "ada", "1.10"]);
    const { code, stdout } = await receiving;
    assert.equal(code, 0);
    const lines = stdout.trimEnd().split("\n");
    assert.ok(lines[0].endsWith(`"data":${payload}}`));
    assert.match(lines[1], /"data":1\.10}$/);
  });
});

describe("at the start", () => {
  const start = async (made, more = []) => runTidings(["serve", "--listen", "127.0.0.1:0", "--check-config", ...flags(made), ...more]);

  test("a file that is missing, broken or does not fit is named", async (t) => {
    const dir = await tempDir(t);
    const [one, two] = [await certificate(dir, "one"), await certificate(dir, "two")];
    const broken = path.join(dir, "broken.pem");
    await writeFile(broken, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    assert.equal((await start(one)).code, 0);
    for (const [made, pattern] of [
      [{ cert: one.cert, key: two.key }, /two\.key: not the private key/],
      [{ cert: broken, key: one.key }, /broken\.pem: not a certificate/],
      [{ cert: path.join(dir, "nowhere.pem"), key: one.key }, /nowhere\.pem/],
      [{ cert: one.cert, key: path.join(dir, "nowhere.key") }, /nowhere\.key/],
    ]) {
      const { code, stderr } = await start(made);
      assert.equal(code, 2);
      assert.match(stderr, pattern);
    }
    const alone = await runTidings(["serve", "--listen", "127.0.0.1:0", "--tls-cert", one.cert]);
    assert.equal(alone.code, 2);
    assert.match(alone.stderr, /tls-key/);
    const without = await runTidings(["serve", "--listen", "https://127.0.0.1:0"]);
    assert.equal(without.code, 2);
    assert.match(without.stderr, /--tls-cert/);
  });

  test("an expired certificate is said, with its date", async (t) => {
    const dir = await tempDir(t);
    const made = await certificate(dir, "old");
    const file = (name) => path.join(dir, name);
    // `ca` takes both dates in all versions; `x509 -days -1` is refused since it is held against the beginning.
    await writeFile(file("index"), "");
    await writeFile(file("ca.conf"), `[ca]\ndefault_ca = own\n[own]\ndatabase = ${file("index")}\nnew_certs_dir = ${dir}\nrand_serial = yes\npolicy = any\n[any]\ncommonName = supplied\n`);
    await run("openssl", ["req", "-new", "-key", made.key, "-subj", "/CN=localhost", "-out", file("old.csr")]);
    await run("openssl", ["ca", "-batch", "-notext", "-selfsign", "-md", "sha256", "-config", file("ca.conf"), "-keyfile", made.key,
      ...["-startdate", "20200101000000Z", "-enddate", "20200201000000Z", "-in", file("old.csr"), "-out", made.cert]]);
    const { code, stderr } = await start(made);
    assert.equal(code, 0);
    assert.match(stderr, /old\.crt: the certificate has expired on 2020-02-01/);
  });
});
