/** v86 and other threads: what they finish reaches the guest, and what they write is forgotten. */

import { describe, expect, it, onTestFinished } from 'vitest';
import { attachVirtioBlk, type V86BlkOptions, V86Core } from '#src/adapter/v86';
import { EventNotifier } from '#src/aio/event-notifier';
import type { IOThread } from '#src/aio/io-thread';
import { Core } from '#src/engine/core';
import { GuestBlk } from '#src/guest/blk';
import { GuestPci } from '#src/guest/pci';
import { GuestRam } from '#src/guest/ram';
import { FakeV86, functionIn, RAM_OFFSET } from './fake-v86.ts';

const engines = ['wasm', 'js'] as const;
const memoryDisk = { driver: 'memory', options: { size: 1 << 20 } };
const sector = (seed: number) => Uint8Array.from({ length: 512 }, (_, n) => n * seed);
const loopTurn = () => new Promise((resolve) => setImmediate(resolve));

type Step = (...args: number[]) => number;

/** Calls `step` before each call that `core` makes into its engine. */
function watchSteps(core: Core, step: () => void): void {
  const engine = core.engine as unknown as Record<string, Step | string>;
  for (const [name, call] of Object.entries(engine)) {
    if (typeof call === 'string') continue;
    engine[name] = (...args) => {
      step();
      return call(...args);
    };
  }
}

describe.each(engines)('CPU thread of v86, %s', (engine) => {
  /** A guest notifier that another thread, a second instance over the memory, sets. */
  async function setUp() {
    const v86 = new FakeV86(RAM_OFFSET, true);
    v86.v86.idle = false; // it computes
    const host = await V86Core.open(v86, { engine });
    const other = await Core.attach(host.core.handle());
    const notifier = host.context.notifier('done');
    let delivered = 0;
    host.context.setHandler(notifier, () => delivered++);
    const half = host.context.bottomHalf('something else', () => {});
    while (host.context.wanted) v86.poll();
    onTestFinished(() => {
      host.context.setHandler(notifier, null);
      notifier.close();
      half.delete();
      host.close();
    });
    const complete = () => EventNotifier.at(other, notifier.address).set();
    return { v86, host, half, complete, delivered: () => delivered };
  }

  it('GS-7 historic bug 28: a completion at any step of the poll point is heard one slice later', async () => {
    const { v86, host, half, complete, delivered } = await setUp();
    let step = 0;
    let when = Number.POSITIVE_INFINITY;
    watchSteps(host.core, () => {
      if (step++ === when) complete();
    });
    /** Steps of one poll point, which has a turn to take or has not. */
    const poll = (turn: boolean) => {
      step = 0;
      if (turn) half.schedule();
      step = 0;
      v86.poll();
      return step;
    };
    for (const turn of [true, false]) {
      const steps = poll(turn);
      expect(steps).toBeGreaterThan(turn ? 4 : 0);
      for (let n = 0; n <= steps; n++) {
        const before = delivered();
        when = n;
        poll(turn);
        when = Number.POSITIVE_INFINITY;
        if (n === steps) complete(); // in the slice itself
        v86.poll();
        expect(delivered(), `at step ${n} of ${steps}`).toBe(before + 1);
      }
    }
  });

  it('GS-7 a timer that falls due while the guest computes runs at the next poll point', async () => {
    const { v86, host } = await setUp();
    let rang = 0;
    const timer = host.context.timer('soon', () => rang++);
    const due = host.context.clock.now() + 1e6;
    timer.mod(due);
    while (host.context.clock.now() < due);
    v86.poll();
    expect(rang).toBe(1);
  });

  it('GS-7 takes no turn at a poll point when nobody wants one', async () => {
    const { v86, host, complete } = await setUp();
    const { turns } = host.context;
    for (let n = 0; n < 10; n++) v86.poll();
    expect(host.context.turns).toBe(turns);
    complete();
    v86.poll();
    expect(host.context.turns).toBeGreaterThan(turns);
  });

  it('GS-7 a completion reaches a guest that halts, with no poll point at all', async () => {
    const { v86, complete, delivered } = await setUp();
    for (let n = 0; n < 3; n++) {
      v86.v86.idle = true; // HLT
      complete();
      while (delivered() === n) await loopTurn();
      v86.v86.idle = false;
      v86.poll();
    }
    expect(delivered()).toBe(3);
  });
});

describe.each(engines)('virtio-blk on v86, served by an IOThread, %s', (engine) => {
  async function attach(options: Partial<V86BlkOptions> = {}) {
    const v86 = new FakeV86(RAM_OFFSET, true);
    const disk = await attachVirtioBlk(v86, { disk: memoryDisk, engine, iothreads: 1, ...options });
    onTestFinished(() => disk.detach());
    const transport = GuestPci.open(functionIn(v86, disk.slot));
    const ram = new GuestRam(disk.core);
    return { v86, disk, transport, ram };
  }

  it.each(['io', 'memory'] as const)('DP-8 serves a driver, %s BAR', async (bar) => {
    const { v86, disk, transport, ram } = await attach({ bar });
    const guest = await GuestBlk.open(transport, ram, { relax: () => void v86.poll() });
    await guest.write(3, sector(7));
    expect(await guest.read(3, 512)).toEqual(sector(7));
    const held = new Uint8Array(512);
    await disk.backend.io.read(3 * 512, held);
    expect(held).toEqual(sector(7));
    const [thread] = disk.blk.settings.threads as IOThread[];
    expect(thread!.info().users).toContain('virtio-blk');
  });

  it('shows what it has read only once v86 was told where it was written', async () => {
    const { v86, transport, ram } = await attach();
    const guest = await GuestBlk.open(transport, ram, { interrupts: true });
    const pollUntilUsed = () => {
      while (guest.poll() === 0) v86.poll();
    };
    v86.v86.idle = false; // as in one long slice: no poll point, and no JavaScript loop
    const written = guest.write(0, sector(3));
    pollUntilUsed();
    await written;
    v86.dirtied.length = 0;
    const answer = guest.request({ type: 0, in: 512 });
    const until = Date.now() + 200;
    while (Date.now() < until) expect(guest.poll()).toBe(0); // long since read, and held back
    expect(v86.dirtied).toEqual([]);
    pollUntilUsed();
    const { status, data } = await answer;
    expect([status, data]).toEqual([0, sector(3)]);
    const bytes = v86.dirtied.map(([from, to]) => v86.cpu.mem8.slice(from, to));
    expect(bytes.some((piece) => piece.length >= 512)).toBe(true);
  });

  it('starts as many threads as it is told, with a queue each, and stops them', async () => {
    const { disk } = await attach({ iothreads: 2 });
    const threads = disk.blk.settings.threads as IOThread[];
    expect(new Set(threads).size).toBe(2);
    await disk.detach();
    for (const thread of threads) await expect(thread.call('x')).rejects.toThrow('stopped');
  });
});

describe('IOThreads on v86', () => {
  it('need shared memory, and say how to get it', async () => {
    const v86 = new FakeV86();
    const attached = attachVirtioBlk(v86, { disk: memoryDisk, iothreads: 1 });
    await expect(attached).rejects.toThrow('wasm_fn: sharedWasm');
    expect(v86.cpu.devices.pci.device_spaces.some(Boolean)).toBe(false);
  });

  it('are made for the disk, or given, not both', async () => {
    const v86 = new FakeV86(RAM_OFFSET, true);
    const both = { disk: memoryDisk, iothreads: 1, 'iothread-vq-mapping': [] };
    await expect(attachVirtioBlk(v86, both)).rejects.toThrow('iothreads');
    const none = attachVirtioBlk(v86, { disk: memoryDisk, iothreads: 0 });
    await expect(none).rejects.toThrow('0 threads');
  });
});
