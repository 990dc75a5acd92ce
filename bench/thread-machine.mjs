/**
 * A virtio-blk device whose queues are served by IOThreads, and a guest in a thread of its own.
 * Main, where this runs, only sets up.
 *
 *     guest (Worker) --ring, host notifier--> IOThread --ring, guest notifier--> guest
 */
import { Worker } from 'node:worker_threads';
import {
  AioContext,
  BlockBackend,
  Core,
  GuestBlk,
  GuestMmio,
  GuestRam,
  GuestRing,
  VirtioBlk,
  VirtioMmio,
} from 'vblk';
import { startIOThread } from 'vblk/node';
import * as layout from '#src/layout';
import { BLOCK } from './blocks.mjs';
import { GUEST_CORE, SERVER_CORE } from './pin.mjs';
import { Role } from './role.mjs';

const IOTHREAD = new URL('iothread.mjs', import.meta.url);
const GUEST_ROLE = new URL('guest-role.mjs', import.meta.url).href;
const RING_SIZE = 256;
const RING_BYTES = 16_384;
/** Requests that a queue may have in flight. */
export const DEPTH_MAX = 64;
/** QEMU's default. */
export const POLL_MAX_NS = 32_768;

/**
 * @param {'wasm' | 'js'} engine
 * @param {object} options `module`: of shared memory; `disk`: DriverSpec; `blocks`: those that the
 *   guest reads; `fill`: writes them first; `threads`: IOThreads, each with a queue; `pollMaxNs`
 *   of each in its turn; `spin`: looks at the used rings before the guest sleeps; `checked`: a
 *   disk that has what `blockOf` says; `pinned`: guest and IOThreads have a core each
 */
export async function openThreadMachine(engine, options) {
  const { module, disk, blocks, threads = 1, fill = null, pinned = true } = options;
  const ramBytes = threads * (RING_BYTES + DEPTH_MAX * (BLOCK + 64)) + (1 << 20);
  const core = await Core.open({ engine, module, shared: true, ramBytes });
  if (core.engine.kind !== engine) throw new Error(`meant ${engine}, got ${core.engine.kind}`);
  const context = new AioContext(core);
  const backend = await BlockBackend.open(core, context, disk);
  await fill?.(backend.io);
  const worker = (i) => new Worker(IOTHREAD, { workerData: { core: SERVER_CORE + i } });
  const start = (_, i) => {
    const own = pinned && { createWorker: () => worker(i) };
    return startIOThread(core, {
      id: `${engine}${i}`,
      'poll-max-ns': 0,
      ...own,
    });
  };
  const iothreads = await Promise.all(Array.from({ length: threads }, start));
  const device = await VirtioBlk.realize(core, context, backend, {
    'num-queues': threads,
    'queue-size': RING_SIZE,
    'iothread-vq-mapping': iothreads.map((iothread) => ({ iothread })),
    guestNotifier: 'client',
  });
  const mmio = new VirtioMmio(device, { version: 2, irq: () => {} });
  const ram = new GuestRam(core);
  const driver = new GuestBlk(GuestMmio.open(mmio), ram, { queues: 0 });
  const queues = await startDriver(core, device, driver);
  const clientContext = AioContext.allocate(core, { slots: 8, handlers: 8, coroutines: 1 });
  const { spin, checked } = options;
  const role = { core: core.handle(), context: clientContext, queues, blocks, spin, checked };
  const guest = await Role.open(GUEST_ROLE, role, pinned ? GUEST_CORE : undefined);
  const close = async () => {
    await guest.call('close');
    await guest.close();
    await driver.reset();
    await device.close();
    await Promise.all(iothreads.map((thread) => thread.stop()));
    AioContext.release(core, clientContext);
    await backend.close();
    context.close();
  };
  return { engine, core, backend, device, iothreads, guest, close, options };
}

/** Each ring lies in a piece of RAM of its own, in which the guest's thread lays it out alike. */
async function startDriver(core, device, driver) {
  const { ram, transport } = driver;
  await driver.reset();
  driver.negotiate();
  const queues = device.queueNotifiers.map(({ host, guest }, index) => {
    const at = ram.allocate(RING_BYTES, 4096);
    const region = { guest: at, size: RING_BYTES, offset: ram.offset(at, RING_BYTES) };
    const regions = [region];
    const own = new GuestRam({ buffer: () => core.ram.buffer, regions });
    const ring = new GuestRing(own, { size: RING_SIZE, eventIdx: true });
    driver.adoptRing(ring);
    transport.setUpQueue(index, ring);
    const pages = ram.allocate(DEPTH_MAX * BLOCK, 4096);
    const headers = ram.allocate(DEPTH_MAX * 32, 4096);
    const shift = ram.offset(pages, 1) - pages;
    return { region, size: RING_SIZE, host, guest, pages, headers, shift };
  });
  driver.driverOk();
  return queues;
}

const counter = (core, queue, lo) => {
  const at = (queue + lo) >>> 2;
  return core.u32[at + 1] * 2 ** 32 + core.u32[at];
};

/** A machine as a contestant of `compareThreads`, with `depth` requests in each queue. */
export function machineContestant(machine, depth, name = machine.engine) {
  const { core, device, backend, guest, iothreads, options } = machine;
  const served = () => {
    const { read } = backend.stats();
    return read.operations + backend.stats().merged;
  };
  const interrupts = () =>
    device.queueConfigs.reduce(
      (sum, { queue }) => sum + counter(core, queue, layout.QUEUE_INTERRUPTS_LO),
      0,
    );
  const poll = (ns) => {
    for (const thread of iothreads) thread.set({ 'poll-max-ns': ns });
  };
  const totals = { requests: 0, kicks: 0, interrupts: 0 };
  const turn = async (milliseconds) => {
    const before = interrupts();
    const found = await guest.call('turn', milliseconds, depth);
    totals.requests += found.requests;
    totals.kicks += found.kicks;
    totals.interrupts += interrupts() - before;
    return found;
  };
  /** The data of every buffer, and that the device has counted what the guest has. */
  const check = async () => {
    const before = served();
    const { requests } = await guest.call('check', depth);
    if (served() - before !== requests) throw new Error(`${served() - before} of ${requests}`);
  };
  return {
    name,
    totals,
    begin: () => poll(options.pollMaxNs ?? POLL_MAX_NS),
    turn,
    end: () => poll(0),
    check,
  };
}
