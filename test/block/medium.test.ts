/** Disks that are put in and taken out while requests run, on main and on another thread. */
import { beforeEach, describe, expect, it } from 'vitest';
import { openCore } from '#src/adapter/node';
import { AioContext } from '#src/aio/context';
import { BlockBackend } from '#src/block/backend';
import { OP_FLUSH, OP_READ, OP_WRITE, PENDING } from '#src/block/driver';
import { BlockError, OptionError } from '#src/block/error';
import { registerDriver } from '#src/block/registry';
import type { Core } from '#src/engine/core';
import { EAGAIN, EIO, ENOMEDIUM } from '#src/spec';
import { bytes, make, PAGE } from './rig.ts';
import { ScriptDriver, success } from './script-driver.ts';
import { twoThreads } from './second-thread.ts';

let core: Core;
let context: AioContext;

beforeEach(async () => {
  core = await openCore({ ramBytes: PAGE });
  context = new AioContext(core, { sleeper: 'hook' });
});

const turns = async () => {
  for (let i = 0; i < 30; i++) await Promise.resolve();
};

function setup(driver = new ScriptDriver('inline')) {
  const backend = BlockBackend.attach(core, context, driver);
  return { driver, backend, lane: backend.openLane(context) };
}

const read = (lane: ReturnType<typeof setup>['lane']) => make(lane, OP_READ, 0, bytes(512)).request;

describe('removal and insertion', () => {
  it('BB-18 flushes the disk, takes it out, closes it; then ENOMEDIUM', async () => {
    const { driver, backend, lane } = setup();
    const told: unknown[] = [];
    backend.setDevOps({
      mediaChanged: (loaded) => told.push(loaded, backend.quiesced),
      resized: () => told.push('resized'),
    });
    backend.onResize.add(() => told.push('event'));
    await backend.removeMedium();
    expect([driver.asked.map(({ op }) => op), driver.closed]).toEqual([[OP_FLUSH], true]);
    expect(told).toEqual([false, true, 'resized', 'event']);
    expect([backend.size, backend.root]).toEqual([0, null]);
    expect(lane.submit(read(lane))).toBe(-ENOMEDIUM);
    await backend.removeMedium(); // there is none
    const next = new ScriptDriver('inline', undefined, 1024);
    await backend.insertMedium(next);
    expect([lane.submit(read(lane)), backend.size]).toEqual([0, 1024]);
    expect(told.slice(4)).toEqual([true, true, 'resized', 'event']);
  });

  it('BB-9 BB-18 requests that wait at the gate go to the new disk', async () => {
    const { driver, backend } = setup();
    backend.drainedBegin();
    const written = backend.io.write(0, bytes(512));
    const next = new ScriptDriver('inline');
    await backend.insertMedium(next);
    backend.drainedEnd();
    context.poll();
    await written;
    expect(driver.asked.filter(({ op }) => op === OP_WRITE)).toEqual([]);
    expect(next.asked.map(({ op }) => op)).toEqual([OP_WRITE]);
  });

  it('BB-9 or end with ENOMEDIUM if there is none', async () => {
    const { backend } = setup();
    backend.drainedBegin();
    const failed = backend.io.write(0, bytes(512)).catch((error: BlockError) => error.code);
    await backend.removeMedium();
    backend.drainedEnd();
    context.poll();
    expect(await failed).toBe('ENOMEDIUM');
  });

  it('BB-18 waits for what is in flight', async () => {
    const { driver, backend, lane } = setup(new ScriptDriver('loop'));
    const { request, done } = make(lane, OP_WRITE, 0, bytes(512));
    expect(lane.submit(request)).toBe(PENDING);
    const removed = backend.removeMedium();
    await turns();
    expect([driver.closed, backend.quiesced, driver.asked.length]).toEqual([false, true, 1]);
    expect(lane.submit(read(lane))).toBe(-EAGAIN);
    driver.settle();
    context.poll();
    await turns();
    expect([done.length, driver.asked.at(-1)!.op, driver.closed]).toEqual([1, OP_FLUSH, false]);
    driver.settle();
    await removed;
    expect(driver.closed).toBe(true);
  });

  it('historic bug 21, BB-18: removed and closed while its flush yields, closed once', async () => {
    const { driver, backend, lane } = setup(new ScriptDriver('loop'));
    let closes = 0;
    driver.close = () => void closes++;
    lane.close();
    const first = backend.removeMedium();
    const second = backend.removeMedium();
    const closing = backend.close();
    await turns();
    expect(driver.asked.map(({ op }) => op)).toEqual([OP_FLUSH]);
    expect(closes).toBe(0);
    driver.settle();
    await Promise.all([first, second, closing]);
    expect([closes, driver.asked.length]).toEqual([1, 1]);
  });

  it('BB-18 a flush that fails keeps the disk', async () => {
    const { driver, backend, lane } = setup();
    driver.answer = ({ op, length }) => (op === OP_FLUSH ? -EIO : length);
    await expect(backend.removeMedium()).rejects.toThrow(BlockError);
    expect([driver.closed, lane.driver, backend.quiesced]).toEqual([false, driver, false]);
    expect(lane.submit(read(lane))).toBe(0);
  });

  it('a disk that does not fit is refused, and what was there stays', async () => {
    const { driver, backend } = setup();
    const large = new ScriptDriver('inline');
    large.alignment = 4096;
    await expect(backend.insertMedium(large)).rejects.toThrow(OptionError);
    await expect(backend.insertMedium({ driver: 'nothing' })).rejects.toThrow(OptionError);
    expect([backend.driver, driver.closed, backend.quiesced]).toEqual([driver, false, false]);
  });

  it('a read-only disk makes the drive read-only for as long as it is in', async () => {
    const { backend } = setup();
    const next = new ScriptDriver('inline');
    next.readOnly = true;
    await backend.insertMedium(next);
    expect(backend.readOnly).toBe(true);
    await expect(backend.io.write(0, bytes(512))).rejects.toMatchObject({ code: 'EPERM' });
    await backend.insertMedium(new ScriptDriver('inline'));
    await backend.io.write(0, bytes(512));
  });
});

describe('on another thread', () => {
  it('BB-18 its lane opens the new disk beside, goes over, and closes the old one', async () => {
    const two = await twoThreads({ driver: 'memory', options: { size: 65_536 } });
    const { backend, lane, thread } = two;
    const { request } = make(lane, OP_WRITE, 0, bytes(512));
    backend.drainedBegin();
    expect(lane.submit(request)).toBe(-EAGAIN);
    await backend.insertMedium({ driver: 'memory', options: { size: 131_072 } });
    backend.drainedEnd();
    while (thread.context.poll());
    expect(lane.submit(request)).toBe(0);
    const seen = bytes(512, 9);
    await backend.io.read(0, seen);
    expect(seen).toEqual(bytes(512));
    expect(backend.size).toBe(131_072);
    expect(thread.called.slice(-2)).toEqual(['prepare-driver', 'commit-driver']);
    await backend.removeMedium();
    expect(lane.submit(read(lane))).toBe(-ENOMEDIUM);
  });

  it('BB-18 if the second thread cannot open it, the first closes it again', async () => {
    const opened: ScriptDriver[] = [];
    registerDriver('twice', () => {
      if (opened.length === 1) throw new BlockError('EIO', 'open');
      opened.push(new ScriptDriver('inline'));
      return opened.at(-1)!;
    });
    const two = await twoThreads({ driver: 'null' });
    await two.backend.openLaneOn(two.thread);
    const next = Object.assign(new ScriptDriver('inline'), { share: { driver: 'twice' } });
    const before = two.lane.driver;
    await expect(two.backend.insertMedium(next)).rejects.toThrow('open failed (EIO)');
    expect(opened.map((driver) => driver.closed)).toEqual([true]);
    expect([two.lane.driver, two.backend.driver.driver]).toEqual([before, 'null']);
    expect(two.backend.quiesced).toBe(false);
    expect(two.lane.submit(read(two.lane))).toBe(0);
  });

  it('BB-18 memory that was set aside for a disk goes with it', async () => {
    registerDriver('by-word', () => new ScriptDriver('word', success));
    const two = await twoThreads(
      Object.assign(new ScriptDriver('word', success), { share: { driver: 'by-word' } }),
      { bounceSlots: 2 },
    );
    const before = two.core.allocatedBytes;
    await two.backend.insertMedium({ driver: 'null' });
    expect(before - two.core.allocatedBytes).toBeGreaterThanOrEqual(2 * 131_072);
  });
});
