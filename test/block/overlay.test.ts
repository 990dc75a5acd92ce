import { mkdtempSync, rmSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { openCore } from '#src/adapter/node';
import { AioContext } from '#src/aio/context';
import { BlockBackend } from '#src/block/backend';
import '#src/block/drivers';
import {
  type BlockDriver,
  type DriverSpec,
  OP_DISCARD,
  OP_FLUSH,
  OP_READ,
  OP_WRITE,
  OP_WRITE_ZEROES,
  REQ_MAY_UNMAP,
} from '#src/block/driver';
import { DriverClient } from '#src/block/driver-client';
import { BlockError, OptionError } from '#src/block/error';
import { ThreadsFileDriver } from '#src/block/file-threads';
import { SegmentVector } from '#src/block/io-vector';
import { MemoryDriver } from '#src/block/memory';
import type { OverlayDriver } from '#src/block/overlay';
import { encodeHeader, MAP_OFFSET } from '#src/block/overlay-header';
import { commitOverlay, rebaseOverlay } from '#src/block/overlay-jobs';
import { openOverlay } from '#src/block/overlay-open';
import { context, core, JournalDisk, open, same, sectors } from './overlay-rig.ts';

const KIB = 1024;
const CLUSTER = { 'cluster-size': 4096 };
const folder = mkdtempSync(join(tmpdir(), 'vblk-overlay-'));
let files = 0;
afterAll(() => rmSync(folder, { recursive: true }));

/** A base of 64 KiB in which no two sectors are alike, and an empty top. */
function disks(settles: 'inline' | 'loop' = 'inline') {
  const base = new JournalDisk(sectors(128, 1000), settles);
  return { base, top: new JournalDisk(new Uint8Array(SMALL), settles) };
}
const SMALL = 8192;

async function contents(disk: BlockDriver): Promise<Uint8Array> {
  const bytes = new Uint8Array(disk.size);
  await new DriverClient(disk).read(0, bytes);
  return bytes;
}

const write = (disk: BlockDriver, offset: number, bytes: Uint8Array) =>
  new DriverClient(disk).write(offset, bytes);
const flush = (disk: BlockDriver) => new DriverClient(disk).command(OP_FLUSH);

describe.each(['inline', 'loop'] as const)('overlay on disks that settle %s', (settles) => {
  it('reads the base where nothing was written, and never writes to it', async () => {
    const { base, top } = disks(settles);
    const overlay = await open(base, top, CLUSTER);
    expect([overlay.size, overlay.settles, overlay.present]).toEqual([65_536, settles, 0]);
    same(await contents(overlay), base.bytes);
    const expected = base.bytes.slice();
    const data = sectors(9, 1);
    await write(overlay, 3584, data);
    expected.set(data, 3584);
    same(await contents(overlay), expected);
    expect([overlay.present, base.journal]).toEqual([2, []]);
    await overlay.close();
  });

  it('a whole cluster is written without a copy, a part of one with the rest of it', async () => {
    const { base, top } = disks(settles);
    const overlay = await open(base, top, CLUSTER);
    base.reads = 0;
    await write(overlay, 8192, sectors(16, 1));
    expect([base.reads, overlay.present]).toEqual([0, 2]);
    await write(overlay, 512, sectors(1, 1));
    expect([base.reads, overlay.present]).toEqual([1, 3]);
    await write(overlay, 0, sectors(1, 1));
    expect(base.reads).toBe(1);
    await overlay.close();
  });

  it('zeroes and discards: only what they are told, and the base stays hidden', async () => {
    const { base, top } = disks(settles);
    const overlay = await open(base, top, CLUSTER);
    const client = new DriverClient(overlay);
    const expected = base.bytes.slice();
    await client.command(OP_DISCARD, 0, 65_536);
    same(await contents(overlay), expected);
    await client.command(OP_WRITE_ZEROES, 3584, 9216, REQ_MAY_UNMAP);
    await client.command(OP_WRITE_ZEROES, 61_440, 4096);
    expected.fill(0, 3584, 12_800).fill(0, 61_440);
    same(await contents(overlay), expected);
    await client.command(OP_DISCARD, 4096, 4096);
    same(await contents(overlay), expected);
    await overlay.close();
  });

  it('is found again with all that was flushed', async () => {
    const { base, top } = disks(settles);
    const overlay = await open(base, top, CLUSTER);
    await write(overlay, 1024, sectors(20, 5));
    await flush(overlay);
    const expected = await contents(overlay);
    const again = await open(base, new JournalDisk(top.bytes.slice(), settles));
    expect([again.map.clusterSize, again.present]).toEqual([4096, overlay.present]);
    same(await contents(again), expected);
    await again.close();
    await overlay.close();
  });

  it('requests that meet in one cluster wait for each other, and none is lost', async () => {
    const { base, top } = disks(settles);
    const overlay = await open(base, top, { 'cluster-size': 65_536 });
    const expected = base.bytes.slice();
    base.reads = 0;
    const writes = Array.from({ length: 32 }, (_, i) => {
      const data = sectors(2, 5000 + i * 2);
      expected.set(data, i * 2048);
      return write(overlay, i * 2048, data);
    });
    const zeroed = new DriverClient(overlay).command(OP_WRITE_ZEROES, 1024, 512);
    expected.fill(0, 1024, 1536);
    await Promise.all([...writes, zeroed]);
    expect(base.reads).toBe(1);
    same(await contents(overlay), expected);
    await overlay.close();
  });

  it('a request that fails leaves its clusters absent, and the next one does it again', async () => {
    const { base, top } = disks(settles);
    const overlay = await open(base, top, CLUSTER);
    const client = new DriverClient(overlay);
    top.fails = ({ op }) => (op === OP_WRITE || op === OP_WRITE_ZEROES ? -28 : 0);
    await expect(client.write(512, sectors(1, 1))).rejects.toThrow('ENOSPC');
    await expect(client.write(4096, sectors(8, 1))).rejects.toThrow('ENOSPC');
    await expect(client.command(OP_WRITE_ZEROES, 8192, 4096)).rejects.toThrow('ENOSPC');
    top.fails = null;
    base.fails = () => -5;
    await expect(client.write(512, sectors(1, 1))).rejects.toThrow('EIO');
    base.fails = null;
    expect(overlay.present).toBe(0);
    same(await contents(overlay), base.bytes);
    await client.write(512, sectors(1, 1));
    expect(overlay.present).toBe(1);
    await overlay.close();
  });

  it('flushes data, then the map, then once more; nothing but data while the map is right', async () => {
    const { base, top } = disks(settles);
    const overlay = await open(base, top, CLUSTER);
    top.journal.length = 0;
    await write(overlay, 0, sectors(8, 1));
    await flush(overlay);
    const offsets = top.journal.map((entry) => entry?.offset ?? 'flush');
    expect(offsets).toEqual([65_536, 'flush', MAP_OFFSET, 'flush']);
    top.journal.length = 0;
    await write(overlay, 512, sectors(1, 9));
    await flush(overlay);
    expect(top.journal.map((entry) => entry?.offset ?? 'flush')).toEqual([66_048, 'flush']);
    await overlay.close();
  });

  it('a flush that fails is done again by the next one', async () => {
    const { base, top } = disks(settles);
    const overlay = await open(base, top, CLUSTER);
    const client = new DriverClient(overlay);
    await write(overlay, 0, sectors(8, 1));
    for (const spoilt of [OP_FLUSH, OP_WRITE] as const) {
      top.fails = ({ op }) => (op === spoilt ? -5 : 0);
      await expect(client.command(OP_FLUSH)).rejects.toThrow('EIO');
    }
    top.fails = null;
    await flush(overlay);
    const again = await open(base, new JournalDisk(top.bytes.slice(), settles));
    expect(again.present).toBe(1);
    await again.close();
    await overlay.close();
  });

  it('closing flushes; if that fails it says so', async () => {
    const { base, top } = disks(settles);
    const overlay = await open(base, top, CLUSTER);
    await write(overlay, 0, sectors(1, 1));
    await overlay.close();
    const again = await open(base, top);
    expect(again.present).toBe(1);
    await write(again, 8192, sectors(1, 1));
    top.fails = ({ op }) => (op === OP_FLUSH ? -5 : 0);
    await expect(again.close()).rejects.toThrow(/flush failed \(EIO\)/);
  });

  it('changes its size: zeroes where it was cut off, in base and top', async () => {
    const { base, top } = disks(settles);
    let overlay = await open(base, top, CLUSTER);
    await write(overlay, 40_960, sectors(8, 1));
    await write(overlay, 28_672, sectors(8, 1));
    expect(overlay.truncate(30_720)).toBe(0);
    await flush(overlay);
    // The header went into the other slot: the one that counted until then was not touched.
    const slots = [0, 4096].map((at) => new TextDecoder().decode(top.bytes.subarray(at, at + 8)));
    expect(slots).toEqual(['vblkOVLY', 'vblkOVLY']);
    expect(overlay.truncate(81_920)).toBe(0);
    await write(overlay, 77_824, sectors(1, 7));
    const expected = new Uint8Array(81_920);
    expected.set(base.bytes.subarray(0, 30_720));
    expected.set(sectors(4, 1), 28_672);
    expected.set(sectors(1, 7), 77_824);
    same(await contents(overlay), expected);
    await overlay.close();
    overlay = await open(base, top);
    same(await contents(overlay), expected);
    expect(overlay.truncate(65_536 * 4096 + 512)).toBe(-22);
    await overlay.close();
  });

  it('commits: the base reads as it did, and the top is empty', async () => {
    const { base, top } = disks(settles);
    const overlay = await open(base, top, CLUSTER);
    await write(overlay, 3584, sectors(20, 1));
    expect(overlay.truncate(61_440)).toBe(0);
    expect(overlay.truncate(73_728)).toBe(0);
    const expected = await contents(overlay);
    await commitOverlay(overlay);
    expect([overlay.present, base.size]).toEqual([0, 73_728]);
    same(base.bytes, expected);
    same(await contents(overlay), expected);
    await write(overlay, 512, sectors(1, 3));
    await overlay.close();
    const again = await open(base, top);
    expect(again.present).toBe(1);
    await again.close();
  });

  it('rebases: it reads as before, and has what differs', async () => {
    const { base, top } = disks(settles);
    const overlay = await open(base, top, CLUSTER);
    await write(overlay, 8192, sectors(1, 1));
    const expected = await contents(overlay);
    const other = new JournalDisk(base.bytes.slice(0, 57_344), settles);
    other.bytes.fill(1, 20_480, 20_481);
    await rebaseOverlay(overlay, other);
    expect([overlay.base, overlay.present]).toEqual([other, 4]); // 1 there, 1 differs, 2 cut off
    same(await contents(overlay), expected);
    await overlay.close();
    await expect(open(base, top)).rejects.toThrow(/it has 65536 bytes, not 57344/);
    const again = await open(other, top);
    same(await contents(again), expected);
    await again.close();
  });
});

describe('overlay: refusals', () => {
  async function refused(base: BlockDriver, top: BlockDriver, more = {}): Promise<Error> {
    const thrown = await open(base, top, more).catch((error) => error);
    expect(thrown).toBeInstanceOf(Error);
    return thrown as Error;
  }

  /** An overlay with its first cluster and its last one written, closed. */
  async function made() {
    const { base, top } = disks();
    const overlay = await open(base, top, CLUSTER);
    await write(overlay, 0, sectors(8, 1));
    await write(overlay, 61_440, sectors(8, 1));
    const { header } = overlay;
    await overlay.close();
    return { base, top, header: header! };
  }

  it('a base that has changed, by its digest', async () => {
    const { base, top } = await made();
    base.bytes[70]! ^= 1;
    const thrown = await refused(base, top);
    expect(thrown).toBeInstanceOf(BlockError);
    expect((thrown as BlockError).code).toBe('ESTALE');
    expect(thrown.message).toMatch(/the base has changed since the overlay was made/);
    base.bytes[70]! ^= 1;
    await (await open(base, top)).close();
  });

  it('a file that has changed, by its size and time', async () => {
    const filename = join(folder, `disk${files++}`);
    writeFileSync(filename, sectors(128, 1));
    const { identity } = statOf(filename);
    const spec = { driver: 'file', options: { filename } };
    const top = new JournalDisk(new Uint8Array(SMALL));
    const make = () => openOverlay(core, { base: spec, top }, { main: true, context });
    const overlay = await make();
    expect(overlay.header!.base).toBe(`file:${identity}`);
    await overlay.close();
    await (await make()).close();
    utimesSync(filename, 1, 1_000_000_000);
    await expect(make()).rejects.toThrow(/ESTALE.*the base has changed/);
    await expect(make()).rejects.toThrow(/1000000000000000000, not file:65536:/);
  });

  it('a top that is something else', async () => {
    const { base, top } = disks();
    top.bytes[8191] = 1;
    const thrown = (await refused(base, top)) as BlockError;
    expect([thrown.code, thrown.message]).toEqual(['EINVAL', expect.stringMatching(/no overlay/)]);
    expect(top.journal).toEqual([]);
  });

  it('a newer version, whatever else it says', async () => {
    const { base, top } = await made();
    top.bytes[8] = 2;
    const thrown = (await refused(base, top)) as BlockError;
    expect(thrown.code).toBe('ENOTSUP');
    expect(thrown.message).toMatch(/of version 2; this program knows versions up to 1/);
  });

  it('a header with any bit changed; of two, the one that is whole counts', async () => {
    const { base, top, header } = await made();
    for (let at = 8; at < 512; at += 7) {
      const spoilt = new JournalDisk(top.bytes.slice());
      spoilt.bytes[at]! ^= at === 8 ? 3 : 0x10;
      const thrown = (await refused(base, spoilt)) as BlockError;
      expect([at, thrown.code]).toEqual([at, at === 8 ? 'ENOTSUP' : at === 9 ? 'ENOTSUP' : 'EIO']);
    }
    const slot = encodeHeader({ ...header, sequence: 2 });
    top.bytes.set(slot, 4096);
    const newer = await open(base, top);
    expect(newer.header!.sequence).toBe(2);
    await newer.close();
    top.bytes[4096 + 30]! ^= 1;
    const older = await open(base, top);
    expect(older.header!.sequence).toBe(1);
    await older.close();
  });

  it('headers that contradict themselves', async () => {
    const { base, top, header } = await made();
    for (const wrong of [
      { clusterSize: 512 },
      { clusterSize: 131_072 },
      { clusterSize: 5000 },
      { size: 0 },
      { baseLimit: header.size + 1 },
      { mapClusters: 1 },
      { mapClusters: header.mapClusters + 1 },
      { dataOffset: 8192 },
    ]) {
      const spoilt = new JournalDisk(top.bytes.slice());
      spoilt.bytes.set(encodeHeader({ ...header, ...wrong }));
      expect(((await refused(base, spoilt)) as BlockError).code).toBe('EIO');
    }
  });

  it('a truncated top', async () => {
    const { base, top } = await made();
    const needed = 65_536 + 65_536;
    for (const size of [needed - 512, 65_536, 65_024, 12_288, 8192]) {
      const thrown = await refused(base, new JournalDisk(top.bytes.slice(0, size)));
      expect(thrown.message).toMatch(/truncated: it has \d+ bytes of 131072/);
    }
    await (await open(base, new JournalDisk(top.bytes.slice(0, needed)))).close();
  });

  it('a top that lacks only what was never written is extended', async () => {
    const { base, top } = disks();
    const overlay = await open(base, top, CLUSTER);
    await write(overlay, 0, sectors(1, 1));
    await overlay.close();
    const short = new JournalDisk(top.bytes.slice(0, 65_536 + 4096));
    await (await open(base, short)).close();
    expect(short.size).toBe(131_072);
  });

  it('options that do not fit', async () => {
    const { base, top } = await made();
    const wrong = { 'cluster-size': 8192 };
    expect((await refused(base, top, wrong)).message).toMatch(/allowed: 4096, with which/);
    for (const value of [2048, 131_072, 5000, 'x', null]) {
      const thrown = await refused(base, top, { 'cluster-size': value });
      expect(thrown).toBeInstanceOf(OptionError);
      expect((thrown as OptionError).option).toBe('cluster-size');
    }
    const options = [{ base }, { top }, { base, top, more: 1 }];
    for (const some of options) {
      await expect(openOverlay(core, some, { main: true })).rejects.toThrow(OptionError);
    }
    await expect(openOverlay(core, { base, top }, { main: false })).rejects.toThrow(OptionError);
  });

  it('a rebase while another thread has it open', async () => {
    const { base, top } = await made();
    const overlay = await open(base, top);
    const options = { base, top, map: overlay.map.address };
    const other = await openOverlay(core, options, { main: false });
    await expect(rebaseOverlay(overlay, new JournalDisk(base.bytes))).rejects.toThrow(/EBUSY/);
    await other.close();
    await rebaseOverlay(overlay, new JournalDisk(base.bytes));
    await overlay.close();
  });

  it('an empty top that is read-only, or too small and cannot grow', async () => {
    const { base, top } = disks();
    const fixed = Object.assign(new JournalDisk(top.bytes), { truncate: () => -22 });
    expect((await refused(base, fixed)).message).toMatch(/at least 131072 bytes/);
    const readOnly = Object.assign(new JournalDisk(top.bytes), { readOnly: true });
    expect(((await refused(base, readOnly)) as BlockError).code).toBe('EPERM');
  });

  it('commit and rebase refuse what they cannot write', async () => {
    const { base, top } = await made();
    const locked = Object.assign(new JournalDisk(base.bytes), { readOnly: true });
    const overlay = await open(locked, top);
    await expect(commitOverlay(overlay)).rejects.toThrow(/EPERM.*base is read-only/);
    const late = new JournalDisk(base.bytes, 'loop');
    await expect(rebaseOverlay(overlay, late)).rejects.toThrow(OptionError);
    expect(overlay.base).toBe(locked);
    await overlay.close();
  });
});

function statOf(filename: string) {
  const { size, mtimeNs } = statSync(filename, { bigint: true });
  return { identity: `${size}:${mtimeNs}` };
}

describe('overlay: the disks that it stands on', () => {
  const file = (options = {}): DriverSpec => {
    const filename = join(folder, `disk${files++}`);
    return { driver: 'file', options: { filename, create: true, ...options } };
  };

  it('a top without a size has the one that it needs, and is found again as it is', async () => {
    const base = file({ size: 64 * KIB });
    const top = file();
    const make = () => openOverlay(core, { base, top, ...CLUSTER }, { main: true, context });
    let overlay = await make();
    await write(overlay, 0, sectors(1, 1));
    expect(overlay.truncate(128 * KIB)).toBe(0);
    await overlay.close();
    overlay = await make();
    expect([overlay.size, overlay.present]).toEqual([128 * KIB, 1]);
    await overlay.close();
    truncateSync(top.options!['filename'] as string, 65_536);
    await expect(make()).rejects.toThrow(/truncated/);
  });

  it('overlays stand on overlays, and on throttles', async () => {
    const options = { file: { driver: 'memory', options: { size: 64 * KIB } }, 'iops-total': 1e6 };
    const base = { driver: 'throttle', options };
    const middle = { driver: 'overlay', options: { base, top: { driver: 'memory' }, ...CLUSTER } };
    const parts = { base: middle, top: { driver: 'memory' } };
    const overlay = await openOverlay(core, parts, { main: true, context });
    await write(overlay, 1024, sectors(3, 1));
    const expected = new Uint8Array(64 * KIB);
    expected.set(sectors(3, 1), 1024);
    same(await contents(overlay), expected);
    expect([overlay.settles, overlay.alignment]).toEqual(['word', 1]);
    await overlay.close();
  });

  it('commit grows a file, and the overlay is bound to what it is then', async () => {
    const base = file({ size: 64 * KIB });
    const top = file();
    const make = () => openOverlay(core, { base, top }, { main: true, context });
    let overlay = await make();
    await write(overlay, 512, sectors(2, 1));
    await commitOverlay(overlay);
    await overlay.close();
    overlay = await make();
    expect(overlay.present).toBe(0);
    const expected = new Uint8Array(64 * KIB);
    expected.set(sectors(2, 1), 512);
    same(await contents(overlay), expected);
    await overlay.close();
  });

  it('a pool of threads: copies go by way of core memory', async () => {
    const shared = await openCore({ shared: true });
    const before = shared.allocatedBytes;
    const own = new AioContext(shared);
    const parts = {
      base: file({ size: 64 * KIB, aio: 'threads' }),
      top: file({ aio: 'threads' }),
      ...CLUSTER,
    };
    const overlay = await openOverlay(shared, parts, { main: true, context: own });
    expect(overlay.base).toBeInstanceOf(ThreadsFileDriver);
    const backend = BlockBackend.attach(shared, own, overlay);
    const all = Array.from({ length: 40 }, (_, i) =>
      backend.io.write(i * 1024, sectors(1, 100 + i)),
    );
    await Promise.all(all);
    await backend.io.flush();
    const read = new Uint8Array(40 * KIB);
    await backend.io.read(0, read);
    const expected = new Uint8Array(40 * KIB);
    for (let i = 0; i < 40; i++) expected.set(sectors(1, 100 + i), i * 1024);
    same(read, expected);
    await backend.close();
    own.close();
    expect(shared.allocatedBytes).toBe(before);
  });

  it('core memory is as before when it is closed, also after a refusal', async () => {
    const before = core.allocatedBytes;
    const base = new MemoryDriver(core, 64 * KIB);
    const top = new MemoryDriver(core, 1024 * KIB);
    const overlay: OverlayDriver = await open(base, top);
    await write(overlay, 0, sectors(1, 1));
    expect(overlay.truncate(8 * 64 * KIB)).toBe(0);
    await overlay.close();
    expect(core.allocatedBytes).toBe(before);
    const other = disks();
    other.top.bytes[0] = 1;
    await expect(open(other.base, other.top)).rejects.toThrow(BlockError);
    expect(core.allocatedBytes).toBe(before);
  });

  it('reads are short where clusters change, as a lane expects', async () => {
    const { base, top } = disks();
    const overlay = await open(base, top, CLUSTER);
    await write(overlay, 4096, sectors(8, 1));
    const vector = new SegmentVector(new Uint8Array(12_288));
    vector.append(0, 12_288);
    const client = new DriverClient(overlay);
    expect(await client.submit(OP_READ, 0, 12_288, vector)).toBe(4096);
    await overlay.close();
  });
});
