// SPDX-License-Identifier: MIT
//
// resume - what it costs to come back. `cost`: one reader with ten events behind its cursor, against a hub that holds
// a thousand events and one that holds a million, asked in turn. `storm`: ten thousand readers lose their connection
// at once and come back at once, each with its cursor, while publishing goes on.
"use strict";
const net = require("node:net");

const MISSED = 10;
const PAYLOAD = "x".repeat(180);

// ---- publishing: newline-delimited JSON on one connection, results read and counted

function publishAll(url, total, make) {
  const { port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, "127.0.0.1");
    let text = "", results = 0, lastId = null, next = 0;
    const chunk = (s) => `${Buffer.byteLength(s).toString(16)}\r\n${s}\r\n`;
    const more = () => {
      while (next < total) {
        let lines = "";
        for (let i = 0; i < 500 && next < total; i++) lines += JSON.stringify(make(next++)) + "\n";
        if (!socket.write(chunk(lines))) return;
      }
      if (next === total) {
        next++;
        socket.write("0\r\n\r\n");
      }
    };
    socket.on("error", reject).on("drain", more).on("close", () => reject(new Error("publishing was cut off")));
    socket.on("data", (data) => {
      text += data;
      const end = text.lastIndexOf("\n");
      for (const line of text.slice(0, end).split("\n")) {
        if (!line.startsWith("{")) continue;
        const result = JSON.parse(line);
        if (!result.ok) return reject(new Error(result.detail));
        results++;
        lastId = result.id;
      }
      text = text.slice(end + 1);
      if (results === total) {
        socket.removeAllListeners("close").on("close", () => {}).destroy();
        resolve(lastId);
      }
    });
    socket.write("POST /api/sse/notify/batch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n" +
      "Transfer-Encoding: chunked\r\n\r\n");
    more();
  });
}

// ---- one resumed subscription: ms from the request to the last of what it has missed

function resumeOnce(url, cursor) {
  const { port } = new URL(url);
  return new Promise((resolve, reject) => {
    let text = "", begun;
    const socket = net.connect(port, "127.0.0.1", () => {
      begun = process.hrtime.bigint();
      socket.write(`GET /api/sse/subscribe/probe HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: ${cursor}\r\n\r\n`);
    });
    socket.setNoDelay(true).on("error", reject).on("data", (data) => {
      text += data.latin1Slice();
      if (text.split("event: tick").length - 1 < MISSED) return;
      const took = Number(process.hrtime.bigint() - begun) / 1e6;
      socket.destroy();
      if (!text.includes(`"resume":"complete","replayed":${MISSED}`)) reject(new Error(`not resumed: ${text.slice(0, 800)}`));
      else resolve(took);
    });
  });
}

// Half of what is stored are broadcasts, in one ring; the other half lies with clients, ten each.
async function fill(hub, events) {
  const cursor = await publishAll(hub.url, events, (i) => i % 2
    ? { broadcast: true, event: "old", payload: PAYLOAD }
    : { clientId: `client-${Math.floor(i / 20)}`, event: "old", payload: PAYLOAD });
  await publishAll(hub.url, MISSED, (i) => i % 2
    ? { broadcast: true, event: "tick", payload: PAYLOAD } : { clientId: "probe", event: "tick", payload: PAYLOAD });
  return cursor;
}

const sortedCopy = (values) => [...values].sort((a, b) => a - b);
const quantile = (values, q) => sortedCopy(values)[Math.min(values.length - 1, Math.floor(values.length * q))];

async function cost({ tidings, stop, rounds = 2000 }) {
  const large = ["--history-size", "2000000", "--history-bytes", "1024MiB", "--history-total-bytes", "4096MiB", "--history-ttl", "1h"];
  const sizes = [1000, 1000000], hubs = [], cursors = [], times = [[], []];
  for (const size of sizes) {
    const hub = await tidings(large);
    cursors.push(await fill(hub, size));
    hubs.push(hub);
  }
  for (let i = 0; i < rounds + 100; i++)
    for (const k of i % 2 ? [0, 1] : [1, 0]) {
      const took = await resumeOnce(hubs[k].url, cursors[k]);
      if (i >= 100) times[k].push(took);
    }
  for (const hub of hubs) await stop(hub);
  return {
    rounds, sizes,
    p50: times.map((t) => quantile(t, 0.5)), p99: times.map((t) => quantile(t, 0.99)),
    ratio: quantile(times[1], 0.5) / quantile(times[0], 0.5),
  };
}

// ---- the storm

class Reader {
  constructor(url, id) {
    this.port = Number(new URL(url).port);
    this.id = id;
    this.cursor = null;
  }

  // Resolves when it is connected and has all that it was said to be replayed.
  open() {
    return new Promise((resolve) => {
      let text = "", wanted = null;
      const again = () => setTimeout(() => resolve(this.open()), 50);
      this.socket = net.connect(this.port, "127.0.0.1", () => this.socket.write(
        `GET /api/sse/subscribe/${this.id} HTTP/1.1\r\nHost: localhost\r\n${this.cursor ? `Last-Event-ID: ${this.cursor}\r\n` : ""}\r\n`));
      this.socket.on("error", again).on("data", (data) => {
        if (wanted === "done") return;
        text += data.latin1Slice();
        if (wanted === null) {
          const said = /"resume":"(\w+)","replayed":(\d+)/.exec(text);
          if (!said) return;
          this.resume = said[1];
          wanted = Number(said[2]);
        }
        this.events = text.split(/event: (?:missed|live)\n/).length - 1;
        if (this.events < wanted) return;
        this.cursor = [...text.matchAll(/^id: (\S+)$/gm)].at(-1)[1];
        wanted = "done";
        text = "";
        this.socket.removeAllListeners("error").on("error", () => {});
        resolve();
      });
    });
  }

  cut() {
    return new Promise((resolve) => this.socket.on("close", resolve).resetAndDestroy());
  }
}

async function storm({ tidings, stop, readers = 10000 }) {
  const hub = await tidings(["--heartbeat", "1h"], { loops: 2, anywhere: true });
  const all = Array.from({ length: readers }, (_, i) => new Reader(hub.url, `reader-${i}`));
  for (let i = 0; i < readers; i += 500) await Promise.all(all.slice(i, i + 500).map((r) => r.open()));
  await Promise.all(all.map((r) => r.cut()));
  // What everybody misses: five broadcasts and one event of its own.
  await publishAll(hub.url, 5, () => ({ broadcast: true, event: "missed", payload: PAYLOAD }));
  await publishAll(hub.url, readers, (i) => ({ clientId: `reader-${i}`, event: "missed", payload: PAYLOAD }));
  let published = 0, going = true;
  const publisher = (async () => {
    while (going) {
      await publishAll(hub.url, 20, (i) => i ? { clientId: `reader-${(published * 37 + i) % readers}`, event: "live", payload: PAYLOAD }
        : { broadcast: true, event: "live", payload: PAYLOAD });
      published += 20;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  })();
  const begun = process.hrtime.bigint();
  const each = [];
  await Promise.all(all.map((r) => r.open().then(() => each.push(Number(process.hrtime.bigint() - begun) / 1e6))));
  going = false;
  await publisher;
  const complete = all.filter((r) => r.resume === "complete").length;
  const short = all.filter((r) => r.events < 6).length;
  await Promise.all(all.map((r) => r.cut()));
  await stop(hub);
  return { readers, complete, short, published, p50: quantile(each, 0.5), last: quantile(each, 1) };
}

module.exports = { cost, storm };
