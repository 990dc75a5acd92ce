/** No more threads busy-poll than there are free cores. */
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
  it('AP-6 as many poll as there are cores beside main: those that came first', () => {
    const count = new SpinnerCount();
    count.cores = 3;
    const [a, b, c, idle] = [spinner(1), spinner(1), spinner(1), spinner(0)];
    for (const one of [a, b, idle]) count.add(one);
    expect([a, b, idle].map(({ allowed }) => allowed)).toEqual([true, true, true]);
    count.add(c);
    expect([a, b, c].map(({ allowed }) => allowed)).toEqual([true, true, false]);
    count.remove(b);
    expect([a, c].map(({ allowed }) => allowed)).toEqual([true, true]);
    idle.ns = 1;
    count.settle();
    expect([a, idle, c].map(({ allowed }) => allowed)).toEqual([true, true, false]);
    a.ns = 0;
    count.settle();
    expect([a, idle, c].map(({ allowed }) => allowed)).toEqual([true, true, true]);
    a.ns = 1;
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
  it('AP-6 a thread too many does not poll, until one that does stops', async () => {
    const core = await sharedCore(engine);
    const before = spinners.cores;
    spinners.cores = 2;
    try {
      await using a = await startThread(core, { 'poll-max-ns': 7000 });
      const b = await startThread(core, { 'poll-max-ns': 0 });
      const maxNs = (thread: typeof a) => wordOf(core, thread.context, CONTEXT_POLL_MAX);
      expect([maxNs(a), a.info().polling]).toEqual([7000, true]);
      b.set({ 'poll-max-ns': 9000 });
      expect(b.info()).toMatchObject({ polling: false, 'poll-max-ns': 9000 });
      expect([maxNs(a), maxNs(b)]).toEqual([7000, 0]);
      a.set({ 'poll-max-ns': 0 });
      expect([maxNs(a), maxNs(b), b.info().polling]).toEqual([0, 9000, true]);
      a.set({ 'poll-max-ns': 8000 });
      expect([maxNs(a), maxNs(b)]).toEqual([8000, 0]);
      const c = await startThread(core);
      expect(maxNs(c)).toBe(0);
      await b.stop();
      expect([maxNs(a), maxNs(c)]).toEqual([8000, 0]);
      await a.call('exit').catch(() => {});
      expect(maxNs(c)).toBe(32_768);
      await c.stop();
    } finally {
      spinners.cores = before;
    }
  });
});
