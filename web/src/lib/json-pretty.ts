/**
 * Lays JSON out over lines without parsing it, so that what is shown is what came: 1.10 stays 1.10
 * and 12345678901234567890 keeps its digits. Text that is not JSON is given back as it is.
 */

import { checkJson } from "./json-check";

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;

export function prettyJson(text: string): string {
  if (!checkJson(text).ok) return text;
  let out = "";
  let depth = 0;
  let previous = "";
  for (const [token] of text.matchAll(TOKEN)) {
    const closes = token === "}" || token === "]";
    const opened = previous === "{" || previous === "[";
    if (closes) depth -= 1;
    if (closes ? !opened : opened || previous === ",") out += `\n${"  ".repeat(depth)}`;
    out += token === ":" ? ": " : token;
    if (token === "{" || token === "[") depth += 1;
    previous = token;
  }
  return out;
}
