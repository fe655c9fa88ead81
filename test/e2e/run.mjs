// npm test: all test files, or those whose names are given; options go to node's test runner.

import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));
const options = process.argv.slice(2).filter((word) => word.startsWith("-"));
const words = process.argv.slice(2).filter((word) => !word.startsWith("-"));

const files = readdirSync(path.join(here, "tests"))
  .filter((name) => name.endsWith(".test.mjs"))
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

const reporter = options.some((option) => option.startsWith("--test-reporter"))
  ? []
  : [`--test-reporter=${path.join(here, "lib/reporter.mjs")}`, "--test-reporter-destination=stdout"];
// Most tests wait for the hub rather than compute, so more of them fit than there are processors.
const args = ["--test", "--test-concurrency=3", ...reporter, ...options, ...files];
const child = spawn(process.execPath, args, { cwd: here, stdio: "inherit" });
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => child.kill(signal));
child.on("exit", (code, signal) => process.exit(signal ? 1 : code));
