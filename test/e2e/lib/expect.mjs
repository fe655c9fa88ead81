// What the contract says about answers, once.

import assert from "node:assert/strict";

export const ID = /^[A-Za-z0-9._~-]{1,64}$/;

/** The problem object of RFC 9457 as the hub writes it; `about` is what its detail must name. */
export function assertProblem(answer, status, about) {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.headers.get("content-type"), "application/problem+json");
  const problem = answer.json;
  assert.equal(problem.ok, false);
  assert.equal(problem.type, "about:blank");
  assert.equal(problem.status, status);
  assert.match(problem.code, /^[a-z][a-z0-9_]*$/);
  for (const key of ["title", "detail"]) {
    assert.equal(typeof problem[key], "string");
    assert.notEqual(problem[key], "");
  }
  if (about !== undefined) assert.match(problem.detail, about instanceof RegExp ? about : new RegExp(about));
  return problem;
}

/** An __overloaded answer: 200, `retry:`, one event without id, and the end. */
export async function assertOverloaded(stream) {
  assert.equal(stream.status, 200, stream.body);
  assert.equal(stream.headers.get("content-type"), "text/event-stream; charset=utf-8");
  await stream.end();
  assert.ok(stream.complete, "it ends as a whole answer");
  assert.ok(stream.blocks.some(({ retry }) => /^[1-9][0-9]*$/.test(retry)), stream.body);
  assert.deepEqual(stream.events.map(({ event }) => event), ["__overloaded"]);
  assert.ok(stream.blocks.every(({ id }) => id === undefined), "no id:");
  const data = JSON.parse(stream.events[0].data);
  assert.equal(typeof data.reason, "string");
  assert.notEqual(data.reason, "");
  assert.ok(Number.isInteger(data.retryMs) && data.retryMs > 0, stream.events[0].data);
  return data;
}

/** A refusal for those who did not ask for an event stream. */
export function assertRefused(answer, statuses = [429, 503]) {
  assert.ok(statuses.includes(answer.status), `${answer.status} ${answer.text}`);
  assert.match(answer.headers.get("retry-after") ?? "", /^[1-9][0-9]*$/);
  return assertProblem(answer, answer.status);
}
