/**
 * All that stops a device, one by one (behaviour 3.17, HN-1), and what must hold afterwards: nobody
 * listens, nothing is taken, nothing spins, and the next start serves.
 */

import { describe, expect, it } from 'vitest';
import type { AioContext } from '#src/aio/context';
import { BROKEN_INDIRECT_SIZE } from '#src/layout';
import { VirtioMmio } from '#src/virtio/virtio-mmio';
import { VirtioPci } from '#src/virtio/virtio-pci';
import { type Asked, Bench, engines, OK, settled, UNANSWERED } from './blk-bench.ts';
import { ProbeDriver } from './probe-driver.ts';

const SIZE = 1 << 20;
const QUEUES = 2;
const RUNNING = 15;
const LEGACY_RUNNING = 7;

/** MMIO, version 1. */
const QUEUE_SEL = 0x30;
const QUEUE_PFN = 0x40;
const COMMAND = 4;

interface Trigger {
  readonly name: string;
  /** The driver's requests and registers survive: `resume` alone goes on with them. */
  readonly held?: boolean;
  readonly legacy?: boolean;
  /** Before the device is set up; makes the transport whose registers are the trigger. */
  transport?(bench: Bench): void;
  stop(bench: Bench): void;
  resume(bench: Bench): void;
}

const restart = (bench: Bench) => {
  bench.blk.writeStatus(0);
  bench.start();
};

const mmios = new WeakMap<Bench, VirtioMmio>();
const functions = new WeakMap<Bench, VirtioPci>();

const TRIGGERS: readonly Trigger[] = [
  {
    name: 'DRIVER_OK taken away',
    held: true,
    stop: ({ blk }) => blk.writeStatus(RUNNING & ~4),
    resume: ({ blk }) => blk.writeStatus(RUNNING),
  },
  { name: 'reset', stop: ({ blk }) => blk.writeStatus(0), resume: restart },
  {
    name: 'page number 0 of a legacy queue',
    legacy: true,
    transport: (bench) => mmios.set(bench, new VirtioMmio(bench.blk, { version: 1, irq() {} })),
    stop(bench) {
      mmios.get(bench)!.write(QUEUE_SEL, 4, 0);
      mmios.get(bench)!.write(QUEUE_PFN, 4, 0);
    },
    resume: startLegacy,
  },
  {
    name: 'bus mastering taken away',
    transport(bench) {
      const pci = new VirtioPci(bench.blk, { mode: 'modern', intx() {} });
      pci.configWrite(COMMAND, 2, 7);
      functions.set(bench, pci);
    },
    stop: (bench) => functions.get(bench)!.configWrite(COMMAND, 2, 3),
    resume(bench) {
      functions.get(bench)!.configWrite(COMMAND, 2, 7);
      restart(bench);
    },
  },
  {
    name: 'a machine that stops',
    held: true,
    stop: ({ blk }) => blk.vmStateChanged(false),
    resume: ({ blk }) => blk.vmStateChanged(true),
  },
  {
    name: 'D3hot',
    held: true,
    stop: ({ blk }) => blk.setAwake(false),
    resume: ({ blk }) => blk.setAwake(true),
  },
  {
    name: 'another owner of the notifiers',
    held: true,
    stop: ({ blk }) => blk.grabNotifiers(),
    resume: ({ blk }) => blk.releaseNotifiers(),
  },
];

function startLegacy(bench: Bench): void {
  bench.blk.writeStatus(3);
  for (let index = 0; index < QUEUES; index++) bench.addRing(index, 256, true);
  bench.blk.writeStatus(LEGACY_RUNNING);
}

const places = [
  { where: 'main, kick=poll', threads: 0, blk: { kick: 'poll' } },
  { where: 'a thread', threads: 1, blk: {} },
] as const;

describe.each(places)('stop of a device served by $where', ({ threads, blk }) => {
  const open = async (trigger?: Trigger, settles: 'inline' | 'loop' = 'inline') => {
    const driver = new ProbeDriver(SIZE, settles);
    const bench = await Bench.open({ driver, threads, blk: { ...blk, 'num-queues': QUEUES } });
    trigger?.transport?.(bench);
    if (trigger?.legacy) startLegacy(bench);
    else bench.start();
    await quiet(bench);
    return { bench, driver, home: bench.threads[0]?.context ?? bench.context };
  };
  const quiet = async (bench: Bench) => {
    for (let i = 0; i < 2; i++) {
      bench.turns();
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  /** Handlers that listen for kicks. */
  const listening = (home: AioContext) => home.handlers.filter((name) => /kick/.test(name)).length;

  it.each(TRIGGERS)(
    'HN-1 $name: nobody listens, nothing is taken, nothing spins',
    async (trigger) => {
      const { bench, driver, home } = await open(trigger);
      expect(listening(home)).toBe(QUEUES);
      trigger.stop(bench);
      await quiet(bench);
      expect(listening(home)).toBe(0);
      const before = driver.calls.length;
      const published = [0, 1].map((queue) => bench.read(queue, 512, queue));
      for (const ring of bench.rings) ring.publish();
      if (trigger.name !== 'another owner of the notifiers')
        for (const i of [0, 1]) bench.blk.kick(i);
      await quiet(bench);
      expect(driver.calls.length).toBe(before);
      expect(published.map((read) => bench.status(read))).toEqual([UNANSWERED, UNANSWERED]);
      expect([bench.context.poll(), home.poll()]).toEqual([false, false]);
      trigger.resume(bench);
      await quiet(bench);
      expect(listening(home)).toBe(QUEUES);
      const reads = trigger.held ? published : [0, 1].map((queue) => bench.read(5, 512, queue));
      for (const queue of [0, 1]) bench.run(queue);
      await quiet(bench);
      expect(reads.map((read) => bench.status(read))).toEqual([OK, OK]);
    },
  );

  it('HN-1 HN-16 removal: nobody listens, and what the machine does later reaches nobody', async () => {
    const { bench, home } = await open();
    await settled(bench.blk.close(), [bench]);
    expect(home.handlers).toEqual([]);
    bench.blk.vmStateChanged(false);
    bench.blk.vmStateChanged(true);
    bench.blk.setBusMaster(false);
    await quiet(bench);
    expect(home.handlers).toEqual([]);
  });

  it('VM-2 VM-3 a stopped machine: what was taken is answered and interrupts, the rest waits for cont', async () => {
    const { bench, driver } = await open(undefined, 'loop');
    const [taken, late] = [bench.read(1, 512), bench.read(2, 512, 1)];
    bench.kick(0);
    await quiet(bench);
    expect(driver.held).toHaveLength(1);
    bench.blk.vmStateChanged(false);
    const status = bench.blk.status;
    bench.kick(1);
    await quiet(bench);
    expect(driver.held).toHaveLength(1);
    driver.settle();
    await quiet(bench);
    expect([bench.status(taken), bench.interrupts]).toEqual([OK, [0]]);
    expect([bench.status(late), bench.blk.status]).toEqual([UNANSWERED, status]);
    bench.blk.vmStateChanged(true);
    await quiet(bench);
    driver.settleAll();
    await quiet(bench);
    expect(bench.status(late)).toBe(OK);
  });

  it('VM-2 PC-10 both hold it: it goes on when the last one lets go', async () => {
    const { bench, home } = await open();
    bench.blk.vmStateChanged(false);
    bench.blk.setAwake(false);
    bench.blk.vmStateChanged(true);
    await quiet(bench);
    expect([listening(home), bench.blk.serving, bench.blk.started]).toEqual([0, false, true]);
    bench.blk.setAwake(true);
    await quiet(bench);
    expect([listening(home), bench.blk.serving]).toEqual([QUEUES, true]);
  });

  it('VM-2 a driver that resets and starts while the machine is stopped is served after cont', async () => {
    const { bench, home } = await open();
    bench.blk.vmStateChanged(false);
    restart(bench);
    await quiet(bench);
    expect([listening(home), bench.blk.serving]).toEqual([0, false]);
    bench.blk.vmStateChanged(true);
    await quiet(bench);
    const read = bench.read(0, 512);
    bench.run();
    expect(bench.status(read)).toBe(OK);
  });
});

describe.each(engines)('broken queue; %s engine, unshared memory', (engine) => {
  const open = async (kick: 'sync' | 'poll') => {
    const driver = new ProbeDriver(SIZE);
    const bench = await Bench.open({ driver, engine, blk: { kick } });
    return { bench: bench.start(), driver };
  };
  /** Makes the first descriptor of `asked` an indirect table of `length` bytes. */
  const makeIndirect = (bench: Bench, { head }: Asked, table: number, length: number) => {
    const at = bench.rings[0]!.desc + head * 16;
    bench.ram.setU32(at, table);
    bench.ram.setU32(at + 8, length);
    bench.ram.setU32(at + 12, 4); // INDIRECT, no NEXT
  };

  it.each(['sync', 'poll'] as const)(
    'historic bug 22 BG-8 an indirect table of length 0 breaks the queue, kick=%s; 16 bytes do not by themselves',
    async (kick) => {
      const { bench, driver } = await open(kick);
      const asked = bench.read(0, 512);
      makeIndirect(bench, asked, asked.header, 0);
      bench.read(1, 512); // another one behind it
      bench.rings[0]!.publish();
      bench.blk.kick(0);
      bench.turns();
      expect([bench.blk.brokenReason, bench.blk.status & 64]).toEqual([BROKEN_INDIRECT_SIZE, 64]);
      expect([bench.configInterrupts, driver.calls]).toEqual([1, []]);
      restart(bench);
      const again = bench.read(0, 512);
      const table = bench.ram.allocate(16, 16);
      bench.ram.setU32(table, again.header);
      bench.ram.setU32(table + 8, 16);
      makeIndirect(bench, again, table, 16);
      bench.rings[0]!.publish();
      bench.blk.kick(0);
      bench.turns();
      expect(bench.blk.brokenReason).not.toBe(BROKEN_INDIRECT_SIZE); // it has no status byte
    },
  );

  it('historic bug 22 a broken queue is empty: with requests in its ring nobody spins, and reset heals it', async () => {
    const { bench, driver } = await open('poll');
    const { engine: calls } = bench.core;
    const address = bench.queueAddress();
    const asked = bench.read(0, 512);
    makeIndirect(bench, asked, asked.header, 0);
    for (let i = 1; i < 5; i++) bench.read(i, 512);
    bench.rings[0]!.publish();
    expect(calls.queueEmpty(address)).toBe(0);
    bench.blk.kick(0);
    bench.turns();
    expect(calls.queueEmpty(address)).toBe(1);
    expect(calls.queueSetNotification(address, 1)).toBe(0);
    for (let i = 0; i < 5; i++) {
      bench.blk.kick(0);
      expect(bench.context.poll()).toBe(false);
    }
    expect(driver.calls).toEqual([]);
    restart(bench);
    const read = bench.read(0, 512);
    bench.run();
    expect(bench.status(read)).toBe(OK);
  });
});
