/** A request that the host could not do, as the control plane is told of it (BB-19). */

import type { ErrorAction } from '../block/error-policy.ts';
import type { OperationName } from '../block/operation.ts';
import {
  VIRTIO_BLK_T_BARRIER,
  VIRTIO_BLK_T_DISCARD,
  VIRTIO_BLK_T_FLUSH,
  VIRTIO_BLK_T_IN,
  VIRTIO_BLK_T_OUT,
  VIRTIO_BLK_T_WRITE_ZEROES,
} from '../spec.ts';
import type { BlkRecords } from './blk-records.ts';

export interface IoFailure {
  /** Number of the queue. */
  readonly index: number;
  readonly operation: OperationName;
  /** A positive number as in errno. */
  readonly errno: number;
  readonly action: ErrorAction;
  /** First sector as the driver's header says, and bytes of data; 0 for what moves none. */
  readonly sector: number;
  readonly bytes: number;
}

const NAMES = new Map<number, OperationName>([
  [VIRTIO_BLK_T_IN, 'read'],
  [VIRTIO_BLK_T_OUT, 'write'],
  [VIRTIO_BLK_T_FLUSH, 'flush'],
  [VIRTIO_BLK_T_DISCARD & ~VIRTIO_BLK_T_OUT, 'discard'],
  [VIRTIO_BLK_T_WRITE_ZEROES & ~VIRTIO_BLK_T_OUT, 'write-zeroes'],
]);

/** Of the popped request at `head`, before it is completed. */
export function describeFailure(
  records: BlkRecords,
  index: number,
  head: number,
  errno: number,
  action: ErrorAction,
): IoFailure {
  const type = records.type(head) & ~VIRTIO_BLK_T_BARRIER;
  const operation = NAMES.get(type) ?? NAMES.get(type & ~VIRTIO_BLK_T_OUT)!;
  const moves = operation === 'read' || operation === 'write';
  const sector = moves ? records.sector(head) : 0;
  const bytes = moves ? (operation === 'read' ? records.inBytes(head) : records.outBytes(head)) : 0;
  return { index, operation, errno, action, sector, bytes };
}
