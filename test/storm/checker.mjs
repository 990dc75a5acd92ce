/** What must be true after each storm. Throws an Error that says what is not. */
import { setTimeout as delay } from 'node:timers/promises';
import {
  CONTEXT_HANDLER_COUNT,
  CONTEXT_HANDLERS,
  CONTEXT_TURNS,
  HANDLER_NOTIFIER,
  HANDLER_SIZE,
  QUEUE_INUSE,
} from '#src/layout';
import { SECTOR } from './model.mjs';

const HEAP_BYTES = 1 << 20;
/** Looks, 2 ms apart, until another thread must have done what it was asked for. */
const PATIENCE = 2500;
/** Turns that an idle context may take in the time we watch it. */
const TURNS_MAX = 4;
const IDLE_CPU_MS = 20;

function expectThat(condition, what) {
  if (!condition) throw new Error(what);
}

/** Handlers that a context has, of whatever notifier. */
function handlers(core, context) {
  const word = (at) => Atomics.load(core.u32, at >>> 2);
  const table = word(context + CONTEXT_HANDLERS);
  let count = 0;
  for (let i = 0; i < word(context + CONTEXT_HANDLER_COUNT); i++) {
    if (word(table + i * HANDLER_SIZE + HANDLER_NOTIFIER) !== 0) count++;
  }
  return count;
}

/** What has to be as it was, once all devices are gone. */
export function inventory(rig) {
  return {
    bytes: rig.core.allocatedBytes,
    guestBytes: rig.ram.allocatedBytes,
    handlers: rig.contexts.map((context) => handlers(rig.core, context)),
  };
}

/** The devices are still there, but stopped: no thread listens to any of their doorbells. */
export async function expectDeaf(rig, { handlers: before }) {
  const threads = () => rig.contexts.slice(1).map((context) => handlers(rig.core, context));
  const deaf = () => `${threads()}` === `${before.slice(1)}`;
  for (let i = 0; i < PATIENCE && !deaf(); i++) await delay(2);
  expectThat(deaf(), `handlers of a stopped device: ${threads()}`);
}

export async function expectSameInventory(rig, before) {
  let now = inventory(rig);
  // A thread's last word may be on its way.
  for (let i = 0; i < PATIENCE && JSON.stringify(now) !== JSON.stringify(before); i++) {
    await delay(2);
    now = inventory(rig);
  }
  const [a, b] = [JSON.stringify(now), JSON.stringify(before)];
  expectThat(a === b, `left behind: ${a} instead of ${b}`);
}

/** All requests of a slot have ended once, and the disk holds what the model says. */
export async function checkSlot(slot) {
  const { load, backend, device, rig } = slot;
  await load.finish();
  expectThat(load.issued === load.completed + load.droppedCount, 'a request has no end');
  // A thread tells the driver of its last request before that has left the gate (BB-2).
  for (let i = 0; i < PATIENCE && backend.inFlight !== 0; i++) await delay(2);
  expectThat(backend.inFlight === 0, `in flight: ${backend.inFlight}`);
  for (const { queue, index } of device.queueConfigs) {
    const inuse = rig.core.u32[(queue + QUEUE_INUSE) >>> 2];
    expectThat(inuse === 0, `queue ${index}: inuse ${inuse}`);
  }
  expectThat(!backend.quiesced, 'the backend is still drained');
  await checkImage(slot);
}

async function checkImage({ backend, load }) {
  const { sectors } = load.model;
  expectThat(backend.size === sectors * SECTOR, `the disk has ${backend.size} bytes`);
  const bytes = new Uint8Array(sectors * SECTOR);
  await backend.io.read(0, bytes);
  load.model.check(new Uint32Array(bytes.buffer), 0, 0, sectors, 'the image');
}

/** Nobody turns and nobody works while nothing is to be done. */
export async function checkIdle(rig, milliseconds) {
  await delay(20);
  const turns = () => rig.contexts.map((at) => rig.core.u32[(at + CONTEXT_TURNS) >>> 2]);
  const before = turns();
  const cpu = process.cpuUsage();
  await delay(milliseconds);
  const { user, system } = process.cpuUsage(cpu);
  const spent = (user + system) / 1000;
  const taken = turns().map((count, i) => (count - before[i]) >>> 0);
  expectThat(
    taken.every((count) => count <= TURNS_MAX),
    `turns of the idle contexts: ${taken}`,
  );
  return { turns: Math.max(...taken), spent };
}

/**
 * As `checkIdle` for a second, and what it costs. Garbage is collected first, which V8 would do by
 * itself some time in that second.
 */
export async function checkIdleCost(rig, milliseconds = 1000) {
  await heaps(rig);
  const { spent } = await checkIdle(rig, milliseconds);
  expectThat(spent <= IDLE_CPU_MS, `an idle second costs ${spent} ms`);
  return spent;
}

/** Bytes of the JavaScript heaps: main's and the threads'. Null without --expose-gc. */
export async function heaps(rig) {
  if (!globalThis.gc) return null;
  const others = await Promise.all(rig.threads.map((thread) => thread.call('heap')));
  await delay(1);
  for (let i = 0; i < 3; i++) globalThis.gc();
  return [process.memoryUsage().heapUsed, ...others];
}

/** Bytes that the core's memory may grow by once all kinds of disks have come and gone. */
const CORE_BYTES = 16 << 20;

export function checkMemory(before, now) {
  expectThat(now - before <= CORE_BYTES, `the core's memory has grown by ${now - before} bytes`);
}

/** By how much each heap has grown, in bytes. Empty without --expose-gc. */
export function growth(before, now) {
  return before && now ? now.map((bytes, i) => bytes - before[i]) : [];
}

/**
 * `windows`: what each heap has grown by in one stretch of rounds after the other. A leak grows in
 * each of them; code that gets its last compilation late does so once.
 */
export function leaks(windows) {
  return windows[0].some((_, i) => windows.every((grown) => grown[i] >= HEAP_BYTES));
}

export function expectNoLeak(windows) {
  const said = windows.map((grown) => grown.join(',')).join(' then ');
  expectThat(!leaks(windows), `JavaScript heaps have grown by ${said} bytes`);
}
