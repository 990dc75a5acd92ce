/**
 * Cases: device/null/{1,64} and device/memory/4k/{1,64}: 4 KiB reads through the whole device, from
 * the guest's descriptors by doorbell and interrupt to its used ring. Disk, requests at once.
 */
import {
  AioContext,
  BlockBackend,
  Core,
  GuestBlk,
  GuestBlkBatch,
  GuestMmio,
  GuestRam,
  VirtioBlk,
  VirtioMmio,
} from 'vblk';
import * as spec from '#src/spec';
import { BLOCK, blockOf, randomBlocks } from './blocks.mjs';
import { compare } from './harness.mjs';

const SECTORS = BLOCK / spec.SECTOR_SIZE;
const REQUESTS = 2048;
export const DISK_BYTES = 16 << 20;

/** A virtio-blk device on virtio-mmio with a guest's driver, which takes interrupts or polls. */
export async function openMachine(engine, module, disk, interrupts = true) {
  const core = await Core.open({ engine, module, ramBytes: 1 << 20 });
  if (core.engine.kind !== engine) throw new Error(`meant ${engine}, got ${core.engine.kind}`);
  const context = new AioContext(core);
  const backend = await BlockBackend.open(core, context, disk);
  const device = new VirtioBlk(core, context, backend);
  const irq = (level) => {
    if (level && interrupts) guest.interrupt();
  };
  const mmio = new VirtioMmio(device, { version: 2, irq });
  const guest = new GuestBlk(GuestMmio.open(mmio), new GuestRam(core), { interrupts });
  await guest.start();
  const close = async () => {
    await guest.reset();
    await device.close();
    await backend.close();
    context.close();
  };
  return { core, context, backend, guest, close };
}

/**
 * Does the next `requests` of `blocks`, over and over, `depth` at a time, with one doorbell each
 * time. `last()`: the blocks of the last doorbell, by slot.
 */
export function worker(guest, { depth, requests, blocks, type = spec.VIRTIO_BLK_T_IN }) {
  const batch = new GuestBlkBatch(guest, { depth, bytes: BLOCK });
  let at = 0;
  const run = () => {
    at %= blocks.length;
    for (const end = at + requests; at < end; at += depth) {
      for (let slot = 0; slot < depth; slot++) {
        batch.add(slot, type, blocks[at + slot] * SECTORS, BLOCK);
      }
      batch.submit();
      for (let i = 0; i < depth; i++) {
        const slot = batch.take();
        if (slot < 0 || batch.status(slot) !== spec.VIRTIO_BLK_S_OK) throw new Error('not served');
      }
    }
  };
  return { batch, run, requests, last: () => blocks.subarray(at - depth, at) };
}

/**
 * Throws unless the last requests of a run of reads have left in their buffers what the disk holds
 * (`expected`: a block's bytes), and the device has counted all of the run.
 */
export function checkReads({ guest, backend }, { batch, run, requests, last }, expected) {
  for (const frame of batch.frames) guest.ram.fill(frame.data, BLOCK, 0xee);
  const count = ({ read, merged }) => read.operations + merged;
  const before = count(backend.stats());
  run();
  const served = count(backend.stats()) - before;
  if (served !== requests) throw new Error(`served ${served} of ${requests}`);
  last().forEach((block, slot) => {
    const found = guest.ram.read(batch.frames[slot].data, BLOCK);
    if (Buffer.compare(found, expected(block)) !== 0) throw new Error(`block ${block} is wrong`);
    if (batch.written[slot] !== BLOCK + 1) throw new Error('wrong used length');
  });
}

export async function contestant(engine, module, disk, depth) {
  const machine = await openMachine(engine, module, disk);
  const memory = disk.driver === 'memory';
  if (memory) {
    for (let block = 0; block < DISK_BYTES / BLOCK; block++) {
      await machine.backend.io.write(block * BLOCK, blockOf(block));
    }
  }
  const blocks = randomBlocks(REQUESTS, DISK_BYTES / BLOCK);
  const reading = worker(machine.guest, { depth, requests: REQUESTS, blocks });
  // A null disk leaves buffers as they are.
  const expected = memory ? blockOf : () => new Uint8Array(BLOCK).fill(0xee);
  return {
    name: engine,
    requests: REQUESTS,
    run: reading.run,
    check: () => checkReads(machine, reading, expected),
    close: machine.close,
  };
}

export async function* deviceCases(_modules, options) {
  for (const [disk, driver] of [
    ['null', 'null'],
    ['memory/4k', 'memory'],
  ]) {
    for (const depth of [1, 64]) {
      const name = `device/${disk}/${depth}`;
      if (!options.wanted(name)) continue;
      const contestants = [];
      for (const entrant of options.entrants) {
        const own = await entrant.own(import.meta.url, name);
        const spec = { driver, options: { size: DISK_BYTES } };
        const one = await own.contestant(entrant.engine, entrant.modules.unshared, spec, depth);
        contestants.push({ ...one, name: entrant.name });
      }
      yield await compare(name, contestants, options);
      for (const { close } of contestants) await close();
    }
  }
}
