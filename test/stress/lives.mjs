/** IOThreads that are started, used or not, and stopped, up to four at a time (WT-4). */
import { expectEqual, start, stopAll } from './threads.mjs';

export async function lives({ core, count, random, watch }) {
  const numbers = new Set();
  let ended = 0;
  let used = 0;
  watch(() => ended);
  while (ended < count) {
    const batch = Math.min(1 + random.below(4), count - ended);
    const threads = await Promise.all(Array.from({ length: batch }, () => start(core)));
    for (const thread of threads) numbers.add(thread.threadNumber);
    for (const thread of threads) {
      if (random.below(2) === 0) continue;
      used += 1;
      expectEqual('the answer', await thread.call('add', [ended, used]), ended + used);
    }
    await stopAll(core, threads);
    ended += batch;
  }
  expectEqual('thread numbers', numbers.size, count);
  return { used };
}
