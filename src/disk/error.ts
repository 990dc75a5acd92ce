/** What goes wrong with a disk without an emulator, beside the I/O itself (`BlockError`). */

import { BlockError } from '../block/error.ts';
import {
  VIRTIO_BLK_S_UNSUPP,
  VIRTIO_BLK_T_DISCARD,
  VIRTIO_BLK_T_FLUSH,
  VIRTIO_BLK_T_IN,
  VIRTIO_BLK_T_OUT,
} from '../spec.ts';

/**
 * `EBUSY`: a handle is used for the second time, or no queue is left to claim. `ESTALE`: the queue
 * was taken back from this client. `ESHUTDOWN`: disk or client are closed. `EOWNERDEAD`: the
 * thread that served the queue died, or its engine failed; `cause` says why. `ENOTSUP`: this thread
 * may not wait, or the memory is not shared. `EDEADLK`: it would wait for itself. `ENOMEM`: no
 * memory left to `alloc`.
 */
export type DiskErrorCode =
  | 'EBUSY'
  | 'ESTALE'
  | 'ESHUTDOWN'
  | 'EOWNERDEAD'
  | 'ENOTSUP'
  | 'EDEADLK'
  | 'ENOMEM';

export class DiskError extends Error {
  override readonly name = 'DiskError';
  readonly code: DiskErrorCode;

  constructor(code: DiskErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}

const OPERATIONS: Readonly<Record<number, string>> = {
  [VIRTIO_BLK_T_IN]: 'read',
  [VIRTIO_BLK_T_OUT]: 'write',
  [VIRTIO_BLK_T_FLUSH]: 'flush',
  [VIRTIO_BLK_T_DISCARD]: 'discard',
};

/** The block layer's name of a request type. */
export function operationOf(type: number): string {
  return OPERATIONS[type] ?? 'write-zeroes';
}

/** The error of a request that ended with `status`; offset and length in bytes. */
export function statusError(
  type: number,
  status: number,
  offset: number,
  length: number,
): BlockError {
  const code = status === VIRTIO_BLK_S_UNSUPP ? 'ENOTSUP' : 'EIO';
  return new BlockError(code, operationOf(type), { offset, length });
}
