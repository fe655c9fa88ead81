// A TCP proxy in front of a hub whose connections fare badly: each has a fate, drawn when it is accepted. All of them
// but the calm ones end at some byte of their own, wherever that is: in a head, in an id, between two events.
//
//     rst      both sides are reset; what is under way to the client may be lost
//     fin      both sides are closed in order, after the byte
//     stall    nothing moves for a while, then rst or fin
//     pause    nothing moves for a while, then everything does, up to the next fate
//     zombie   the client's side ends; the hub's stays open and read for a while, as behind a dead radio cell
//     request  the request itself is cut, and rst or fin

import net from "node:net";

export const FATES = ["rst", "fin", "stall", "pause", "zombie", "request"];

export class Cutter {
  /**
   * A proxy that lives as long as the test. options: random; mean (bytes that a connection lives, on average);
   * stall (the longest pause in ms); fates
   */
  static async started(t, target, options) {
    const cutter = new Cutter(target, options);
    await new Promise((resolve) => cutter.server.listen(0, "127.0.0.1", resolve));
    cutter.target = { host: "127.0.0.1", port: cutter.server.address().port, tls: target.tls };
    t.after(() => cutter.close());
    return cutter;
  }

  constructor(upstream, { random, mean, stall = 200, fates = FATES }) {
    Object.assign(this, { upstream, random, mean, stall, fates });
    this.calm = false;
    this.held = false;
    this.cuts = 0;
    this.connections = 0;
    this.counts = Object.fromEntries(FATES.map((fate) => [fate, 0]));
    this.open = new Set();
    this.server = net.createServer({ allowHalfOpen: true, noDelay: true }, (client) => new Pair(this, client));
  }

  /** From now on connections live, or (false) meet their fates again. */
  soothe(calm = true) {
    this.calm = calm;
    for (const pair of this.open) pair.drawAgain();
  }

  /** Nothing more comes from the hub until release(), on any connection. */
  hold() {
    this.held = true;
    for (const pair of this.open) pair.flow();
  }

  release() {
    this.held = false;
    for (const pair of this.open) pair.flow();
  }

  close() {
    this.server.close();
    for (const pair of this.open) pair.destroy();
  }
}

/** One connection of a client and the one to the hub that belongs to it. */
class Pair {
  constructor(cutter, client) {
    this.cutter = cutter;
    this.random = cutter.random.fork();
    this.client = client;
    this.hub = net.connect({ allowHalfOpen: true, noDelay: true, ...cutter.upstream });
    this.over = false;
    this.timer = null;
    cutter.connections++;
    cutter.open.add(this);
    this.#draw();
    this.#relay(client, this.hub, (piece) => this.#up(piece));
    this.#relay(this.hub, client, (piece) => this.#down(piece));
    this.flow();
  }

  #draw(fates = this.cutter.fates) {
    const { cutter, random } = this;
    this.fate = random.pick(fates);
    // Some end before the first event can arrive.
    const mean = random.chance(0.15) ? 400 : cutter.mean;
    this.left = cutter.calm ? Infinity : random.spread(this.fate === "request" ? 200 : mean);
  }

  /** Another fate; the request is through. */
  drawAgain() {
    this.#draw(this.cutter.fates.filter((fate) => fate !== "request"));
  }

  #relay(from, to, take) {
    from.on("data", (piece) => !this.over && take(piece));
    from.on("end", () => !this.over && to.end());
    from.on("error", () => this.#gone());
    from.on("close", () => this.#gone());
    to.on("drain", () => (from === this.hub ? this.flow() : from.resume()));
  }

  /** Reads from the hub unless something speaks against it. */
  flow() {
    const waits = this.timer !== null && !this.over;
    if (waits || this.cutter.held || this.client.writableNeedDrain) this.hub.pause();
    else this.hub.resume();
  }

  /** Either side is gone without our doing. */
  #gone() {
    if (!this.over) this.destroy();
  }

  #up(piece) {
    if (this.fate !== "request" || piece.length < this.left) {
      if (this.fate === "request") this.left -= piece.length;
      this.hub.write(piece);
      return;
    }
    this.hub.write(piece.subarray(0, this.left));
    this.cutter.counts.request++;
    this.#cut(this.random.chance(0.5));
  }

  #down(piece) {
    if (this.fate === "request") this.drawAgain();
    if (piece.length < this.left) {
      this.left -= piece.length;
      if (!this.client.write(piece)) this.flow();
      return;
    }
    this.client.write(piece.subarray(0, this.left));
    this.#meet(piece.subarray(this.left));
  }

  /** The byte has come. */
  #meet(rest) {
    const { cutter, fate, random } = this;
    cutter.counts[fate]++;
    if (fate === "rst" || fate === "fin") return this.#cut(fate === "rst");
    if (fate === "zombie") return this.#leaveOpen();
    return this.#later(() => {
      if (fate === "stall" && !cutter.calm) return this.#cut(random.chance(0.5));
      this.drawAgain();
      if (rest.length > 0) this.#down(rest);
      return this.flow();
    });
  }

  #later(act) {
    this.timer = setTimeout(() => {
      this.timer = null;
      act();
    }, this.random.between(1, this.cutter.stall));
    this.flow();
  }

  #leaveOpen() {
    this.over = true;
    this.cutter.cuts++;
    this.client.destroy();
    this.#later(() => this.destroy());
  }

  #cut(hard) {
    this.over = true;
    this.cutter.cuts++;
    if (hard) return this.destroy(true);
    this.client.end();
    this.hub.end();
    // Whoever does not answer the FIN is not waited for.
    return this.#later(() => this.destroy());
  }

  destroy(hard = false) {
    this.over = true;
    clearTimeout(this.timer);
    this.cutter.open.delete(this);
    for (const socket of [this.client, this.hub]) {
      if (hard) socket.resetAndDestroy();
      else socket.destroy();
    }
  }
}
