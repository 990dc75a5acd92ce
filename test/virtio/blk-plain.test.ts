import { describe, expect, it } from 'vitest';
import { RECORD_IN_BYTES, RECORD_SIZE, RECORD_STATUS, RECORD_WRITTEN } from '#src/layout';
import { MergeBatch } from '#src/virtio/blk-merge';
import { finishPlain } from '#src/virtio/blk-plain';
import type { BlkRecords } from '#src/virtio/blk-records';

/** Ends a batch of heads 0, 1 and so on whose writable parts have so many bytes. */
function finish(inBytes: number[], results: number[], write: boolean) {
  const u32 = new Uint32Array(8192);
  const records = { u32, first: 0 } as unknown as BlkRecords;
  const batch = new MergeBatch();
  inBytes.forEach((bytes, head) => {
    u32[(head * RECORD_SIZE + RECORD_IN_BYTES) >>> 2] = bytes;
    u32[(head * RECORD_SIZE + RECORD_STATUS) >>> 2] = 9;
    batch.collect(head, head * 4096, 0, 512, 2);
  });
  batch.results.set(results);
  const count = finishPlain(records, batch, write, 5000);
  const ended = inBytes.map((_, head) =>
    [RECORD_STATUS, RECORD_WRITTEN].map((field) => u32[(head * RECORD_SIZE + field) >>> 2]!),
  );
  return { ended, heads: [...u32.subarray(5000, 5000 + count)] };
}

describe('plain requests', () => {
  it('VQ-6 those that succeeded end with OK and what was written without a gap', () => {
    expect(finish([513, 1025, 513], [0, -5, 0], false)).toEqual({
      ended: [
        [0, 513],
        [9, 0],
        [0, 513],
      ],
      heads: [0, 2],
    });
    expect(finish([1, 3], [0, 0], true).ended).toEqual([
      [0, 1],
      [0, 0],
    ]);
  });
});
