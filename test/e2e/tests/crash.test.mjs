// What was acknowledged survives: kill -9, a full disk, and both.

import assert from "node:assert/strict";
import { stat } from "node:fs/promises";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { Backends } from "../lib/backends.mjs";
import { Hub, SMALL, tempDir } from "../lib/hub.mjs";
import { ALL, Crowd, Ledger, assertSame, toClient, toTopic } from "../lib/ledger.mjs";
import { Lives, SmallDisk } from "../lib/lives.mjs";
import { LinePublisher } from "../lib/publisher.mjs";
import { seeded } from "../lib/random.mjs";

const LIMIT = { timeout: 300_000 };
const ENOUGH = ["--history-size", "1000000", "--history-bytes", "0", "--history-ttl", "1h", "--history-total-bytes", "0"];
const FLAGS = ["--loops", "2", "--heartbeat", "200ms", "--log-level", "warn", "--publish-timeout", "0"];

const CLIENTS = Array.from({ length: 12 }, (_, n) => `client-${n}`);
const TOPICS = ["a", "b", "c", "d"];

/** Twelve readers with two topics each, which come back by themselves. */
async function gather(t, lives, random) {
  const crowd = new Crowd(new Ledger());
  t.after(() => crowd.stop());
  for (const [n, clientId] of CLIENTS.entries()) {
    const topics = [TOPICS[n % 4], TOPICS[(n + 1 + (n % 3)) % 4]];
    crowd.add({ clientId, topics, target: lives.target, random: random.fork() }).follower.start();
  }
  await crowd.joined();
  return crowd;
}

/** One in twenty is not to be kept, and nobody reads it: it is nothing but a number, which must not be used again. */
function anyEvent(ledger, random, size = 0) {
  if (random.chance(0.05)) return ledger.add(toTopic("unread"), size, { ttl: 0 });
  const dice = random.next();
  const target = dice < 0.1 ? ALL : dice < 0.4 ? toTopic(random.pick(TOPICS)) : toClient(random.pick(CLIENTS));
  return ledger.add(target, size + random.between(0, 60));
}

/** What history has, which is what a reader that missed nothing has got. */
async function storedFor(lives, reader, ledger) {
  const lists = [lives.stored(`clientId=${reader.name}`, ledger)];
  for (const topic of reader.follower.topics) lists.push(lives.stored(`topic=${topic}`, ledger));
  return (await Promise.all(lists)).flat().sort(ledger.compare);
}

/**
 * Everybody has everything that was acknowledged, and besides it at the most what nobody knows of; the same is in
 * history; none of it twice.
 */
async function assertNothingLost(lives, crowd, unknown) {
  const { ledger } = crowd;
  await crowd.until(() => crowd.readers.every((reader) => reader.isUpToDate()), "everybody to come to the end");
  for (const reader of crowd.readers) {
    const known = reader.got.filter((n) => !unknown.has(n) || ledger.events[n].acknowledged);
    assertSame(known, ledger.acknowledged(reader.targets), reader.name);
    assertSame(await storedFor(lives, reader, ledger), reader.got, `history for ${reader.name}`);
  }
}

/** One more event, with no others under way: its id is above all there were. */
async function publishOne(lives, ledger, target, fields) {
  const n = ledger.add(target, 0, fields);
  const floor = ledger.highest;
  const { id } = await lives.hub.publish(JSON.parse(ledger.body(n)));
  ledger.acknowledge(n, id);
  assert.ok(id > floor, `${id} after ${floor}`);
}

seeded("kill -9 under load: nothing acknowledged is lost, nothing comes twice, ids go on", LIMIT, async (t, random) => {
  const deaths = SMALL ? 5 : 20;
  const file = `${await tempDir(t)}/hub.db`;
  const modes = ["normal", "full"];
  const flags = () => [...FLAGS, ...ENOUGH, "--store", `sqlite:${file}`, "--store-sync", random.pick(modes)];
  const lives = await Lives.begin(t, flags);
  const crowd = await gather(t, lives, random);
  const choice = random.fork();
  const backends = new Backends(lives, crowd, () => anyEvent(crowd.ledger, choice));
  t.after(() => backends.abort());
  const began = Date.now();
  backends.start(64);
  while (lives.deaths < deaths) {
    // Some die young.
    const goal = backends.answers + (random.chance(0.2) ? random.between(0, 3) : random.between(20, SMALL ? 200 : 3000));
    await crowd.until(() => backends.answers >= goal, "answers");
    for (let n = random.between(0, 20); n > 0; n--) await turn();
    await lives.kill();
    await lives.start();
  }
  await backends.stop();
  const seconds = (Date.now() - began) / 1000;
  await publishOne(lives, crowd.ledger, ALL);
  await assertNothingLost(lives, crowd, backends.unknown);
  // A number that is in no row must not be used again either.
  await publishOne(lives, crowd.ledger, toTopic("unread"), { ttl: 0 });
  await lives.kill();
  await lives.start();
  await publishOne(lives, crowd.ledger, ALL);
  await assertNothingLost(lives, crowd, backends.unknown);
  assert.ok(backends.repeated.size > 0 && backends.unknown.size > 0, "answers were lost");
  const joins = crowd.readers.reduce((sum, reader) => sum + reader.joins.length, 0);
  t.diagnostic(
    `${deaths} deaths in ${seconds.toFixed(1)} s, ${backends.answers} answers, ${backends.unknown.size} lost, ` +
      `${backends.repeated.size} asked for again, ${crowd.received} deliveries, ${joins} joins`,
  );
  await lives.hub.stop();
});

/** Publishes until `count` has grown by so much. */
async function publishUntil(crowd, backends, count, goal) {
  const target = count() + goal;
  backends.start(16);
  const most = backends.answers + 20_000;
  await crowd.until(() => count() >= target || backends.answers > most, "answers");
  await backends.stop();
  assert.ok(count() >= target, "the disk fills up, and room is made");
}

/** Of what was refused nothing was ever seen. */
function assertUnseen(crowd, refused) {
  for (const [n, code] of refused) {
    assert.equal(code, "store_full", `why event ${n} was refused`);
    assert.equal(crowd.ledger.events[n].id, undefined, `event ${n} was refused, and has an id`);
  }
}

/** A refused request has not used its key up. */
async function askAgain(lives, backends) {
  const { ledger, refused } = backends;
  const keyed = [...refused.keys()].filter((n) => Backends.key(n) !== undefined).slice(0, 10);
  assert.ok(keyed.length > 0);
  for (const n of keyed) {
    refused.delete(n);
    for (let times = 0; times < 2; times++) {
      const { id } = await lives.hub.publish(JSON.parse(ledger.body(n, Backends.key(n))));
      ledger.acknowledge(n, id);
    }
  }
}

seeded("a full disk: what is refused is nowhere, what is accepted stays, with room it goes on", LIMIT, async (t, random) => {
  const disk = await SmallDisk.mounted(t, 16 << 20);
  if (disk.refusal) return t.skip(`no small disk can be mounted here: ${disk.refusal}`);
  const lives = await Lives.begin(t, [...FLAGS, ...ENOUGH, "--store", `sqlite:${disk.dir}/hub.db`], { via: disk.via });
  const crowd = await gather(t, lives, random);
  const choice = random.fork();
  const backends = new Backends(lives, crowd, () => anyEvent(crowd.ledger, choice, 1000));
  t.after(() => backends.abort());
  const { refused } = backends;
  const accepted = () => backends.answers - refused.size;

  await publishUntil(crowd, backends, accepted, 50);
  await disk.fill((await disk.free()) / 2);
  backends.refusable = true;
  await publishUntil(crowd, backends, () => refused.size, 300);
  assertUnseen(crowd, refused);

  await disk.clear();
  backends.refusable = false;
  await publishUntil(crowd, backends, accepted, 50);
  await askAgain(lives, backends);
  await publishOne(lives, crowd.ledger, ALL);
  await assertNothingLost(lives, crowd, backends.unknown);

  // Once more, and killed while it is full.
  await disk.fill((await disk.free()) / 2);
  backends.refusable = true;
  backends.start(16);
  const goal = refused.size + 100;
  await crowd.until(() => refused.size >= goal, "answers");
  await lives.kill();
  await lives.start();
  await backends.stop();
  assertUnseen(crowd, refused);

  await disk.clear();
  backends.refusable = false;
  await publishUntil(crowd, backends, accepted, 50);
  await publishOne(lives, crowd.ledger, ALL);
  await assertNothingLost(lives, crowd, backends.unknown);
  assertUnseen(crowd, refused);
  t.diagnostic(`${accepted()} accepted, ${refused.size} refused, ${backends.unknown.size} unknown`);
  await lives.hub.stop();
  return undefined;
});

/** Bytes of the store's files. */
async function sizes(file) {
  const names = [file, `${file}-wal`];
  const found = await Promise.all(names.map((name) => stat(name).catch(() => ({ size: 0 }))));
  return found.map(({ size }) => size);
}

test("the file stays small, however much goes through it", LIMIT, async (t) => {
  const total = SMALL ? 15_000 : 50_000;
  const file = `${await tempDir(t)}/hub.db`;
  const hub = await Hub.started(t, [...FLAGS, "--history-size", "50", "--store", `sqlite:${file}`]);
  const publisher = await LinePublisher.open(t, hub.target);
  const payload = "x".repeat(2000);
  let largest = 0;
  for (let done = 0; done < total; done += 500) {
    const lines = Array.from({ length: 500 }, (_, n) => `{"clientId":"client-${n % 20}","event":"x","payload":"${payload}"}`);
    for (const { status, json } of await Promise.all(lines.map((line) => publisher.publish(line)))) {
      assert.equal(status, 200, JSON.stringify(json));
    }
    const [base, log] = await sizes(file);
    largest = Math.max(largest, base + log);
  }
  publisher.close();
  await hub.stop();
  const [base, log] = await sizes(file);
  assert.ok(largest < 24 << 20, `${largest} bytes`);
  assert.ok(base + log < 10 << 20, `${base} and ${log} bytes after the end`);
  t.diagnostic(`at the most ${largest} bytes for ${total * payload.length} published; ${base} and ${log} after the end`);
});
