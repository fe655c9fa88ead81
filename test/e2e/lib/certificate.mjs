// Certificates made by openssl.

import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** A self-signed certificate and its key as files in `dir`: {cert, key, ca}. */
export async function certificate(dir, name, { days = 2, subject = "/CN=localhost", names = "DNS:localhost,IP:127.0.0.1" } = {}) {
  const [cert, key] = [path.join(dir, `${name}.crt`), path.join(dir, `${name}.key`)];
  await run("openssl", [
    ..."req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes".split(" "),
    ...["-keyout", key, "-out", cert, "-days", String(days), "-subj", subject],
    ...["-addext", `subjectAltName=${names}`],
  ]);
  return { cert, key, ca: await readFile(cert) };
}
