/**
 * An IOThread in whatever runtime this is: 10,000 bottom halves there and back, and then the end.
 * `stop` stops the thread; `leave` lets go of it while it sleeps; `crash` makes it fail.
 */
import { Worker } from 'node:worker_threads';
import { openCore } from '../../build/adapter/load-module.js';
import { scheduleRemote } from '../../build/aio/bottom-half.js';
import { AioContext } from '../../build/aio/context.js';
import { IOThread } from '../../build/aio/io-thread.js';

const [engine, end] = process.argv.slice(2);
const COUNT = 10_000;

const core = await openCore({ engine, shared: true });
const context = new AioContext(core);
const thread = await IOThread.start(core, {
  id: 'io0',
  worker: () => new Worker(new URL('./io-thread-worker.mjs', import.meta.url)),
});
console.log(core.engine.kind);

let runs = 0;
let finish;
const finished = new Promise((resolve) => (finish = resolve));
let there;
const back = context.bottomHalf('back', () => {
  runs += 1;
  if (runs === COUNT) finish();
  else scheduleRemote(core, there);
});
there = await thread.call('open', back.handle);
context.ref();
scheduleRemote(core, there);
await finished;
context.unref();
back.delete();
const { sleeps } = thread.info();
console.log(`${runs} ${await thread.call('close')} ${sleeps > 0 ? 'slept' : 'never slept'}`);
if (end === 'stop') await thread.stop();
if (end === 'crash') {
  const died = new Promise((resolve) => thread.on('died', resolve));
  await thread.call('crash');
  context.ref();
  console.log((await died).message);
  context.unref();
  await thread.stop();
}
console.log('done');
