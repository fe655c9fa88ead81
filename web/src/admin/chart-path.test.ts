import { describe, expect, it } from "vitest";
import { HEIGHT, WIDTH, nearest, niceTop, paths } from "./chart-path";
import { WINDOW_MS } from "./samples";

const points = (...values: (number | null)[]) =>
  values.map((value, index) => ({ ts: 1_000_000 + index * 1000, value }));

describe("the chart", () => {
  it("has a top that people can read", () => {
    const tops = [0, 1, 1.5, 3, 7, 10, 11, 120, 9999].map((value) => niceTop(points(value)));
    expect(tops).toEqual([1, 1, 2, 5, 10, 10, 20, 200, 10_000]);
  });

  it("ends at its right edge", () => {
    const { line, area } = paths(points(0, 10), 10);
    const before = WIDTH - (WIDTH * 1000) / WINDOW_MS;
    expect(line).toBe(`M${before} ${HEIGHT}L${WIDTH} 0`);
    expect(area).toBe(`M${before} ${HEIGHT}L${before} ${HEIGHT}L${WIDTH} 0V${HEIGHT}Z`);
  });

  it("breaks where nothing is known", () => {
    expect(paths(points(null, 1, null, 1, 1), 1).line.match(/M/g)).toHaveLength(2);
    expect(paths(points(null), 1)).toEqual({ line: "", area: "" });
    expect(paths([], 1)).toEqual({ line: "", area: "" });
  });

  it("finds the sample under the pointer", () => {
    expect(nearest(points(1, 2, 3), 1)?.value).toBe(3);
    expect(nearest(points(1, 2, 3), 0)?.value).toBe(1);
    expect(nearest([], 0.5)).toBeNull();
  });
});
