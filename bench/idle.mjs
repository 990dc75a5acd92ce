/**
 * A process of its own that says what devices cost that nobody uses:
 *
 *   node --expose-gc bench/idle.mjs {wasm|js} DEVICES SECONDS
 *
 * Prints JSON: ms of processor per second of a process with a core, a main context and an IOThread
 * (`without`), and of the same with so many devices attached that have each served a request
 * (`attached`); and how many turns the two contexts have taken meanwhile.
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

const [engine, count, seconds] = process.argv.slice(2);
const devices = Number(count);
const room = { slots: 4 * devices + 64, handlers: 2 * devices + 16 };
/** Until compilers and collectors are done, and busy polling has given up. */
const SETTLE_MS = 500;

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function attach(core, context, iothread, ram) {
  const disk = { driver: 'null', options: { size: 1 << 20 } };
  const backend = await BlockBackend.open(core, context, disk);
  const options = { iothread, 'queue-size': 16 };
  const device = await VirtioBlk.realize(core, context, backend, options);
  const irq = (level) => {
    if (level) guest.interrupt();
  };
  const mmio = new VirtioMmio(device, { version: 2, irq });
  const guest = new GuestBlk(GuestMmio.open(mmio), ram, { interrupts: true });
  await guest.start();
  await guest.read(0, 512);
  const { read } = backend.stats();
  if (read.operations !== 1) throw new Error(`a device has served ${read.operations} requests`);
  return async () => {
    await guest.reset();
    await device.close();
    await backend.close();
  };
}

async function measure(context, iothread) {
  globalThis.gc();
  await sleep(SETTLE_MS);
  const turns = () => context.turns + iothread.info().turns;
  const sleeps = () => context.figures.sleeps + iothread.info().sleeps;
  const before = { turns: turns(), sleeps: sleeps() };
  const cpu = process.cpuUsage();
  const start = performance.now();
  await sleep(Number(seconds) * 1000);
  const { user, system } = process.cpuUsage(cpu);
  const elapsed = (performance.now() - start) / 1000;
  return {
    msPerSecond: (user + system) / 1000 / elapsed,
    turns: turns() - before.turns,
    sleeps: sleeps() - before.sleeps,
  };
}

const core = await openCore({ engine, shared: true, ramBytes: 8 << 20 });
const context = new AioContext(core, room);
const iothread = await startIOThread(core, room);
const without = await measure(context, iothread);
const ram = new GuestRam(core);
const close = [];
for (let i = 0; i < devices; i++) close.push(await attach(core, context, iothread, ram));
const attached = await measure(context, iothread);
for (const one of close) await one();
await iothread.stop();
context.close();
console.log(JSON.stringify({ without, attached }));
