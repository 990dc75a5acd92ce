/**
 * Cases: ring/split/{direct,indirect}/{3,18}/{1,4,16,64}: pop a batch of chains, give it back (null
 * device). Kind of descriptors, descriptors per chain, batch. A ring holds 1024 descriptors at
 * most, so the largest batch of direct/18 is 32.
 */
import { alone, compare } from './harness.mjs';
import { openRing } from './rings.mjs';

const REQUESTS = 4096;

export async function engineContestant(name, shape, batch) {
  const ring = await openRing(name, shape);
  const { core, queue } = ring;
  const { engine } = core;
  return {
    name,
    requests: REQUESTS,
    check: () => ring.check(0),
    run() {
      const u16 = core.u16;
      for (let done = 0; done < REQUESTS; done += batch) {
        ring.publish(u16, batch);
        const popped = engine.queuePop(queue, batch);
        if (popped !== batch) throw new Error(`popped ${popped} of ${batch}`);
        engine.queuePush(queue, popped);
      }
    },
  };
}

export async function naiveContestant(name, shape, batch) {
  const ring = await openRing(name, shape);
  const { core, naive } = ring;
  return {
    name,
    requests: REQUESTS,
    check: () => ring.check(0),
    run() {
      const u16 = core.u16;
      for (let done = 0; done < REQUESTS; done += batch) {
        ring.publish(u16, batch);
        let popped = 0;
        for (let element = naive.pop(); element; element = naive.pop()) {
          naive.push(element, 0);
          popped++;
        }
        if (popped !== batch) throw new Error(`popped ${popped} of ${batch}`);
      }
    },
  };
}

export async function* ringCases(modules, options) {
  for (const kind of ['direct', 'indirect']) {
    for (const descriptors of [3, 18]) {
      const tight = kind === 'direct' && descriptors === 18;
      for (const batch of [1, 4, 16, tight ? 32 : 64]) {
        const name = `ring/split/${kind}/${descriptors}/${batch}`;
        if (!options.wanted(name)) continue;
        const indirect = kind === 'indirect';
        const shape = { descriptors, indirect, size: tight ? 1024 : 512 };
        const contestants = [];
        for (const entrant of options.entrants) {
          const own = await entrant.own(import.meta.url, name);
          const full = { module: entrant.modules.unshared, ...shape };
          const one = await own.engineContestant(entrant.engine, full, batch);
          contestants.push({ ...one, name: entrant.name });
        }
        if (!options.against) {
          const own = await alone(import.meta.url, name, 'naive');
          const full = { module: modules.unshared, ...shape };
          contestants.push(await own.naiveContestant('naive', full, batch));
        }
        yield await compare(name, contestants, options);
      }
    }
  }
}
