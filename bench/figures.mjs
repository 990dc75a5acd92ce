/**
 * What there is to measure once, not in rounds: sizes, memory, allocation, start.
 *
 *   size/{core.wasm,core.shared.wasm}           bytes of the release modules (goal: under 16 kB)
 *   core-memory/queue-256                       bytes that a device with one queue of 256 takes:
 *                                               context, backend, lane, queue (under 64 KiB)
 *   allocation/{null,memory}/{read,write}       bytes per request in steady state (under 1), and
 *   collections/{null,memory}/{read,write}      garbage collections over a million (none)
 *   start/import-to-first-byte                  ms from import to the first served byte (under 50)
 *   rss/{node,device}                           bytes of a process without and with one device
 *   rss/iothread, core-memory/iothread          bytes that one more IOThread takes
 *   core-memory/queue                           bytes of core memory of one more queue of 256
 *   idle/100                                    ms of processor per second of 100 attached devices
 *                                               on an IOThread above the same process without them
 *                                               (goal: at most 10)
 *   idle-turns/100                              turns of the two contexts meanwhile (none)
 */
import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { AioContext, BlockBackend, VirtioBlk } from 'vblk';
import { openCore } from 'vblk/node';

const STARTS = 7;
const REQUESTS = 1_000_000;
const DEPTH = 64;
const IDLE_DEVICES = 100;
const MORE_THREADS = 4;

const path = (name) => fileURLToPath(new URL(name, import.meta.url));

function result(name, contestant, unit, values) {
  const sorted = [...values].sort((a, b) => a - b);
  const median = sorted[Math.floor((sorted.length - 1) / 2)];
  return { case: name, contestant, unit, min: sorted[0], median, samples: sorted.length };
}

function node(script, ...args) {
  return JSON.parse(execFileSync(process.execPath, ['--expose-gc', path(script), ...args]));
}

const moduleSizes = () =>
  ['core.wasm', 'core.shared.wasm'].map((name) =>
    result(`size/${name}`, 'wasm', 'bytes', [statSync(path(`../build/${name}`)).size]),
  );

async function coreMemory(engine) {
  const core = await openCore({ engine, ramBytes: 1 << 20 });
  const before = core.allocatedBytes;
  const context = new AioContext(core);
  const backend = await BlockBackend.open(core, context, { driver: 'null' });
  const device = new VirtioBlk(core, context, backend, { 'queue-size': 256, 'num-queues': 1 });
  const taken = core.allocatedBytes - before;
  await device.close();
  await backend.close();
  context.close();
  if (core.allocatedBytes !== before) throw new Error('the device did not give its memory back');
  return result('core-memory/queue-256', engine, 'bytes', [taken]);
}

/** What a device with two queues takes above one with a single queue. */
async function queueMemory(engine) {
  const core = await openCore({ engine, ramBytes: 1 << 20 });
  const context = new AioContext(core);
  const backend = await BlockBackend.open(core, context, { driver: 'null' });
  const taken = [];
  for (const queues of [1, 2]) {
    const before = core.allocatedBytes;
    const options = { 'queue-size': 256, 'num-queues': queues };
    const device = new VirtioBlk(core, context, backend, options);
    taken.push(core.allocatedBytes - before);
    await device.close();
  }
  await backend.close();
  context.close();
  return result('core-memory/queue', engine, 'bytes', [taken[1] - taken[0]]);
}

function threadMemory(engine) {
  const { rss, core } = node('more-threads.mjs', engine, String(MORE_THREADS));
  return [
    result('rss/iothread', engine, 'bytes', [rss]),
    result('core-memory/iothread', engine, 'bytes', [core]),
  ];
}

function idle(engine, seconds) {
  const found = node('idle.mjs', engine, String(IDLE_DEVICES), String(seconds));
  const above = found.attached.msPerSecond - found.without.msPerSecond;
  const { turns } = found.attached;
  return [
    result(`idle/${IDLE_DEVICES}`, engine, 'ms/s', [above]),
    result(`idle-turns/${IDLE_DEVICES}`, engine, 'turns', [turns]),
  ];
}

function allocation(driver, engine, rw) {
  const found = node('steady-state.mjs', driver, engine, rw, String(DEPTH), String(REQUESTS));
  const { bytesPerRequest, collections } = found;
  return [
    result(`allocation/${driver}/${rw}`, engine, 'bytes/request', [bytesPerRequest]),
    result(`collections/${driver}/${rw}`, engine, 'collections', [collections]),
  ];
}

function starts() {
  const found = Array.from({ length: STARTS }, () => node('first-byte.mjs'));
  const bare = ['-p', 'process.memoryUsage.rss()'];
  const rss = Array.from({ length: STARTS }, () => Number(execFileSync(process.execPath, bare)));
  const times = found.map(({ milliseconds }) => milliseconds);
  return [
    result('start/import-to-first-byte', 'wasm', 'ms', times),
    result('rss/node', 'node', 'bytes', rss),
    result(
      'rss/device',
      'wasm',
      'bytes',
      found.map((one) => one.rss),
    ),
  ];
}

/** @returns {AsyncGenerator<object[]>} results, group by group */
export async function* figures(wanted, idleSeconds) {
  if (wanted('size/core')) yield moduleSizes();
  for (const engine of ['wasm', 'js']) {
    if (wanted('core-memory/queue-256')) yield [await coreMemory(engine)];
  }
  for (const driver of ['null', 'memory']) {
    for (const rw of ['read', 'write']) {
      if (!wanted(`allocation/${driver}/${rw}`)) continue;
      for (const engine of ['wasm', 'js']) yield allocation(driver, engine, rw);
    }
  }
  if (wanted('start/import-to-first-byte')) yield starts();
  for (const engine of ['wasm', 'js']) {
    if (wanted('core-memory/queue')) yield [await queueMemory(engine)];
    if (wanted('rss/iothread')) yield threadMemory(engine);
    if (wanted(`idle/${IDLE_DEVICES}`)) yield idle(engine, idleSeconds);
  }
}
