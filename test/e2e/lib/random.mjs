// Chance that can be had again: TIDINGS_E2E_SEED=N repeats the choices of a run that failed (not its timing).

import { randomInt } from "node:crypto";
import { test } from "node:test";

export const SEED = Number(process.env.TIDINGS_E2E_SEED ?? randomInt(2 ** 32));

export class Random {
  constructor(seed) {
    this.state = seed >>> 0;
  }

  /** 0 <= x < 1; mulberry32. */
  next() {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let x = this.state;
    x = Math.imul(x ^ (x >>> 15), x | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number, both ends included. */
  between(low, high) {
    return low + Math.floor(this.next() * (high - low + 1));
  }

  chance(share) {
    return this.next() < share;
  }

  pick(list) {
    return list[this.between(0, list.length - 1)];
  }

  /** A share of lengths around `mean`, many short and few long ones. */
  spread(mean) {
    return Math.floor(-Math.log(1 - this.next()) * mean);
  }

  /** A generator of its own, so that one actor's choices do not depend on when the others make theirs. */
  fork() {
    return new Random(Math.floor(this.next() * 2 ** 32));
  }
}

/** A test that gets a generator after `t`, and says with which seed it failed. */
export function seeded(name, options, body) {
  test(name, options, async (t) => {
    try {
      await body(t, new Random(SEED));
    } catch (error) {
      process.stderr.write(`"${name}" has failed with TIDINGS_E2E_SEED=${SEED}\n`);
      throw error;
    }
  });
}
