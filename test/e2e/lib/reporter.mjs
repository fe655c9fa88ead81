// One line a file with its counts, each failure in full, and the totals in the form `# pass N`.

import { relative } from "node:path";

const COUNTED = new Set(["tests", "suites", "pass", "fail", "cancelled", "skipped", "todo", "duration_ms"]);

// Failures that only follow from another one.
const CONSEQUENCES = new Set(["subtestsFailed", "cancelledByParent"]);

function failure(data) {
  const where = data.file ? `${relative(process.cwd(), data.file)}:${data.line ?? "?"}` : "";
  const error = data.details?.error;
  const cause = error?.cause ?? error;
  return `not ok - ${data.name} (${where})\n${String(cause?.stack ?? cause).replace(/^/gm, "    ")}\n`;
}

export default async function* report(source) {
  const skipped = [];
  for await (const { type, data } of source) {
    if (type === "test:fail" && !CONSEQUENCES.has(data.details?.error?.failureType)) yield failure(data);
    if (type === "test:pass" && data.skip !== undefined) skipped.push(`${data.name}: ${data.skip}`);
    if (type === "test:pass" && data.nesting === 0) {
      yield `ok - ${data.name} (${Math.round(data.details?.duration_ms ?? 0)} ms)\n`;
    }
    if (type === "test:stderr" || type === "test:stdout") yield data.message;
    if (type !== "test:diagnostic") continue;
    const [word, number] = data.message.split(" ");
    if (COUNTED.has(word) && number !== undefined && data.nesting === 0) yield `# ${word} ${number}\n`;
  }
  for (const line of skipped) yield `# skip: ${line}\n`;
}
