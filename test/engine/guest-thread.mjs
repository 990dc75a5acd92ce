/**
 * A guest on a thread of its own: numbers requests, sleeps when the ring is full until the device
 * interrupts, and reports the first answer that is wrong or the first interrupt that is lost.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { GuestChain } from '../../build/guest/chain.js';
import { GuestRam } from '../../build/guest/ram.js';
import { GuestRing } from '../../build/guest/ring.js';

const { buffer, region, words, total, size, eventIdx, patience } = workerData;
const [KICK, INTERRUPT, GO] = [0, 1, 2];
const SLOT = 16;

const ram = new GuestRam({ buffer: () => buffer, regions: [region] });
const ring = new GuestRing(ram, { size, eventIdx });
const slots = ram.allocate(size * SLOT, 16);
const word = (slot) => (ram.offset(slots, size * SLOT) + slot * SLOT) >>> 2;
const chain = new GuestChain();
const slotOf = new Uint16Array(size);
const numberOf = new Uint32Array(size);
const free = Array.from({ length: size / 2 }, (_, slot) => slot);

ring.setInterrupts(false);
parentPort.postMessage({ desc: ring.desc, avail: ring.avail, used: ring.used });
Atomics.wait(words, GO, 0);

let sent = 0;
let done = 0;
let seed = 12345;

function submit() {
  seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
  for (let burst = (seed >>> 16) % 12; burst >= 0 && sent < total && free.length > 0; burst--) {
    const slot = free.pop();
    ram.u32[word(slot)] = sent;
    ram.u32[word(slot) + 2] = 0xffffffff;
    const head = ring.add(
      chain
        .clear()
        .out(slots + slot * SLOT, 8)
        .in(slots + slot * SLOT + 8, 4),
    );
    slotOf[head] = slot;
    numberOf[head] = sent++;
  }
  ring.publish();
  if (ring.needsKick()) {
    Atomics.add(words, KICK, 1);
    Atomics.notify(words, KICK);
  }
}

function collect() {
  let count = 0;
  for (let head = ring.collect(); head >= 0; head = ring.collect(), count++) {
    const answer = ram.u32[word(slotOf[head]) + 2];
    const right = (numberOf[head] ^ 0x5a5a5a5a) >>> 0;
    if (answer !== right) return fail(`request ${numberOf[head]} has the answer ${answer}`);
    free.push(slotOf[head]);
    done++;
  }
  return count;
}

function fail(message) {
  parentPort.postMessage({ error: message });
  process.exit(1);
}

while (done < total) {
  if (sent < total && free.length > 0) submit();
  if (collect() > 0 || (sent < total && free.length > 0)) continue;
  const seen = Atomics.load(words, INTERRUPT);
  // True: something finished before interrupts were on, and no interrupt tells of it.
  if (!ring.setInterrupts(true) && done < total) {
    const answer = Atomics.wait(words, INTERRUPT, seen, patience);
    if (answer === 'timed-out') fail(`no interrupt after ${done} of ${total}`);
  }
  ring.setInterrupts(false);
}
parentPort.postMessage({ done });
