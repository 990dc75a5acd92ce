/**
 * A contestant of scsi/threads: a disk on virtio-scsi or on virtio-blk whose queues are served by
 * IOThreads, and a guest on the main thread that keeps each queue full and looks at its used rings.
 */
import { Worker } from 'node:worker_threads';
import {
  AioContext,
  BlockBackend,
  Core,
  GuestBlk,
  GuestBlkBatch,
  GuestMmio,
  GuestRam,
  GuestScsi,
  GuestScsiBatch,
  scsiLun,
  VirtioBlk,
  VirtioMmio,
  VirtioScsi,
} from 'vblk';
import { startIOThread } from 'vblk/node';
import * as spec from '#src/spec';
import { BLOCK, randomBlocks } from './blocks.mjs';
import { SERVER_CORE } from './pin.mjs';
import { becomeReady, checkUntouched, reads, wipe } from './scsi.mjs';
import { POLL_MAX_NS } from './thread-machine.mjs';

const IOTHREAD = new URL('iothread.mjs', import.meta.url);
const SECTORS = BLOCK / spec.SECTOR_SIZE;
const OFFSETS = 65_536;
/** Requests between two looks at the clock. */
const STRIDE = 64;

/** How a guest makes requests of each kind of device: a queue's batch, and what is done with it. */
const KINDS = {
  async 'virtio-scsi'({ core, context, backend, mapping, queues }) {
    const device = await VirtioScsi.realize(core, context, {
      num_queues: queues,
      'iothread-vq-mapping': mapping,
    });
    await device.plug('hd', backend, { 'scsi-id': 0, lun: 0 });
    const guest = await GuestScsi.open(transport(device), new GuestRam(core), {
      commandQueues: queues,
    });
    const lun = scsiLun(0, 0);
    await becomeReady(guest, lun);
    const open = (queue, depth) => {
      const batch = new GuestScsiBatch(guest, { queue, depth, bytes: BLOCK });
      const add = (slot, block) => batch.transfer(slot, lun, false, block * SECTORS, SECTORS);
      return { batch, add, succeeded: (slot) => batch.succeeded(slot) };
    };
    return { device, guest, open };
  },
  async 'virtio-blk'({ core, context, backend, mapping, queues }) {
    const device = await VirtioBlk.realize(core, context, backend, {
      'num-queues': queues,
      'iothread-vq-mapping': mapping,
    });
    const guest = await GuestBlk.open(transport(device), new GuestRam(core), { queues });
    const open = (queue, depth) => {
      const batch = new GuestBlkBatch(guest, { queue, depth, bytes: BLOCK });
      const add = (slot, block) => batch.add(slot, spec.VIRTIO_BLK_T_IN, block * SECTORS, BLOCK);
      return { batch, add, succeeded: (slot) => batch.status(slot) === spec.VIRTIO_BLK_S_OK };
    };
    return { device, guest, open };
  },
};

function transport(device) {
  return GuestMmio.open(new VirtioMmio(device, { version: 2, irq: () => {} }));
}

export async function threadContestant(engine, { device: kind, module, threads, disk, depth }) {
  const core = await Core.open({ engine, module, shared: true, ramBytes: 4 << 20 });
  if (core.engine.kind !== engine) throw new Error(`meant ${engine}, got ${core.engine.kind}`);
  const context = new AioContext(core);
  const backend = await BlockBackend.open(core, context, disk);
  const start = (_, i) =>
    startIOThread(core, {
      id: `${kind}-${engine}${i}`,
      'poll-max-ns': 0,
      createWorker: () => new Worker(IOTHREAD, { workerData: { core: SERVER_CORE + i } }),
    });
  const iothreads = await Promise.all(Array.from({ length: threads }, start));
  const mapping = iothreads.map((iothread) => ({ iothread }));
  const parts = { core, context, backend, mapping, queues: threads };
  const { device, guest, open } = await KINDS[kind](parts);
  const queues = iothreads.map((_, queue) => open(queue, depth));
  const blocks = randomBlocks(OFFSETS, disk.options.size / BLOCK);
  let at = 0;
  const nextBlock = () => {
    at = (at + 1) % OFFSETS;
    return blocks[at];
  };
  /** Keeps all queues full as long as `goOn` says so; then until all has come back. */
  const run = (goOn) => {
    let done = 0;
    let inFlight = depth * threads;
    let more = true;
    let next = STRIDE;
    for (const { batch, add } of queues) {
      for (let slot = 0; slot < depth; slot++) add(slot, nextBlock());
      batch.submit();
    }
    while (inFlight > 0) {
      if (more && done >= next) {
        next = done + STRIDE;
        more = goOn();
      }
      for (const { batch, add, succeeded } of queues) {
        let taken = 0;
        for (; taken < depth; taken++) {
          const slot = batch.take();
          if (slot < 0) break;
          if (!succeeded(slot)) throw new Error('a request failed');
          if (more) add(slot, nextBlock());
        }
        done += taken;
        if (!more) inFlight -= taken;
        else if (taken > 0) batch.submit();
      }
    }
    return done;
  };
  const turn = async (milliseconds) => {
    const start = performance.now();
    const requests = run(() => performance.now() - start < milliseconds);
    return { requests, ns: (performance.now() - start) * 1e6 };
  };
  const frames = queues.flatMap(({ batch }) => batch.frames);
  const check = async () => {
    const before = reads(backend);
    const scsi = kind === 'virtio-scsi';
    if (scsi) wipe(frames, guest.ram);
    const requests = run(() => false);
    if (scsi) checkUntouched(frames, guest.ram);
    const served = reads(backend) - before;
    if (served !== requests) throw new Error(`served ${served} of ${requests}`);
  };
  const poll = (ns) => {
    for (const thread of iothreads) thread.set({ 'poll-max-ns': ns });
  };
  const close = async () => {
    await guest.reset();
    await device.close();
    for (const thread of iothreads) await thread.stop();
    await backend.close();
    context.close();
  };
  return { begin: () => poll(POLL_MAX_NS), turn, end: () => poll(0), check, close };
}
