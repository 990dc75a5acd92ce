/** One block queue at work: the handler loop, merging, late completions, the gate, reset. */

import { describe, expect, it } from 'vitest';
import { MemoryDriver } from '#src/block/memory';
import type { Core } from '#src/engine/core';
import {
  BROKEN_ENGINE,
  BROKEN_HEAD,
  QUEUE_BROKEN,
  QUEUE_EPOCH,
  QUEUE_F_EVENT_IDX,
  QUEUE_FEATURES,
  QUEUE_FREE_COUNT,
  QUEUE_INUSE,
  QUEUE_KICKS_LO,
  QUEUE_LAST_AVAIL,
  QUEUE_SERVING,
} from '#src/layout';
import { BlkQueue } from '#src/virtio/blk-queue';
import { SCRATCH_SIZE } from '#src/virtio/queue-config';
import {
  type Asked,
  Bench,
  type BenchOptions,
  bit,
  engines,
  F,
  FLUSH,
  GET_ID,
  IN,
  IOERR,
  OK,
  OUT,
  pattern,
  UNANSWERED,
} from './blk-bench.ts';
import { ProbeDriver } from './probe-driver.ts';

const SIZE = 1 << 20;
/** A shuffle that is the same each time. */
const shuffled = (count: number) => Array.from({ length: count }, (_, i) => (i * 17 + 5) % count);

const places = engines.flatMap((engine) => [
  { engine, where: 'main', threads: 0 },
  { engine, where: 'another thread', threads: 1 },
]);

describe.each(places)(
  'DP-11 virtio-blk queue, $engine, served by $where',
  ({ engine, threads }) => {
    async function start(options: BenchOptions = {}, settles: 'inline' | 'loop' = 'inline') {
      const driver = new ProbeDriver(SIZE, settles);
      const bench = await Bench.open({ engine, driver, threads, ...options });
      bench.start();
      // Until the thread has said that it listens, a kick reaches it in two ways.
      if (threads > 0) await bench.settle(new Promise((resolve) => setImmediate(resolve)));
      const statuses = (asked: Asked[]) => asked.map((one) => bench.status(one));
      return { bench, driver, statuses };
    }

    const late = (options: BenchOptions = {}) => start(options, 'loop');

    /** Main ends by itself what it serves, and what is not begun elsewhere; a thread must say so. */
    const reset = async (bench: Bench) => {
      bench.blk.writeStatus(0);
      if (threads > 0) await bench.settle(bench.blk.idle());
      expect(bench.blk.status).toBe(0);
    };

    describe('handler loop', () => {
      it('VQ-10 notifications are off while it serves and on afterwards', async () => {
        const { bench, driver } = await start();
        const { used } = bench.rings[0]!;
        const flags: number[] = [];
        driver.answer = () => void flags.push(bench.ram.getU32(used) & 1);
        bench.read(0, 512);
        bench.run();
        expect([flags, bench.ram.getU32(used) & 1]).toEqual([[1], 0]);
      });

      it('VQ-10 a request published while the last one is served needs no kick', async () => {
        const { bench, driver } = await start();
        let second: Asked | undefined;
        driver.answer = () => {
          if (second) return;
          second = bench.read(1, 512);
          bench.rings[0]!.publish();
          expect(bench.rings[0]!.needsKick()).toBe(false);
        };
        bench.read(0, 512);
        bench.kick();
        expect([bench.status(second!), bench.collect()]).toEqual([OK, 2]);
      });

      it('VQ-10 a request published between the last pop and notifications on is served', async () => {
        let between = () => {};
        const { bench } = await start({
          intercept: (original) => ({
            queueSetNotification(queue, on) {
              if (on === 1) between();
              return original.queueSetNotification(queue, on);
            },
          }),
        });
        let second: Asked | undefined;
        between = () => {
          if (second) return;
          second = bench.read(1, 512);
          bench.rings[0]!.publish();
          expect(bench.rings[0]!.needsKick()).toBe(false);
        };
        bench.read(0, 512);
        bench.kick();
        expect([bench.status(second!), bench.collect()]).toEqual([OK, 2]);
      });

      it('VQ-10 notifications that were off at entry stay off', async () => {
        const { bench } = await start();
        bench.core.engine.queueSetNotification(bench.queueAddress(), 0);
        const read = bench.read(0, 512);
        bench.rings[0]!.publish();
        bench.blk.kick(0);
        if (threads > 0) bench.turns();
        expect(bench.status(read)).toBe(OK);
        expect(bench.ram.getU32(bench.rings[0]!.used) & 1).toBe(1);
      });

      it('many batches of one kick make one interrupt', async () => {
        const { bench } = await start();
        const asked = Array.from({ length: 85 }, (_, i) => bench.read(i * 2, 512));
        bench.kick();
        expect(bench.interrupts).toEqual([0]);
        expect(asked.every((one) => bench.status(one) === OK)).toBe(true);
        expect(bench.collect()).toBe(85);
      });

      it('a driver that asked for no interrupts gets none', async () => {
        const { bench } = await start();
        bench.rings[0]!.setInterrupts(false);
        bench.read(0, 512);
        bench.kick();
        expect([bench.interrupts, bench.collect()]).toEqual([[], 1]);
      });

      it('counts kicks, and is not serving in between', async () => {
        const { bench, driver } = await start();
        const serving: number[] = [];
        const before = bench.queueWord(QUEUE_KICKS_LO);
        driver.answer = () => void serving.push(bench.queueWord(QUEUE_SERVING));
        for (let i = 0; i < 3; i++) {
          bench.read(i, 512);
          bench.run();
        }
        expect(bench.queueWord(QUEUE_KICKS_LO) - before).toBe(3);
        expect([serving, bench.queueWord(QUEUE_SERVING)]).toEqual([[1, 1, 1], 0]);
      });

      it('a kick from inside a submit is served afterwards', async () => {
        const { bench, driver } = await start();
        let second: Asked | undefined;
        driver.answer = () => {
          if (second) return;
          second = bench.read(1, 512);
          bench.rings[0]!.publish();
          bench.blk.kick(0);
          expect(driver.calls).toHaveLength(1);
        };
        bench.read(0, 512);
        bench.run();
        expect([bench.status(second!), driver.calls.length]).toEqual([OK, 2]);
      });

      it('BG-14 kicks before DRIVER_OK and for queues that are not there do nothing', async () => {
        const driver = new ProbeDriver(SIZE);
        const bench = await Bench.open({ engine, driver, blk: { 'num-queues': 2 } });
        bench.negotiate();
        bench.addRing(0);
        const read = bench.read(0, 512);
        bench.kick();
        bench.blk.kick(1);
        bench.blk.kick(2);
        expect([bench.status(read), driver.calls]).toEqual([UNANSWERED, []]);
        expect(bench.queueWord(QUEUE_KICKS_LO)).toBe(0);
        bench.blk.writeStatus(15); // what was published before is served now
        expect(bench.status(read)).toBe(OK);
        bench.blk.kick(1); // never set up
        bench.blk.kick(2);
        bench.blk.writeStatus(0);
        bench.blk.kick(0);
        expect(driver.calls).toHaveLength(1);
      });

      it('VQ-14 a legacy driver may set the address before it accepts features', async () => {
        const bench = await Bench.open({ engine });
        bench.blk.useLegacy(true);
        bench.blk.writeStatus(3);
        bench.addRing(0, 256, true);
        expect(bench.queueWord(QUEUE_FEATURES) & QUEUE_F_EVENT_IDX).toBe(0);
        bench.blk.writeDriverFeatures(0, bit(F.EVENT_IDX));
        bench.blk.writeStatus(7);
        expect(bench.queueWord(QUEUE_FEATURES) & QUEUE_F_EVENT_IDX).toBe(QUEUE_F_EVENT_IDX);
      });
    });

    describe('BL-6 merging', () => {
      it('32 shuffled neighbours are one request of the driver and 32 completions', async () => {
        const { bench, driver, statuses } = await start();
        const asked = shuffled(32).map((i) => bench.write(100 + i, pattern(512, i)));
        expect(bench.run()).toBe(32);
        expect(driver.take()).toEqual([
          { op: 'write', offset: 51_200, length: 32 * 512, flags: 0, segments: 32 },
        ]);
        expect(new Set(statuses(asked))).toEqual(new Set([OK]));
        expect(asked.every(({ used }) => used === 1)).toBe(true);
        for (let i = 0; i < 32; i++) {
          const at = (100 + i) * 512;
          expect(driver.bytes.slice(at, at + 512)).toEqual(pattern(512, i));
        }
        expect(bench.backend.stats()).toMatchObject({ merged: 31, write: { operations: 1 } });
      });

      it('40 shuffled writes: no more than 32 are collected, each is completed by itself', async () => {
        const { bench, driver, statuses } = await start();
        const asked = shuffled(40).map((i) => bench.write(i, pattern(512, i)));
        expect(bench.run()).toBe(40);
        expect(statuses(asked)).toEqual(new Array(40).fill(OK));
        const calls = driver.take();
        expect(calls.length).toBeGreaterThan(1);
        expect(calls.length).toBeLessThan(40);
        expect(calls.reduce((sum, { length }) => sum + length, 0)).toBe(40 * 512);
        expect(Math.max(...calls.map(({ length }) => length))).toBeLessThanOrEqual(32 * 512);
        for (let i = 0; i < 40; i++) {
          expect(driver.bytes.slice(i * 512, i * 512 + 512)).toEqual(pattern(512, i));
        }
      });

      it('33 in order: 32 and 1', async () => {
        const { bench, driver } = await start();
        for (let i = 0; i < 33; i++) bench.read(i, 512);
        bench.run();
        expect(driver.take().map(({ length }) => length)).toEqual([32 * 512, 512]);
      });

      it('merged reads land in the right buffers', async () => {
        const { bench, driver } = await start();
        driver.bytes.set(pattern(16 * 512));
        const asked = shuffled(16).map((i) => ({ i, read: bench.read(i, 512) }));
        bench.run();
        expect(driver.take()).toHaveLength(1);
        for (const { i, read } of asked) {
          expect(bench.data(read, 512)).toEqual(driver.bytes.slice(i * 512, i * 512 + 512));
          expect(read.used).toBe(513);
        }
      });

      it('gaps, overlaps and other directions are not merged', async () => {
        const { bench, driver } = await start();
        bench.read(0, 512);
        bench.read(2, 512);
        bench.write(3, pattern(512));
        bench.write(3, pattern(512));
        bench.read(4, 512);
        bench.run();
        const calls = driver.take().map(({ op, offset, length }) => [op, offset / 512, length]);
        expect(calls).toEqual([
          ['read', 0, 512],
          ['read', 2, 512],
          ['write', 3, 512],
          ['write', 3, 512],
          ['read', 4, 512],
        ]);
      });

      it('request-merging off: each by itself, in order', async () => {
        const { bench, driver } = await start({ blk: { 'request-merging': false } });
        for (const i of shuffled(16)) bench.write(i, pattern(512, i));
        bench.run();
        expect(driver.take().map(({ offset }) => offset / 512)).toEqual(shuffled(16));
      });

      it('an error of a merged request is every member’s', async () => {
        const { bench, driver, statuses } = await start();
        driver.answer = ({ offset }) => (offset === 0 ? -5 : undefined);
        const bad = [0, 1, 2].map((i) => bench.write(i, pattern(512)));
        const good = [8, 9].map((i) => bench.write(i, pattern(512)));
        expect(bench.run()).toBe(5);
        expect([statuses(bad), statuses(good)]).toEqual([
          [IOERR, IOERR, IOERR],
          [OK, OK],
        ]);
      });
    });

    it('BL-7 FLUSH submits the writes of its batch first', async () => {
      const { bench, driver } = await start();
      bench.write(9, pattern(512));
      bench.write(8, pattern(512));
      bench.ask(FLUSH, 0);
      bench.write(7, pattern(512));
      bench.read(20, 512);
      bench.ask(FLUSH, 0);
      bench.run();
      const calls = driver.take().map(({ op, length }) => [op, length]);
      expect(calls).toEqual([
        ['write', 1024],
        ['flush', 0],
        ['write', 512],
        ['flush', 0],
        ['read', 512],
      ]);
    });

    describe('late completions', () => {
      it('BB-1 status, used element and interrupt come in a later poll', async () => {
        const { bench, driver } = await late();
        driver.bytes.set(pattern(512));
        const read = bench.read(0, 512);
        bench.kick();
        expect([bench.status(read), bench.interrupts, driver.held.length]).toEqual([
          UNANSWERED,
          [],
          1,
        ]);
        driver.settle();
        expect([bench.status(read), bench.collect()]).toEqual([UNANSWERED, 0]);
        bench.turns();
        expect([bench.status(read), bench.interrupts, bench.collect()]).toEqual([OK, [0], 1]);
        expect([bench.data(read, 512), read.used]).toEqual([pattern(512), 513]);
        expect(bench.queueWord(QUEUE_INUSE)).toBe(0);
      });

      it('many that settle in one turn make one interrupt, whatever their order', async () => {
        const { bench, driver } = await late();
        const asked = [0, 10, 20, 30].map((sector) => bench.read(sector, 512));
        bench.kick();
        expect(driver.held).toHaveLength(4);
        for (const i of [2, 0, 1, 0]) driver.settle(i);
        bench.turns();
        expect([bench.interrupts, bench.collect()]).toEqual([[0], 4]);
        expect(asked.map((one) => bench.status(one))).toEqual([OK, OK, OK, OK]);
      });

      it('each member of a merged request that settles late is completed', async () => {
        for (const [result, status] of [
          [undefined, OK],
          [-28, IOERR],
        ] as const) {
          const { bench, driver, statuses } = await late();
          const asked = shuffled(8).map((i) => bench.write(i, pattern(512, i)));
          bench.kick();
          expect(driver.held).toHaveLength(1);
          driver.settle(0, result);
          bench.turns();
          expect([statuses(asked), bench.collect()]).toEqual([new Array(8).fill(status), 8]);
        }
      });

      it('heads are used again while others are still in flight', async () => {
        const { bench, driver } = await late({ blk: { 'queue-size': 16 } });
        const asked: Asked[] = [];
        for (let i = 0; i < 500; i++) {
          for (let n = 0; bench.rings[0]!.freeCount < 3; n++) {
            driver.settle((i + n) % driver.held.length);
            bench.turns();
            bench.collect();
          }
          asked.push(bench.read((i * 3) % 2000, 512));
          bench.kick();
        }
        driver.settleAll();
        bench.turns();
        bench.collect();
        expect(asked.every((one) => one.used === 513 && bench.status(one) === OK)).toBe(true);
        expect([bench.queueWord(QUEUE_INUSE), bench.rings[0]!.inFlight]).toEqual([0, 0]);
      });

      it('a chain whose segment blocks lie apart', async () => {
        const { bench, driver } = await late();
        const asked = [0, 10, 20].map((sector) => bench.read(sector, 512));
        bench.kick();
        for (const i of [1, 0, 0]) {
          driver.settle(i);
          bench.turns();
        }
        expect([bench.collect(), ...asked.map((one) => one.used)]).toEqual([3, 513, 513, 513]);
        driver.bytes.set(pattern(40 * 512, 6));
        const read = bench.ask(IN, 0, {
          into: 40 * 1024,
          layout: (chain, { header, data, status }) => {
            chain.out(header, 16);
            for (let i = 0; i < 40; i++) chain.in(data + i * 1024, 512);
            chain.in(status, 1);
          },
        });
        bench.kick();
        driver.settle();
        bench.turns();
        const parts = Array.from({ length: 40 }, (_, i) =>
          bench.ram.read(read.data + i * 1024, 512),
        );
        expect(new Uint8Array(Buffer.concat(parts))).toEqual(pattern(40 * 512, 6));
      });

      it('a stalled pop goes on when a push has freed segment blocks', async () => {
        const { bench, driver } = await late({ blk: { 'queue-size': 4 }, ram: 4 << 20 });
        bench.rings[0]!.form = 'indirect';
        const long = () =>
          bench.ask(IN, 0, {
            into: 600 * 128,
            layout: (chain, { header, data, status }) => {
              chain.out(header, 16);
              for (let i = 0; i < 600; i++) chain.in(data + i * 128, 64);
              chain.in(status, 1);
            },
          });
        const free = bench.queueWord(QUEUE_FREE_COUNT);
        const [first, second] = [long(), long()];
        bench.kick();
        expect(driver.held).toHaveLength(1);
        bench.kick();
        expect(bench.blk.brokenReason).toBe(0);
        driver.settle();
        bench.turns();
        expect([bench.status(first), bench.status(second), driver.held.length]).toEqual([
          OK,
          UNANSWERED,
          1,
        ]);
        driver.settle();
        bench.turns();
        expect([bench.status(second), bench.collect()]).toEqual([OK, 2]);
        expect(bench.queueWord(QUEUE_FREE_COUNT)).toBe(free);
      });
    });

    describe('a closed gate', () => {
      it('nothing is popped, and all is served when it opens', async () => {
        const { bench, driver } = await start();
        bench.backend.drainedBegin();
        const read = bench.read(0, 512);
        bench.kick();
        bench.turns();
        expect([bench.status(read), bench.queueWord(QUEUE_LAST_AVAIL)]).toEqual([UNANSWERED, 0]);
        expect(driver.calls).toEqual([]);
        bench.backend.drainedEnd();
        expect(bench.status(read)).toBe(UNANSWERED);
        bench.turns();
        expect([bench.status(read), bench.interrupts]).toEqual([OK, [0]]);
      });

      it('what was popped already parks and comes back in order', async () => {
        const { bench, driver, statuses } = await start({ blk: { 'request-merging': false } });
        driver.answer = () => void (driver.calls.length === 1 && bench.backend.drainedBegin());
        const asked = [7, 3, 5, 1].map((sector) => bench.write(sector, pattern(512, sector)));
        bench.kick();
        bench.turns();
        expect(statuses(asked)).toEqual([OK, UNANSWERED, UNANSWERED, UNANSWERED]);
        expect([bench.collect(), bench.queueWord(QUEUE_INUSE)]).toEqual([1, 3]);
        await bench.backend.idle(); // a parked request is not in flight
        const later = bench.write(9, pattern(512, 9));
        bench.kick();
        bench.backend.drainedEnd();
        bench.turns();
        expect(statuses([...asked, later])).toEqual([OK, OK, OK, OK, OK]);
        expect(driver.take().map(({ offset }) => offset / 512)).toEqual([7, 3, 5, 1, 9]);
        expect([bench.collect(), bench.queueWord(QUEUE_INUSE)]).toEqual([4, 0]);
      });

      it('no further batch is popped once it has closed', async () => {
        const { bench, driver } = await start({ blk: { 'queue-size': 1024 } });
        driver.answer = () => void (driver.calls.length === 1 && bench.backend.drainedBegin());
        for (let i = 0; i < 200; i++) bench.read(i * 2, 512);
        bench.kick();
        expect([bench.queueWord(QUEUE_LAST_AVAIL), bench.collect()]).toEqual([32, 1]);
        bench.backend.drainedEnd();
        bench.turns();
        expect(bench.collect()).toBe(199);
      });

      it('parked members of a merged request come back, and may park again', async () => {
        const { bench, driver, statuses } = await start();
        let closeAt = 0;
        driver.answer = ({ offset }) => void (offset === closeAt && bench.backend.drainedBegin());
        const first = bench.write(0, pattern(512));
        const rest = [11, 10, 12, 20].map((sector) => bench.write(sector, pattern(512, sector)));
        bench.kick();
        expect([bench.status(first), statuses(rest)]).toEqual([OK, new Array(4).fill(UNANSWERED)]);
        closeAt = 10 * 512;
        bench.backend.drainedEnd();
        bench.turns();
        expect(statuses(rest)).toEqual([OK, OK, OK, UNANSWERED]);
        closeAt = -1;
        bench.backend.drainedEnd();
        bench.turns();
        expect(statuses(rest)).toEqual([OK, OK, OK, OK]);
        expect([bench.collect(), bench.queueWord(QUEUE_INUSE)]).toEqual([5, 0]);
      });

      it('L4 a parked write keeps its framing: header, data and status in shared buffers', async () => {
        const { bench, driver } = await start();
        driver.answer = () => void (driver.calls.length === 1 && bench.backend.drainedBegin());
        bench.read(0, 512);
        const { ram } = bench;
        const joined = ram.allocate(16 + 1024);
        ram.write(joined + 16, pattern(1024, 8));
        const write = bench.ask(OUT, 4, {
          layout: (chain, { header, status }) => {
            ram.write(joined, ram.read(header, 16));
            chain.out(joined, 16 + 1024).in(status, 1);
          },
        });
        bench.kick();
        expect(bench.status(write)).toBe(UNANSWERED);
        bench.backend.drainedEnd();
        bench.turns();
        expect(bench.status(write)).toBe(OK);
        expect(driver.bytes.slice(2048, 3072)).toEqual(pattern(1024, 8));
      });

      it('parked flushes, discards and serials are kept, too', async () => {
        const { bench, driver, statuses } = await start();
        driver.answer = () => void (driver.calls.length === 1 && bench.backend.drainedBegin());
        const asked = [
          bench.ask(FLUSH, 0),
          bench.ask(FLUSH, 0),
          bench.ask(GET_ID, 0, { into: 20 }),
        ];
        bench.kick();
        expect(statuses(asked)).toEqual([OK, UNANSWERED, OK]);
        bench.backend.drainedEnd();
        bench.turns();
        expect(statuses(asked)).toEqual([OK, OK, OK]);
      });
    });

    describe('reset and stop', () => {
      it('BL-17 VC-3 status reads 0 only when nothing is in flight, and nothing late is written', async () => {
        let pushes = 0;
        const { bench, driver } = await late({
          intercept: (original) => ({
            blkPush(queue, count) {
              pushes++;
              return original.blkPush(queue, count);
            },
          }),
        });
        driver.bytes.fill(0x77);
        const read = bench.read(0, 512);
        bench.kick();
        const epoch = bench.queueWord(QUEUE_EPOCH);
        bench.blk.writeStatus(0);
        expect(bench.queueWord(QUEUE_EPOCH)).toBe(epoch + 2);
        expect([bench.blk.status === 0, bench.blk.resetting]).toEqual([false, true]);
        const before = bench.ram.read(0, 1 << 20);
        driver.settle();
        bench.turns();
        await bench.blk.idle();
        expect([bench.blk.status, bench.blk.resetting, bench.resets]).toEqual([0, false, 1]);
        expect(bench.ram.read(0, 1 << 20)).toEqual(before);
        expect([bench.status(read), bench.interrupts]).toEqual([UNANSWERED, []]);
        expect([bench.queueWord(QUEUE_INUSE), bench.backend.quiesced]).toEqual([0, false]);
        expect(pushes).toBe(0);
      });

      it('VC-3 without requests in flight the status reads 0 at once', async () => {
        const { bench } = await late();
        bench.blk.writeStatus(0);
        expect([bench.blk.status, bench.resets]).toEqual([0, 1]);
      });

      it('VQ-11 three in flight, reset, and the next driver finds a queue as new', async () => {
        const { bench, driver } = await late({ blk: { 'queue-size': 16 } });
        const free = bench.queueWord(QUEUE_FREE_COUNT);
        for (const sector of [0, 10, 20]) bench.read(sector, 512);
        bench.kick();
        expect(bench.queueWord(QUEUE_INUSE)).toBe(3);
        bench.blk.writeStatus(0);
        driver.settleAll();
        bench.turns();
        await bench.blk.idle();
        expect([bench.queueWord(QUEUE_INUSE), bench.queueWord(QUEUE_FREE_COUNT)]).toEqual([
          0,
          free,
        ]);
        bench.start();
        for (let i = 0; i < 20; i++) {
          const read = bench.read(i, 512);
          bench.kick();
          driver.settleAll();
          bench.turns();
          expect([bench.collect(), bench.status(read)]).toEqual([1, OK]);
        }
      });

      it('parked requests are forgotten', async () => {
        const { bench, driver } = await start({ blk: { 'request-merging': false } });
        driver.answer = () => void (driver.calls.length === 1 && bench.backend.drainedBegin());
        const asked = [0, 1, 2].map((sector) => bench.write(sector, pattern(512)));
        bench.kick();
        await reset(bench);
        bench.backend.drainedEnd();
        bench.turns();
        expect(bench.status(asked[1]!)).toBe(UNANSWERED);
        expect([driver.calls.length, bench.queueWord(QUEUE_INUSE)]).toEqual([1, 0]);
        bench.start();
        const read = bench.read(0, 512);
        bench.run();
        expect(bench.status(read)).toBe(OK);
      });

      it('requests of the next driver are not taken for abandoned ones', async () => {
        const { bench, driver } = await late();
        for (let round = 0; round < 3; round++) {
          const asked = [0, 10].map((sector) => bench.read(sector, 512));
          bench.kick();
          driver.settleAll();
          bench.turns();
          expect([bench.collect(), ...asked.map((one) => one.used)]).toEqual([2, 513, 513]);
          bench.blk.writeStatus(0);
          bench.start();
        }
      });

      it('an interrupt that was still to come is dropped', async () => {
        const { bench, driver } = await late();
        bench.read(0, 512);
        bench.kick();
        driver.settle();
        (bench.threads[0]?.context ?? bench.context).poll(); // completed; the interrupt waits for the next poll
        await reset(bench);
        bench.start();
        bench.turns();
        expect(bench.interrupts).toEqual([]);
      });

      it('a queue that is turned off and on again: the old completion writes nothing', async () => {
        const { bench, driver } = await late();
        driver.bytes.fill(0x77);
        const old = bench.read(0, 512);
        bench.kick();
        bench.blk.disableQueue(0);
        expect(bench.blk.queues[0]!.draining).toBe(true);
        bench.addRing(0);
        const fresh = bench.read(1, 512);
        bench.rings[0]!.publish();
        bench.blk.kick(0);
        expect(driver.held).toHaveLength(1); // not before the old one is gone
        const before = bench.ram.read(0, 1 << 20);
        driver.settle();
        bench.turns();
        expect(bench.ram.read(0, 1 << 20)).toEqual(before);
        await bench.settle(new Promise((resolve) => setImmediate(resolve)));
        if (threads > 0) bench.turns();
        expect(driver.held).toHaveLength(1);
        driver.settle();
        bench.turns();
        expect([bench.status(old), bench.status(fresh)]).toEqual([UNANSWERED, OK]);
        expect(bench.collect()).toBe(1);
      });

      it('without DRIVER_OK what is in flight completes, and nothing new is taken', async () => {
        const { bench, driver } = await late();
        const read = bench.read(0, 512);
        bench.kick();
        bench.blk.writeStatus(11);
        const second = bench.read(1, 512);
        bench.rings[0]!.publish();
        bench.backend.drainedBegin();
        bench.backend.drainedEnd(); // the queue is woken
        driver.settle();
        bench.turns();
        expect([bench.status(read), bench.status(second), driver.held.length]).toEqual([
          OK,
          UNANSWERED,
          0,
        ]);
      });

      it.skipIf(threads > 0)('a reset from inside a submit is refused by name', async () => {
        const { bench, driver } = await start();
        let message = '';
        driver.answer = () => {
          try {
            bench.blk.writeStatus(0);
          } catch (error) {
            message = (error as Error).message;
          }
          return undefined;
        };
        bench.read(0, 512);
        bench.run();
        expect(message).toContain('its own driver');
        expect(bench.backend.quiesced).toBe(false); // the disk's other users go on
      });

      it.skipIf(threads > 0)(
        'a close from inside a submit is refused, and works later',
        async () => {
          const { bench, driver } = await start();
          let refused: Promise<void> = Promise.resolve();
          driver.answer = () => {
            refused = bench.blk.close();
            return undefined;
          };
          bench.read(0, 512);
          bench.run();
          await expect(refused).rejects.toThrow('its own driver');
          driver.answer = () => undefined;
          const next = bench.read(1, 512);
          bench.run(); // nobody has stopped it
          expect(bench.status(next)).toBe(OK);
          await bench.blk.close();
          expect(bench.backend.quiesced).toBe(false);
        },
      );
    });

    describe('what breaks', () => {
      it('BG-1 a bad head breaks the queue once, after what came before', async () => {
        const { bench } = await start();
        const read = bench.read(0, 512);
        bench.rings[0]!.offer(256);
        bench.kick();
        expect(bench.queueWord(QUEUE_BROKEN)).toBe(BROKEN_HEAD);
        expect([bench.blk.brokenReason, bench.configInterrupts]).toEqual([BROKEN_HEAD, 1]);
        bench.blk.kick(0);
        bench.turns();
        expect(bench.configInterrupts).toBe(1);
        expect(read.used).toBe(undefined);
        bench.blk.writeStatus(0);
        expect([bench.queueWord(QUEUE_BROKEN), bench.blk.brokenReason]).toEqual([0, 0]);
      });

      it('tells the control plane once', async () => {
        const { bench } = await start();
        const { core, context, backend } = bench;
        const told: string[] = [];
        const lane = backend.openLane(context);
        const config = { ...bench.blk.queueConfigs[0]!, scratch: core.allocate(SCRATCH_SIZE) };
        const queue = new BlkQueue(structuredClone(config), core, context, lane, {
          interrupt: (index) => told.push(`interrupt ${index}`),
          broken: (index, reason, cause) => told.push(`broken ${index}: ${reason} ${cause}`),
        });
        bench.read(0, 512);
        bench.rings[0]!.publish();
        queue.kick();
        bench.rings[0]!.offer(999);
        bench.rings[0]!.publish();
        for (let i = 0; i < 3; i++) queue.kick();
        expect(told).toEqual(['interrupt 0', `broken 0: ${BROKEN_HEAD} undefined`]);
        queue.close();
        lane.close();
        core.free(config.scratch);
      });

      it('an engine that fails breaks this queue only, and a reset mends it', async () => {
        let failing = false;
        const { bench } = await start({
          blk: { 'num-queues': 2 },
          intercept: (original) => ({
            blkPop(queue, max) {
              if (failing) throw new WebAssembly.RuntimeError('unreachable');
              return original.blkPop(queue, max);
            },
          }),
        });
        failing = true;
        bench.read(0, 512, 1);
        expect(() => bench.kick(1)).not.toThrow();
        failing = false;
        expect(bench.queueWord(QUEUE_BROKEN, 1)).toBe(BROKEN_ENGINE);
        expect(bench.queueWord(QUEUE_BROKEN, 0)).toBe(0);
        expect(bench.blk.brokenReason).toBe(BROKEN_ENGINE);
        expect(bench.blk.brokenCause).toMatchObject({
          name: 'RuntimeError',
          message: 'unreachable',
        });
        expect(bench.blk.status & 64).toBe(64);
        expect([bench.queueWord(QUEUE_SERVING, 1), bench.configInterrupts]).toEqual([0, 1]);
        bench.blk.writeStatus(0);
        bench.start();
        const read = bench.read(0, 512, 1);
        bench.run(1);
        expect([bench.status(read), bench.blk.brokenCause]).toEqual([OK, undefined]);
      });

      it('an engine that fails in a late completion breaks the queue, not the loop', async () => {
        let failing = false;
        const { bench, driver } = await late({
          intercept: (original) => ({
            blkPush(queue, count) {
              if (failing) throw new WebAssembly.RuntimeError('out of bounds');
              return original.blkPush(queue, count);
            },
          }),
        });
        bench.read(0, 512);
        bench.kick();
        failing = true;
        driver.settle();
        bench.turns();
        expect(bench.blk.brokenReason).toBe(BROKEN_ENGINE);
        failing = false;
        await reset(bench);
        expect(bench.backend.inFlight).toBe(0);
      });

      it('a driver that throws fails its request, not the queue', async () => {
        const { bench, driver } = await start();
        driver.answer = () => {
          throw new Error('no such luck');
        };
        const read = bench.read(0, 512);
        bench.run();
        expect([bench.status(read), bench.blk.brokenReason]).toEqual([IOERR, 0]);
      });

      it('EAGAIN of a driver is an error, not a closed gate', async () => {
        const { bench, driver } = await start();
        driver.answer = () => -11;
        const read = bench.read(0, 512);
        bench.run();
        expect([bench.status(read), bench.queueWord(QUEUE_INUSE)]).toEqual([IOERR, 0]);
      });
    });

    describe('memory disks', () => {
      const memory = (limit?: number) => (core: Core) => new MemoryDriver(core, SIZE, limit);

      it('a batch of all types: the engine serves what it can, the rest goes the long way', async () => {
        const { bench } = await start({ driver: memory() });
        bench.write(0, pattern(512));
        bench.run(); // the first write finds no cluster in the arena, and comes after the others
        const write = bench.write(3, pattern(512, 4));
        const flush = bench.ask(FLUSH, 0);
        const read = bench.read(3, 512);
        const id = bench.ask(GET_ID, 0, { into: 20 });
        const unwritten = bench.read(100, 512);
        const beyond = bench.read(SIZE / 512, 512);
        bench.kick();
        const asked = [write, flush, read, id, unwritten, beyond];
        expect(asked.map((one) => bench.status(one))).toEqual([OK, OK, OK, OK, OK, IOERR]);
        expect(bench.data(read, 512)).toEqual(pattern(512, 4));
        expect(bench.data(unwritten, 512)).toEqual(new Uint8Array(512));
        expect([bench.interrupts, bench.collect()]).toEqual([[0, 0], 6]);
        expect([read.used, beyond.used, write.used]).toEqual([513, 0, 1]);
        const stats = bench.backend.stats();
        expect(stats).toMatchObject({
          invalid: 1,
          read: { operations: 2 },
          write: { operations: 2 },
        });
      });

      it('BL-4 the device’s block size holds for what the engine serves, too', async () => {
        const { bench } = await start({ driver: memory(), blk: { logical_block_size: 4096 } });
        const asked = [bench.read(0, 512), bench.read(1, 4096), bench.read(8, 4096)];
        bench.run();
        expect(asked.map((one) => bench.status(one))).toEqual([IOERR, IOERR, OK]);
      });

      it('a full disk answers an error, and what is there can still be read', async () => {
        const { bench, statuses } = await start({ driver: memory(3 * 65_536), ram: 2 << 20 });
        const asked = Array.from({ length: 8 }, (_, i) => bench.write(i * 128, pattern(512, i)));
        bench.run();
        const got = statuses(asked);
        expect(got.slice(0, 2)).toEqual([OK, OK]);
        expect(got.slice(2)).toEqual(new Array(6).fill(IOERR));
        const read = bench.read(128, 512);
        bench.run();
        expect(bench.data(read, 512)).toEqual(pattern(512, 1));
      });

      it('a closed gate keeps the engine out as well', async () => {
        const { bench } = await start({ driver: memory() });
        bench.backend.drainedBegin();
        const write = bench.write(0, pattern(512));
        bench.kick();
        bench.turns();
        expect(bench.status(write)).toBe(UNANSWERED);
        bench.backend.drainedEnd();
        bench.turns();
        expect(bench.status(write)).toBe(OK);
      });
    });
  },
);
