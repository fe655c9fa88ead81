import { describe, expect, it } from "vitest";
import { prettyJson } from "./json-pretty";

describe("prettyJson", () => {
  it("lays out as JSON.stringify does", () => {
    const value = { a: 1, b: [1, { c: "x, {y}: [z] \"q\" \\" }], d: {}, e: [], f: null, g: "" };
    expect(prettyJson(JSON.stringify(value))).toBe(JSON.stringify(value, null, 2));
  });

  it("lays out again what is laid out already", () => {
    const text = JSON.stringify({ a: [1, 2], b: { c: [] } }, null, 2);
    expect(prettyJson(text)).toBe(text);
  });

  it("keeps every digit", () => {
    expect(prettyJson("[1.10,12345678901234567890]")).toBe("[\n  1.10,\n  12345678901234567890\n]");
  });

  it("leaves other text alone", () => {
    expect(prettyJson("hello, world")).toBe("hello, world");
  });
});
