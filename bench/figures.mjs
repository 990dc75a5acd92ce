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
 */
import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { AioContext, BlockBackend, VirtioBlk } from 'vblk';
import { openCore } from 'vblk/node';

const STARTS = 7;
const REQUESTS = 1_000_000;
const DEPTH = 64;

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
export async function* figures(wanted) {
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
}
