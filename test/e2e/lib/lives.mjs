// A hub with a store, through its deaths: always the same port and file.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { rm, statfs, writeFile } from "node:fs/promises";
import { Hub, freePort, tempDir } from "./hub.mjs";
import { EVENT } from "./ledger.mjs";
import { OVER_TLS } from "./over.mjs";
import { within } from "./wait.mjs";

export class Lives {
  /** Its first life. flags: a list, or a function that gives those of the next life. */
  static async begin(t, flags, options = {}) {
    const lives = new Lives(flags, await freePort(), options);
    t.after(() => lives.hub.stop());
    await lives.start();
    return lives;
  }

  constructor(flags, port, options) {
    this.flags = typeof flags === "function" ? flags : () => flags;
    this.options = { ...options, listen: [`127.0.0.1:${port}`] };
    this.target = { host: "127.0.0.1", port, tls: OVER_TLS };
    this.deaths = 0;
  }

  async start() {
    this.hub = new Hub(this.flags(), this.options);
    await this.hub.start();
  }

  /** SIGKILL, and nothing after it. */
  async kill() {
    this.deaths++;
    await this.hub.kill();
  }

  /** The numbers of all events that history has for a query, page by page, each checked against the ledger. */
  async stored(query, ledger) {
    const found = [];
    for (let after = ""; after !== null; ) {
      const answer = await this.hub.get(`/api/sse/history?${query}&limit=1000${after && `&after=${after}`}`);
      assert.equal(answer.status, 200, answer.text);
      assert.equal(answer.json.complete, true, `history of ${query} after ${after}`);
      for (const { id, event, payload } of answer.json.events) {
        assert.equal(event, EVENT);
        assert.equal(JSON.stringify(payload), ledger.payload(payload.n));
        ledger.sighted(payload.n, id);
        found.push(payload.n);
      }
      after = answer.json.next ?? null;
    }
    return found;
  }
}

/** A file system of a few bytes that only we can see: it goes with the process that holds it. */
export class SmallDisk {
  /** Of so many bytes, for a test; `refusal` says why, if this machine does not let us mount. */
  static async mounted(t, size) {
    const disk = new SmallDisk(await tempDir(t), size);
    t.after(() => disk.release());
    await disk.mounting;
    return disk;
  }

  constructor(dir, size) {
    this.dir = dir;
    const script = 'mount -t tmpfs -o "size=$1" tidings-e2e "$0" && echo mounted && exec cat';
    const argv = ["--mount", "--propagation", "private", "/bin/sh", "-c", script, dir, String(size)];
    this.holder = spawn("unshare", argv, { stdio: "pipe" });
    this.refusal = "unshare or mount has failed";
    this.holder.stderr.on("data", (text) => (this.refusal = String(text).trim()));
    this.holder.stdin.on("error", () => {}); // it lives until its input ends, so never longer than we do
    const mounting = new Promise((resolve) => {
      this.holder.once("error", (error) => resolve((this.refusal = error.message)));
      this.holder.once("close", resolve);
      this.holder.stdout.once("data", () => resolve((this.refusal = null)));
    });
    this.mounting = within(mounting, "a small disk to be mounted");
  }

  /** What makes a command see the disk, at `dir`. */
  get via() {
    return ["nsenter", `--mount=/proc/${this.holder.pid}/ns/mnt`, "--"];
  }

  /** Where we see a file of it. */
  path(name) {
    return `/proc/${this.holder.pid}/root${this.dir}/${name}`;
  }

  async free() {
    const { bavail, bsize } = await statfs(this.path(""));
    return bavail * bsize;
  }

  /** Takes away room. */
  fill(bytes) {
    return writeFile(this.path("filler"), Buffer.alloc(bytes, "x"));
  }

  /** Gives it back. */
  clear() {
    return rm(this.path("filler"));
  }

  /** The last process in it ends, and so does the disk. */
  release() {
    this.holder.kill("SIGKILL");
  }
}
