/**
 * A process of its own that says what a request allocates once everything is warm:
 *
 *   node --expose-gc bench/steady-state.mjs {null|memory} {wasm|js} {read|write} DEPTH REQUESTS
 *
 * Prints JSON. `collections`: garbage collections of any kind during the requests;
 * `bytesPerRequest`: by how much the heap grew, which is all that was allocated if nothing was
 * collected; `sampledBytesPerRequest`: the same by V8's sampling profiler; `where`: the functions
 * that it names. All are the best of up to eight windows: in the first the compilers may still be at
 * work, which allocate, too.
 */
import { readFileSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import { PerformanceObserver } from 'node:perf_hooks';
import * as spec from '#src/spec';
import { randomBlocks } from './blocks.mjs';
import { DISK_BYTES, openMachine, worker } from './device.mjs';

const [driver, engine, rw, depth, count] = process.argv.slice(2);
const TURN = 1024;
const WARM = 400_000;
const SAMPLED = 200_000;
const WINDOWS = 8;

const module = readFileSync(new URL('../build/core.wasm', import.meta.url));
const machine = await openMachine(engine, module, { driver, options: { size: DISK_BYTES } });
const blocks = randomBlocks(TURN, DISK_BYTES / 4096);
const type = rw === 'write' ? spec.VIRTIO_BLK_T_OUT : spec.VIRTIO_BLK_T_IN;
const { run } = worker(machine.guest, { depth: Number(depth), requests: TURN, blocks, type });

/** Does at least `least` requests. Returns how many. */
function serve(least) {
  let done = 0;
  for (; done < least; done += TURN) run();
  return done;
}

/** Lets the compilers' other threads and the observer below have their turn. */
const settle = () => new Promise((resolve) => setTimeout(resolve, 100));

let collections = 0;
const observer = new PerformanceObserver((list) => {
  collections += list.getEntries().length;
});
observer.observe({ entryTypes: ['gc'] });

async function measure() {
  globalThis.gc();
  await settle();
  collections = 0;
  const before = process.memoryUsage().heapUsed;
  const requests = serve(Number(count));
  const grown = process.memoryUsage().heapUsed - before;
  await settle();
  return { requests, collections, bytesPerRequest: grown / requests };
}

/** Bytes that the sampling profiler found below `serve`, by function. */
async function sample() {
  const session = new Session();
  session.connect();
  await session.post('HeapProfiler.startSampling', {
    samplingInterval: 256,
    includeObjectsCollectedByMajorGC: true,
    includeObjectsCollectedByMinorGC: true,
  });
  const requests = serve(SAMPLED);
  const { profile } = await session.post('HeapProfiler.stopSampling');
  session.disconnect();
  const where = {};
  let bytes = 0;
  const add = ({ callFrame: { functionName, url }, selfSize, children }, serving) => {
    const counts = serving || functionName === 'serve';
    if (counts && selfSize > 0) {
      const name = `${functionName} ${url.split('/').slice(-2).join('/')}`;
      where[name] = (where[name] ?? 0) + selfSize;
      bytes += selfSize;
    }
    for (const child of children) add(child, counts);
  };
  add(profile.head, false);
  return { sampledBytesPerRequest: bytes / requests, where };
}

serve(WARM);
await settle();
serve(WARM);
let best = null;
const quiet = (found) => found?.collections === 0 && found.bytesPerRequest < 0.1;
for (let window = 0; window < WINDOWS && !quiet(best); window++) {
  const found = await measure();
  const better =
    !best ||
    found.collections < best.collections ||
    (found.collections === best.collections && found.bytesPerRequest < best.bytesPerRequest);
  if (better) best = found;
}
let sampled = await sample();
for (let window = 1; window < WINDOWS && sampled.sampledBytesPerRequest >= 1; window++) {
  const again = await sample();
  if (again.sampledBytesPerRequest < sampled.sampledBytesPerRequest) sampled = again;
}
console.log(JSON.stringify({ driver, engine, rw, ...best, ...sampled }));
await machine.close();
