// npm test: all test files, or those whose names are given; options go to node's test runner. With
// --over-tls, --over-h2c or --over-h2 (which is over TLS) they are run by another carrier (lib/over.mjs): all but those
// whose subject is something else.

import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));
const OVER = ["--over-tls", "--over-h2c", "--over-h2"];
const options = process.argv.slice(2).filter((word) => word.startsWith("-") && !OVER.includes(word));
const over = process.argv.find((word) => OVER.includes(word));
const words = process.argv.slice(2).filter((word) => !word.startsWith("-"));

// Their subject is a hub in the clear, or they bring clients that know no other.
const CLEAR = ["browser", "gzip", "h2", "h2-abuse", "h2-browser", "hardening", "llm-stream", "run", "soak", "tls"];
// Theirs are the bytes of HTTP/1.1, or an origin that the translator (lib/translator.mjs) would change.
const HTTP1 = ["bad-http", "cors", "crash", "login"];

const files = readdirSync(path.join(here, "tests"))
  .filter((name) => name.endsWith(".test.mjs"))
  .filter((name) => !over || !CLEAR.includes(name.replace(".test.mjs", "")))
  .filter((name) => !over?.startsWith("--over-h2") || !HTTP1.includes(name.replace(".test.mjs", "")))
  .filter((name) => words.length === 0 || words.some((word) => name.startsWith(path.basename(word).replace(/\.test\.mjs$/, ""))))
  // The long ones first, so that none of them is left to run alone at the end.
  .sort((a, b) => rank(a) - rank(b) || a.localeCompare(b))
  .map((name) => path.join(here, "tests", name));

function rank(name) {
  const first = ["soak", "browser", "crash", "liveness", "bad-http", "order"];
  const at = first.indexOf(name.replace(".test.mjs", ""));
  return at < 0 ? first.length : at;
}

if (files.length === 0) {
  process.stderr.write(`no test file is called ${words.join(" or ")}\n`);
  process.exit(2);
}

/** A certificate that Node, curl and the hub's own commands trust; the hubs of lib/hub.mjs take it. */
function trustTls() {
  const dir = mkdtempSync(path.join(tmpdir(), "tidings-e2e-tls-"));
  process.on("exit", () => rmSync(dir, { recursive: true, force: true }));
  const cert = path.join(dir, "cert.pem");
  const names = "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1";
  const kind = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost".split(" ");
  execFileSync("openssl", [...kind, "-addext", names, "-keyout", path.join(dir, "key.pem"), "-out", cert], { stdio: "pipe" });
  return { NODE_EXTRA_CA_CERTS: cert, SSL_CERT_FILE: cert, CURL_CA_BUNDLE: cert, TIDINGS_E2E_TLS_DIR: dir };
}

const env = { ...process.env };
if (over) env.TIDINGS_E2E_SKIP_BROWSER = "1";
if (over === "--over-tls" || over === "--over-h2") Object.assign(env, trustTls());
if (over === "--over-h2" || over === "--over-h2c") env.TIDINGS_E2E_H2 = "1";
const reporter = options.some((option) => option.startsWith("--test-reporter"))
  ? []
  : [`--test-reporter=${path.join(here, "lib/reporter.mjs")}`, "--test-reporter-destination=stdout"];
// Most tests wait for the hub rather than compute, so more of them fit than there are processors.
const args = ["--test", "--test-concurrency=3", ...reporter, ...options, ...files];
const child = spawn(process.execPath, args, { cwd: here, stdio: "inherit", env });
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => child.kill(signal));
child.on("exit", (code, signal) => process.exit(signal ? 1 : code));
