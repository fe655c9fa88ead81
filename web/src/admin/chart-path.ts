/** Geometry of a small time chart, in a box of WIDTH × HEIGHT whose right edge is the newest sample. */

import { WINDOW_MS } from "./samples";

export interface Point {
  readonly ts: number;
  readonly value: number | null;
}

export const WIDTH = 240;
export const HEIGHT = 60;

/** The next 1, 2 or 5 followed by zeros: a top line that people can read, and that seldom moves. */
export function niceTop(points: readonly Point[]): number {
  const highest = points.reduce((top, point) => Math.max(top, point.value ?? 0), 0);
  if (highest <= 1) return 1;
  const power = 10 ** Math.floor(Math.log10(highest));
  return ([1, 2, 5, 10].find((step) => highest <= step * power) ?? 10) * power;
}

export const xOf = (ts: number, end: number): number => round(WIDTH * (1 - (end - ts) / WINDOW_MS));

export const yOf = (value: number, top: number): number => round(HEIGHT * (1 - value / top));

const round = (value: number): number => Math.round(value * 100) / 100;

/** The line, and the area under it; both break where a value is unknown. */
export function paths(points: readonly Point[], top: number): { line: string; area: string } {
  const end = points.at(-1)?.ts ?? 0;
  let line = "";
  let area = "";
  for (const run of runs(points)) {
    const corners = run.map((point) => `${xOf(point.ts, end)} ${yOf(point.value, top)}`).join("L");
    line += `M${corners}`;
    area += `M${xOf(run[0]?.ts ?? end, end)} ${HEIGHT}L${corners}V${HEIGHT}Z`;
  }
  return { line, area };
}

function runs(points: readonly Point[]): { ts: number; value: number }[][] {
  const found: { ts: number; value: number }[][] = [];
  let broken = true;
  for (const { ts, value } of points) {
    if (value !== null && broken) found.push([]);
    if (value !== null) found.at(-1)?.push({ ts, value });
    broken = value === null;
  }
  return found;
}

/** The sample nearest to a place between the left (0) and the right edge (1). */
export function nearest(points: readonly Point[], fraction: number): Point | null {
  const end = points.at(-1)?.ts ?? 0;
  const wanted = end - (1 - fraction) * WINDOW_MS;
  const distance = (point: Point) => Math.abs(point.ts - wanted);
  return points.reduce<Point | null>(
    (best, point) => (best === null || distance(point) < distance(best) ? point : best),
    null,
  );
}
