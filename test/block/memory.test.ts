import { describe, expect, it } from 'vitest';
import { openCore } from '#src/adapter/node';
import {
  type BlockOp,
  OP_DISCARD,
  OP_READ,
  OP_WRITE,
  OP_WRITE_ZEROES,
  REQ_MAY_UNMAP,
} from '#src/block/driver';
import { SegmentVector } from '#src/block/io-vector';
import { MemoryDriver } from '#src/block/memory';
import { openDriver } from '#src/block/registry';
import type { Core } from '#src/engine/core';
import { EINVAL, ENOMEM, ENOSPC } from '#src/spec';

const CLUSTER = 65_536;
const MIB = 2 ** 20;
const TIB = 2 ** 40;

function run(
  disk: MemoryDriver,
  op: BlockOp,
  offset: number,
  data: Uint8Array | number,
  flags = 0,
) {
  const vector = new SegmentVector();
  if (typeof data !== 'number') {
    vector.reset(data);
    vector.append(0, data.length);
  }
  const length = typeof data === 'number' ? data : data.length;
  return disk.submit({ op, offset, length, flags, vector, settle() {} });
}

function readByte(disk: MemoryDriver, offset: number): number {
  const byte = Uint8Array.of(0xff);
  expect(run(disk, OP_READ, offset, byte)).toBe(1);
  return byte[0] as number;
}

for (const engine of ['wasm', 'js'] as const) {
  describe(`memory disk (${engine})`, () => {
    it('1 TiB costs only what is written', async () => {
      const core = await openCore({ engine });
      const before = core.memory.buffer.byteLength;
      const disk = new MemoryDriver(core, TIB);
      expect(disk.size).toBe(TIB);
      for (const offset of [0, 2 ** 31 - 1, 2 ** 32, TIB - 2]) {
        expect(run(disk, OP_WRITE, offset, Uint8Array.of(offset % 251, 7))).toBe(2);
      }
      for (const offset of [0, 2 ** 31 - 1, 2 ** 32, TIB - 2]) {
        expect([readByte(disk, offset), readByte(disk, offset + 1)]).toEqual([offset % 251, 7]);
      }
      expect(readByte(disk, TIB / 2)).toBe(0);
      // Five clusters and five tables: one write lies across two of both.
      expect(disk.clusters).toBe(10);
      expect(core.memory.buffer.byteLength - before).toBeLessThan(3 * MIB);
      disk.close();
    });

    it('ENOSPC when the limit is reached, short before; holes and rewrites still work', async () => {
      const core = await openCore({ engine });
      const disk = new MemoryDriver(core, 64 * MIB, 3 * CLUSTER + 100); // a table, two clusters
      const data = new Uint8Array(3 * CLUSTER).fill(1);
      expect(run(disk, OP_WRITE, 0, data)).toBe(2 * CLUSTER);
      expect(run(disk, OP_WRITE, 2 * CLUSTER, data)).toBe(-ENOSPC);
      expect(run(disk, OP_WRITE, CLUSTER, Uint8Array.of(9))).toBe(1);
      expect(readByte(disk, 2 * CLUSTER)).toBe(0);
      expect(run(disk, OP_DISCARD, 0, CLUSTER)).toBe(0);
      expect(run(disk, OP_WRITE, 5 * CLUSTER, Uint8Array.of(5))).toBe(1);
      expect([readByte(disk, CLUSTER), readByte(disk, 5 * CLUSTER)]).toEqual([9, 5]);
      disk.close();
    });

    it('ENOSPC when the memory cannot grow, after using all there is', async () => {
      const core = await openCore({ engine, maxBytes: 40 * CLUSTER });
      const disk = new MemoryDriver(core, TIB);
      const data = new Uint8Array(CLUSTER);
      let written = 0;
      while (run(disk, OP_WRITE, written * CLUSTER, data) === CLUSTER) written++;
      expect(run(disk, OP_WRITE, written * CLUSTER, data)).toBe(-ENOSPC);
      expect(core.memory.buffer.byteLength).toBe(40 * CLUSTER);
      expect(written).toBeGreaterThanOrEqual(36);
      disk.close();
      // So does the next one, of what the first has left.
      const second = new MemoryDriver(core, TIB);
      let again = 0;
      while (run(second, OP_WRITE, again * CLUSTER, data) === CLUSTER) again++;
      expect(again).toBe(written);
      second.close();
    });

    it('what is cut off returns to the arena and reads as zeroes after growing', async () => {
      const core = await openCore({ engine });
      const disk = new MemoryDriver(core, 4 * 2 ** 30);
      for (const offset of [0, CLUSTER, 2 ** 30, 3 * 2 ** 30]) {
        run(disk, OP_WRITE, offset, new Uint8Array(CLUSTER).fill(3));
      }
      expect(disk.clusters).toBe(7);
      expect(disk.truncate(CLUSTER + 512)).toBe(0);
      expect(disk.clusters).toBe(3); // two clusters and their table
      expect(disk.truncate(8 * 2 ** 30)).toBe(0);
      expect(readByte(disk, CLUSTER + 511)).toBe(3);
      for (const offset of [CLUSTER + 512, 2 ** 30, 3 * 2 ** 30, 8 * 2 ** 30 - 1]) {
        expect(readByte(disk, offset)).toBe(0);
      }
      const grown = core.memory.buffer.byteLength;
      run(disk, OP_WRITE, 7 * 2 ** 30, Uint8Array.of(8));
      expect(readByte(disk, 7 * 2 ** 30 + 1)).toBe(0); // a cluster that is used again is clean
      expect(readByte(disk, 7 * 2 ** 30)).toBe(8);
      expect(core.memory.buffer.byteLength).toBe(grown);
      expect(disk.truncate(513)).toBe(-EINVAL);
      disk.close();
    });

    it('a level-1 table that finds no memory is ENOMEM, and the disk stays', async () => {
      const core = await openCore({ engine, maxBytes: 4 * CLUSTER });
      const disk = new MemoryDriver(core, MIB);
      expect(disk.truncate(2 ** 50)).toBe(-ENOMEM);
      expect(disk.size).toBe(MIB);
      disk.close();
    });

    it('DISCARD frees whole clusters and leaves their neighbours', async () => {
      const core = await openCore({ engine });
      const disk = new MemoryDriver(core, 4 * CLUSTER - 512);
      run(disk, OP_WRITE, 0, new Uint8Array(4 * CLUSTER - 512).fill(6));
      run(disk, OP_DISCARD, 1, 2 * CLUSTER);
      expect(disk.clusters).toBe(4);
      const around = [0, CLUSTER - 1, CLUSTER, 2 * CLUSTER - 1, 2 * CLUSTER];
      expect(around.map((offset) => readByte(disk, offset))).toEqual([6, 6, 0, 0, 6]);
      run(disk, OP_DISCARD, 3 * CLUSTER, CLUSTER - 512); // the last one is whole up to the end
      expect(disk.clusters).toBe(3);
      disk.close();
    });

    it('WRITE_ZEROES keeps clusters unless they may be unmapped, and makes none', async () => {
      const core = await openCore({ engine });
      const disk = new MemoryDriver(core, MIB);
      run(disk, OP_WRITE, 0, new Uint8Array(2 * CLUSTER).fill(6));
      run(disk, OP_WRITE_ZEROES, 100, MIB - 200);
      expect(disk.clusters).toBe(3);
      expect([readByte(disk, 99), readByte(disk, 100), readByte(disk, CLUSTER)]).toEqual([6, 0, 0]);
      run(disk, OP_WRITE_ZEROES, 100, MIB - 100, REQ_MAY_UNMAP);
      expect(disk.clusters).toBe(2);
      expect(readByte(disk, 99)).toBe(6);
      disk.close();
    });

    it('waits for memory that another thread has grown, and that does not show here yet', async () => {
      const core = await openCore({ engine, shared: true, maxBytes: 64 * MIB });
      const disk = new MemoryDriver(core, 64 * MIB);
      const { length } = core.u8;
      run(disk, OP_WRITE, 40 * MIB, Uint8Array.of(77));
      expect(core.u8.length).toBeGreaterThan(length);
      for (let late = 0; late < 12; late++) {
        let looks = 0;
        const slow = Object.create(core, {
          u8: { get: () => (looks++ < late ? core.u8.subarray(0, length) : core.u8) },
          u32: { get: () => (looks++ < late ? core.u32.subarray(0, length / 4) : core.u32) },
        }) as Core;
        const other = new MemoryDriver(slow, 0, 0, disk.clusterDisk);
        expect(readByte(other, 40 * MIB)).toBe(77);
      }
      disk.close();
    });

    it('closing gives everything back: the next disk grows nothing', async () => {
      const core = await openCore({ engine });
      const before = core.allocatedBytes;
      let grown = 0;
      for (let round = 0; round < 3; round++) {
        const disk = new MemoryDriver(core, TIB);
        run(disk, OP_WRITE, round * 2 ** 30, new Uint8Array(20 * CLUSTER).fill(1));
        expect(readByte(disk, 3 * 2 ** 30)).toBe(0);
        disk.close();
        disk.close();
        if (round === 0) grown = core.memory.buffer.byteLength;
      }
      expect(core.memory.buffer.byteLength).toBe(grown);
      expect(core.allocatedBytes).toBe(before);
    });
  });
}

describe('memory disk, options', () => {
  it('names the option, the value and what is allowed', async () => {
    const core = await openCore({ engine: 'js' });
    const open = (options: object) => () =>
      openDriver(core, { driver: 'memory', options: { ...options } });
    expect(open({})).toThrow('size: undefined is not allowed; allowed: bytes, a multiple of 512');
    expect(open({ size: 1000 })).toThrow(/^size: 1000 is not allowed.*multiple of 512/);
    expect(open({ size: '1X' })).toThrow("size: '1X' is not allowed");
    expect(open({ size: '1M', limit: 100 })).toThrow('limit: 100 is not allowed');
    expect(open({ size: '1M', sizes: 1 })).toThrow(
      'memory.sizes: 1 is not allowed; allowed: the options size, limit',
    );
    const disk = open({ size: '1.5G', limit: '1M' })() as MemoryDriver;
    expect(disk.size).toBe(1.5 * 2 ** 30);
    expect(disk.clusterDisk).toBeGreaterThan(0);
  });
});
