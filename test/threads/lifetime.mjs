/** How long a process with an IOThread lives: `node lifetime.mjs ENGINE CASE`. */
import { readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { AioContext } from '#src/aio/context';
import { IOThread } from '#src/aio/io-thread';
import { waitWhile } from '#src/aio/wait';
import { BlockBackend } from '#src/block/backend';
import { MemoryDriver } from '#src/block/memory';
import { Core } from '#src/engine/core';

const [engine, what] = process.argv.slice(2);
const module = readFileSync(new URL('../../build/core.shared.wasm', import.meta.url));
const core = await Core.open({ engine, module, shared: true });
const context = new AioContext(core);
const thread = await IOThread.start(core, {
  worker: () => new Worker(new URL('./thread.mjs', import.meta.url)),
});
console.log('started');

if (what === 'call') thread.call('turns of the loop', 500).then(() => console.log('answered'));
if (what === 'stop') thread.stop().then(() => console.log('stopped'));
if (what === 'held' || what === 'let go') {
  thread.on('ring', () => {
    console.log('rung');
    context.unref();
  });
  await thread.call('tell later', { event: 'ring', ns: 200e6 });
  if (what === 'held') context.ref();
}
if (what === 'drain') {
  const backend = BlockBackend.attach(core, context, new MemoryDriver(core, 1 << 20));
  const lane = await backend.openLaneOn(thread);
  await thread.call('stay inside', { lane: lane.address, backend: backend.address, ns: 200e6 });
  await backend.idle();
  console.log('drained');
}
if (what === 'wait') {
  const word = core.allocate(8);
  await thread.call('count down', { word, from: 5, kick: true });
  await waitWhile(context, () => Atomics.load(core.i32, word >>> 2) > 0);
  console.log('waited');
}
