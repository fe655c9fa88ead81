// JSON Web Tokens, signed by Node's own crypto and not by anything of the hub's.

import { createHmac } from "node:crypto";

export const SECRET = "0123456789abcdef0123456789abcdef";

const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

/** claims: exp is in five minutes unless they say otherwise (undefined: none). */
export function token(claims = {}, { secret = SECRET, header = {} } = {}) {
  const all = { exp: Math.floor(Date.now() / 1000) + 300, ...claims };
  const signed = `${part({ alg: "HS256", typ: "JWT", ...header })}.${part(all)}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

export const bearer = (text) => ({ Authorization: `Bearer ${text}` });
