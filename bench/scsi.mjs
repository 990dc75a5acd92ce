/**
 * Cases: scsi/null/{1,4}: 4 KiB reads from null disks on a virtio-scsi host, 64 at once, through
 * the whole device as in device.mjs. How many LUNs there are, which requests go to in turn.
 * Contestants `wasm, virtio-blk` and `js, virtio-blk`: the same reads from one such disk on
 * virtio-blk. Contestants cost/wasm and cost/js: how many times virtio-blk's time a command takes,
 * round by round (goal: at most 1.6 on wasm with one LUN).
 *
 * Cases: scsi/threads/{1,2}: the same with one LUN, served by so many IOThreads, each with a
 * command queue that is kept full with 64 by a guest on the main thread.
 */
import {
  AioContext,
  BlockBackend,
  Core,
  GuestMmio,
  GuestRam,
  GuestScsi,
  GuestScsiBatch,
  scsiLun,
  VirtioMmio,
  VirtioScsi,
} from 'vblk';
import * as spec from '#src/spec';
import { BLOCK, randomBlocks } from './blocks.mjs';
import { alone, compare, ratioResult } from './harness.mjs';
import { compareThreads, openRuler } from './rounds.mjs';

const SECTORS = BLOCK / spec.SECTOR_SIZE;
const DEPTH = 64;
const REQUESTS = 2048;
const DISK = { driver: 'null', options: { size: 16 << 20 } };
const ENGINES = ['wasm', 'js'];
const LUNS = [1, 4];
const THREADS = [1, 2];
const TEST_UNIT_READY = new Uint8Array(6);

// ---- One thread ---------------------------------------------------------------------------------

/** A host with `count` LUNs of target 0 on virtio-mmio, and a driver that takes interrupts. */
async function openHost(engine, module, count) {
  const core = await Core.open({ engine, module, ramBytes: 2 << 20 });
  if (core.engine.kind !== engine) throw new Error(`meant ${engine}, got ${core.engine.kind}`);
  const context = new AioContext(core);
  const device = await VirtioScsi.realize(core, context);
  const backends = [];
  for (let lun = 0; lun < count; lun++) {
    const backend = await BlockBackend.open(core, context, DISK);
    await device.plug('hd', backend, { 'scsi-id': 0, lun });
    backends.push(backend);
  }
  const irq = (level) => {
    if (level) guest.interrupt();
  };
  const mmio = new VirtioMmio(device, { version: 2, irq });
  const guest = new GuestScsi(GuestMmio.open(mmio), new GuestRam(core), { interrupts: true });
  await guest.start();
  const luns = backends.map((_, lun) => scsiLun(0, lun));
  for (const lun of luns) await becomeReady(guest, lun);
  const close = async () => {
    await guest.reset();
    await device.close();
    for (const backend of backends) await backend.close();
    context.close();
  };
  return { backends, guest, luns, close };
}

/** A unit reports first of all that its power has come on, and does nothing. */
export async function becomeReady(guest, lun) {
  while ((await guest.command(lun, TEST_UNIT_READY)).status !== 0);
}

/** Throws unless `frames` hold what a null disk leaves there. */
export function checkUntouched(frames, ram) {
  for (const { dataIn } of frames) {
    if (ram.read(dataIn, BLOCK).some((byte) => byte !== 0xee)) throw new Error('data is wrong');
  }
}

export const wipe = (frames, ram) => {
  for (const { dataIn } of frames) ram.fill(dataIn, BLOCK, 0xee);
};

export const reads = (backend) => backend.stats().read.operations + backend.stats().merged;

export async function hostContestant(engine, module, count) {
  const { backends, guest, luns, close } = await openHost(engine, module, count);
  const blocks = randomBlocks(REQUESTS, DISK.options.size / BLOCK);
  const batch = new GuestScsiBatch(guest, { depth: DEPTH, bytes: BLOCK });
  const run = () => {
    for (let at = 0; at < REQUESTS; at += DEPTH) {
      for (let slot = 0; slot < DEPTH; slot++) {
        batch.transfer(slot, luns[slot % count], false, blocks[at + slot] * SECTORS, SECTORS);
      }
      batch.submit();
      for (let i = 0; i < DEPTH; i++) {
        const slot = batch.take();
        if (slot < 0 || !batch.succeeded(slot)) throw new Error('not served');
      }
    }
  };
  /** Each disk has had its share, and the buffers are as they were. */
  const check = () => {
    const before = backends.map(reads);
    wipe(batch.frames, guest.ram);
    run();
    checkUntouched(batch.frames, guest.ram);
    backends.forEach((backend, i) => {
      const served = reads(backend) - before[i];
      if (served !== REQUESTS / count) throw new Error(`LUN ${i} served ${served}`);
    });
  };
  return { name: engine, requests: REQUESTS, run, check, close };
}

/** How many times its time: what is `slow` beside `fast`, as a result of its own. */
function cost(list, name, engine) {
  const found = ratioResult(list, name, `${engine}, virtio-blk`, engine);
  return { ...found, contestant: `cost/${engine}`, unit: 'times the time' };
}

async function lunCase(name, count, modules, options) {
  const contestants = [];
  for (const engine of ENGINES) {
    const scsi = await alone(import.meta.url, name, engine);
    contestants.push(await scsi.hostContestant(engine, modules.unshared, count));
    const blk = await alone(new URL('device.mjs', import.meta.url).href, name, engine);
    const one = await blk.contestant(engine, modules.unshared, DISK, DEPTH);
    contestants.push({ ...one, name: `${engine}, virtio-blk` });
  }
  const list = await compare(name, contestants, options);
  for (const { close } of contestants) await close();
  return [...list, ...ENGINES.map((engine) => cost(list, name, engine))];
}

// ---- IOThreads ----------------------------------------------------------------------------------

async function threadCase(name, count, modules, options, ruler) {
  const contestants = [];
  for (const engine of ENGINES) {
    for (const device of ['virtio-scsi', 'virtio-blk']) {
      const who = device === 'virtio-scsi' ? engine : `${engine}, ${device}`;
      const own = await alone(new URL('scsi-threads.mjs', import.meta.url).href, name, who);
      const way = { device, module: modules.shared, threads: count, disk: DISK, depth: DEPTH };
      contestants.push({ ...(await own.threadContestant(engine, way)), name: who });
    }
  }
  const list = await compareThreads(name, contestants, ruler, options);
  for (const { close } of contestants) await close();
  return [...list, ...ENGINES.map((engine) => cost(list, name, engine))];
}

export async function* scsiCases(modules, options) {
  for (const count of LUNS) {
    const name = `scsi/null/${count}`;
    if (options.wanted(name)) yield await lunCase(name, count, modules, options);
  }
  const wanted = THREADS.filter((count) => options.wanted(`scsi/threads/${count}`));
  if (wanted.length === 0) return;
  const ruler = await openRuler();
  try {
    for (const count of wanted) {
      yield await threadCase(`scsi/threads/${count}`, count, modules, options, ruler);
    }
  } finally {
    await ruler.close();
  }
}
