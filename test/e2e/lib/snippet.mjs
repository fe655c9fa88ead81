// Code out of the documents, to be run as it stands there.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";

const DOCS = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../../docs");

/** The block of JavaScript behind `<!-- test: name -->` in a page of docs/. */
export async function snippet(page, name) {
  const text = await readFile(path.join(DOCS, page), "utf8");
  const found = new RegExp(`<!-- test: ${name} -->\n\`\`\`js\n([^]*?)\n\`\`\``).exec(text);
  assert.ok(found, `${page}: ${name}`);
  return found[1];
}
