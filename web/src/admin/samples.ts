/** The last two minutes of the hub's figures; rates come from differences of its running totals. */

import type { Stats } from "./hub-api";

export interface Sample {
  readonly ts: number;
  readonly connections: number;
  /** A second; null where nothing came before to compare with, which breaks the line of the chart. */
  readonly events: number | null;
  readonly deliveries: number | null;
}

export interface Samples {
  readonly list: readonly Sample[];
  readonly latest: Stats | null;
  /** What the next rate is measured from. */
  readonly baseline: Stats | null;
}

export const WINDOW_MS = 120_000;
/** The figures that greet a new stream may be followed by the next within a blink: too short to measure a rate. */
const SHORTEST_STEP_MS = 500;
/** A longer silence than this says nothing about the rate in between. */
const LONGEST_STEP_MS = 10_000;

export const NO_SAMPLES: Samples = { list: [], latest: null, baseline: null };

export function addStats(samples: Samples, stats: Stats): Samples {
  const before = samples.baseline;
  const step = before === null ? SHORTEST_STEP_MS : stats.ts - before.ts;
  if (step >= 0 && step < SHORTEST_STEP_MS) return { ...samples, latest: stats };
  const kept = samples.list.filter((sample) => sample.ts > stats.ts - WINDOW_MS && sample.ts < stats.ts);
  const sample = {
    ts: stats.ts,
    connections: stats.totalConnections,
    events: rate(before, stats, "published"),
    deliveries: rate(before, stats, "delivered"),
  };
  return { list: [...kept, sample], latest: stats, baseline: stats };
}

function rate(before: Stats | null, now: Stats, counter: "published" | "delivered"): number | null {
  if (before === null) return null;
  const step = now.ts - before.ts;
  const grown = now[counter] - before[counter];
  // A counter that fell belongs to a hub that started anew.
  if (step <= 0 || step > LONGEST_STEP_MS || grown < 0) return null;
  return (grown * 1000) / step;
}
