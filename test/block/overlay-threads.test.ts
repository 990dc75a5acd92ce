/** What threads that have one overlay open do to each other, step by step: here they are one. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { openCore } from '#src/adapter/node';
import { type BlockRequest, OP_FLUSH, OP_READ, OP_WRITE } from '#src/block/driver';
import { DriverClient } from '#src/block/driver-client';
import { MAP_OFFSET } from '#src/block/overlay-header';
import { openOverlay } from '#src/block/overlay-open';
import { Core } from '#src/engine/core';
import { JournalDisk, same, sectors } from './overlay-rig.ts';

const core = await openCore({ shared: true });
const turns = async () => {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setTimeout(resolve, 1));
};

/** An overlay, and the same as another thread has it. Clusters of 4 KiB. */
async function two() {
  const base = new JournalDisk(sectors(128, 1000), 'loop');
  const top = new JournalDisk(new Uint8Array(8192), 'loop');
  const parts = { base, top, 'cluster-size': 4096 };
  const mine = await openOverlay(core, parts, { main: true });
  const attached = await Core.attach(core.handle());
  const map = mine.map.address;
  const other = await openOverlay(attached, { base, top, map }, { main: false });
  return { base, top, mine, other, here: new DriverClient(mine), there: new DriverClient(other) };
}

function watch(promise: Promise<unknown>): { ended: boolean; promise: Promise<unknown> } {
  const watched = { ended: false, promise };
  void promise.then(
    () => (watched.ended = true),
    () => (watched.ended = true),
  );
  return watched;
}

const isRead = ({ op }: BlockRequest) => op === OP_READ;
const isFlush = ({ op }: BlockRequest) => op === OP_FLUSH;
afterEach(() => vi.restoreAllMocks());

describe('overlay: two threads', () => {
  it('a write waits for the thread that fills its cluster, and neither loses a byte', async () => {
    const t = await two();
    t.base.holds = isRead;
    const first = watch(t.here.write(512, sectors(1, 1)));
    const second = watch(t.there.write(1024, sectors(1, 2)));
    const part = watch(t.here.write(4096 + 512, sectors(1, 40)));
    const whole = watch(t.there.write(4096, sectors(8, 50)));
    await turns();
    const all = [first, second, part, whole];
    expect([t.base.held, ...all.map(({ ended }) => ended)]).toEqual([2, ...all.map(() => false)]);
    t.base.release();
    await Promise.all(all.map(({ promise }) => promise));
    const read = new Uint8Array(8192);
    await t.here.read(0, read);
    const expected = new Uint8Array(8192);
    expected.set(sectors(8, 1000));
    expected.set(sectors(2, 1), 512);
    expected.set(sectors(8, 50), 4096);
    // Of two writes to one sector at the same time either may be the last.
    if (read[4608] === 40) expected.set(sectors(1, 40), 4608);
    same(read, expected);
    t.base.holds = null;
    await t.other.close();
    await t.mine.close();
  });

  it('what one thread has written the other reads, and reads the base until then', async () => {
    const t = await two();
    t.top.holds = ({ op }) => op === OP_WRITE;
    const write = watch(t.here.write(0, sectors(8, 1)));
    await turns();
    const read = new Uint8Array(4096);
    await t.there.read(0, read);
    same(read, sectors(8, 1000));
    t.top.release();
    await write.promise;
    await t.there.read(0, read);
    same(read, sectors(8, 1));
    t.top.holds = null;
    await t.other.close();
    await t.mine.close();
  });

  it('one thread at a time writes the map, and none takes back what another has put there', async () => {
    const t = await two();
    await t.here.write(0, sectors(8, 1));
    t.top.holds = isFlush;
    const first = watch(t.here.command(OP_FLUSH));
    await turns();
    await t.there.write(8192, sectors(8, 2));
    const second = watch(t.there.command(OP_FLUSH));
    await turns();
    expect([t.top.held, first.ended, second.ended]).toEqual([1, false, false]);
    t.top.holds = null;
    t.top.release();
    await Promise.all([first.promise, second.promise]);
    expect(t.top.bytes[MAP_OFFSET]).toBe(0b101);
    const maps = t.top.journal.flatMap((entry) =>
      entry?.offset === MAP_OFFSET ? [entry.data[0]] : [],
    );
    expect(maps.slice(-2)).toEqual([0b001, 0b101]); // as noted before the data was flushed
    await t.other.close();
    await t.mine.close();
  });

  it('a flush is not done while the map that it needs is on its way by another', async () => {
    const t = await two();
    await t.here.write(0, sectors(8, 1));
    await t.there.write(512, sectors(1, 2)); // in a cluster that the other one brought
    t.top.holds = ({ op, offset }) => op === OP_WRITE && offset === MAP_OFFSET;
    const first = watch(t.here.command(OP_FLUSH));
    await turns();
    const second = watch(t.there.command(OP_FLUSH));
    await turns();
    expect([t.top.held, first.ended, second.ended]).toEqual([1, false, false]);
    t.top.holds = null;
    t.top.release();
    await Promise.all([first.promise, second.promise]);
    await t.other.close();
    await t.mine.close();
  });

  it('who waits for a thread that has died ends with ETIMEDOUT', async () => {
    const t = await two();
    expect(t.mine.map.claim(0)).toBe(true); // and is never heard of again
    const write = watch(t.there.write(512, sectors(1, 2)));
    await turns();
    expect(write.ended).toBe(false);
    const now = performance.now();
    vi.spyOn(performance, 'now').mockReturnValue(now + 61_000);
    await expect(write.promise).rejects.toThrow('ETIMEDOUT');
    t.mine.map.beginFlush();
    await t.other.close();
    vi.restoreAllMocks();
    await t.mine.close(); // main closes last: whoever holds the map has died
  });

  it('only main changes the size, and its own words', async () => {
    const t = await two();
    expect(t.other.truncate(32_768)).toBe(-1);
    expect(t.mine.truncate(32_768)).toBe(0);
    t.other.resized();
    expect(t.other.size).toBe(32_768);
    expect(t.mine.truncate(131_072)).toBe(0);
    await t.there.write(65_536, sectors(8, 1));
    const read = new Uint8Array(4096);
    await t.here.read(65_536, read);
    same(read, sectors(8, 1));
    await t.other.close();
    await t.mine.close();
  });
});
