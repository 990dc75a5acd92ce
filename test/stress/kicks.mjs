/**
 * One thread kicks another through a notifier and is answered through one. Both poll or sleep as
 * their limits, changed at random all the while, and chance have it. A kick or an answer that is
 * lost ends the run: nothing moves any more.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { EventNotifier } from '#src/aio/event-notifier';
import { expectEqual, start, stopAll } from './threads.mjs';

const POLL_NS = [0, 0, 32_768, 200_000, 2_000_000, 20_000_000];

export async function kicks({ core, count, random, watch }) {
  const words = core.allocate(24);
  const [produced, consumed, quiet] = [words, words + 8, words + 16];
  const notifiers = ['host', 'answer'].map((name) => new EventNotifier(core, name));
  const [host, answer] = notifiers.map(({ address }) => address);
  const [server, kicker] = await Promise.all(['server', 'kicker'].map((id) => start(core, { id })));
  watch(() => Atomics.load(core.i32, consumed >>> 2));
  const places = { produced, consumed, quiet, host, answer };
  await server.call('serve', { ...places, seed: random.next() });
  let over = 0;
  const end = new Promise((resolve) => kicker.on('over', resolve)).then((sent) => (over = sent));
  await kicker.call('kick', { ...places, count, seed: random.next() });
  let changes = 0;
  for (; over === 0; changes++) {
    for (const thread of [server, kicker]) {
      thread.set({ 'poll-max-ns': POLL_NS[random.below(POLL_NS.length)] });
    }
    await Promise.race([end, delay(random.below(10))]);
  }
  expectEqual('kicks', over, count);
  expectEqual('produced', Atomics.load(core.i32, produced >>> 2), count);
  expectEqual('consumed', Atomics.load(core.i32, consumed >>> 2), count);
  const figures = { ...(await server.call('end', 'serve')), ...(await kicker.call('end', 'kick')) };
  const infos = [server.info(), kicker.info()];
  const sleeps = infos.map((info) => info.sleeps);
  const pollHits = infos.map((info) => info.pollHits);
  await stopAll(core, [server, kicker]);
  for (const notifier of notifiers) notifier.close();
  core.free(words);
  return { ...figures, sleeps, pollHits, changes };
}
