/** Kicks and interrupts by notifiers: attached, detached, missing (behaviour 3.17). */

import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { AioContext } from '#src/aio/context';
import { EventNotifier } from '#src/aio/event-notifier';
import type { AioHandler } from '#src/aio/handlers';
import { BlockBackend } from '#src/block/backend';
import { BROKEN_ENGINE, QUEUE_NOTIFICATION } from '#src/layout';
import { BlkQueue } from '#src/virtio/blk-queue';
import { HostNotifier } from '#src/virtio/host-notifier';
import { SCRATCH_SIZE } from '#src/virtio/queue-config';
import { VirtioBlk } from '#src/virtio/virtio-blk';
import { Bench, type BenchOptions, OK, settled, UNANSWERED } from './blk-bench.ts';
import type { NearThread } from './near-thread.ts';
import { ProbeDriver } from './probe-driver.ts';

const SIZE = 1 << 20;
const places = [
  { where: 'main, kick=poll', threads: 0, blk: { kick: 'poll' } },
  { where: 'a thread', threads: 1, blk: {} },
] as const;

describe.each(places)('host notifiers watched by $where', ({ threads, blk }) => {
  async function open(options: BenchOptions = {}) {
    const driver = new ProbeDriver(SIZE);
    const bench = await Bench.open({
      driver,
      threads,
      ...options,
      blk: { ...blk, ...options.blk },
    });
    const home: AioContext = bench.threads[0]?.context ?? bench.context;
    /** The numbers of the queues whose kicks are listened for. */
    const listening = () =>
      home.handlers
        .flatMap((name) => / kick (\d)$|^kick (\d)$/.exec(name)?.slice(1) ?? [])
        .filter((digit) => digit !== undefined)
        .map(Number);
    const start = async () => {
      bench.start();
      await quiet(bench);
      return { bench, driver, home, listening };
    };
    return { bench, driver, home, listening, start };
  }

  /** Answers have come, too. */
  const quiet = async (bench: Bench) => {
    for (let i = 0; i < 2; i++) {
      bench.turns();
      await new Promise((resolve) => setImmediate(resolve));
    }
  };

  it('HN-1 DP-1 DRIVER_OK starts them; its end, reset and close stop them', async () => {
    const { bench, listening, start } = await open({ blk: { 'num-queues': 2 } });
    expect(listening()).toEqual([]);
    await start();
    expect(listening()).toEqual([0, 1]);
    bench.blk.writeStatus(11);
    bench.turns();
    expect(listening()).toEqual([]);
    bench.blk.writeStatus(15);
    bench.turns();
    expect(listening()).toEqual([0, 1]);
    bench.blk.writeStatus(0);
    bench.turns();
    expect(listening()).toEqual([]);
    await start();
    bench.blk.setBusMaster(false);
    bench.turns();
    expect(listening()).toEqual([]);
    bench.blk.setBusMaster(true);
    await settled(bench.blk.close(), [bench]);
    expect(listening()).toEqual([]);
  });

  it('HN-1 VC-9 an early kick of a legacy driver starts them', async () => {
    const { bench, listening } = await open();
    bench.blk.useLegacy(true);
    bench.blk.writeStatus(3);
    bench.addRing(0, 256, true);
    const read = bench.read(0, 512);
    bench.kick();
    await quiet(bench);
    expect([listening(), bench.status(read)]).toEqual([[0], OK]);
  });

  it('HN-2 historic bug 10 a kick right before the notifier is taken away is served', async () => {
    const { bench, start } = await open();
    await start();
    const read = bench.read(0, 512);
    bench.rings[0]!.publish();
    bench.blk.kick(0);
    expect(bench.status(read)).toBe(UNANSWERED);
    bench.blk.grabNotifiers();
    bench.turns();
    expect(bench.status(read)).toBe(OK);
  });

  it('HN-3 what was published while nobody listened is served without a kick', async () => {
    const { bench, start } = await open();
    await start();
    bench.blk.grabNotifiers();
    bench.turns();
    const read = bench.read(0, 512);
    bench.rings[0]!.publish();
    bench.turns();
    expect(bench.status(read)).toBe(UNANSWERED);
    bench.blk.releaseNotifiers();
    bench.turns();
    expect(bench.status(read)).toBe(OK);
  });

  it.each([0, 1, 2, 3])(
    'HN-4 HN-14 no room for queue %i: none listens, all are served',
    async (k) => {
      const { bench, home, listening } = await open({ blk: { 'num-queues': 4 } });
      const vacate = occupy(bench, home, k);
      bench.start();
      await quiet(bench);
      expect(listening()).toEqual([]);
      for (let round = 0; round < 3; round++) {
        for (let queue = 0; queue < 4; queue++) {
          const read = bench.read(round, 512, queue);
          bench.run(queue);
          expect([queue, bench.status(read)]).toEqual([queue, OK]);
        }
      }
      vacate(); // the next start tries again
      bench.blk.writeStatus(0);
      bench.start();
      await quiet(bench);
      expect(listening()).toEqual([0, 1, 2, 3]);
    },
  );

  it('HN-6 a doorbell only sets the event while somebody listens for it', async () => {
    const { bench, driver, start } = await open();
    await start();
    bench.read(0, 512);
    bench.rings[0]!.publish();
    bench.blk.kick(0);
    bench.blk.kick(0);
    expect(driver.calls).toEqual([]);
    bench.turns();
    expect(driver.calls).toHaveLength(1);
  });

  it('HN-7 grabs are counted, survive a reset, and the doorbell still works', async () => {
    const { bench, listening, start } = await open();
    await start();
    bench.blk.grabNotifiers();
    bench.blk.grabNotifiers();
    bench.turns();
    expect(listening()).toEqual([]);
    bench.blk.writeStatus(0);
    await start();
    expect(listening()).toEqual([]);
    const read = bench.read(0, 512);
    bench.run();
    expect(bench.status(read)).toBe(OK);
    bench.blk.releaseNotifiers();
    await quiet(bench);
    expect(listening()).toEqual([]);
    bench.blk.releaseNotifiers();
    await quiet(bench);
    expect(listening()).toEqual([0]);
    expect(() => bench.blk.releaseNotifiers()).toThrow('without being grabbed');
  });

  it('HN-8 historic bug 12 attach asks for kicks again, whatever polling had left', async () => {
    const { bench, home, start } = await open();
    await start();
    // Polling has begun, and then a drain detaches: nobody ends it.
    home.core.engine.queueSetNotification(bench.queueAddress(), 0);
    bench.blk.grabNotifiers();
    bench.turns();
    expect(bench.queueWord(QUEUE_NOTIFICATION)).toBe(0);
    bench.blk.releaseNotifiers();
    bench.turns();
    expect(bench.queueWord(QUEUE_NOTIFICATION)).toBe(1);
    expect(bench.ram.getU32(bench.rings[0]!.used) & 1).toBe(0);
    const read = bench.read(0, 512);
    bench.run(); // kicks if it is asked to
    expect(bench.status(read)).toBe(OK);
  });

  it('HN-16 queues that are not set up are left out; one set up later is listened for', async () => {
    const { bench, listening } = await open({ blk: { 'num-queues': 4 } });
    bench.negotiate();
    bench.addRing(0);
    bench.addRing(2);
    bench.blk.writeStatus(15);
    await quiet(bench);
    expect(listening()).toEqual([0, 2]);
    bench.addRing(1);
    await quiet(bench);
    expect(listening().sort()).toEqual([0, 1, 2]);
    bench.blk.disableQueue(2);
    await quiet(bench);
    expect(listening().sort()).toEqual([0, 1]);
    const read = bench.read(0, 512, 1);
    bench.run(1);
    expect(bench.status(read)).toBe(OK);
  });

  it('HN-9 begin: kicks off, ready: serve and leave them off, end: on', async () => {
    const { bench, home } = await open();
    bench.start();
    await quiet(bench);
    const { handler, queue, close } = watched(bench, home);
    const poll = () => handler().poll!;
    expect(poll().queue).toBe(bench.queueAddress());
    poll().begin!();
    expect(bench.ram.getU32(bench.rings[0]!.used) & 1).toBe(1);
    const read = bench.read(0, 512);
    bench.rings[0]!.publish();
    expect(home.core.engine.queueEmpty(bench.queueAddress())).toBe(0);
    poll().ready();
    expect(bench.status(read)).toBe(OK);
    expect(bench.queueWord(QUEUE_NOTIFICATION)).toBe(0);
    poll().end!();
    expect(bench.ram.getU32(bench.rings[0]!.used) & 1).toBe(0);
    queue.flush();
    close();
  });

  it('HN-9 a closed gate ends polling, asks for kicks, and its opening brings polling back', async () => {
    const { bench, home } = await open();
    bench.start();
    await quiet(bench);
    const { handler, close } = watched(bench, home);
    handler().poll!.begin!();
    bench.backend.drainedBegin();
    const read = bench.read(0, 512);
    bench.rings[0]!.publish();
    handler().poll!.ready();
    expect([handler().poll, bench.queueWord(QUEUE_NOTIFICATION)]).toEqual([undefined, 1]);
    expect(bench.status(read)).toBe(UNANSWERED);
    bench.backend.drainedEnd();
    bench.turns();
    expect(bench.status(read)).toBe(OK);
    expect(handler().poll).toBeDefined();
    close();
  });

  /** A second server of queue 0, at home, whose handler the test calls itself. */
  function watched(bench: Bench, home: AioContext) {
    bench.blk.grabNotifiers();
    bench.turns();
    const { core } = home;
    const lane = bench.backend.openLane(bench.context);
    const config = { ...bench.blk.queueConfigs[0]!, scratch: bench.core.allocate(SCRATCH_SIZE) };
    const events = { interrupt: () => {}, broken: () => {} };
    const context = bench.context;
    const queue = new BlkQueue(config, core, context, lane, events);
    let current: AioHandler | null = null;
    const listener = Object.create(context) as AioContext;
    listener.setHandler = (_notifier, handler) => {
      current = handler as AioHandler | null;
    };
    const host = new HostNotifier(listener, new EventNotifier(bench.core, 'kick'), queue);
    host.attach();
    const close = () => {
      host.detach();
      queue.close();
      lane.close();
      bench.blk.releaseNotifiers();
    };
    return { handler: () => current!, queue, close };
  }
});

describe('queues of a thread', () => {
  it('HN-5 one message for all queues of a device on a thread, at start and at stop', async () => {
    const bench = await Bench.open({ threads: 2, blk: { 'num-queues': 8 } });
    const { called } = bench.threads[0]!;
    expect(called).toEqual(['open-lane', 'create-queues']);
    bench.start();
    bench.turns();
    bench.blk.writeStatus(0);
    bench.turns();
    expect(called.slice(2)).toEqual(['attach-queues', 'detach-queues']);
    await settled(bench.blk.close(), [bench]);
    expect(called.slice(4)).toEqual(['close-queues', 'close-lane']);
  });

  it('HN-4 until the thread has answered, a kick reaches it in two ways', async () => {
    const bench = await Bench.open({ threads: 1 });
    const [thread] = bench.threads as [NearThread];
    bench.turns(); // its lane says that the gate is open, which would serve all
    thread.paused = true; // as if it had not read the message yet
    bench.start();
    const read = bench.read(0, 512);
    bench.kick();
    expect(bench.status(read)).toBe(OK);
    thread.paused = false;
  });

  it('HN-10 VC-6 historic bug 20 a completion right before the driver stops interrupts', async () => {
    const bench = await Bench.open({ threads: 1 });
    bench.start();
    bench.turns();
    bench.read(0, 512);
    bench.rings[0]!.publish();
    bench.blk.kick(0);
    while (bench.threads[0]!.turn());
    expect(bench.interrupts).toEqual([]); // main has had no turn since
    bench.blk.writeStatus(11);
    expect(bench.interrupts).toEqual([0]);
    bench.turns();
    expect(bench.interrupts).toEqual([0]);
  });

  it('DP-13 historic bug 20 an interrupt that waits for a turn of the thread goes out at detach', async () => {
    const driver = new ProbeDriver(SIZE, 'loop');
    const bench = await Bench.open({ threads: 1, driver });
    bench.start();
    bench.turns();
    const [thread] = bench.threads as [NearThread];
    bench.read(0, 512);
    bench.kick();
    driver.settle();
    thread.context.poll(); // completed; the interrupt waits for the next poll
    bench.blk.grabNotifiers(); // detach without a stop
    expect(thread.readMail()).toBe(true); // and no poll
    bench.context.poll();
    expect(bench.interrupts).toEqual([0]);
  });

  it('HN-12 guest notifiers: main has room for all of them, or none is watched', async () => {
    const remote = await Bench.open({ threads: 1, blk: { 'num-queues': 4 } });
    expect(remote.context.handlers).toHaveLength(4);
    const vacate = occupy(remote, remote.context, 2);
    const disk = await BlockBackend.open(remote.core, remote.context, { driver: 'null' });
    const before = [remote.context.handlers.length, remote.core.allocatedBytes];
    const made = VirtioBlk.realize(remote.core, remote.context, disk, {
      iothread: remote.threads[0]!,
      'num-queues': 4,
    });
    await expect(settled(made, [remote])).rejects.toThrow('handlers in use');
    expect([remote.context.handlers.length, remote.core.allocatedBytes]).toEqual(before);
    vacate();
    await disk.close();
    await settled(remote.blk.close(), [remote]);
    expect(remote.context.handlers).toEqual([]);
  });

  it('HN-16 a detach that fails is reported, and the others are detached all the same', async () => {
    const bench = await Bench.open({ threads: 1, blk: { 'num-queues': 3 } });
    bench.start();
    bench.turns();
    const [thread] = bench.threads as [NearThread];
    const setHandler = thread.context.setHandler.bind(thread.context);
    let stuck: EventNotifier | undefined;
    const spy = vi.spyOn(thread.context, 'setHandler').mockImplementation((notifier, handler) => {
      if (notifier.name !== 'kick 1') return setHandler(notifier, handler);
      stuck = notifier;
      throw new Error('no such luck');
    });
    const warn = vi
      .spyOn(console as unknown as { warn(): void }, 'warn')
      .mockImplementation(() => {});
    bench.blk.writeStatus(11);
    bench.turns();
    await new Promise((resolve) => setImmediate(resolve));
    expect(thread.context.handlers).toEqual(['kick 1']);
    expect(warn).toHaveBeenCalledWith(expect.stringContaining('no such luck'));
    spy.mockRestore();
    warn.mockRestore();
    thread.context.setHandler(stuck!, null);
  });

  it('guestNotifier=client: main hears of nothing but what breaks', async () => {
    const bench = await Bench.open({ threads: 1, blk: { guestNotifier: 'client' } });
    bench.start();
    bench.turns();
    const [{ guest, host }] = bench.blk.queueNotifiers as [{ guest: number; host: number }];
    const done = EventNotifier.at(bench.core, guest);
    bench.read(0, 512);
    bench.rings[0]!.publish();
    EventNotifier.at(bench.core, host).set(); // the client's kick
    bench.turns();
    expect([bench.interrupts, done.testAndClear(), bench.collect()]).toEqual([[], true, 1]);
    bench.rings[0]!.offer(999);
    bench.rings[0]!.publish();
    EventNotifier.at(bench.core, host).set();
    bench.turns();
    expect([bench.configInterrupts, done.isSet]).toEqual([1, true]);
  });
});

describe.each([0, 1])('guestNotifier=client, with %i threads', (threads) => {
  it('HN-4 a client whose kicks nobody would hear is told so', async () => {
    const bench = await Bench.open({ threads, blk: { guestNotifier: 'client' } });
    bench.turns();
    occupy(bench, bench.threads[0]?.context ?? bench.context, 0);
    bench.start();
    bench.turns();
    await new Promise((resolve) => setImmediate(resolve));
    expect([bench.blk.brokenReason, bench.configInterrupts]).toEqual([BROKEN_ENGINE, 1]);
    expect(String(bench.blk.brokenCause)).toContain('handlers in use');
  });
});

describe('without a thread', () => {
  it('HN-13 historic bug 11 a guest that spins after its kick is served', async () => {
    const bench = await Bench.open({});
    bench.start();
    const read = bench.read(0, 512);
    bench.rings[0]!.publish();
    bench.blk.kick(0);
    expect(bench.status(read)).toBe(OK); // not one turn was given
    expect(bench.blk.queueNotifiers).toEqual([{ host: 0, guest: 0 }]);
  });

  it('HN-14 ioeventfd=off serves kicks inline, after a reset, too', async () => {
    const bench = await Bench.open({ blk: { kick: 'poll', ioeventfd: false } });
    for (let round = 0; round < 3; round++) {
      bench.start();
      const read = bench.read(0, 512);
      bench.rings[0]!.publish();
      bench.blk.kick(0);
      expect(bench.status(read)).toBe(OK);
      expect(bench.context.handlers).toEqual([]);
      bench.blk.writeStatus(0);
    }
  });

  it('guestNotifier=client: a thread kicks queues of main and hears of them', async () => {
    const bench = await Bench.open({ blk: { guestNotifier: 'client' } });
    bench.start();
    bench.turns();
    const [{ guest, host }] = bench.blk.queueNotifiers as [{ guest: number; host: number }];
    const done = EventNotifier.at(bench.core, guest);
    expect(done.testAndClear()).toBe(false);
    const read = bench.read(0, 512);
    bench.rings[0]!.publish();
    EventNotifier.at(bench.core, host).set();
    bench.turns();
    expect([bench.status(read), bench.interrupts, done.isSet]).toEqual([OK, [], true]);
  });
});

/** Fills the context with handlers of somebody else's, but for `free` places. Returns the undoing. */
function occupy(bench: Bench, context: AioContext, free: number): () => void {
  const taken: [EventNotifier, EventNotifier][] = [];
  for (;;) {
    const words = new EventNotifier(bench.core, 'filler');
    const notifier = EventNotifier.at(context.core, words.address, 'filler');
    try {
      context.setHandler(notifier, () => {});
    } catch {
      words.close();
      break;
    }
    taken.push([words, notifier]);
  }
  const close = ([words, notifier]: [EventNotifier, EventNotifier]) => {
    notifier.close();
    words.close();
  };
  for (let i = 0; i < free; i++) close(taken.pop()!);
  const vacate = () => taken.splice(0).forEach(close);
  onTestFinished(vacate);
  return vacate;
}
