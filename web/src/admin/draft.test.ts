import { describe, expect, it } from "vitest";
import { type Draft, FIRST_DRAFT, checkDraft, requestBody } from "./draft";

const draft = (parts: Partial<Draft>): Draft => ({ ...FIRST_DRAFT, ...parts });

describe("a draft", () => {
  it("needs only the target that was chosen", () => {
    expect(checkDraft(draft({ target: "client" })).clientId).not.toBeNull();
    expect(checkDraft(draft({ target: "topic" })).topic).not.toBeNull();
    expect(Object.values(checkDraft(draft({ target: "everyone" })))).toEqual([null, null, null, null]);
  });

  it("says where its payload breaks", () => {
    expect(checkDraft(draft({ payload: '{\n "a": x }' })).payload).toMatch("Line 2, column 7: ");
  });

  it("sends the payload as it was typed", () => {
    const body = requestBody(draft({ target: "everyone", event: 'a"b', payload: "[1.10, 12345678901234567890]" }));
    expect(body).toBe('{"broadcast":true,"event":"a\\"b","payload":[1.10, 12345678901234567890]}');
  });

  it("names one target", () => {
    const both = { clientId: "ada", topic: "news", payload: "1", event: "e" };
    expect(requestBody(draft({ ...both, target: "client" }))).toBe('{"clientId":"ada","event":"e","payload":1}');
    expect(requestBody(draft({ ...both, target: "topic" }))).toBe('{"topic":"news","event":"e","payload":1}');
  });
});
