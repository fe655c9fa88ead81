import { describe, expect, it } from "vitest";
import type { Stats } from "./hub-api";
import { NO_SAMPLES, addStats } from "./samples";

const stats = (ts: number, published = 0, delivered = 0): Stats => ({
  ts,
  totalConnections: 1,
  totalClients: 1,
  slowReaders: 0,
  published,
  delivered,
  uptimeMs: ts,
  version: "0.1.0",
  node: "n",
  draining: false,
  limits: [],
});

const after = (...all: Stats[]) => all.reduce(addStats, NO_SAMPLES).list;

describe("samples", () => {
  it("turn totals into rates by the hub's own clock", () => {
    const list = after(stats(1000, 10, 100), stats(3000, 30, 300));
    expect(list.map((sample) => sample.events)).toEqual([null, 10]);
    expect(list.map((sample) => sample.deliveries)).toEqual([null, 100]);
  });

  it("leave a gap when the hub restarted or was away for long", () => {
    expect(after(stats(1000, 10), stats(2000, 3)).at(-1)?.events).toBeNull();
    expect(after(stats(1000, 10), stats(30_000, 300)).at(-1)?.events).toBeNull();
  });

  it("measure no rate over a blink", () => {
    const rates = after(stats(1000), stats(1040, 50), stats(2000, 60)).map((sample) => sample.events);
    expect(rates).toEqual([null, 60]);
  });

  it("keep two minutes", () => {
    const all = Array.from({ length: 300 }, (_, second) => stats(second * 1000));
    expect(after(...all)).toHaveLength(120);
  });

  it("forget a future that a corrected clock took back", () => {
    expect(after(stats(9000), stats(5000)).map((sample) => sample.ts)).toEqual([5000]);
  });
});
