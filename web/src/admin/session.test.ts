import { describe, expect, it } from "vitest";
import type { Problem, Result } from "../lib/http";
import { type Standing, fromLogin, fromStanding, lost, out } from "./session";

const standing = (value: Standing): Result<Standing> => ({ ok: true, value });
const refused = (status: number, code = "", detail = "a detail"): { ok: false; problem: Problem } => ({
  ok: false,
  problem: { status, title: "", detail, code },
});

describe("the dashboard's session", () => {
  it("lets everybody in where no credentials are configured", () => {
    expect(fromStanding(standing({ needed: false, admin: true, until: null }))).toEqual({ kind: "in", until: null });
  });

  it("asks for a key where one is needed, and not whoever has shown it", () => {
    expect(fromStanding(standing({ needed: true, admin: false, until: null }))).toEqual(out(null));
    expect(fromStanding(standing({ needed: true, admin: true, until: 5 }))).toEqual({ kind: "in", until: 5 });
    // A proxy adds the header: nothing to log out of.
    expect(fromStanding(standing({ needed: true, admin: true, until: null }))).toEqual({ kind: "in", until: null });
  });

  it("leaves a hub that cannot be reached to the dashboard", () => {
    expect(fromStanding(refused(0))).toEqual({ kind: "in", until: null });
    expect(fromStanding(refused(401))).toEqual(out(null));
  });

  it("says plainly why a key was not taken", () => {
    expect(fromLogin({ ok: true, value: { until: 7 } })).toEqual({ kind: "in", until: 7 });
    expect(fromLogin(refused(401, "invalid_key"))).toEqual(out("The hub does not know this key."));
    expect(fromLogin(refused(403, "forbidden"))).toMatchObject({ problem: expect.stringContaining("not an admin's") });
    expect(fromLogin(refused(429, "too_many", "Wait a minute."))).toEqual(out("Wait a minute."));
  });

  it("is lost when the hub refuses the page, and only then", () => {
    const inside = { kind: "in", until: 9 } as const;
    expect(lost(inside, 401)).toEqual(out("The login is over. Enter the key again."));
    expect(lost(inside, 503)).toBe(inside);
    expect(lost({ kind: "in", until: null }, 401)).toEqual(out(null));
    const outside = out("wrong");
    expect(lost(outside, 401)).toBe(outside);
  });
});
