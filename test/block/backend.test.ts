import { describe, expect, it } from 'vitest';
import { openCore } from '#src/adapter/node';
import { AioContext } from '#src/aio/context';
import { BlockBackend } from '#src/block/backend';
import { OP_FLUSH, OP_READ, PENDING } from '#src/block/driver';
import { BlockError, OptionError } from '#src/block/error';
import { exclusive } from '#src/block/exclusive';
import { MemoryDriver } from '#src/block/memory';
import {
  BACKEND_BLOCK_SECTORS,
  BACKEND_CAPACITY_HI,
  BACKEND_CAPACITY_LO,
  BACKEND_DISK,
  BACKEND_F_READ_ONLY,
  BACKEND_F_WRITE_CACHE,
  BACKEND_FLAGS,
  BACKEND_LANES,
  BACKEND_WAKE,
} from '#src/layout';
import { Machine } from '#src/machine/machine';
import { ScriptDriver } from './script-driver.ts';

const core = await openCore();

function setup(driver = new ScriptDriver('loop')) {
  const context = new AioContext(core, { sleeper: 'hook' });
  const backend = BlockBackend.attach(core, context, driver);
  return { driver, context, backend, lane: backend.openLane(context) };
}

type Rig = ReturnType<typeof setup>;

function flush({ lane }: Pick<Rig, 'lane'>, done: () => void = () => {}) {
  const request = lane.request();
  request.op = OP_FLUSH;
  request.offset = 0;
  request.length = 0;
  request.done = () => {
    done();
    request.release();
  };
  expect(lane.submit(request)).toBe(PENDING);
  return request;
}

/** Has the promise settled, once all microtasks have run? */
async function settled(promise: Promise<unknown>): Promise<boolean> {
  let over = false;
  promise.then(() => {
    over = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 0));
  return over;
}

/** A disk that is to be closed; until `over` is called, a change of another one has the turn. */
function closingLater() {
  const rig = setup(new ScriptDriver('inline'));
  rig.lane.close();
  let over = () => {};
  const change = exclusive(core, () => new Promise<void>((resolve) => (over = resolve)));
  return { ...rig, change, over: () => over(), closing: rig.backend.close() };
}

function word(backend: BlockBackend, field: number): number {
  return core.u32[(backend.address + field) >>> 2] as number;
}

describe('drain', () => {
  it('BB-12 blk_drain: idle waits for what is in flight, and for nothing if nothing is', async () => {
    const rig = setup();
    await rig.backend.idle();
    flush(rig);
    const idle = rig.backend.idle();
    expect(await settled(idle)).toBe(false);
    rig.driver.settle();
    expect(await settled(idle)).toBe(false); // settled is not completed
    rig.context.poll();
    await idle;
    expect(rig.backend.quiesced).toBe(false);
  });

  it('BB-12 idle holds the gate closed while it waits, with or without quiesce', async () => {
    const rig = setup();
    flush(rig);
    const idle = rig.backend.idle();
    expect(rig.backend.quiesced).toBe(true);
    rig.backend.drainedBegin();
    rig.driver.settle();
    rig.context.poll();
    await idle;
    expect(rig.backend.quiesced).toBe(true);
    rig.backend.drainedEnd();
    expect(rig.backend.quiesced).toBe(false);
  });

  it('BB-12 idle waits for all lanes, on whatever context', async () => {
    const rig = setup();
    const other = new AioContext(core, { sleeper: 'hook' });
    const second = rig.backend.openLane(other);
    flush(rig);
    flush({ lane: second });
    const idle = rig.backend.idle();
    rig.driver.settle();
    rig.context.poll();
    expect(await settled(idle)).toBe(false);
    rig.driver.settle();
    other.poll();
    await idle;
  });

  it('BL-17 what a completion submits again inside the drained section does not enter', async () => {
    const rig = setup();
    let again = 0;
    const request = flush(rig, () => {
      const next = rig.lane.request();
      next.op = OP_FLUSH;
      next.offset = 0;
      next.length = 0;
      again = rig.lane.submit(next);
    });
    expect(request.transfer.busy).toBe(true);
    rig.backend.drainedBegin();
    const idle = rig.backend.idle();
    rig.driver.settle();
    rig.context.poll();
    await idle;
    expect(again).toBe(-11);
    expect(rig.driver.asked).toHaveLength(1);
  });

  it('drained sections nest: only the outermost end opens the gate and tells the lanes', async () => {
    const { backend, lane, context } = setup();
    let opened = 0;
    lane.onOpen.add(() => opened++);
    backend.drainedBegin();
    backend.drainedBegin();
    backend.drainedEnd();
    context.poll();
    expect([backend.quiesced, opened]).toEqual([true, 0]);
    backend.drainedEnd();
    context.poll();
    expect([backend.quiesced, opened]).toEqual([false, 1]);
    expect(() => backend.drainedEnd()).toThrow('drainedEnd without drainedBegin');
  });

  it('two that wait are both told', async () => {
    const rig = setup();
    flush(rig);
    const both = Promise.all([rig.backend.idle(), rig.backend.idle()]);
    rig.driver.settle();
    rig.context.poll();
    await both;
    expect(rig.backend.quiesced).toBe(false);
  });
});

describe('words that lanes and engine read', () => {
  it('say size, block size, flags, cluster disk and context', () => {
    const { context, backend } = setup(new ScriptDriver('inline'));
    expect(word(backend, BACKEND_FLAGS)).toBe(BACKEND_F_WRITE_CACHE);
    expect(word(backend, BACKEND_CAPACITY_LO)).toBe(128);
    expect(word(backend, BACKEND_BLOCK_SECTORS)).toBe(1);
    expect(word(backend, BACKEND_WAKE)).toBe(context.address);
    expect(word(backend, BACKEND_LANES)).toBe(1);
    const large = new ScriptDriver('inline');
    large.size = 2 ** 42 + 1000; // a size that is no multiple of a sector is rounded down
    const wide = BlockBackend.attach(core, context, large, {
      readOnly: true,
      writeCache: false,
      logicalBlockSize: 4096,
    });
    expect(word(wide, BACKEND_CAPACITY_LO)).toBe(1);
    expect(word(wide, BACKEND_CAPACITY_HI)).toBe(2);
    expect(wide.size).toBe(2 ** 42 + 512);
    expect(word(wide, BACKEND_BLOCK_SECTORS)).toBe(8);
    expect(word(wide, BACKEND_FLAGS)).toBe(BACKEND_F_READ_ONLY);
    wide.writeCache = true;
    expect(word(wide, BACKEND_FLAGS)).toBe(BACKEND_F_READ_ONLY | BACKEND_F_WRITE_CACHE);
    const disk = new MemoryDriver(core, 2 ** 20);
    const memory = BlockBackend.attach(core, context, disk);
    expect(word(memory, BACKEND_DISK)).toBe(disk.clusterDisk);
  });
});

describe('options', () => {
  it('a logical block size is a power of two from 512', () => {
    const context = new AioContext(core, { sleeper: 'hook' });
    for (const logicalBlockSize of [0, 256, 1000, 4_194_304]) {
      const attach = () =>
        BlockBackend.attach(core, context, new ScriptDriver(), { logicalBlockSize });
      expect(attach).toThrow(OptionError);
      expect(attach).toThrow(`logical_block_size: ${logicalBlockSize} is not allowed`);
    }
  });

  it('a disk of larger blocks than the guest’s is refused, and closed', async () => {
    const context = new AioContext(core, { sleeper: 'hook' });
    const driver = new ScriptDriver('inline');
    driver.alignment = 4096;
    expect(() => BlockBackend.attach(core, context, driver)).toThrow(
      'logical_block_size: 512 is not allowed; allowed: at least 4096',
    );
    BlockBackend.attach(core, context, driver, { logicalBlockSize: 4096 });
  });

  it('an unknown driver is named with those that are known', async () => {
    const context = new AioContext(core, { sleeper: 'hook' });
    await expect(BlockBackend.open(core, context, { driver: 'qcow2' })).rejects.toThrow(
      /^driver: 'qcow2' is not allowed; allowed: fault, file, memory, null, overlay, throttle$/,
    );
  });
});

describe('resize', () => {
  it('changes driver and capacity in a drained section, then tells', async () => {
    const rig = setup();
    const seen: number[] = [];
    rig.backend.onResize.add(() => seen.push(rig.backend.size));
    flush(rig);
    const resize = rig.backend.resize(131_072);
    expect(await settled(resize)).toBe(false);
    expect(rig.driver.size).toBe(65_536);
    rig.driver.settle();
    rig.context.poll();
    await resize;
    expect(seen).toEqual([131_072]);
    expect(word(rig.backend, BACKEND_CAPACITY_LO)).toBe(256);
    expect(rig.backend.quiesced).toBe(false);
  });

  it('a driver that refuses changes nothing', async () => {
    const rig = setup();
    rig.driver.truncate = () => -28;
    const failed = rig.backend.resize(2 ** 20);
    await expect(failed).rejects.toBeInstanceOf(BlockError);
    await expect(failed).rejects.toMatchObject({ code: 'ENOSPC', operation: 'truncate' });
    expect([rig.backend.size, rig.backend.quiesced]).toEqual([65_536, false]);
    await expect(rig.backend.resize(100)).rejects.toBeInstanceOf(OptionError);
  });

  it('a read-only disk keeps its size', async () => {
    const context = new AioContext(core, { sleeper: 'hook' });
    const driver = new ScriptDriver('inline');
    const backend = BlockBackend.attach(core, context, driver, { readOnly: true });
    await expect(backend.resize(512)).rejects.toMatchObject({ code: 'EPERM' });
  });
});

describe('requests of the host', () => {
  it('read and write as promises; a failure is a BlockError with what and where', async () => {
    await using context = disposable(new AioContext(core));
    const disk = { driver: 'memory', options: { size: '1M', limit: '128k' } };
    const backend = await BlockBackend.open(core, context.value, disk);
    await backend.io.write(512, Uint8Array.of(1, 2, 3, 4));
    const back = new Uint8Array(4);
    await backend.io.read(512, back);
    expect([...back]).toEqual([1, 2, 3, 4]);
    await backend.io.flush();
    await backend.io.writeZeroes(512, 2);
    await backend.io.read(512, back);
    expect([...back]).toEqual([0, 0, 3, 4]);
    await backend.io.discard(0, 2 ** 20);
    const full = backend.io.write(0, new Uint8Array(200_000));
    await expect(full).rejects.toBeInstanceOf(BlockError);
    await expect(full).rejects.toMatchObject({
      code: 'ENOSPC',
      operation: 'write',
      offset: 0,
      length: 200_000,
      message: 'write of 200000 bytes at 0 failed (ENOSPC)',
    });
    await expect(backend.io.read(2 ** 20, back)).rejects.toMatchObject({ code: 'EIO' });
    await backend.close();
  });

  it('wait at a closed gate and go on when it opens', async () => {
    const rig = setup(new ScriptDriver('inline'));
    rig.backend.drainedBegin();
    const flushed = rig.backend.io.flush();
    expect(await settled(flushed)).toBe(false);
    rig.backend.drainedEnd();
    rig.context.poll();
    await flushed;
    expect(rig.driver.asked).toHaveLength(1);
  });

  it('carry what the driver threw as cause', async () => {
    const rig = setup(
      new ScriptDriver('inline', () => {
        throw Object.assign(new Error('the disk is gone'), { code: 'ENODEV' });
      }),
    );
    await expect(rig.backend.io.read(0, new Uint8Array(512))).rejects.toMatchObject({
      code: 'ENODEV',
      cause: { message: 'the disk is gone' },
    });
  });
});

describe('closing', () => {
  it('waits for what is in flight, closes the driver, frees everything', async () => {
    const before = core.allocatedBytes;
    const rig = setup();
    const { context, backend, driver } = rig;
    const io = backend.io.flush();
    rig.lane.close();
    const closing = backend.close();
    expect(await settled(closing)).toBe(false);
    expect(driver.closed).toBe(false);
    driver.settle();
    context.poll();
    await Promise.all([io, closing]);
    expect(driver.closed).toBe(true);
    context.close();
    expect(core.allocatedBytes).toBe(before);
  });

  it('VM-1 close amid the flush of a machine that stops waits for it, also at a closed gate', async () => {
    const before = core.allocatedBytes;
    const { context, backend, driver, lane } = setup();
    lane.close();
    backend.drainedBegin();
    const flushed = backend.flush();
    const closing = backend.close();
    expect(await settled(closing)).toBe(false);
    backend.drainedEnd();
    context.poll();
    expect(driver.asked).toHaveLength(1);
    expect(await settled(closing)).toBe(false);
    driver.settle();
    context.poll();
    await Promise.all([flushed, closing]);
    expect(driver.closed).toBe(true);
    context.close();
    expect(core.allocatedBytes).toBe(before);
  });

  it.each(['flush', 'read'] as const)(
    'VM-1 a request of the host that waits at a closed gate ends before close does: %s',
    async (kind) => {
      const before = core.allocatedBytes;
      const { context, backend, driver, lane } = setup(new ScriptDriver('inline'));
      lane.close();
      const { io } = backend;
      const read = () => io.read(0, new Uint8Array(512));
      await read();
      backend.drainedBegin();
      const asked = kind === 'flush' ? backend.flush() : read();
      const closing = backend.close();
      expect(await settled(Promise.race([asked, closing]))).toBe(false);
      backend.drainedEnd();
      for (const late of [read(), io.flush()]) {
        await expect(late).rejects.toThrow('the backend is closed');
      }
      expect(await settled(closing)).toBe(false);
      context.poll();
      await Promise.all([asked, closing]);
      expect(driver.asked.map(({ op }) => op)).toEqual([
        OP_READ,
        kind === 'flush' ? OP_FLUSH : OP_READ,
      ]);
      context.close();
      expect(core.allocatedBytes).toBe(before);
    },
  );

  it('VM-1 a disk that waits for its turn to be closed is flushed with its machine', async () => {
    const { context, backend, driver, change, over, closing } = closingLater();
    await backend.flush();
    expect(driver.asked).toHaveLength(1);
    over();
    await Promise.all([change, closing]);
    await expect(backend.flush()).rejects.toThrow('the backend is closed');
    context.close();
  });

  it('VM-1 a disk is closed while its machine waits for another one', async () => {
    const context = new AioContext(core, { sleeper: 'hook' });
    const machine = new Machine(context);
    const slow = new ScriptDriver('loop');
    const [quick, late] = [new ScriptDriver('inline'), slow].map((driver) =>
      BlockBackend.attach(core, context, driver, { machine }),
    ) as [BlockBackend, BlockBackend];
    const before = late.io.read(0, new Uint8Array(512));
    const stopped = machine.stop();
    expect(await settled(stopped)).toBe(false);
    const read = quick.io.read(0, new Uint8Array(512));
    const closing = quick.close();
    expect(await settled(Promise.race([stopped, read, closing]))).toBe(false);
    slow.settle();
    context.poll();
    await before;
    await settled(stopped);
    context.poll(); // the gate is open again
    await Promise.all([read, closing]);
    slow.settle(); // the flush
    context.poll();
    await stopped;
    await late.resize(2 * late.size); // a change of another graph
    await late.close();
    machine.close();
    context.close();
  });

  it('who waits at the gate of a section lets that change other disks, and is closed after it', async () => {
    const { context, backend, lane } = setup(new ScriptDriver('inline'));
    lane.close();
    const other = BlockBackend.attach(core, context, new ScriptDriver('inline'));
    let read: Promise<void> | undefined;
    let closing: Promise<void> | undefined;
    await backend.drained(async () => {
      read = backend.io.read(0, new Uint8Array(512));
      closing = backend.close();
      await other.resize(2 * other.size);
    });
    context.poll();
    await Promise.all([read, closing]);
    await other.close();
    context.close();
  });

  it('what is asked for while a disk waits for its turn is done before it is closed', async () => {
    const { context, backend, driver, change, over, closing } = closingLater();
    backend.drainedBegin();
    const late = backend.flush();
    over();
    await change;
    expect(await settled(closing)).toBe(false);
    expect(driver.closed).toBe(false);
    await exclusive(core, async () => {}); // nobody else has to wait for it
    backend.drainedEnd();
    context.poll();
    await Promise.all([late, closing]);
    expect(driver.closed).toBe(true);
    context.close();
  });

  it('a lane that is open refuses close at every moment of a flush', async () => {
    const { context, backend, driver, lane } = setup();
    const flushed = backend.flush();
    driver.settle();
    context.poll();
    const answers: Promise<string>[] = [];
    for (let i = 0; i < 16; i++) {
      const refused = (error: Error) => error.message;
      answers.push(backend.close().then(() => 'closed', refused));
      await Promise.resolve();
    }
    await flushed;
    expect(new Set(await Promise.all(answers))).toEqual(new Set(['the backend still has 1 lanes']));
    lane.close();
    await backend.close();
    context.close();
  });

  it('a context without room for a lane takes no memory', async () => {
    const full = new AioContext(core, { sleeper: 'hook', slots: 1 });
    const half = full.bottomHalf('the only one', () => {});
    const { backend, lane, context } = setup();
    const before = core.allocatedBytes;
    expect(() => backend.openLane(full)).toThrow('bottom halves in use');
    expect(core.allocatedBytes).toBe(before);
    lane.close();
    await backend.close();
    half.delete();
    full.close();
    context.close();
  });

  it('a lane that somebody still has is an error', async () => {
    const { backend, lane } = setup();
    await expect(backend.close()).rejects.toThrow('1 lanes');
    lane.close();
    await backend.close();
    await backend.close();
    expect(() => backend.openLane(backend.context)).toThrow('closed');
  });

  it('a read of an inline disk in a loop context works without any poll of ours', async () => {
    await using context = disposable(new AioContext(core));
    const driver = new ScriptDriver('loop', () => {
      setTimeout(() => driver.settle(), 1);
      return PENDING;
    });
    const backend = BlockBackend.attach(core, context.value, driver);
    await backend.io.read(0, new Uint8Array(512));
    expect(driver.asked.map(({ op }) => op)).toEqual([OP_READ]);
    await backend.close();
  });
});

function disposable(value: AioContext) {
  return {
    value,
    async [Symbol.asyncDispose]() {
      value.close();
    },
  };
}
