import { describe, expect, it } from "vitest";
import { formatBytes, formatDuration, formatRate, formatTime, plural } from "./format";

describe("format", () => {
  it("rates", () => {
    expect([0, 0.25, 9.94, 10.4, 12345.6].map(formatRate)).toEqual(["0", "0.3", "9.9", "10", "12,346"]);
  });

  it("sizes", () => {
    expect([0, 1023, 1536, 5 * 1024 ** 2].map(formatBytes)).toEqual(["0 B", "1023 B", "1.5 KiB", "5 MiB"]);
  });

  it("durations", () => {
    const seconds = [0, 59, 61, 3660, 90_000];
    expect(seconds.map((count) => formatDuration(count * 1000))).toEqual([
      "0 s", "59 s", "1 min 1 s", "1 h 1 min", "1 d 1 h",
    ]);
  });

  it("times, with the date only when it is another day", () => {
    const noon = new Date(2025, 10, 23, 12, 3, 4).getTime();
    expect(formatTime(noon, noon + 1000)).toBe("12:03:04");
    expect(formatTime(noon, noon + 86_400_000)).toBe("2025-11-23 12:03:04");
  });

  it("counts", () => {
    expect([plural(0, "client"), plural(1, "client"), plural(1200, "client")]).toEqual([
      "0 clients", "1 client", "1,200 clients",
    ]);
  });
});
