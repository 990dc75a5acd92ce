/** Threads without a device: what the machine can do at all. See `open` for the kinds. */
import { readSync } from 'node:fs';
import { GuestChain, GuestRam, GuestRing } from 'vblk';
import * as spec from '#src/spec';
import { bareFunctions, sharedMemory } from './bare.mjs';
import { blockOf } from './blocks.mjs';

const BLOCK = 4096;
/** Requests between two looks at the clock. */
const STRIDE = 64;
const PAGES = 64;
/** About as long as 64 reads take: a guest with so many requests is woken as often. */
const NAP_MS = 0.06;

/** Calls `step(i)` for `milliseconds`. */
function timed(milliseconds, step) {
  const start = performance.now();
  let requests = 0;
  let now = start;
  do {
    for (const end = requests + STRIDE; requests < end; requests++) step(requests);
    now = performance.now();
  } while (now - start < milliseconds);
  return { requests, ns: (now - start) * 1e6 };
}

/** Reads blocks of a file, one after the other, into as many pages as a guest has. */
function reader({ fd, blocks, memory, done }) {
  const buffer = memory ?? sharedMemory(PAGES * BLOCK);
  const pages = Array.from({ length: PAGES }, (_, i) => {
    return new Uint8Array(buffer.buffer, i * BLOCK, BLOCK);
  });
  const count = done && new Int32Array(done);
  let at = 0;
  const step = (i) => {
    at = at + 1 === blocks.length ? 0 : at + 1;
    const bytes = readSync(fd, pages[i % PAGES], 0, BLOCK, blocks[at] * BLOCK);
    if (bytes !== BLOCK) throw new Error(`read ${bytes} bytes`);
    // Whoever does the guest's share is told of as many at once as a device would tell of.
    if (count && i % PAGES === PAGES - 1) Atomics.add(count, 0, PAGES);
  };
  return {
    turn: (milliseconds) => timed(milliseconds, step),
    check() {
      for (const page of pages) page.fill(0xee);
      step(0);
      if (Buffer.compare(pages[0], blockOf(blocks[at])) !== 0) throw new Error('wrong data');
    },
  };
}

/** Copies blocks of a disk's size, one after the other, to as many pages as a guest has. */
function copier({ module, blocks, diskBytes }) {
  const memory = sharedMemory(diskBytes + PAGES * BLOCK);
  const { copy } = bareFunctions(module, memory);
  const u8 = new Uint8Array(memory.buffer);
  for (let at = 0; at < diskBytes; at += BLOCK) u8.set(blockOf(at / BLOCK), at);
  let at = 0;
  const step = (i) => {
    at = at + 1 === blocks.length ? 0 : at + 1;
    copy(diskBytes + (i % PAGES) * BLOCK, blocks[at] * BLOCK, BLOCK);
  };
  return {
    turn: (milliseconds) => timed(milliseconds, step),
    check() {
      u8.fill(0xee, diskBytes, diskBytes + BLOCK);
      step(0);
      const found = u8.slice(diskBytes, diskBytes + BLOCK);
      if (Buffer.compare(found, blockOf(blocks[at])) !== 0) throw new Error('wrong data');
    },
  };
}

/** One side of a ping-pong by spinning: `side` 0 begins. `requests` are round trips. */
function spinner({ module, memory, side }) {
  const { pong } = bareFunctions(module, memory);
  const words = new Int32Array(memory.buffer);
  return {
    turn(trips) {
      if (side === 0)
        while (Atomics.load(words, 32) === 0) {} // both are there
      else Atomics.store(words, 32, 1);
      const start = performance.now();
      pong(0, side, trips);
      return { requests: trips, ns: (performance.now() - start) * 1e6 };
    },
    check() {},
  };
}

/** One side of a ping-pong by sleeping: each has a word to sleep on. */
function sleeper({ memory, side }) {
  const words = new Int32Array(memory.buffer);
  const [mine, other] = side === 0 ? [0, 32] : [32, 0];
  let seen = 0;
  const tell = () => {
    Atomics.add(words, other, 1);
    Atomics.notify(words, other);
  };
  const sleep = () => {
    while (Atomics.load(words, mine) === seen) Atomics.wait(words, mine, seen);
    seen = (seen + 1) | 0;
  };
  const OVER = 64;
  return {
    /** Side 0 says when it is over: with the last ball. */
    turn(milliseconds) {
      if (side === 1) {
        for (let last = false; !last; ) {
          sleep();
          last = Atomics.load(words, OVER) === 1; // now: once it has the ball back it may go on
          tell();
        }
        return { requests: 0, ns: 0 };
      }
      Atomics.store(words, OVER, 0);
      const start = performance.now();
      let requests = 0;
      let last = false;
      while (!last) {
        last = performance.now() - start > milliseconds;
        if (last) Atomics.store(words, OVER, 1);
        tell();
        sleep();
        requests++;
      }
      return { requests, ns: (performance.now() - start) * 1e6 };
    },
    check() {},
  };
}

/** Spins until it is told to stop: a core that somebody else has. */
function hog({ stop }) {
  const words = new Int32Array(stop);
  return {
    turn() {
      while (Atomics.load(words, 0) === 0) {}
    },
    check() {},
  };
}

/**
 * The guest's share of the work beside bare readers: a request is written into a ring and taken
 * back for each that the readers count, and nobody serves it but this thread.
 */
function guestShare({ done, stop, spin }) {
  const counts = done.map((one) => new Int32Array(one));
  const over = new Int32Array(stop);
  const memory = sharedMemory(65_536);
  const u32 = new Uint32Array(memory.buffer);
  const u16 = new Uint16Array(memory.buffer);
  const region = { guest: 4096, size: 32_768, offset: 4096 };
  const ram = new GuestRam({ buffer: () => memory.buffer, regions: [region] });
  const ring = new GuestRing(ram, { size: 256, eventIdx: true });
  const chain = new GuestChain().out(40_960, 16).in(45_056, BLOCK).in(40_976, 1);
  const used = (ring.used + spec.VIRTQ_USED_RING) >>> 2;
  const usedIdx = (ring.used + spec.VIRTQ_USED_IDX) >>> 1;
  let index = 0;
  const request = () => {
    u32[(40_960 + 8) >>> 2] = index;
    const head = ring.add(chain);
    ring.publish();
    u32[used + 2 * (index & 255)] = head;
    u32[used + 2 * (index & 255) + 1] = BLOCK + 1;
    index = (index + 1) & 0xffff;
    Atomics.store(u16, usedIdx, index);
    if (ring.collect() !== head) throw new Error('the ring lost a request');
  };
  const seen = counts.map(() => 0);
  const look = () => {
    let found = false;
    counts.forEach((count, i) => {
      const now = Atomics.load(count, 0);
      for (; seen[i] !== now; seen[i] = (seen[i] + 1) | 0) {
        request();
        found = true;
      }
    });
    return found;
  };
  return {
    /** Until it is told to stop; looks as often as the guest does before it sleeps. */
    turn() {
      while (Atomics.load(over, 0) === 0) {
        if (look()) continue;
        let looks = spin;
        while (looks > 0 && counts.every((count, i) => Atomics.load(count, 0) === seen[i])) looks--;
        if (looks <= 0) Atomics.wait(counts[0], 0, seen[0], NAP_MS);
      }
    },
    check() {},
  };
}

const kinds = { reader, copier, spinner, sleeper, hog, guestShare };

export const open = ({ kind, ...options }) => kinds[kind](options);
