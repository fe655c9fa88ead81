// Waiting without guessing: every wait ends with the event it is for. The deadline only guards against a test
// that hangs, so it is generous and says nothing about speed.

import { setTimeout as pause } from "node:timers/promises";

export const DEADLINE = Number(process.env.TIDINGS_E2E_DEADLINE_MS ?? 20_000);

/** The promise's result, or a failure that says what never came. */
export async function within(promise, what, limit = DEADLINE) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`waited ${limit} ms for ${typeof what === "function" ? what() : what}`));
    }, limit);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Waits until `probe`, asked now and at each `event` of the emitter, answers something other than undefined. */
export async function until(emitter, event, probe, what) {
  let check;
  const found = new Promise((resolve, reject) => {
    check = () => {
      try {
        const answer = probe();
        if (answer !== undefined) resolve(answer);
      } catch (error) {
        reject(error);
      }
    };
  });
  emitter.on(event, check);
  check();
  try {
    return await within(found, what);
  } finally {
    emitter.off(event, check);
  }
}

/** Asks again and again until `probe` answers something other than undefined and false. */
export async function eventually(probe, what, limit = DEADLINE) {
  const end = Date.now() + limit;
  for (;;) {
    const answer = await probe();
    if (answer !== undefined && answer !== false) return answer;
    if (Date.now() > end) throw new Error(`waited ${limit} ms for ${what}`);
    await pause(10);
  }
}
