/**
 * The guest of the end-to-end benches, in a Worker: it keeps each ring full with reads of 4 KiB,
 * looks at the used rings for a while, and then sleeps until it is interrupted, as a driver that
 * polls first does. Nothing is allocated per request.
 */
import { AioContext, Core, EventNotifier, GuestChain, GuestRam, GuestRing } from 'vblk';
import * as spec from '#src/spec';
import { BLOCK, blockOf } from './blocks.mjs';

const SECTORS = BLOCK / spec.SECTOR_SIZE;
const DEPTH_MAX = 64;
const HEADER = 32;
const STATUS = 16;
/** Requests between two looks at the clock. */
const STRIDE = 64;

/** One queue: its ring, its slots, and who is to be kicked. */
class Queue {
  kicks = 0;
  inFlight = 0;
  #core;
  #ring;
  #host;
  #chains;
  #slotOf;
  #sectors;
  #status;
  #usedIdx;
  #blocks;
  #at = 0;
  #place;
  /** By slot: the block that was read last. */
  #blockOf = new Uint32Array(DEPTH_MAX);

  constructor(core, place, blocks) {
    const { region, size, host, pages, headers, shift } = place;
    const ram = new GuestRam({ buffer: () => core.ram.buffer, regions: [region] });
    this.#core = core;
    this.#place = place;
    this.#blocks = blocks;
    this.#host = EventNotifier.at(core, host, 'kick');
    this.#ring = new GuestRing(ram, { size, eventIdx: true });
    this.#ring.setInterrupts(false);
    this.#slotOf = new Uint16Array(size);
    this.#sectors = (headers + shift + 8) >>> 2;
    this.#status = headers + shift + STATUS;
    this.#usedIdx = (ram.offset(this.#ring.used, 4) + spec.VIRTQ_USED_IDX) >>> 1;
    this.#chains = Array.from({ length: DEPTH_MAX }, (_, slot) => {
      const header = headers + slot * HEADER;
      core.u32[(header + shift) >>> 2] = spec.VIRTIO_BLK_T_IN;
      const chain = new GuestChain().out(header, spec.VIRTIO_BLK_OUTHDR_SIZE);
      return chain.in(pages + slot * BLOCK, BLOCK).in(header + STATUS, 1);
    });
  }

  add(slot, u32) {
    const block = this.#blocks[this.#at];
    this.#at = this.#at + 1 === this.#blocks.length ? 0 : this.#at + 1;
    this.#blockOf[slot] = block;
    u32[this.#sectors + slot * (HEADER >>> 2)] = block * SECTORS;
    this.#slotOf[this.#ring.add(this.#chains[slot])] = slot;
    this.inFlight++;
  }

  publish() {
    this.#ring.publish();
    if (!this.#ring.needsKick()) return;
    this.kicks++;
    this.#host.set();
  }

  /** Takes back what has finished, and asks for more if `more`. Returns how many had finished. */
  serve(u8, u32, more) {
    let count = 0;
    for (let head = this.#ring.collect(); head >= 0; head = this.#ring.collect()) {
      const slot = this.#slotOf[head];
      if (u8[this.#status + slot * HEADER] !== spec.VIRTIO_BLK_S_OK) throw new Error('failed');
      this.inFlight--;
      if (more) this.add(slot, u32);
      count++;
    }
    if (more && count > 0) this.publish();
    return count;
  }

  finished(u16) {
    return Atomics.load(u16, this.#usedIdx) !== this.#ring.usedIndex;
  }

  setInterrupts(on) {
    return this.#ring.setInterrupts(on);
  }

  wipe() {
    const { pages, shift } = this.#place;
    this.#core.u8.fill(0xee, pages + shift, pages + shift + DEPTH_MAX * BLOCK);
    for (let slot = 0; slot < DEPTH_MAX; slot++) this.#core.u8[this.#status + slot * HEADER] = 0xee;
  }

  /** Throws unless the first `depth` slots hold what the disk has. */
  check(depth, checked) {
    const { pages, shift } = this.#place;
    for (let slot = 0; slot < depth; slot++) {
      const at = pages + shift + slot * BLOCK;
      const block = this.#blockOf[slot];
      const expected = checked ? blockOf(block) : new Uint8Array(BLOCK).fill(0xee);
      const right = Buffer.compare(this.#core.u8.slice(at, at + BLOCK), expected) === 0;
      if (!right) throw new Error(`block ${block} is wrong`);
    }
  }
}

class Guest {
  #core;
  #context;
  #queues;
  #notifiers;
  #spin;
  #checked;
  #sleeps = 0;

  constructor(core, { context, queues, blocks, spin = 20_000, checked = true }) {
    this.#core = core;
    this.#spin = spin;
    this.#checked = checked;
    this.#context = new AioContext(core, { name: 'guest', block: context });
    this.#context.leaveLoop(); // only its own polls bring turns
    this.#queues = queues.map((place) => new Queue(core, place, blocks));
    this.#notifiers = queues.map(({ guest }) => EventNotifier.at(core, guest, 'interrupt'));
    for (const notifier of this.#notifiers) this.#context.setHandler(notifier, () => {});
  }

  /** Keeps `depth` requests in each queue for `milliseconds`. */
  turn(milliseconds, depth) {
    const kicks = this.#kicks;
    const sleeps = this.#sleeps;
    const start = performance.now();
    const requests = this.#run(depth, () => performance.now() - start < milliseconds);
    const ns = (performance.now() - start) * 1e6;
    return { requests, ns, kicks: this.#kicks - kicks, sleeps: this.#sleeps - sleeps };
  }

  /** Does `depth` requests in each queue once, and looks at every byte. */
  check(depth) {
    for (const queue of this.#queues) queue.wipe();
    const requests = this.#run(depth, () => false);
    for (const queue of this.#queues) queue.check(depth, this.#checked);
    return { requests };
  }

  close() {
    for (const notifier of this.#notifiers) this.#context.setHandler(notifier, null);
    this.#context.close();
  }

  get #kicks() {
    return this.#queues.reduce((sum, { kicks }) => sum + kicks, 0);
  }

  /** As long as `goOn` says so, asked every STRIDE requests; then until all have come back. */
  #run(depth, goOn) {
    const queues = this.#queues;
    const { u8, u32 } = this.#core;
    for (const queue of queues) {
      for (let slot = 0; slot < depth; slot++) queue.add(slot, u32);
      queue.publish();
    }
    let done = 0;
    let next = STRIDE;
    let more = goOn();
    for (let left = true; left; ) {
      let count = 0;
      for (let i = 0; i < queues.length; i++) count += queues[i].serve(u8, u32, more);
      done += count;
      if (count === 0) this.#wait();
      else if (done >= next) {
        next = done + STRIDE;
        more = more && goOn();
      }
      if (!more) left = queues.some(({ inFlight }) => inFlight > 0);
    }
    return done;
  }

  #wait() {
    const queues = this.#queues;
    const { u16 } = this.#core;
    for (let looks = this.#spin; looks > 0; looks--) {
      for (let i = 0; i < queues.length; i++) if (queues[i].finished(u16)) return;
    }
    let late = false;
    for (const queue of queues) if (queue.setInterrupts(true)) late = true;
    if (!late) {
      this.#sleeps++;
      this.#context.poll(true);
    }
    for (const queue of queues) queue.setInterrupts(false);
  }
}

export const open = async (options) => new Guest(await Core.attach(options.core), options);
