/**
 * The field report behind historic bugs 1 and 2: four devices on the overlay, mostly random writes,
 * every one of them flushed.
 */
import { drainHere } from './drain-here.mjs';
import { pause } from './pause.mjs';

export const overlay = {
  devices: 4,
  given: { disk: 'overlay', writes: 13, flushes: true, queues: 2 },
  async step(_slot, random, rig) {
    const slots = [...rig.slots];
    const one = slots[random.below(slots.length)];
    const kind = random.below(8);
    await (kind < 2 ? drainHere(one, random) : pause(random));
    if (kind === 7) await one.start();
    await Promise.all(slots.map(({ load }) => load.progress(1 + random.below(16))));
  },
};
