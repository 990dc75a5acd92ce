/**
 * Two threads pass one turn to each other through a bottom half each (historic bug 1): who runs
 * schedules the other one first and is still busy when its own is scheduled again.
 */
import { expectEqual, start, stopAll } from './threads.mjs';

export async function bottomHalves({ core, count, random, watch }) {
  const turn = core.allocate(8);
  const threads = await Promise.all(['left', 'right'].map((id) => start(core, { id })));
  const [left, right] = threads;
  watch(() => Atomics.load(core.i32, turn >>> 2));
  const open = (thread) => thread.call('ball', { turn, count, seed: random.next() });
  const handles = [await open(left), await open(right)];
  await left.call('aim', handles[1]);
  await right.call('aim', handles[0]);
  const over = Promise.race(threads.map((t) => new Promise((resolve) => t.on('over', resolve))));
  await left.call('throw');
  expectEqual('turns', await over, count);
  const runs = await Promise.all(threads.map((thread) => thread.call('put away')));
  expectEqual('runs of the left one', runs[0], Math.ceil(count / 2));
  expectEqual('runs of the right one', runs[1], Math.floor(count / 2));
  expectEqual('turns at the end', Atomics.load(core.i32, turn >>> 2), count);
  const sleeps = threads.map((thread) => thread.info().sleeps);
  await stopAll(core, threads);
  core.free(turn);
  return { runs, sleeps };
}
