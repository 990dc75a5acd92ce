/**
 * A process of its own that says what one more IOThread takes:
 *
 *   node --expose-gc bench/more-threads.mjs {wasm|js} THREADS
 *
 * Prints JSON: `rss` and `core`, bytes of the process and of core memory, for each of so many
 * beyond the first. All have served a request.
 */
import {
  AioContext,
  BlockBackend,
  GuestBlk,
  GuestMmio,
  GuestRam,
  VirtioBlk,
  VirtioMmio,
} from 'vblk';
import { openCore, startIOThread } from 'vblk/node';

const [engine, count] = process.argv.slice(2);
const more = Number(count);

const core = await openCore({ engine, shared: true, ramBytes: 4 << 20 });
const context = new AioContext(core, { slots: 256 });
const ram = new GuestRam(core);
const disk = { driver: 'memory', options: { size: 1 << 20 } };

/** Reads through a device whose queue the thread serves, and puts the device away. */
async function use(iothread) {
  const backend = await BlockBackend.open(core, context, disk);
  const device = await VirtioBlk.realize(core, context, backend, { iothread });
  const irq = (level) => {
    if (level) guest.interrupt();
  };
  const mmio = new VirtioMmio(device, { version: 2, irq });
  const guest = new GuestBlk(GuestMmio.open(mmio), ram, { interrupts: true });
  await guest.start();
  const data = await guest.read(0, 4096);
  if (data.length !== 4096 || backend.stats().read.operations !== 1) throw new Error('not served');
  await guest.reset();
  await device.close();
  await backend.close();
}

async function start() {
  const thread = await startIOThread(core);
  await use(thread);
  return thread;
}

const measure = () => {
  globalThis.gc();
  return { rss: process.memoryUsage.rss(), core: core.allocatedBytes };
};

const threads = [await start()];
const before = measure();
for (let i = 0; i < more; i++) threads.push(await start());
const after = measure();
for (const thread of threads) await thread.stop();
context.close();
const rss = (after.rss - before.rss) / more;
console.log(JSON.stringify({ rss, core: (after.core - before.core) / more }));
