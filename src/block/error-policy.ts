/**
 * The error policy (`werror`, `rerror`): what becomes of a request that the host could not do
 * (BB-19). Pure; on any thread. QEMU: `blk_get_error_action`, block/block-backend.c.
 */

import {
  BACKEND_RERROR,
  BACKEND_WERROR,
  POLICY_ENOSPC,
  POLICY_IGNORE,
  POLICY_STOP,
} from '../layout.ts';
import { ENOSPC } from '../spec.ts';

/**
 * `report`: the guest is told. `ignore`: it is told that all is well. `stop`: it is told nothing;
 * the machine stops, and the request is tried again when it goes on.
 */
export type ErrorAction = 'report' | 'ignore' | 'stop';

/** What `policy` (POLICY_*) says to `errno`, a positive number as in errno. */
export function errorAction(policy: number, errno: number): ErrorAction {
  if (policy === POLICY_STOP) return 'stop';
  if (policy === POLICY_IGNORE) return 'ignore';
  return policy === POLICY_ENOSPC && errno === ENOSPC ? 'stop' : 'report';
}

/** POLICY_* of a backend's reads, or of all else: writes, flushes, discards, zeroes. */
export function policyOf(words: Uint32Array, backend: number, isRead: boolean): number {
  return Atomics.load(words, (backend + (isRead ? BACKEND_RERROR : BACKEND_WERROR)) >>> 2);
}
