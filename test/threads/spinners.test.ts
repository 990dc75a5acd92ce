/** Busy polling is off while there are more pollers than free cores. */
import { describe, expect, it } from 'vitest';
import { SpinnerCount, spinners } from '#src/aio/spinners';
import { CONTEXT_POLL_MAX } from '#src/layout';
import { engines, sharedCore, startThread, wordOf } from './threads.ts';

function spinner(wanted: number) {
  const self = {
    ns: wanted,
    allowed: true,
    wanted: () => self.ns,
    allow: (on: boolean) => {
      self.allowed = on;
    },
  };
  return self;
}

describe('spinners', () => {
  it('AP-6 all poll with a core each beside main, none with one thread more', () => {
    const count = new SpinnerCount();
    count.cores = 3;
    const [a, b, c, idle] = [spinner(1), spinner(1), spinner(1), spinner(0)];
    for (const one of [a, b, idle]) count.add(one);
    expect([a, b, idle].map(({ allowed }) => allowed)).toEqual([true, true, true]);
    count.add(c);
    expect([a, b, c].map(({ allowed }) => allowed)).toEqual([false, false, false]);
    count.remove(b);
    expect([a, c].map(({ allowed }) => allowed)).toEqual([true, true]);
    idle.ns = 1;
    count.settle();
    expect([a, c, idle].map(({ allowed }) => allowed)).toEqual([false, false, false]);
    count.cores = 4;
    expect([a, c, idle].map(({ allowed }) => allowed)).toEqual([true, true, true]);
  });

  it('holds nobody back as long as the number of cores is not known', () => {
    const count = new SpinnerCount();
    const all = Array.from({ length: 100 }, () => spinner(1));
    for (const one of all) count.add(one);
    expect(all.every(({ allowed }) => allowed)).toBe(true);
  });
});

describe.each(engines)('threads that poll, %s engine', (engine) => {
  it('AP-6 polling goes off with one thread too many and comes back when it stops', async () => {
    const core = await sharedCore(engine);
    const before = spinners.cores;
    spinners.cores = 2;
    try {
      await using a = await startThread(core, { 'poll-max-ns': 7000 });
      const maxNs = () => wordOf(core, a.context, CONTEXT_POLL_MAX);
      expect(maxNs()).toBe(7000);
      const b = await startThread(core, { 'poll-max-ns': 0 });
      expect(a.info().polling).toBe(true);
      b.set({ 'poll-max-ns': 1 });
      expect(a.info()).toMatchObject({ polling: false, 'poll-max-ns': 7000 });
      expect(maxNs()).toBe(0);
      a.set({ 'poll-max-ns': 9000 });
      expect(maxNs()).toBe(0);
      await b.stop();
      expect(a.info().polling).toBe(true);
      expect(maxNs()).toBe(9000);
      const c = await startThread(core);
      expect(maxNs()).toBe(0);
      await c.call('exit').catch(() => {});
      expect(maxNs()).toBe(9000);
      await c.stop();
    } finally {
      spinners.cores = before;
    }
  });
});
