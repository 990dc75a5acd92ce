/** Names of the block operations, for messages, figures and rules. */

import type { BlockOp } from './driver.ts';

/** In the order of the OP_ numbers. */
export const OPERATION_NAMES = ['read', 'write', 'flush', 'discard', 'write-zeroes'] as const;

export type OperationName = (typeof OPERATION_NAMES)[number];

/** `read`, `write`, `flush`, `discard` or `write-zeroes`. */
export function operationName(op: BlockOp): OperationName {
  return OPERATION_NAMES[op];
}
