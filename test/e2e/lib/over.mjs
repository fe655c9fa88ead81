// What the hubs of the tests speak: HTTP in the clear, or with TIDINGS_E2E_OVER=tls the same through TLS. run.mjs makes
// the certificate, and has Node, curl and the hub's own commands trust it.

import { readFileSync } from "node:fs";
import net from "node:net";
import path from "node:path";
import tls from "node:tls";

export const OVER_H2 = process.env.TIDINGS_E2E_H2 === "1";
/** Options of a test that is about the bytes of HTTP/1.x, or about a connection that carries one stream alone. */
export const HTTP1_ONLY = { skip: OVER_H2 };
const DIR = process.env.TIDINGS_E2E_TLS_DIR;
export const OVER_TLS = Boolean(DIR);
const file = (name) => path.join(DIR, name);
export const ca = OVER_TLS ? readFileSync(file("cert.pem")) : undefined;

/** The flags of a hub that has none of these of its own. */
export function carrierFlags(flags) {
  return OVER_TLS && !flags.includes("--tls-cert") ? ["--tls-cert", file("cert.pem"), "--tls-key", file("key.pem")] : [];
}

/**
 * A socket to {port, host} or {path}, encrypted if target.tls says so, with `resetAndDestroy()` in any case; `ready` is the
 * event that says that it stands.
 */
export function connectTo({ tls: encrypted, ...target }, options = {}) {
  const raw = net.connect({ noDelay: true, ...target, ...options });
  if (!encrypted) return { socket: raw, ready: "connect", reset: () => raw.resetAndDestroy() };
  const socket = tls.connect({ socket: raw, ca, servername: "localhost", ALPNProtocols: ["http/1.1"], ...options });
  raw.on("error", (error) => socket.destroy(error));
  return { socket, ready: "secureConnect", reset: () => raw.resetAndDestroy() };
}
