/** The Worker of these runs: an IOThread with the services that the scenarios call. */
import { parentPort } from 'node:worker_threads';
import { scheduleRemote } from '#src/aio/bottom-half';
import { EventNotifier } from '#src/aio/event-notifier';
import { runIOThread } from '#src/aio/io-thread-home';
import { registerService } from '#src/aio/services';
import { Random } from './random.mjs';

/** Keeps the thread busy for a random while, so that the two drift against each other. */
function dawdle(random, limit) {
  let sum = 0;
  for (let left = random.below(limit); left > 0; left--) sum += left;
  return sum;
}

// ---- Bottom halves: one turn, passed to and fro ---------------------------------------------

registerService('ball', (thread, { turn, count, seed }) => {
  const random = new Random(seed);
  const ball = { runs: 0, peer: null, half: null };
  ball.half = thread.context.bottomHalf('ball', () => {
    ball.runs += 1;
    const turns = Atomics.add(thread.core.i32, turn >>> 2, 1) + 1;
    if (turns < count) scheduleRemote(thread.core, ball.peer);
    else thread.post('over', turns);
    dawdle(random, 1 << random.below(12));
  });
  thread.state.set('ball', ball);
  return ball.half.handle;
});
registerService('aim', (thread, peer) => {
  thread.state.get('ball').peer = peer;
});
registerService('throw', (thread) => thread.state.get('ball').half.schedule());
registerService('put away', (thread) => {
  const { half, runs } = thread.state.get('ball');
  half.delete();
  return runs;
});

// ---- Kicks: one thread kicks, the other serves and answers -------------------------------------

/**
 * Serves whatever has been produced whenever it is kicked, or finds it while it polls: it needs no
 * kicks then, and says so in the word `quiet`.
 */
registerService('serve', (thread, { produced, consumed, quiet, host, answer, seed }) => {
  const { core, context } = thread;
  const random = new Random(seed);
  const kicked = EventNotifier.at(core, host, 'host');
  const answered = EventNotifier.at(core, answer, 'answer');
  const figures = { calls: 0, polled: 0 };
  let seen = 0;
  const serve = () => {
    figures.calls += 1;
    seen = Atomics.load(core.i32, produced >>> 2);
    dawdle(random, 1 << random.below(10));
    Atomics.store(core.i32, consumed >>> 2, seen);
    answered.set();
  };
  const test = () => Atomics.load(core.i32, produced >>> 2) !== seen;
  const ready = () => {
    figures.polled += 1;
    serve();
  };
  const begin = () => Atomics.store(core.i32, quiet >>> 2, 1);
  const end = () => Atomics.store(core.i32, quiet >>> 2, 0);
  context.setHandler(kicked, { read: serve, poll: { test, ready, begin, end } });
  thread.state.set('serve', () => {
    context.setHandler(kicked, null);
    return figures;
  });
});

/** Kicks in bursts; after a burst it goes on at once, spins for the answer, or sleeps until it. */
registerService('kick', (thread, places) => {
  const { produced, consumed, quiet, host, answer, count, seed } = places;
  const { core, context } = thread;
  const random = new Random(seed);
  const kicked = EventNotifier.at(core, host, 'host');
  const answered = EventNotifier.at(core, answer, 'answer');
  const figures = { suppressed: 0, atOnce: 0, spun: 0, slept: 0 };
  let sent = 0;
  let waiting = false;
  const complete = () => Atomics.load(core.i32, consumed >>> 2) === sent;

  const kickSome = () => {
    for (let left = Math.min(1 + random.below(64), count - sent); left > 0; left--) {
      sent = Atomics.add(core.i32, produced >>> 2, 1) + 1;
      if (Atomics.load(core.i32, quiet >>> 2) === 0) kicked.set();
      else figures.suppressed += 1;
      if (random.below(16) === 0) dawdle(random, 1 << random.below(11));
    }
  };
  const spin = () => {
    for (let rounds = random.below(4096); rounds > 0; rounds--) if (complete()) return true;
    return false;
  };
  const goOn = () => {
    waiting = false;
    while (sent < count) {
      kickSome();
      if (sent === count) break;
      const mood = random.below(4);
      if (mood === 0) figures.atOnce += 1;
      else if (mood === 1 && spin()) figures.spun += 1;
      else break;
    }
    figures.slept += 1;
    waiting = true;
  };
  const look = () => {
    if (!waiting || !complete()) return;
    if (sent < count) goOn();
    else thread.post('over', sent);
  };
  const test = () => waiting && complete();
  context.setHandler(answered, { read: look, poll: { test, ready: look } });
  thread.state.set('kick', () => {
    context.setHandler(answered, null);
    return figures;
  });
  context.scheduleOneshot('first kick', goOn);
});

registerService('end', (thread, name) => thread.state.get(name)());

// ---- Lives ------------------------------------------------------------------------------------

registerService('add', (_, [a, b]) => a + b);

void runIOThread(parentPort);
