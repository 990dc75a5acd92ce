/** The Worker of these tests: an IOThread with services that look at it and harm it. */
import { parentPort } from 'node:worker_threads';
import { AioContext, currentContext } from '#src/aio/context';
import { EventNotifier } from '#src/aio/event-notifier';
import { runIOThread } from '#src/aio/io-thread-home';
import { registerService } from '#src/aio/services';
import { waitKick } from '#src/aio/wait';
import { BlockError, OptionError } from '#src/block/error';
import { laneAt } from '#src/block/lane-service';
import { CoreError } from '#src/engine/core';
import { CONTEXT_DEPTH, CONTEXT_POLL_MAX, CONTEXT_STOP } from '#src/layout';

const word = (thread, field) => thread.core.u32[(thread.context.address + field) >>> 2];

const ERRORS = {
  block: () => new BlockError('ENOSPC', 'write', { offset: 4096, length: 512 }),
  option: () => new OptionError('size', 'much', 'bytes'),
  core: () => new CoreError('EALIGN', 'a region is not aligned', new Error('by one byte')),
  unknown: () => Object.assign(new Error('of a class of its own'), { name: 'OwnError', code: 7 }),
  text: () => 'no error at all',
};

registerService('echo', (_, payload) => payload);
registerService('where', (thread) => ({
  context: currentContext()?.address,
  home: thread.core.thread,
  depth: word(thread, CONTEXT_DEPTH),
  pollMax: word(thread, CONTEXT_POLL_MAX),
  limits: thread.poolLimits,
}));
registerService('throw', (_, kind) => {
  throw ERRORS[kind]();
});
registerService('reject', async (_, kind) => {
  await new Promise((resolve) => setImmediate(resolve));
  throw ERRORS[kind]();
});
registerService('turns of the loop', async (_, count) => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
  return count;
});
registerService('tell', (thread, { event, payload }) => thread.post(event, payload));
registerService('uncloneable', () => () => {});
registerService('exit', () => process.exit(3));
registerService('crash', (thread) => {
  thread.context.scheduleOneshot('crash', () => {
    throw new BlockError('EIO', 'read', { offset: 512, length: 512 });
  });
});
registerService('never', () => new Promise(() => {}));
registerService('leave a bottom half', (thread) => {
  thread.context.bottomHalf('forgotten', () => {});
});
registerService('watch limits', (thread) => {
  thread.onPoolLimits((limits) => thread.post('limits', limits));
});
registerService('see the stop word', async (thread) => {
  while (word(thread, CONTEXT_STOP) === 0) await new Promise((resolve) => setImmediate(resolve));
  return 'seen';
});
registerService('see', async (thread, address) => {
  const set = () => Atomics.load(thread.core.i32, address >>> 2) !== 0;
  while (!set()) await new Promise((resolve) => setImmediate(resolve));
  return 'seen';
});

registerService('watch', (thread, address) => {
  const notifier = EventNotifier.at(thread.core, address);
  thread.context.setHandler(notifier, () => thread.post('kicked', 1));
  thread.state.set('watched', notifier);
});
registerService('unwatch', (thread) =>
  thread.context.setHandler(thread.state.get('watched'), null),
);
registerService('take over', (thread, block) => {
  new AioContext(thread.core, { name: 'stolen', block });
});
registerService('tell later', (thread, { event, ns }) => {
  const timer = thread.context.timer('later', () => thread.post(event, 'later'));
  timer.mod(thread.context.clock.now() + ns);
});

registerService('count down', (thread, { word, from, kick }) => {
  const left = word >>> 2;
  Atomics.store(thread.core.i32, left, from);
  const timer = thread.context.timer('count down', () => {
    const now = Atomics.sub(thread.core.i32, left, 1) - 1;
    if (kick) waitKick(thread.core);
    if (now > 0) timer.mod(thread.context.clock.now() + 1e6);
  });
  timer.mod(thread.context.clock.now() + 100e6);
});
registerService('stay inside', (thread, { lane, backend, ns }) => {
  const { core, context } = thread;
  core.engine.gateEnter(lane, backend, 1);
  const timer = context.timer('inside', () => {
    if (core.engine.gateLeave(lane, backend, 1) === 1) laneAt(thread, lane).wake();
  });
  timer.mod(context.clock.now() + ns);
});
registerService('spin for ever', () => {
  for (;;);
});

void runIOThread(parentPort);
