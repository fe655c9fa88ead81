// SPDX-License-Identifier: MIT
//
// stuck - does a reader that never reads cost memory? Fifty readers read, ten subscribe and never read a byte; 1 GB
// is broadcast meanwhile. The resident memory of the hub and the kernel's socket memory are sampled throughout.
"use strict";
const fs = require("node:fs");
const http = require("node:http");
const net = require("node:net");

const READERS = 50, STUCK = 10, TOTAL = 1e9, SIZE = 64 * 1024;

const rss = (pid) => Number(fs.readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1]) * 4096;

function kernelMemory() {
  const line = fs.readFileSync("/proc/net/sockstat", "utf8").match(/^TCP: .* mem (\d+)/m);
  return Number(line[1]) * 4096;
}

function subscribe(url, id, reads) {
  const { port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, "127.0.0.1");
    const reader = { socket, bytes: 0, open: true };
    socket.on("error", reject).on("close", () => (reader.open = false));
    socket.write(`GET /api/sse/subscribe/${id} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    // The stream is open once the first bytes are there; whoever is stuck reads those and no more.
    socket.once("data", (data) => {
      reader.bytes += data.length;
      if (reads) socket.on("data", (more) => (reader.bytes += more.length));
      else socket.pause();
      resolve(reader);
    });
  });
}

function post(agent, url, body) {
  return new Promise((resolve, reject) => {
    const request = http.request(`${url}/api/sse/notify`, { method: "POST", agent,
      headers: { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) } }, (response) => {
      let text = "";
      response.on("data", (d) => (text += d)).on("end", () => resolve(JSON.parse(text)));
    });
    request.on("error", reject);
    request.end(body);
  });
}

module.exports = async function stuck({ tidings, stop }) {
  const hub = await tidings(["--user-timeout", "10m"]);
  const pid = hub.pids[0];
  const readers = [], stuckReaders = [];
  for (let i = 0; i < READERS; i++) readers.push(await subscribe(hub.url, `reader-${i}`, true));
  for (let i = 0; i < STUCK; i++) stuckReaders.push(await subscribe(hub.url, `stuck-${i}`, false));
  const result = { readers: READERS, stuck: STUCK, rssBefore: rss(pid), kernelBefore: kernelMemory(), rssMost: 0, kernelMost: 0 };
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const body = JSON.stringify({ broadcast: true, event: "bulk", payload: "x".repeat(SIZE) });
  const received = () => readers.reduce((sum, reader) => sum + reader.bytes, 0);
  while (received() < TOTAL) {
    await post(agent, hub.url, body);
    result.rssMost = Math.max(result.rssMost, rss(pid));
    result.kernelMost = Math.max(result.kernelMost, kernelMemory());
  }
  result.stuckStill = stuckReaders.filter((reader) => reader.open).length;
  result.bytesRead = received();
  agent.destroy();
  for (const reader of [...readers, ...stuckReaders]) reader.socket.destroy();
  await stop(hub);
  return result;
};
