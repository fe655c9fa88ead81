// A crowd behind a network that cuts connections all the time, against a plain list of what was published.

import assert from "node:assert/strict";
import { Cutter } from "../lib/cutter.mjs";
import { Hub, SMALL } from "../lib/hub.mjs";
import { ALL, Crowd, Ledger, drivenOut, toClient, toTopic } from "../lib/ledger.mjs";
import { LinePublisher, Publisher } from "../lib/publisher.mjs";
import { seeded } from "../lib/random.mjs";

const LIMIT = { timeout: 300_000 };
const QUIET = ["--loops", "2", "--log-level", "warn"];
const LARGE = ["--history-size", "1000000", "--history-bytes", "0", "--history-ttl", "1h", "--history-total-bytes", "0"];

const numbered = (word, count) => Array.from({ length: count }, (_, n) => `${word}-${n}`);

/** `count` different ones of a list. */
function some(random, list, count) {
  const left = [...list];
  return Array.from({ length: count }, () => left.splice(random.between(0, left.length - 1), 1)[0]);
}

/** Readers with a few topics each, half of them on HTTP/1.0; all have joined. */
async function gather(t, crowd, { random, target, clients, topics, perClient, away }) {
  t.after(() => crowd.stop());
  for (const [n, clientId] of clients.entries()) {
    const options = { target, clientId, topics: some(random, topics, perClient), version: n % 2 ? "1.0" : "1.1", away };
    crowd.add({ ...options, random: random.fork() }).follower.start();
  }
  await crowd.joined();
}

/** So many events of a hundred go to all; eight go to a topic, the rest to one client. */
function anyTarget(random, { clients, topics, broadcasts = 1 }) {
  const dice = 100 * random.next();
  if (dice < broadcasts) return ALL;
  return dice < broadcasts + 8 ? toTopic(random.pick(topics)) : toClient(random.pick(clients));
}

/** Publishes one event of the ledger and insists that it was accepted. */
async function publish(publisher, ledger, n) {
  const { status, json } = await publisher.publish(ledger.body(n));
  assert.equal(status, 200, JSON.stringify(json));
  ledger.acknowledge(n, json.id);
}

/** Publishes `count` events on one connection, `slice` at a time, and waits in between until `ready` holds. */
async function publishAll(t, hub, crowd, { count, slice = 64, next, ready, form = Publisher }) {
  const { ledger } = crowd;
  const publisher = await form.open(t, hub.target);
  for (let left = count; left > 0; left -= slice) {
    await Promise.all(Array.from({ length: Math.min(left, slice) }, () => publish(publisher, ledger, next())));
    await crowd.until(ready, "the readers to catch up");
  }
  publisher.close();
}

/** One more event to all; everybody's cursor has come to it, and so past whatever was published before. */
async function finish(t, hub, crowd) {
  const { ledger } = crowd;
  const last = ledger.add(ALL);
  await publish(await Publisher.open(t, hub.target), ledger, last);
  await crowd.until(() => crowd.readers.every((reader) => reader.isUpToDate()), "everybody to come to the end");
}

/** All come back, once more or after they had left. */
async function comeBack(crowd, target) {
  const before = crowd.readers.map((reader) => reader.joins.length);
  for (const { follower } of crowd.readers) {
    follower.stop();
    follower.target = target;
    follower.start();
  }
  await crowd.until(() => crowd.readers.every((reader, n) => reader.joins.length > before[n]), "everybody to come back");
}

seeded("whatever is cut, each client gets exactly what was published to it, once and in order", LIMIT, async (t, random) => {
  const total = SMALL ? 10_000 : 100_000;
  const clients = numbered("client", SMALL ? 40 : 200);
  const topics = numbered("topic", SMALL ? 8 : 40);
  const hub = await Hub.started(t, [...QUIET, ...LARGE, "--heartbeat", "300ms"]);
  const cutter = await Cutter.started(t, hub.target, { random: random.fork(), mean: 20_000 });
  const crowd = new Crowd(new Ledger());
  await gather(t, crowd, { random, target: cutter.target, clients, topics, perClient: 4 });
  const began = Date.now();
  const publishers = [Publisher, Publisher, LinePublisher, LinePublisher].map((form) => {
    const choice = random.fork();
    const next = () => crowd.ledger.add(anyTarget(choice, { clients, topics }), choice.between(0, 60));
    const ready = () => crowd.ledger.owed - crowd.received < 40_000;
    return publishAll(t, hub, crowd, { form, count: total / 4, next, ready });
  });
  await Promise.all(publishers);
  await finish(t, hub, crowd);
  const seconds = (Date.now() - began) / 1000;
  await comeBack(crowd, hub.target);
  for (const reader of crowd.readers) {
    const { resume, replayed } = reader.joins.at(-1);
    assert.deepEqual([resume, replayed], ["complete", 0], `nothing is left to say to ${reader.name}`);
    reader.assertComplete();
  }
  assert.ok(cutter.cuts > clients.length, `${cutter.cuts} cuts`);
  t.diagnostic(
    `${total} events, ${crowd.received} deliveries in ${seconds.toFixed(1)} s (${Math.round(crowd.received / seconds)}/s), ` +
      `${cutter.connections} connections, ${cutter.cuts} cuts: ${JSON.stringify(cutter.counts)}`,
  );
});

/** All stop reading while more than their sockets hold is published: whoever is connected falls behind. */
async function overwhelm(t, hub, crowd, cutter) {
  const { ledger } = crowd;
  const publisher = await Publisher.open(t, hub.target);
  cutter.hold();
  for (let n = 0; n < 40; n++) await publish(publisher, ledger, ledger.add(ALL, 20_000));
  cutter.release();
  publisher.close();
}

// An event costs what is published and, at the most, so much around it.
const AROUND = { stream: 300, hub: 1000 };

for (const [what, flags, bound] of [
  ["eight events a stream", ["--history-size", "8"], { limit: 8, cost: () => 1 }],
  ["4 KiB a stream", ["--history-bytes", "4KiB"], { limit: 4096, cost: ({ size }) => size + AROUND.stream }],
  ["64 KiB in all", ["--history-total-bytes", "64KiB"], { limit: 65536, cost: ({ size }) => size + AROUND.hub, together: true }],
]) {
  // Of streams of which nothing is left the hub remembers only under a hash that something is missing. Few streams,
  // where that happens, so that hardly ever two of them share one.
  const crowded = !bound.together;
  seeded(`with a history of ${what}, each gap is told, and nothing but gaps`, LIMIT, async (t, random) => {
    const total = SMALL ? 1_200 : 9_000;
    const clients = numbered("client", crowded ? 40 : 16);
    const topics = numbered("topic", crowded ? 8 : 4);
    const hub = await Hub.started(t, [...QUIET, "--heartbeat", "300ms", ...flags]);
    const cutter = await Cutter.started(t, hub.target, { random: random.fork(), mean: 3_000, stall: 100 });
    const crowd = new Crowd(new Ledger(), { suffices: false });
    await gather(t, crowd, { random, target: cutter.target, clients, topics, perClient: 3, away: 60 });
    const choice = random.fork();
    const slice = 64;
    const next = () => {
      const target = crowd.ledger.length % slice === 0 ? ALL : anyTarget(choice, { clients, topics });
      return crowd.ledger.add(target, choice.between(0, 60));
    };
    // Half of the readers have come to the last broadcast, the others are as far behind as chance wants it.
    const ready = () => 2 * crowd.readers.filter((reader) => reader.isUpToDate()).length >= clients.length;
    const rounds = SMALL ? 3 : 6;
    for (let round = 0; round < rounds; round++) {
      await publishAll(t, hub, crowd, { count: total / rounds, slice, next, ready });
      cutter.soothe();
      await overwhelm(t, hub, crowd, cutter);
      await finish(t, hub, crowd);
      cutter.soothe(false);
    }
    const out = drivenOut(crowd.ledger, bound);
    const told = { incomplete: 0, __resync: 0 };
    let lost = 0;
    for (const reader of crowd.readers) {
      const missing = reader.missing();
      reader.assertToldOf(missing, out);
      lost += missing.length;
      for (const { word } of reader.notices) told[word]++;
    }
    assert.ok(told.incomplete > 0 && told.__resync > 0, JSON.stringify(told));
    t.diagnostic(`${crowd.received} deliveries, ${lost} lost, ${cutter.cuts} cuts, told: ${JSON.stringify(told)}`);
  });
}
