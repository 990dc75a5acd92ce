import { describe, expect, it } from 'vitest';
import { MERGE_REQUESTS_MAX, MergeBatch } from '#src/virtio/blk-merge';

/** Lengths and positions in sectors. */
function batch(...requests: [sector: number, length: number, segments?: number][]): MergeBatch {
  const merge = new MergeBatch();
  requests.forEach(([sector, length, segments = 1], head) => {
    merge.collect(head, sector * 512, head * 4096, length * 512, segments);
  });
  return merge;
}

/** The runs as lists of heads. */
function runs(merge: MergeBatch, segments = 1024, sectors = 1 << 22): number[][] {
  const all: number[][] = [];
  for (let from = 0; from < merge.count; ) {
    const to = merge.runEnd(from, segments, sectors * 512);
    all.push([...merge.tags.subarray(from, to)]);
    from = to;
  }
  return all;
}

describe('merge batch', () => {
  it('BL-6 sorts by sector, and requests of one sector keep their order', () => {
    const merge = batch([30, 1], [10, 1], [20, 2, 7], [10, 5, 3], [0, 1]);
    merge.sort();
    expect([...merge.tags.subarray(0, 5)]).toEqual([4, 1, 3, 2, 0]);
    const inSectors = (bytes: number) => bytes / 512;
    expect([...merge.offsets.subarray(0, 5)].map(inSectors)).toEqual([0, 10, 10, 20, 30]);
    expect([...merge.lengths.subarray(0, 5)].map(inSectors)).toEqual([1, 1, 5, 2, 1]);
    expect([...merge.starts.subarray(0, 5)].map((at) => at / 4096)).toEqual([4, 1, 3, 2, 0]);
    expect([...merge.segments.subarray(0, 5)]).toEqual([1, 1, 3, 7, 1]);
  });

  it('BL-6 sorts sectors beyond 2^40, where keys are largest', () => {
    const far = 2 ** 40;
    const merge = batch([far + 1, 1], [far, 1], [far + 1, 2]);
    merge.sort();
    expect([...merge.tags.subarray(0, 3)]).toEqual([1, 0, 2]);
  });

  it('BL-6 knows whether any two are neighbours, in whatever order', () => {
    expect(batch().hasNeighbours()).toBe(false);
    expect(batch([0, 8]).hasNeighbours()).toBe(false);
    expect(batch([8, 8], [0, 8]).hasNeighbours()).toBe(true);
    expect(batch([0, 8], [100, 8], [8, 8]).hasNeighbours()).toBe(true);
    expect(batch([0, 8], [100, 8], [9, 8]).hasNeighbours()).toBe(false);
    expect(batch([0, 8], [100, 8], [7, 8]).hasNeighbours()).toBe(false);
    expect(batch([5, 8], [5, 8]).hasNeighbours()).toBe(false);
    expect(batch([2 ** 33, 8], [0, 8], [2 ** 33 + 8, 8]).hasNeighbours()).toBe(true);
  });

  it('BL-6 sectors whose bits collide are told apart', () => {
    for (let n = 0; n < 4096; n++) {
      // The second ends where the first would begin if only 32 bits counted.
      expect(batch([n + 2 ** 32, 1], [n - 1 + 2 ** 33, 1]).hasNeighbours()).toBe(false);
      expect(batch([n, 1], [n + 1, 1]).hasNeighbours()).toBe(true);
    }
  });

  it('BL-6 says the same of every batch as comparing all with all', () => {
    let state = 7;
    const below = (bound: number) => {
      state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
      return (state >>> 8) % bound;
    };
    const seen = new Set<boolean>();
    for (let n = 0; n < 2000; n++) {
      const list = Array.from({ length: 2 + below(31) }, (): [number, number] => [
        below(3000),
        1 + below(4),
      ]);
      const right = list.some(([at]) => list.some(([from, length]) => from + length === at));
      const merge = batch(...list);
      expect([merge.hasNeighbours(), merge.hasNeighbours()]).toEqual([right, right]);
      seen.add(right);
    }
    expect(seen.size).toBe(2);
  });

  it('counts those without a place of their own, and forgets all when it is cleared', () => {
    const merge = batch([0, 1], [7, 2]);
    merge.collect(5, 4096, -1, 512, 3);
    merge.write = true;
    expect([merge.count, merge.scattered, merge.end]).toEqual([3, 1, 9 * 512]);
    merge.clear();
    expect([merge.count, merge.scattered, merge.end, merge.write]).toEqual([0, 0, 0, false]);
  });

  it('BL-6 a run holds what follows without gap or overlap', () => {
    const merge = batch([0, 8], [8, 8], [17, 8], [25, 1], [25, 1], [26, 1]);
    expect(runs(merge)).toEqual([
      [0, 1],
      [2, 3],
      [4, 5],
    ]);
  });

  it('BL-6 a run ends before it has more segments than allowed', () => {
    const requests: [number, number, number][] = [
      [0, 1, 2],
      [1, 1, 3],
      [2, 1, 5],
    ];
    expect(runs(batch(...requests), 10)).toEqual([[0, 1, 2]]);
    expect(runs(batch(...requests), 9)).toEqual([[0, 1], [2]]);
    expect(runs(batch(...requests), 1)).toEqual([[0], [1], [2]]);
  });

  it('BL-6 a run ends before it has more sectors than allowed', () => {
    const requests: [number, number][] = [
      [0, 8],
      [8, 16],
      [24, 8],
    ];
    expect(runs(batch(...requests), 99, 32)).toEqual([[0, 1, 2]]);
    expect(runs(batch(...requests), 99, 31)).toEqual([[0, 1], [2]]);
  });

  it('BL-6 is full with 32 requests', () => {
    const merge = new MergeBatch();
    for (let i = 0; i < MERGE_REQUESTS_MAX; i++) {
      expect(merge.full).toBe(false);
      merge.collect(i, i * 512, 0, 512, 1);
    }
    expect([merge.full, MERGE_REQUESTS_MAX]).toEqual([true, 32]);
  });
});
