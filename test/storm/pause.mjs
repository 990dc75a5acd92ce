/** Waits of random length: none, some turns of the microtask queue, of the loop, a spin, a sleep. */
import { setTimeout as delay } from 'node:timers/promises';

export const turn = () => new Promise((resolve) => setImmediate(resolve));

export async function pause(random) {
  const kind = random.below(8);
  if (kind < 2) return;
  if (kind === 2) for (let i = random.below(5); i > 0; i--) await null;
  else if (kind < 6) for (let i = 1 + random.below(4); i > 0; i--) await turn();
  else if (kind === 6) spin(random.below(30_000));
  else if (random.below(4) === 0) await delay(random.below(3));
}

function spin(rounds) {
  let sum = 0;
  for (let i = 0; i < rounds; i++) sum += i;
  return sum;
}
