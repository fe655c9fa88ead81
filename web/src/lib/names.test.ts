import { describe, expect, it } from "vitest";
import { GUIDE_EVENTS, checkClientId, checkEventName, checkTopic, isAddressable } from "./names";

describe("event names", () => {
  it.each([...GUIDE_EVENTS, "a", "x".repeat(128), "é".repeat(64), "with space", "_one"])("%s is fine", (name) => {
    expect(checkEventName(name)).toBeNull();
  });

  it.each(["", "__x", "__", "open", "error", "x".repeat(129), "é".repeat(65), "a\nb", "a\u007f", "a\u0085", "\ud800"])(
    "%j is refused",
    (name) => {
      expect(checkEventName(name)).not.toBeNull();
    },
  );
});

describe("clients and topics", () => {
  it("have their own lengths", () => {
    expect(checkClientId("x".repeat(128))).toBeNull();
    expect(checkClientId("x".repeat(129))).toMatch("129 bytes");
    expect(checkTopic("x".repeat(256))).toBeNull();
    expect(checkTopic("x".repeat(257))).not.toBeNull();
  });

  it("may be called like system events", () => {
    expect(checkClientId("__x")).toBeNull();
    expect(checkTopic("error")).toBeNull();
  });

  it("can be named in an address unless they read as a folder", () => {
    expect(isAddressable("..")).toBe(false);
    expect(isAddressable("...")).toBe(true);
  });
});
