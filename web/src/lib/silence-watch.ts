/**
 * Notices a stream that died without a word (a laptop that slept, a forgotten NAT entry).
 * The hub's heartbeat interval is a setting that the page cannot know, so it is learned from two
 * heartbeats; until then there is no limit.
 */

const MISSED_BEATS = 3;
const SHORTEST_LIMIT_MS = 5_000;

export class SilenceWatch {
  private lastHeard = 0;
  private lastBeat = 0;
  private limitMs = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly onSilence: () => void) {}

  /** Anything arrived. Called for every piece of the stream, so it only notes the time. */
  heard(): void {
    this.lastHeard = Date.now();
  }

  beat(): void {
    const now = Date.now();
    if (this.lastBeat !== 0) {
      this.limitMs = Math.max(SHORTEST_LIMIT_MS, MISSED_BEATS * (now - this.lastBeat));
      this.arm(this.limitMs);
    }
    this.lastBeat = now;
  }

  stop(): void {
    clearTimeout(this.timer);
  }

  private arm(delayMs: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.check(), delayMs);
  }

  private check(): void {
    const left = this.lastHeard + this.limitMs - Date.now();
    if (left > 0) this.arm(left);
    else this.onSilence();
  }
}
