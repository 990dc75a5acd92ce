/**
 * Errors of disks. On the request path an error is a negative errno, as Linux numbers them; a
 * `BlockError` is what a caller of promises gets. A wrong option is an `OptionError`.
 */

import {
  EAGAIN,
  ECANCELED,
  EINVAL,
  EIO,
  ENOMEDIUM,
  ENOMEM,
  ENOSPC,
  ENOTSUP,
  EPERM,
} from '../spec.ts';

/** Codes that a host may report, with Linux's numbers: hosts number some of them otherwise. */
const ERRNO: Readonly<Record<string, number>> = {
  EPERM,
  ENOENT: 2,
  EINTR: 4,
  EIO,
  ENXIO: 6,
  EBADF: 9,
  EAGAIN,
  ENOMEM,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL,
  ENFILE: 23,
  EMFILE: 24,
  EFBIG: 27,
  ENOSPC,
  ESPIPE: 29,
  EROFS: 30,
  ERANGE: 34,
  ENOSYS: 38,
  EOVERFLOW: 75,
  ENOTSUP,
  EOPNOTSUPP: ENOTSUP,
  ETIMEDOUT: 110,
  ESTALE: 116,
  EDQUOT: 122,
  ENOMEDIUM,
  ECANCELED,
};

const CODES = new Map<number, string>();
for (const [code, errno] of Object.entries(ERRNO)) if (!CODES.has(errno)) CODES.set(errno, code);

/** Linux's number for a code such as `ENOSPC`; EIO for one that is not known here. */
export function errnoOf(code: string): number {
  return ERRNO[code] ?? EIO;
}

/** Is this the name of an errno that `errnoOf` knows? */
export function isErrnoCode(code: string): boolean {
  return Object.hasOwn(ERRNO, code);
}

/** The name of an errno, positive or negative; `EIO` for one that is not known here. */
export function codeOf(errno: number): string {
  return CODES.get(Math.abs(errno)) ?? 'EIO';
}

/** The negative errno of something thrown by a host: its `code`, else -EIO. */
export function errnoOfThrown(thrown: unknown): number {
  const code = (thrown as { code?: unknown } | null | undefined)?.code;
  return -(typeof code === 'string' ? errnoOf(code) : EIO);
}

export interface BlockErrorDetails {
  /** First byte of the request on the disk. */
  offset?: number;
  /** Bytes of the request. */
  length?: number;
  cause?: unknown;
}

/** What went wrong on the host's side of a disk. */
export class BlockError extends Error {
  /** As in errno: `EIO`, `ENOSPC`, ... */
  readonly code: string;
  /** `read`, `write`, `flush`, `discard`, `write-zeroes`, `open`, `truncate`. */
  readonly operation: string;
  readonly offset: number;
  readonly length: number;

  constructor(code: string, operation: string, details: BlockErrorDetails = {}) {
    const { offset = 0, length = 0, cause } = details;
    const where = length > 0 || offset > 0 ? ` of ${length} bytes at ${offset}` : '';
    const why = cause instanceof Error ? `: ${cause.message}` : '';
    super(`${operation}${where} failed (${code})${why}`, cause === undefined ? {} : { cause });
    this.name = 'BlockError';
    this.code = code;
    this.operation = operation;
    this.offset = offset;
    this.length = length;
  }
}

/** An option that is wrong: names it, the value it was given, and what is allowed. */
export class OptionError extends Error {
  readonly code = 'EINVAL';
  readonly option: string;
  readonly value: unknown;
  readonly allowed: string;

  constructor(option: string, value: unknown, allowed: string) {
    super(`${option}: ${describe(value)} is not allowed; allowed: ${allowed}`);
    this.name = 'OptionError';
    this.option = option;
    this.value = value;
    this.allowed = allowed;
  }
}

/** A change of the graph of disks that somebody in it refuses. Nothing has changed. */
export class GraphError extends Error {
  readonly code: 'EPERM' | 'EBUSY';
  /** Name of the backend or node that refuses. */
  readonly refusedBy: string;

  constructor(code: 'EPERM' | 'EBUSY', refusedBy: string, why: string) {
    super(why);
    this.name = 'GraphError';
    this.code = code;
    this.refusedBy = refusedBy;
  }
}

function describe(value: unknown): string {
  if (typeof value === 'string') return `'${value}'`;
  if (typeof value === 'object' && value !== null)
    return Array.isArray(value) ? 'a list' : 'an object';
  return String(value);
}
