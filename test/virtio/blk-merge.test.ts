import { describe, expect, it } from 'vitest';
import { MERGE_REQUESTS_MAX, MergeBatch } from '#src/virtio/blk-merge';

function batch(...requests: [sector: number, length: number, segments?: number][]): MergeBatch {
  const merge = new MergeBatch();
  requests.forEach(([sector, length, segments = 1], head) => {
    merge.add(head, sector, length, segments);
  });
  return merge;
}

/** The runs as lists of heads. */
function runs(merge: MergeBatch, segments = 1024, sectors = 1 << 22): number[][] {
  const all: number[][] = [];
  for (let from = 0; from < merge.count; ) {
    const to = merge.runEnd(from, segments, sectors);
    all.push([...merge.heads.subarray(from, to)]);
    from = to;
  }
  return all;
}

describe('merge batch', () => {
  it('BL-6 sorts by sector, and requests of one sector keep their order', () => {
    const merge = batch([30, 1], [10, 1], [20, 2, 7], [10, 5, 3], [0, 1]);
    merge.sort();
    expect([...merge.heads.subarray(0, 5)]).toEqual([4, 1, 3, 2, 0]);
    expect([...merge.sectors.subarray(0, 5)]).toEqual([0, 10, 10, 20, 30]);
    expect([...merge.lengths.subarray(0, 5)]).toEqual([1, 1, 5, 2, 1]);
    expect([...merge.segments.subarray(0, 5)]).toEqual([1, 1, 3, 7, 1]);
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
      merge.add(i, i, 1, 1);
    }
    expect([merge.full, MERGE_REQUESTS_MAX]).toEqual([true, 32]);
  });
});
