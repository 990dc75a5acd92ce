/** The options `werror` and `rerror`, and errors in words. QEMU: `parse_error_action`. */

import { POLICY_ENOSPC, POLICY_STOP } from '../layout.ts';
import { codeOf, OptionError } from './error.ts';

/**
 * - `report`: the guest is told;
 * - `ignore`: the guest is told that all is well;
 * - `stop`: the machine stops, and tries the request again when it goes on;
 * - `enospc`: `stop` if the host is out of space, else `report`.
 */
export type ErrorPolicy = 'report' | 'ignore' | 'stop' | 'enospc';

/** By the numbers POLICY_*. */
const POLICIES: readonly ErrorPolicy[] = ['report', 'ignore', 'stop', 'enospc'];

/** Can it stop the machine? Then the disk has an iostatus (BB-20). */
export function mayStop(policy: number): boolean {
  return policy === POLICY_STOP || policy === POLICY_ENOSPC;
}

/**
 * POLICY_* of an option; default `otherwise`. Throws an OptionError for what is none, and for one
 * that stops where there is no machine.
 */
export function readPolicy(
  option: 'werror' | 'rerror',
  value: ErrorPolicy | undefined,
  hasMachine: boolean,
  otherwise: ErrorPolicy,
): number {
  const policy = POLICIES.indexOf(value ?? otherwise);
  if (policy < 0) throw new OptionError(option, value, POLICIES.join(', '));
  if (hasMachine || !mayStop(policy)) return policy;
  throw new OptionError(option, value, 'report, ignore; with a machine also stop, enospc');
}

/** The words of libc for errors that disks have. */
const REASONS: Readonly<Record<string, string>> = {
  EPERM: 'Operation not permitted',
  EIO: 'Input/output error',
  ENXIO: 'No such device or address',
  EBADF: 'Bad file descriptor',
  ENOMEM: 'Cannot allocate memory',
  EACCES: 'Permission denied',
  EBUSY: 'Device or resource busy',
  EINVAL: 'Invalid argument',
  EFBIG: 'File too large',
  ENOSPC: 'No space left on device',
  EROFS: 'Read-only file system',
  ETIMEDOUT: 'Connection timed out',
  ESTALE: 'Stale file handle',
  EDQUOT: 'Disk quota exceeded',
  ENOMEDIUM: 'No medium found',
  ECANCELED: 'Operation canceled',
};

/** An errno in words. */
export function reasonOf(errno: number): string {
  const code = codeOf(errno);
  return REASONS[code] ?? code;
}
