import { describe, expect, it } from "vitest";
import { checkJson } from "./json-check";

const nested = (levels: number) => "[".repeat(levels) + "]".repeat(levels);

describe("good JSON", () => {
  it.each([
    '{"message":"Hello!"}', "[]", "{}", '""', "0", "-0", "1.10", "12345678901234567890", "1e9", "-1.5E-3",
    "true", "false", "null", ' \t\r\n{ "a" : [ 1 , { } , [ ] ] } ', '"\\u00e9\\ud83c\\udf0a\\n\\/"', '"🌊"',
    '{"a":1,"a":2}', nested(512),
  ])("%s", (text) => {
    expect(checkJson(text)).toEqual({ ok: true });
    expect(() => JSON.parse(text)).not.toThrow();
  });
});

describe("bad JSON is refused with its place", () => {
  it.each([
    ["", 0], ["  ", 2], ["{", 1], ['{"a"}', 4], ['{"a":}', 5], ['{"a":1,}', 7], ["{a:1}", 1], ["[1,]", 3],
    ["[1 2]", 3], ["01", 0], ["1.", 0], [".5", 0], ["+1", 0], ["-", 0], ["--1", 0], ["1e", 0], ["tru", 0],
    ["NaN", 0], ["'a'", 0], ['"a', 0], ['"a\nb"', 2], ['"\\x"', 1], ['"\\u12"', 1], ["{} x", 3], ["]", 0],
    ['{"a":1 "b":2}', 7], ["// no", 0], ['{"a":1}}', 7],
  ])("%j at %i", (text, offset) => {
    expect(checkJson(text)).toMatchObject({ ok: false, offset });
    expect(() => JSON.parse(text)).toThrow();
  });

  it.each(['"\\ud83c"', '"\\udf0a"', '"\\ud83cx"', '"\\ud83c\\n"'])("half a surrogate pair: %s", (text) => {
    expect(checkJson(text)).toMatchObject({ ok: false, offset: 1 });
  });

  it("more than 512 levels", () => {
    expect(checkJson(nested(513))).toMatchObject({ ok: false, offset: 512 });
  });

  it("counts lines and columns from one", () => {
    expect(checkJson('{\n  "a": 1,\n  b\n}')).toMatchObject({ line: 3, column: 3 });
  });
});
