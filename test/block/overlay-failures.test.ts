/** Overlays that run out of memory, or whose disks fail when they are closed. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { openCore } from '#src/adapter/node';
import { BlockBackend } from '#src/block/backend';
import { DriverClient } from '#src/block/driver-client';
import { BlockError } from '#src/block/error';
import { CLUSTERS_PER_BLOCK } from '#src/block/overlay-header';
import { rebaseOverlay } from '#src/block/overlay-jobs';
import { OverlayMap } from '#src/block/overlay-map';
import { context, core, JournalDisk, open, same, sectors } from './overlay-rig.ts';

afterEach(() => vi.unstubAllGlobals());

const KIB = 1024;
const disks = () => ({
  base: new JournalDisk(sectors(128, 1000)),
  top: new JournalDisk(new Uint8Array(8 * KIB)),
});

describe('an overlay without memory', () => {
  it('fails a write that copies, and takes the next one into the same cluster', async () => {
    const { base, top } = disks();
    const overlay = await open(base, top, { 'cluster-size': 4096 });
    const client = new DriverClient(overlay);
    vi.stubGlobal('WebAssembly', {
      Memory: class {
        constructor() {
          throw new RangeError('no memory');
        }
      },
    });
    await expect(client.write(512, sectors(1, 1))).rejects.toThrow('ENOMEM');
    vi.unstubAllGlobals();
    await client.write(512, sectors(1, 2));
    const read = new Uint8Array(512);
    await client.read(512, read);
    same(read, sectors(1, 2));
    await overlay.close();
  });

  it('leaves nothing behind if its map does not fit', async () => {
    const small = await openCore({ shared: true, maxBytes: 4 * 2 ** 20 });
    const before = small.allocatedBytes;
    const clusters = 2 ** 24;
    const shape = {
      clusterSize: 4096,
      size: clusters * 4096,
      baseLimit: 0,
      mapClusters: clusters,
      dataOffset: 2 ** 24,
    };
    expect(() => OverlayMap.create(small, shape, true)).toThrow();
    expect(small.allocatedBytes).toBe(before);
  });

  it('has as many clusters as a word can count, and no more', () => {
    const size = 4096 * 2 ** 32;
    const shape = {
      clusterSize: 4096,
      size,
      baseLimit: 0,
      mapClusters: CLUSTERS_PER_BLOCK * 2 ** 17,
      dataOffset: 2 ** 30,
    };
    expect(() => OverlayMap.create(core, shape, false)).toThrow(/EFBIG/);
  });
});

describe('an overlay whose disk fails to close', () => {
  it('closes the other one, and gives its memory back', async () => {
    const before = core.allocatedBytes;
    const { base, top } = disks();
    const closed: string[] = [];
    const overlay = await open(base, top);
    Object.assign(base, { close: () => void closed.push('base') });
    Object.assign(top, { close: () => Promise.reject(new BlockError('EIO', 'close')) });
    await expect(overlay.close()).rejects.toThrow('EIO');
    expect(closed).toEqual(['base']);
    expect(core.allocatedBytes).toBe(before);
  });
});

describe('an overlay that was given another base', () => {
  it('has it in the graph: nobody else may have it, and it hears of drained sections', async () => {
    const { base, top } = disks();
    const overlay = await open(base, top);
    const backend = BlockBackend.attach(core, context, overlay);
    const next = new JournalDisk(sectors(128, 1000));
    const told: string[] = [];
    Object.assign(next, {
      drainedBegin: () => void told.push('begin'),
      drainedEnd: () => void told.push('end'),
    });
    await backend.drained(() => rebaseOverlay(overlay, next));
    expect(told).toEqual(['begin', 'end']);
    expect(() => BlockBackend.attach(core, context, next)).toThrow('belongs to node');
    await backend.drained(() => told.push('drained'));
    expect(told.slice(2)).toEqual(['begin', 'drained', 'end']);
    await backend.close();
  });

  it('is refused one that somebody uses', async () => {
    const { base, top } = disks();
    const overlay = await open(base, top);
    const used = new JournalDisk(sectors(128, 1000));
    const other = BlockBackend.attach(core, context, used);
    await expect(rebaseOverlay(overlay, used)).rejects.toThrow('EBUSY');
    expect(overlay.base).toBe(base);
    await Promise.all([other.close(), overlay.close()]);
  });
});
