/**
 * The storms. Each has a `step(slot, random, rig, options)`, done over and over while requests are in
 * flight. `given`: options of the disk, of which a list means any of them. `before` and `after`:
 * around all steps on the same disks. `devices`: how many there are at a time; all but the first are
 * in `rig.slots`. `most`: a step takes long, and so many are enough. One with devices of its own has
 * `round(rig, random, count, totals, options)` instead: so many steps, and what is true after them.
 */
import { CONTEXT_MAIL_SENT } from '#src/layout';
import * as spec from '#src/spec';
import { checkIdle, checkIdleCost } from './checker.mjs';
import { drainHere } from './drain-here.mjs';
import { overlay } from './overlay.mjs';
import { pause, turn } from './pause.mjs';
import { DISK_SECTORS } from './rig.mjs';
import { scsi } from './scsi-storm.mjs';
import { stopCont } from './stop-cont.mjs';

// ---- Start and stop by the driver ---------------------------------------------------------------

/** Takes DRIVER_OK away and gives it back: what is in flight stays. */
async function toggle(slot, random) {
  const { bus } = slot;
  const status = bus.readStatus();
  bus.writeStatus(status & ~spec.VIRTIO_STATUS_DRIVER_OK);
  await pause(random);
  bus.writeStatus(status);
}

/** DRIVER_OK comes and goes without a turn in between (historic bug 9). */
async function flicker(slot, random) {
  const { load, blk } = slot;
  for (let i = 1 + random.below(3); i > 0; i--) {
    await slot.reset();
    blk.negotiate();
    blk.setUpQueues();
    blk.driverOk();
    if (random.below(2) === 0) await pause(random);
  }
  load.start(blk);
}

const driverOk = {
  async step(slot, random) {
    await pause(random);
    const kind = random.below(8);
    if (kind === 0) await toggle(slot, random);
    else if (kind === 1) await flicker(slot, random);
    else await slot.start();
    if (random.below(4) === 0) await slot.load.progress(1 + random.below(8));
  },
};

// ---- Drain --------------------------------------------------------------------------------------

const drain = {
  async step(slot, random) {
    const places = Array.from({ length: 1 + random.below(3) }, () => drainHere(slot, random));
    await Promise.all(places);
    await slot.load.progress(1 + random.below(4));
  },
};

/** Drains from several places while the driver starts and stops the device. */
const startDrain = {
  async step(slot, random) {
    const places = Array.from({ length: 1 + random.below(2) }, () => drainHere(slot, random));
    await Promise.all([...places, driverOk.step(slot, random)]);
    await slot.load.progress();
  },
};

/**
 * The same on an IOThread, and then a stop, amid a drain: afterwards nobody may turn, and a second
 * costs next to nothing (historic bug 9).
 */
const stops = {
  given: { threads: [1, 2], pollMaxNs: [0, 32_768] },
  most: 20,
  /** Until the compilers are done, which have threads of their own. */
  async before(slot, random) {
    await slot.start();
    for (let i = 0; i < 40; i++) await startDrain.step(slot, random);
    await slot.reset();
  },
  async step(slot, random, rig, { idle, strict }) {
    for (let i = 0; i < 10; i++) await startDrain.step(slot, random);
    await Promise.all([drainHere(slot, random), pause(random).then(() => slot.reset())]);
    await (strict ? checkIdleCost : checkIdle)(rig, idle);
    slot.begin();
  },
};

// ---- Plug and unplug ----------------------------------------------------------------------------

const plug = {
  async step(_slot, random, rig) {
    const options = rig.randomOptions(random, { depth: 1 + random.below(4) });
    const other = await rig.plug(random, options);
    if (random.below(8) > 0) {
      await other.start();
      if (random.below(2) === 0) await pause(random);
      else await other.load.progress(1 + random.below(16));
    }
    await other.unplug();
  },
};

// ---- Size ---------------------------------------------------------------------------------------

const SIZES = [
  DISK_SECTORS,
  DISK_SECTORS / 2,
  DISK_SECTORS - 3,
  DISK_SECTORS / 4,
  DISK_SECTORS + 64,
];
const MOST_SECTORS = DISK_SECTORS + 64;

const resize = {
  given: { most: MOST_SECTORS },
  async step(slot, random) {
    const { load, backend, blk } = slot;
    const sectors = SIZES[random.below(SIZES.length)];
    await pause(random);
    load.resizing(true);
    await backend.resize(sectors * 512);
    load.model.resize(sectors);
    load.resizing(false);
    await load.progress(1 + random.below(8));
    if (random.below(8) > 0) return;
    await turn();
    if (blk.capacity !== sectors) throw new Error(`capacity ${blk.capacity}, not ${sectors}`);
  },
  async after({ load, backend, blk }) {
    let told = false;
    blk.onConfigChange = () => {
      told = blk.capacity === DISK_SECTORS;
      load.progress(0).catch(() => {});
    };
    load.resizing(true);
    await backend.resize((DISK_SECTORS + 1) * 512);
    await backend.resize(DISK_SECTORS * 512);
    load.model.resize(DISK_SECTORS);
    load.resizing(false);
    for (let i = 0; i < 1000 && !told; i++) await turn();
    if (!told) throw new Error('the driver was not told of the last size');
  },
};

// ---- Queue reset --------------------------------------------------------------------------------

/** Takes one queue from the device, and gives it back with a new ring. */
const queueReset = {
  async step(slot, random) {
    const { load, bus, blk, options } = slot;
    await pause(random);
    const queue = random.below(options.queues);
    load.closeQueue(queue);
    await resetQueue(slot, queue, random);
    load.dropQueue(queue);
    blk.rings[queue].close();
    const ring = blk.createRing(queue);
    blk.rings[queue] = ring;
    if (random.below(2) === 0) await pause(random); // who still writes into a request is found out
    bus.setUpQueue(queue, ring, blk.vectorOf(queue));
    load.openQueue(queue);
    if (random.below(4) === 0) await load.progress(1 + random.below(8));
  },
};

/** By RING_RESET, or by QueueReady (4.2.2.2), which reads 0 at once: then writes may still land. */
async function resetQueue({ bus, load, device, blk }, queue, random) {
  bus.selectQueue(queue);
  if (bus.name.startsWith('mmio') && random.below(2) === 0) {
    bus.disableQueue();
    if (bus.readQueueEnable() !== 0) throw new Error('QueueReady does not read 0');
    blk.poll(); // what it has answered so far
    load.poisonQueue(queue);
    while (device.queues[queue].draining) await turn();
    return;
  }
  bus.writeQueueReset();
  const busy = () => {
    bus.selectQueue(queue);
    return bus.readQueueReset() !== 0;
  };
  while (busy()) await turn();
}

// ---- Move ---------------------------------------------------------------------------------------

/** Queues go from thread to thread, and to main. */
const move = {
  async step(slot, random, rig) {
    await pause(random);
    await slot.device.changeMapping(slot.mapping(random.below(rig.threads.length + 1)));
    await slot.load.progress(1 + random.below(8));
  },
};

// ---- All at once --------------------------------------------------------------------------------

/** The driver does one thing while the host does others, each of which begins when it likes. */
const mix = {
  given: { most: MOST_SECTORS },
  async step(slot, random, rig) {
    const pick = (list) => list[random.below(list.length)];
    const driver = pick([driverOk, queueReset, null]);
    const hosts = [drain, move, resize, plug].filter(() => random.below(2) === 0);
    const steps = [driver, ...hosts].filter((one) => one !== null);
    await Promise.all(steps.map((one) => one.step(slot, random, rig)));
    await slot.load.progress();
  },
  after: resize.after,
};

// ---- Nothing at all -----------------------------------------------------------------------------

/** A time of steady I/O through IOThreads, in which not one message is posted either way. */
const steady = {
  given: { threads: [1, 2] },
  most: 4,
  async step({ load }, _random, rig, { idle }) {
    await load.progress(100);
    const count = () => {
      const words = rig.contexts.map((at) => rig.core.u32[(at + CONTEXT_MAIL_SENT) >>> 2]);
      return words.reduce((sum, one) => sum + one, rig.heard);
    };
    const [messages, completed] = [count(), load.completed];
    await new Promise((resolve) => setTimeout(resolve, idle));
    const posted = count() - messages;
    if (posted !== 0) throw new Error(`${posted} messages amid steady I/O`);
    if (load.completed - completed < 10) throw new Error('there was no steady I/O');
  },
};

export const STORMS = {
  'driver-ok': driverOk,
  drain,
  'start-drain': startDrain,
  stops,
  plug,
  resize,
  'queue-reset': queueReset,
  move,
  'stop-cont': stopCont,
  overlay,
  scsi,
  mix,
  steady,
};

/** What varies from disk to disk, and what the storm allows of it. */
export function optionsOf({ given = {} }, random, rig) {
  const fixed = Object.entries(given).map(([name, value]) => {
    return [name, Array.isArray(value) ? value[random.below(value.length)] : value];
  });
  return rig.randomOptions(random, Object.fromEntries(fixed));
}
