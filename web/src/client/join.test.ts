import { describe, expect, it } from "vitest";
import { type Join, checkJoin, readJoin, subscribeUrl, writeJoin } from "./join";

const join = (parts: Partial<Join>): Join => ({ name: "Ada", clientId: "", topics: "", ...parts });

describe("joining", () => {
  it("uses the name as client id unless another is given", () => {
    expect(subscribeUrl(join({}))).toBe("/api/sse/subscribe/Ada?name=Ada");
    expect(subscribeUrl(join({ clientId: "user-1" }))).toBe("/api/sse/subscribe/user-1?name=Ada");
  });

  it("encodes whatever a name holds", () => {
    expect(subscribeUrl(join({ name: "a/b ?#é" }))).toBe("/api/sse/subscribe/a%2Fb%20%3F%23%C3%A9?name=a%2Fb+%3F%23%C3%A9");
  });

  it("takes topics apart", () => {
    expect(subscribeUrl(join({ topics: "news, jobs/1\nnews,," }))).toBe(
      "/api/sse/subscribe/Ada?name=Ada&topic=news&topic=jobs%2F1",
    );
  });

  it("refuses what the hub would refuse", () => {
    expect(checkJoin(join({})).name).toBeNull();
    expect(checkJoin(join({ name: "" })).name).not.toBeNull();
    expect(checkJoin(join({ name: ".." })).name).not.toBeNull();
    expect(checkJoin(join({ name: "..", clientId: "dots" })).name).toBeNull();
    expect(checkJoin(join({ clientId: "x".repeat(129) })).clientId).not.toBeNull();
    expect(checkJoin(join({ topics: Array.from({ length: 65 }, (_, i) => i).join() })).topics).toMatch("64");
  });

  it("survives a trip through the address bar", () => {
    const before = join({ clientId: "u&1", topics: "a, b" });
    expect(readJoin(writeJoin(before, true).slice("/client".length))).toEqual({ join: before, joinNow: true });
    expect(readJoin(writeJoin(before, false).slice("/client".length)).joinNow).toBe(false);
    expect(readJoin("?join=1").joinNow).toBe(false);
  });
});
