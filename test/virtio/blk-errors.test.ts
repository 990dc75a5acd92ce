/** Requests that the host could not do: error policies on the data plane, and the restart. */

import { describe, expect, it, vi } from 'vitest';
import type { BackendOptions } from '#src/block/backend';
import { MemoryDriver } from '#src/block/memory';
import {
  BROKEN_HEADERS,
  QUEUE_BROKEN,
  QUEUE_INUSE,
  QUEUE_RECORDS,
  RECORD_OUT_BYTES,
  RECORD_SIZE,
} from '#src/layout';
import type { IoFailure } from '#src/virtio/io-failure';
import {
  type Asked,
  Bench,
  DISCARD,
  FLUSH,
  IOERR,
  OK,
  pattern,
  segment,
  UNANSWERED,
  WRITE_ZEROES,
} from './blk-bench.ts';
import { ProbeDriver } from './probe-driver.ts';

const SIZE = 1 << 20;
const EIO = -5;
const ENOSPC = -28;
const NO_BATCHES = { 'request-merging': false };
const places = [
  { where: 'main', threads: 0 },
  { where: 'a thread', threads: 1 },
] as const;

describe.each(places)('requests that fail, queue on $where', ({ threads }) => {
  async function open(
    backend: BackendOptions,
    blk = {},
    driver: ConstructorParameters<typeof ProbeDriver>[1] | MemoryDriver = 'inline',
  ) {
    const disk = typeof driver === 'string' ? new ProbeDriver(SIZE, driver) : driver;
    const bench = await Bench.open({ threads, machine: true, backend, blk, driver: disk });
    const told: IoFailure[] = [];
    const real = bench.backend.ioError.bind(bench.backend);
    vi.spyOn(bench.backend, 'ioError').mockImplementation((error, path) => {
      told.push(error as IoFailure);
      real(error, path);
    });
    bench.start();
    await rest(bench);
    const machine = bench.machine!;
    const probe = disk as ProbeDriver;
    const fail = (errno: number) => {
      probe.answer = () => errno;
    };
    const heal = () => {
      probe.answer = () => undefined;
    };
    const statuses = (asked: readonly Asked[]) => asked.map((one) => bench.status(one));
    const cont = async () => {
      await bench.settle(machine.cont());
      await rest(bench);
    };
    return { bench, machine, probe, told, fail, heal, statuses, cont };
  }

  /** Messages have been answered, too, and a stop that was asked for is over. */
  async function rest(bench: Bench): Promise<void> {
    for (let i = 0; i < 10; i++) {
      bench.turns();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  const merged = (bench: Bench) => [8, 9, 10].map((at) => bench.write(at, pattern(512, at)));

  it('BL-15 report: each member of a merged request is told, and each is spoken of', async () => {
    const { bench, machine, probe, told, fail, statuses } = await open({ werror: 'report' });
    fail(EIO);
    const asked = merged(bench);
    bench.run();
    await rest(bench);
    expect(probe.calls).toHaveLength(1);
    expect([statuses(asked), machine.state]).toEqual([[IOERR, IOERR, IOERR], 'running']);
    const failure = { index: 0, operation: 'write', errno: 5, action: 'report', bytes: 512 };
    expect(told).toEqual([8, 9, 10].map((sector) => ({ ...failure, sector })));
  });

  it('BL-15 ignore: each member completes as if all were well', async () => {
    const { bench, machine, told, fail, statuses } = await open({ werror: 'ignore' });
    fail(EIO);
    const asked = merged(bench);
    expect(bench.run()).toBe(3);
    await rest(bench);
    expect([statuses(asked), machine.state]).toEqual([[OK, OK, OK], 'running']);
    expect(told.map(({ action }) => action)).toEqual(['ignore', 'ignore', 'ignore']);
  });

  it('BL-15 VQ-6 a read that is ignored says OK, and that nobody knows what was written', async () => {
    const { bench, fail } = await open({ rerror: 'ignore' });
    fail(EIO);
    const read = bench.read(0, 512);
    bench.run();
    expect([bench.status(read), read.used]).toEqual([OK, 0]);
    expect(bench.data(read, 512)).toEqual(new Uint8Array(512).fill(0xee));
  });

  it('BL-15 BL-16 stop: each member waits by itself, and completes once when the machine goes on', async () => {
    const { bench, machine, probe, told, fail, heal, statuses, cont } = await open({
      werror: 'stop',
    });
    fail(EIO);
    const asked = merged(bench);
    bench.run();
    await rest(bench);
    expect([statuses(asked), machine.state]).toEqual([asked.map(() => UNANSWERED), 'io-error']);
    expect(told.map(({ action, sector }) => [action, sector])).toEqual([
      ['stop', 8],
      ['stop', 9],
      ['stop', 10],
    ]);
    expect([bench.queueWord(QUEUE_INUSE), bench.backend.inFlight]).toEqual([3, 0]);
    heal();
    await cont();
    expect([statuses(asked), bench.collect()]).toEqual([[OK, OK, OK], 3]);
    expect(bench.queueWord(QUEUE_INUSE)).toBe(0);
    expect(probe.bytes.slice(9 * 512, 10 * 512)).toEqual(pattern(512, 9));
    // Merged again: the usual way.
    expect(probe.calls.filter(({ op }) => op === 'write')).toHaveLength(2);
  });

  it.each([
    ['ENOSPC', ENOSPC, 'io-error', UNANSWERED],
    ['EIO', EIO, 'running', IOERR],
  ] as const)('BB-19 enospc: %s of a write', async (_name, errno, state, status) => {
    const { bench, machine, fail, heal, cont } = await open({ werror: 'enospc' });
    fail(errno);
    const write = bench.write(3, pattern(512));
    bench.run();
    await rest(bench);
    expect([machine.state, bench.status(write)]).toEqual([state, status]);
    heal();
    await cont();
    expect(bench.status(write)).toBe(status === UNANSWERED ? OK : IOERR);
  });

  it('BB-19 reads go by rerror, everything else by werror, merged or not, soon or late', async () => {
    const { bench, probe, told, statuses } = await open(
      { werror: 'ignore', rerror: 'report' },
      NO_BATCHES,
      'loop',
    );
    const asked = [
      bench.read(0, 512),
      bench.write(1, pattern(512)),
      bench.ask(FLUSH, 0),
      bench.ask(DISCARD | 1, 0, { out: segment(0, 8) }),
      bench.ask(WRITE_ZEROES | 1, 0, { out: segment(8, 8) }),
    ];
    bench.kick();
    while (probe.held.length > 0) probe.settle(0, EIO);
    bench.turns();
    expect(statuses(asked)).toEqual([IOERR, OK, OK, OK, OK]);
    expect(told.map(({ operation, action }) => `${operation} ${action}`)).toEqual([
      'read report',
      'write ignore',
      'flush ignore',
      'discard ignore',
      'write-zeroes ignore',
    ]);
  });

  it('BL-4 BL-5 what the guest did wrong is no matter of policy', async () => {
    const { bench, machine, told, statuses } = await open({ werror: 'stop', rerror: 'stop' });
    const asked = [bench.read(SIZE / 512, 512), bench.write(SIZE / 512 - 1, pattern(1024))];
    bench.run();
    await rest(bench);
    expect([statuses(asked), told, machine.state]).toEqual([[IOERR, IOERR], [], 'running']);
  });

  it('BL-16 what failed comes back first, oldest first, then what was parked, then what is new', async () => {
    const { bench, probe, statuses, cont } = await open({ werror: 'stop' }, NO_BATCHES);
    probe.answer = ({ offset }) => {
      if (offset === 512 * 512) bench.backend.drainedBegin();
      return offset < 100 * 512 ? EIO : undefined;
    };
    const asked = [5, 3, 512, 600, 700].map((at) => bench.write(at, pattern(512, at)));
    bench.run();
    expect(statuses(asked)).toEqual([UNANSWERED, UNANSWERED, OK, UNANSWERED, UNANSWERED]);
    await rest(bench);
    const late = bench.write(800, pattern(512));
    bench.rings[0]!.publish();
    probe.answer = () => undefined;
    bench.backend.drainedEnd();
    await rest(bench); // the machine has stopped now: its flush has passed the gate
    expect(statuses(asked)).toEqual([UNANSWERED, UNANSWERED, OK, UNANSWERED, UNANSWERED]);
    bench.backend.drainedBegin();
    probe.take();
    await cont();
    expect(probe.calls).toEqual([]);
    bench.backend.drainedEnd();
    bench.turns();
    expect(probe.take().map(({ offset }) => offset / 512)).toEqual([5, 3, 600, 700, 800]);
    expect(statuses([...asked, late])).toEqual([OK, OK, OK, OK, OK, OK]);
  });

  it('BL-16 L4 a request that is tried again has its whole framing', async () => {
    const { bench, probe, fail, heal, cont } = await open({ werror: 'stop', rerror: 'stop' });
    fail(EIO);
    const { ram } = bench;
    const joined = ram.allocate(16 + 1024);
    const shared = ram.allocate(513);
    const write = bench.ask(1, 4, {
      layout: (chain, at) => {
        ram.write(joined, ram.read(at.header, 16));
        ram.write(joined + 16, pattern(1024, 8));
        chain.out(joined, 7).out(joined + 7, 16 + 1024 - 7);
        chain.in(at.status, 1);
      },
    });
    const read = bench.ask(0, 20, {
      into: 512,
      layout: (chain, at) => chain.out(at.header, 16).in(shared, 513),
    });
    bench.run();
    await rest(bench);
    probe.bytes.set(pattern(512, 20), 20 * 512);
    heal();
    await cont();
    expect(bench.status(write)).toBe(OK);
    expect(probe.bytes.slice(2048, 3072)).toEqual(pattern(1024, 8));
    expect(ram.read(shared, 513)).toEqual(Uint8Array.of(...pattern(512, 20), OK));
    expect([bench.collect(), read.used]).toEqual([2, 513]);
  });

  it('BL-16 a restart that fails again stops again, however often', async () => {
    const { bench, machine, told, fail, heal, statuses, cont } = await open({ werror: 'stop' });
    fail(EIO);
    const asked = [3, 7, 11].map((at) => bench.write(at, pattern(512)));
    bench.run();
    for (let round = 0; round < 5; round++) {
      await rest(bench);
      expect([machine.state, told.splice(0).length]).toEqual(['io-error', 3]);
      expect(bench.queueWord(QUEUE_INUSE)).toBe(3);
      await cont();
    }
    heal();
    await rest(bench);
    await cont();
    expect([statuses(asked), bench.collect()]).toEqual([[OK, OK, OK], 3]);
  });

  it('BL-16 VM-3 a machine that stopped tries nothing again, whoever opens a gate or kicks', async () => {
    const { bench, probe, fail, heal, cont } = await open({ werror: 'stop' });
    fail(EIO);
    const write = bench.write(3, pattern(512));
    bench.run();
    await rest(bench);
    heal();
    probe.take();
    bench.backend.drainedBegin();
    bench.backend.drainedEnd();
    bench.blk.kick(0);
    await rest(bench);
    expect([probe.calls, bench.status(write)]).toEqual([[], UNANSWERED]);
    await cont();
    expect(bench.status(write)).toBe(OK);
  });

  it('BL-16 a request that breaks the queue at the restart takes the others with it', async () => {
    const { bench, fail, heal, cont } = await open({ werror: 'stop' }, NO_BATCHES);
    fail(EIO);
    const asked = [1, 2, 3].map((at) => bench.ask(DISCARD | 1, 0, { out: segment(at, 1) }));
    bench.run();
    await rest(bench);
    const records = bench.queueWord(QUEUE_RECORDS);
    const record = records + asked[0]!.head * RECORD_SIZE;
    bench.core.u32[(record + RECORD_OUT_BYTES) >>> 2] = 16 + 8; // half a segment
    heal();
    await cont();
    expect(asked.map((one) => bench.status(one))).toEqual(asked.map(() => UNANSWERED));
    expect([bench.queueWord(QUEUE_BROKEN), bench.queueWord(QUEUE_INUSE)]).toEqual([
      BROKEN_HEADERS,
      0,
    ]);
  });

  it('BL-17 a reset drops what failed', async () => {
    const { bench, probe, fail, heal, cont } = await open({ werror: 'stop' });
    fail(EIO);
    const write = bench.write(3, pattern(512));
    bench.run();
    await rest(bench);
    bench.blk.writeStatus(0);
    await bench.settle(bench.blk.idle());
    expect([bench.blk.status, bench.queueWord(QUEUE_INUSE)]).toEqual([0, 0]);
    heal();
    probe.take();
    bench.start();
    await cont();
    expect([probe.calls, bench.status(write)]).toEqual([[], UNANSWERED]);
    const next = bench.write(4, pattern(512));
    bench.run();
    expect(bench.status(next)).toBe(OK);
  });

  it('BL-15 a late failure is told though nothing is pushed for it', async () => {
    const { bench, probe, told } = await open({ werror: 'stop' }, {}, 'loop');
    bench.write(3, pattern(512));
    bench.kick();
    probe.settle(0, EIO);
    bench.turns();
    expect(told).toMatchObject([{ operation: 'write', sector: 3, errno: 5, action: 'stop' }]);
    while (probe.held.length > 0 || bench.machine!.running) {
      probe.settleAll(); // the flush of the machine that stops
      await rest(bench);
    }
  });
});

describe('a full memory disk', () => {
  it('BB-19 what the engine cannot place stops the machine, and is written when there is room', async () => {
    const bench = await Bench.open({
      machine: true,
      backend: { werror: 'enospc' },
      driver: (core) => new MemoryDriver(core, SIZE, 3 * 65_536),
      ram: 2 << 20,
    });
    bench.start();
    const rest = async () => {
      for (let i = 0; i < 10; i++) {
        bench.turns();
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    const fill = [0, 1].map((i) => bench.write(i * 128, pattern(512, i)));
    bench.run();
    await rest();
    expect(fill.map((one) => bench.status(one))).toEqual([OK, OK]);
    const late = [bench.write(2 * 128, pattern(512, 2)), bench.read(0, 512)];
    bench.run();
    await rest();
    expect(bench.machine!.state).toBe('io-error');
    expect(late.map((one) => bench.status(one))).toEqual([UNANSWERED, OK]);
    await bench.settle(bench.backend.io.discard(128 * 512, 65_536));
    await bench.settle(bench.machine!.cont());
    await rest();
    expect(bench.status(late[0]!)).toBe(OK);
    const back = bench.read(2 * 128, 512);
    bench.run();
    await rest();
    expect(bench.data(back, 512)).toEqual(pattern(512, 2));
  });
});
