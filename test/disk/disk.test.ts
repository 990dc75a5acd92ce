/** A disk without an emulator, served by the thread that uses it. */
import { describe, expect, it } from 'vitest';
import { openDisk } from '#src/adapter/node';
import type { BlockDriver } from '#src/block/driver';
import { BlockError, OptionError } from '#src/block/error';
import { DiskError } from '#src/disk/error';
import {
  engines,
  exercise,
  failure,
  faultDisk,
  faultOf,
  MIB,
  memoryDisk,
  pattern,
  until,
} from './rig.ts';

/** ES2024, which the types here do not know. */
function resizable(maxByteLength: number): ArrayBuffer & { resize(bytes: number): void } {
  return Reflect.construct(ArrayBuffer, [maxByteLength, { maxByteLength }]);
}

const HOLD = { action: 'delay' } as const;

describe.each(engines)('openDisk with iothreads 0, %s engine', (engine) => {
  it.each([false, true])('reads what was written, shared memory %s', async (shared) => {
    await using disk = await memoryDisk({ engine, iothreads: 0, shared });
    expect(disk.core.engine.kind).toBe(engine);
    expect(disk.core.shared).toBe(shared);
    expect([disk.size, disk.blockSize, disk.readOnly]).toEqual([MIB, 512, false]);
    await exercise(disk, 17);
  });

  it('cuts requests that are larger than a slot', async () => {
    await using disk = await memoryDisk({ engine, iothreads: 0, 'slot-size': 8192 });
    const bytes = pattern(100 * 1024, 3);
    await disk.write(bytes, 512);
    const back = new Uint8Array(bytes.length);
    await disk.read(back, 512);
    expect(Buffer.compare(back, bytes)).toBe(0);
    expect(disk.stats().requests).toBe(26); // 12.5 slots each way
  });

  it('has room for any number of requests, first come, first served', async () => {
    // Four descriptors: one request at a time.
    await using disk = await memoryDisk({ engine, iothreads: 0, 'queue-size': 4 });
    const order: number[] = [];
    const writes = Array.from({ length: 300 }, (_, i) =>
      disk.write(new Uint8Array(512).fill(i), 512 * (i % 7)).then(() => order.push(i)),
    );
    await Promise.all(writes);
    expect(order).toEqual(Array.from({ length: 300 }, (_, i) => i));
    const last = new Uint8Array(512);
    await disk.read(last, 512 * 3);
    expect(last).toEqual(new Uint8Array(512).fill(297)); // 297 % 7 is 3, the last such
  });

  it('holds no more requests than it has slots for', async () => {
    const options = { engine, iothreads: 0, 'queue-size': 16, 'request-merging': false };
    await using disk = await faultDisk([{ ...HOLD, op: 'read' }], options);
    const reads = Array.from({ length: 9 }, (_, i) => disk.read(new Uint8Array(512), 512 * i));
    await until(() => faultOf(disk).held === 5);
    await new Promise((resolve) => setImmediate(resolve));
    expect(disk.backend.inFlight).toBe(5);
    faultOf(disk).release();
    await until(() => faultOf(disk).held === 4);
    faultOf(disk).release();
    await Promise.all(reads);
  });

  it('submits what one turn starts with one doorbell', async () => {
    await using disk = await memoryDisk({ engine, iothreads: 0 });
    const before = disk.stats();
    for (let round = 0; round < 50; round++) {
      await Promise.all(Array.from({ length: 64 }, () => disk.read(new Uint8Array(512), 0)));
    }
    const after = disk.stats();
    expect(after.requests - before.requests).toBe(3200);
    expect(after.kicks - before.kicks).toBe(50);
    expect(after.interrupts - before.interrupts).toBeLessThanOrEqual(50);
  });

  it('lets timers run between requests that never wait', async () => {
    await using disk = await memoryDisk({ engine, iothreads: 0, shared: false });
    let late = false;
    setTimeout(() => {
      late = true;
    }, 0);
    const buffer = new Uint8Array(512);
    for (let i = 0; i < 300_000 && !late; i++) await disk.read(buffer, 0);
    expect(late).toBe(true);
  });

  it('discards, writes zeroes, flushes and grows', async () => {
    await using disk = await memoryDisk({ engine, iothreads: 0 });
    await disk.write(pattern(MIB, 1), 0);
    await disk.discard(0, MIB);
    await disk.writeZeroes(4096, 8192, { unmap: true });
    await disk.flush();
    const back = new Uint8Array(8192).fill(1);
    await disk.read(back, 4096);
    expect(back).toEqual(new Uint8Array(8192));
    await disk.resize(2 * MIB);
    expect(disk.size).toBe(2 * MIB);
    await disk.write(pattern(512, 9), 2 * MIB - 512);
    expect(disk.stats()).toMatchObject({ flush: { operations: 1 }, clients: 0 });
  });

  it('cuts ranges that are longer than the device takes', async () => {
    const size = 5 * 2 ** 30;
    await using disk = await memoryDisk({ engine, iothreads: 0 }, size);
    await disk.write(pattern(512, 1), size - 512);
    await disk.writeZeroes(0, size);
    await disk.discard(512, size - 512);
    expect(disk.stats().requests).toBe(1 + 3 + 3); // 2 GiB less a sector each
    const back = pattern(512, 1);
    await disk.read(back, size - 512);
    expect(back).toEqual(new Uint8Array(512));
  });

  it('takes an open driver, and blocks as large as it wants', async () => {
    let closed = 0;
    const driver: BlockDriver = {
      driver: 'own',
      settles: 'inline',
      threads: 'one',
      size: 65_536,
      readOnly: false,
      alignment: 4096,
      clusterDisk: 0,
      submit: ({ op, length }) => (op < 2 ? length : 0),
      truncate: () => -22,
      close: () => {
        closed++;
      },
    };
    const disk = await openDisk(driver, { engine }); // on this thread: it serves no other
    expect(disk.blockSize).toBe(4096);
    await disk.read(new Uint8Array(4096), 4096);
    expect(await failure(disk.read(new Uint8Array(512), 0))).toMatchObject({ option: 'length' });
    expect(await failure(openDisk(driver, { engine, iothreads: 1 }))).toMatchObject({
      option: 'iothread',
    });
    expect(closed).toBe(0); // the first disk still stands on it
    await disk.close();
    expect(closed).toBe(1);
  });

  it('takes views, empty buffers, and leaves the bytes beside a view alone', async () => {
    await using disk = await memoryDisk({ engine, iothreads: 0 });
    const all = pattern(2048, 5);
    await disk.write(all.subarray(512, 1024), 0);
    const back = new Uint8Array(2048).fill(0xaa);
    await disk.read(back.subarray(700, 1212), 0);
    expect(back.subarray(700, 1212)).toEqual(all.subarray(512, 1024));
    expect(new Set(back.subarray(0, 700))).toEqual(new Set([0xaa]));
    expect(new Set(back.subarray(1212))).toEqual(new Set([0xaa]));
    await disk.read(new Uint8Array(0), MIB);
    expect(disk.stats().requests).toBe(2);
  });
});

describe.each(engines)('What a disk refuses, %s engine', (engine) => {
  it.each([
    ['an offset between sectors', 1, 512, /offset: 1 is not allowed; allowed: multiples of 512/],
    ['a length between sectors', 0, 513, /length: 513 is not allowed; allowed: multiples of 512/],
    ['a negative offset', -512, 512, /offset: -512 .* from 0 to 1048576/],
    ['an offset behind the end', MIB + 512, 512, /offset: 1049088/],
    ['an end behind the end', MIB - 512, 1024, /length: 1024 .* at most 512: the disk has 1048576/],
    ['an offset that is no number', Number.NaN, 512, /offset: NaN/],
  ])('%s', async (_, offset, length, message) => {
    await using disk = await memoryDisk({ engine, iothreads: 0 });
    const buffer = new Uint8Array(length);
    for (const attempt of [
      disk.read(buffer, offset),
      disk.write(buffer, offset),
      disk.discard(offset, length),
      disk.writeZeroes(offset, length),
    ]) {
      const error = await failure(attempt);
      expect(error).toBeInstanceOf(OptionError);
      expect((error as Error).message).toMatch(message);
    }
    await disk.read(new Uint8Array(512), MIB - 512); // on the other side of the bound
    expect(disk.stats().requests).toBe(1);
  });

  it('a change to a disk that is read-only', async () => {
    await using disk = await memoryDisk({ engine, iothreads: 0, readonly: true });
    await disk.read(new Uint8Array(512), 0);
    const error = await failure(disk.write(new Uint8Array(512), 512));
    expect(error).toBeInstanceOf(BlockError);
    expect(error).toMatchObject({ code: 'EPERM', operation: 'write', offset: 512, length: 512 });
  });

  it.each([
    ['iothreads', { iothreads: -1 }],
    ['iothreads', { iothreads: [] }],
    ['core', { iothreads: [{} as never] }],
    ['shared', { iothreads: 1, shared: false }],
    ['queues', { queues: 0 }],
    ['queue-size', { 'queue-size': 24 }],
    ['slot-size', { 'slot-size': 512 }],
    ['alloc-bytes', { 'alloc-bytes': -1 }],
    ['readonly', { readonly: 1 as never }],
    ['logical_block_size', { iothreads: 0, logical_block_size: 768 }],
    ['color', { color: 'red' } as never],
  ])('the option %s: %o', async (option, options) => {
    const error = await failure(memoryDisk({ engine, ...options }));
    expect(error).toBeInstanceOf(OptionError);
    expect((error as OptionError).option).toBe(option);
  });

  it('a disk that does not open, and leaves nothing behind', async () => {
    const spec = { driver: 'file', options: { filename: '/nowhere/at/all' } };
    expect(await failure(openDisk(spec, { engine }))).toMatchObject({ code: 'ENOENT' });
  });
});

describe.each(engines)('Errors and aborts, %s engine', (engine) => {
  it('a failing request is a BlockError, and the next one works', async () => {
    const rules = [{ action: 'fail', op: 'read', offset: 4096, length: 512, count: 1 }] as const;
    await using disk = await faultDisk([...rules], { engine, iothreads: 0 });
    const error = await failure(disk.read(new Uint8Array(512), 4096));
    expect(error).toBeInstanceOf(BlockError);
    expect(error).toMatchObject({ code: 'EIO', operation: 'read', offset: 4096, length: 512 });
    await disk.read(new Uint8Array(512), 4096);
  });

  it('one failing part fails the whole request, named by its place', async () => {
    const rules = [{ action: 'fail', op: 'write', offset: 12_288, length: 512 }] as const;
    await using disk = await faultDisk([...rules], { engine, iothreads: 0, 'slot-size': 4096 });
    const error = await failure(disk.write(new Uint8Array(65_536), 0));
    expect(error).toMatchObject({ code: 'EIO', operation: 'write' });
    await disk.write(new Uint8Array(4096), 0);
    await exercise(disk, 5, { from: 65_536, rounds: 3 });
  });

  it('an abort answers at once and never touches the buffer again', async () => {
    await using disk = await faultDisk([{ ...HOLD, op: 'read' }], { engine, iothreads: 0 });
    await disk.write(pattern(512, 1), 0);
    const abort = new AbortController();
    const buffer = new Uint8Array(512).fill(0x55);
    const read = failure(disk.read(buffer, 0, { signal: abort.signal }));
    await until(() => faultOf(disk).held === 1);
    abort.abort(new Error('changed my mind'));
    expect(await read).toMatchObject({ message: 'changed my mind' });
    expect(disk.backend.inFlight).toBe(1); // the device has it still
    faultOf(disk).release();
    await until(() => disk.backend.inFlight === 0);
    await disk.flush();
    expect(new Set(buffer)).toEqual(new Set([0x55]));
  });

  it('the slot of an aborted request is free when the device has finished, not before', async () => {
    const options = { engine, iothreads: 0, 'queue-size': 4 }; // one slot
    await using disk = await faultDisk([{ ...HOLD, op: 'read', count: 1 }], options);
    await disk.write(pattern(512, 2), 512);
    const abort = new AbortController();
    const first = failure(disk.read(new Uint8Array(512), 0, { signal: abort.signal }));
    await until(() => faultOf(disk).held === 1);
    abort.abort();
    expect(await first).toMatchObject({ name: 'AbortError' });
    let done = false;
    const back = new Uint8Array(512);
    const second = disk.read(back, 512).then(() => {
      done = true;
    });
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(done).toBe(false);
    faultOf(disk).release();
    await second;
    expect(back).toEqual(pattern(512, 2));
  });

  it('an abort of a request that waits for a slot keeps it from the disk', async () => {
    const options = { engine, iothreads: 0, 'queue-size': 4 };
    await using disk = await faultDisk([{ ...HOLD, op: 'read', count: 1 }], options);
    const abort = new AbortController();
    const read = disk.read(new Uint8Array(512), 0);
    const signal = abort.signal;
    const writes = [1, 2].map((i) => failure(disk.write(pattern(512, i), 512 * i, { signal })));
    const kept = disk.write(pattern(512, 3), 512 * 3);
    await until(() => faultOf(disk).held === 1);
    abort.abort();
    await Promise.all(writes);
    faultOf(disk).release();
    await Promise.all([read, kept]);
    const back = new Uint8Array(2048);
    await disk.read(back, 0);
    expect(back.subarray(0, 1536)).toEqual(new Uint8Array(1536));
    expect(back.subarray(1536)).toEqual(pattern(512, 3));
  });

  it('a signal that is aborted already refuses, and one that is not used up stays quiet', async () => {
    await using disk = await memoryDisk({ engine, iothreads: 0 });
    const read = disk.read(new Uint8Array(512), 0, { signal: AbortSignal.abort('no') });
    await expect(read).rejects.toBe('no');
    const abort = new AbortController();
    await disk.read(new Uint8Array(512), 0, { signal: abort.signal });
    abort.abort();
    await exercise(disk, 3, { rounds: 2 });
    expect(disk.stats().read.operations).toBeGreaterThan(1);
  });

  it('a buffer that is detached meanwhile fails its request alone', async () => {
    await using disk = await faultDisk([{ ...HOLD, op: 'read', count: 1 }], {
      engine,
      iothreads: 0,
    });
    const buffer = new Uint8Array(512);
    const read = failure(disk.read(buffer, 0));
    await until(() => faultOf(disk).held === 1);
    structuredClone(buffer.buffer, { transfer: [buffer.buffer] });
    faultOf(disk).release();
    expect(await read).toBeInstanceOf(TypeError);
    await exercise(disk, 4, { rounds: 2 });
  });

  it('what shrinks while it waits for a slot is not written', async () => {
    const options = { engine, iothreads: 0, 'queue-size': 4 };
    await using disk = await faultDisk([{ ...HOLD, op: 'read', count: 1 }], options);
    const read = disk.read(new Uint8Array(512), 0);
    const shrinking = resizable(1024);
    const write = failure(disk.write(new Uint8Array(shrinking), 0));
    await until(() => faultOf(disk).held === 1);
    shrinking.resize(512);
    faultOf(disk).release();
    await read;
    expect(await write).toBeInstanceOf(TypeError);
    expect(disk.stats().write.operations).toBe(0);
  });
});

describe.each(engines)('Buffers without a copy, %s engine', (engine) => {
  const options = { engine, iothreads: 0, shared: true, 'slot-size': 4096 } as const;

  it('one request moves all of a buffer of alloc', async () => {
    await using disk = await memoryDisk(options);
    const buffer = disk.alloc(65_536);
    expect(buffer).toEqual(new Uint8Array(65_536));
    const bytes = pattern(65_536, 8);
    buffer.set(bytes);
    const before = disk.stats().requests;
    await disk.write(buffer, 0);
    buffer.fill(0);
    await disk.read(buffer.subarray(512, 1024), 512);
    expect(disk.stats().requests - before).toBe(2);
    expect(buffer.subarray(0, 512)).toEqual(new Uint8Array(512));
    expect(buffer.subarray(512, 1024)).toEqual(bytes.subarray(512, 1024));
    const copied = new Uint8Array(65_536);
    await disk.read(copied, 0);
    expect(disk.stats().requests - before).toBe(2 + 16);
    expect(Buffer.compare(copied, bytes)).toBe(0);
  });

  it('an abort waits for the device, which may be writing', async () => {
    await using disk = await faultDisk([{ ...HOLD, op: 'read' }], options);
    const abort = new AbortController();
    let answered = false;
    const read = failure(disk.read(disk.alloc(512), 0, { signal: abort.signal })).then((error) => {
      answered = true;
      return error;
    });
    await until(() => faultOf(disk).held === 1);
    abort.abort('enough');
    await new Promise((resolve) => setImmediate(resolve));
    expect(answered).toBe(false);
    faultOf(disk).release();
    expect(await read).toBe('enough');
  });

  it('what is given back can be had again, and there is an end', async () => {
    await using disk = await memoryDisk({ ...options, 'alloc-bytes': 65_536 });
    const buffer = disk.alloc(65_536);
    expect(() => disk.alloc(4096)).toThrow(DiskError);
    expect(() => disk.alloc(4096)).toThrow(/no room for 4096 bytes: 65536 of 65536/);
    expect(() => disk.free(new Uint8Array(8))).toThrow(OptionError);
    disk.free(buffer);
    const again = disk.alloc(4096);
    await disk.write(again, 0);
  });

  it('survives a growth of the memory', async () => {
    await using disk = await memoryDisk(options, 8 * MIB);
    const buffer = disk.alloc(8 * MIB); // as many clusters are claimed, and the memory grows
    const bytes = pattern(8 * MIB, 6);
    buffer.set(bytes);
    await disk.write(buffer, 0);
    buffer.fill(0);
    await disk.read(buffer, 0);
    expect(Buffer.compare(buffer, bytes)).toBe(0);
  });

  it('is an ordinary buffer where the memory is not shared', async () => {
    await using disk = await memoryDisk({ engine, iothreads: 0, shared: false });
    const buffer = disk.alloc(4096);
    await disk.write(buffer, 0);
    disk.free(buffer);
    expect(buffer.buffer).toBeInstanceOf(ArrayBuffer);
  });
});

describe.each(engines)('The end of a disk, %s engine', (engine) => {
  it('close waits for what is under way and refuses the rest', async () => {
    const disk = await faultDisk([{ ...HOLD, op: 'write' }], { engine, iothreads: 0 });
    const write = disk.write(pattern(512, 1), 0);
    await until(() => faultOf(disk).held === 1);
    let closed = false;
    const closing = disk.close().then(() => {
      closed = true;
    });
    const error = await failure(disk.read(new Uint8Array(512), 0));
    expect(error).toBeInstanceOf(DiskError);
    expect(error).toMatchObject({ code: 'ESHUTDOWN' });
    expect(closed).toBe(false);
    faultOf(disk).release();
    await write;
    await closing;
    await disk.close(); // once more is no mistake
  });

  it('a device whose engine fails answers everybody', async () => {
    const disk = await memoryDisk({ engine, iothreads: 0 });
    const boom = new Error('boom');
    Object.defineProperty(disk.core.engine, 'blkPop', {
      value: () => {
        throw boom;
      },
    });
    const errors = await Promise.all([
      failure(disk.read(new Uint8Array(512), 0)),
      failure(disk.write(new Uint8Array(512), 0)),
    ]);
    for (const error of errors) {
      expect(error).toMatchObject({ name: 'DiskError', code: 'EOWNERDEAD', cause: boom });
    }
    expect(await failure(disk.flush())).toMatchObject({ code: 'EOWNERDEAD' });
    await disk.close();
  });
});
