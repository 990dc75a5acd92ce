/**
 * A thread with a context of its own. What it shall do comes in `workerData`; `words` are the
 * test's: [STOP, COUNT, GO].
 */
import { parentPort, workerData } from 'node:worker_threads';
import { scheduleRemote } from '../../build/aio/bottom-half.js';
import { AioContext } from '../../build/aio/context.js';
import { EventNotifier } from '../../build/aio/event-notifier.js';
import { runLoop } from '../../build/aio/run-loop.js';
import { waitKick } from '../../build/aio/wait.js';
import { Core } from '../../build/engine/core.js';

const { handle, block, words, role, params } = workerData;
const [STOP, COUNT, GO] = [0, 1, 2];
const core = await Core.attach(handle);

const serve = async (context, mailPending = () => false) => {
  await runLoop(context, () => Atomics.load(words, STOP) === 1, mailPending);
};
const home = () => new AioContext(core, { name: role, block, sleeper: 'word' });

const roles = {
  /** Schedules back whatever is scheduled here. */
  async pong({ peer, pollNs }) {
    const context = home();
    if (pollNs > 0) context.setPollParams({ maxNs: pollNs });
    const bh = context.bottomHalf('pong', () => {
      Atomics.add(words, COUNT, 1);
      scheduleRemote(core, peer);
    });
    parentPort.postMessage(bh.handle);
    await serve(context);
    bh.delete();
    context.poll();
    context.close();
  },
  /** Counts events of a notifier; answers each by scheduling the peer. */
  async watch({ notifier, peer, polled }) {
    const context = home();
    const watched = EventNotifier.at(core, notifier, 'host');
    const read = () => {
      Atomics.add(words, COUNT, 1);
      scheduleRemote(core, peer);
    };
    const poll = { ready: read };
    context.setPollParams({ maxNs: 32768 });
    context.setHandler(watched, polled ? { read, poll } : read);
    parentPort.postMessage('ready');
    await serve(context);
    context.setHandler(watched, null);
    context.close();
  },
  /** Ends a condition that main waits for, once per GO. */
  async kick({ word, rounds }) {
    for (let i = 1; i <= rounds; i++) {
      Atomics.wait(words, GO, i - 1);
      Atomics.store(core.i32, word >>> 2, 0);
      waitKick(core);
    }
  },
  /** Completes something for main, once per GO; COUNT says that it has. */
  async complete({ peer, rounds }) {
    for (let i = 1; i <= rounds; i++) {
      while (Atomics.load(words, GO) < i);
      scheduleRemote(core, peer);
      Atomics.store(words, COUNT, i);
    }
  },
  /** Throws out of a bottom half, while it lives in the JavaScript loop. */
  async throws() {
    const context = home();
    context.ref();
    process.on('uncaughtExceptionMonitor', (_, origin) => {
      Atomics.store(words, COUNT, origin === 'uncaughtException' ? 1 : -1);
    });
    const bh = context.bottomHalf('throws', () => {
      throw new Error('bad callback');
    });
    parentPort.postMessage(bh.handle);
    await new Promise(() => {});
  },
  /** Blocks whenever it may; lives in the JavaScript loop while it must. */
  async loop({ notifier }) {
    const context = home();
    const events = [];
    const watched = EventNotifier.at(core, notifier, 'host');
    context.setHandler(watched, () => {
      const user = `timeout ${events.length}`;
      events.push('event');
      context.addLoopUser();
      setTimeout(() => {
        events.push(user);
        context.removeLoopUser();
        parentPort.postMessage([...events]);
      }, 1);
      Promise.resolve().then(() => events.push('microtask'));
    });
    parentPort.postMessage('ready');
    let mail = 0;
    parentPort.on('message', () => {
      mail += 1;
      core.engine.mailReceived(block);
      context.scheduleOneshot('mail', () => parentPort.postMessage(`mail ${mail}`));
    });
    await serve(context, () => mail < Atomics.load(words, GO));
    context.setHandler(watched, null);
    context.close();
  },
};

await roles[role](params);
parentPort.postMessage('gone');
parentPort.close();
