/**
 * What a Worker of a thread pool does for the file disk: one request, from and to core memory. It
 * knows a file by its descriptor alone and keeps nothing between two requests, since another file
 * may have the number by then. The other end is `file-threads.ts`.
 */

import { type PerformWork, registerWork, type Work } from '../aio/pool-worker.ts';
import type { Core } from '../engine/core.ts';
import { EINVAL } from '../spec.ts';
import { OP_DISCARD, OP_FLUSH, OP_READ, OP_WRITE, OP_WRITE_ZEROES } from './driver.ts';
import { errnoOfThrown } from './error.ts';
import type { FileHost } from './file-system.ts';
import { alignedBytes } from './open-file.ts';

/** Flags of a work: whole blocks may become a hole; the range reaches to the file's end. */
export const WORK_MAY_PUNCH = 1;
export const WORK_ENDS_FILE = 2;
/** Result of a discard or of zeroes, instead of 0: the host refused to make a hole. */
export const HOLE_REFUSED = 1;
/** Unit in which holes are made, in bytes. */
export const HOLE = 4096;

const ZERO_PAGES = 16;

/** Makes the operations of file disks on this host known to this thread's pool Worker. */
export function registerFileWork(host: FileHost): void {
  const zeroes = alignedBytes(ZERO_PAGES);
  const perform: PerformWork = (core, work) => {
    try {
      return carryOut(host, zeroes, core, work);
    } catch (thrown) {
      return errnoOfThrown(thrown);
    }
  };
  for (const op of [OP_READ, OP_WRITE, OP_FLUSH, OP_DISCARD, OP_WRITE_ZEROES]) {
    registerWork(op, perform);
  }
}

function carryOut(host: FileHost, zeroes: Uint8Array, core: Core, work: Work): number {
  const { op, file, offset, length, address } = work;
  const { fs } = host;
  switch (op) {
    case OP_READ:
      return fs.readSync(file, core.u8, address, length, offset);
    case OP_WRITE:
      return fs.writeSync(file, core.u8, address, length, offset);
    case OP_FLUSH:
      fs.fdatasyncSync(file);
      return 0;
    case OP_DISCARD:
      return discard(host, work);
    case OP_WRITE_ZEROES:
      return writeZeroes(host, zeroes, work);
    default:
      return -EINVAL;
  }
}

/** Frees what it can; what fails here is no error. */
function discard(host: FileHost, work: Work): number {
  const { file, offset, length, flags } = work;
  if (!(flags & WORK_ENDS_FILE)) return punch(host, work) ? 0 : refusedOf(work);
  try {
    host.fs.ftruncateSync(file, offset);
    host.fs.ftruncateSync(file, offset + length);
  } catch {
    // A file that is too short reads as zeroes behind its end.
  }
  return 0;
}

function writeZeroes(host: FileHost, zeroes: Uint8Array, work: Work): number {
  const end = work.offset + work.length;
  const hole = punch(host, work);
  zeroOut(host, zeroes, work.file, work.offset, hole ? hole.from : end);
  if (hole) zeroOut(host, zeroes, work.file, hole.to, end);
  return hole ? 0 : refusedOf(work);
}

/** Makes a hole of the range's whole blocks, if it may and the host can; else null. */
function punch(host: FileHost, { file, offset, length, flags }: Work) {
  const from = Math.ceil(offset / HOLE) * HOLE;
  const to = Math.floor((offset + length) / HOLE) * HOLE;
  if (!(flags & WORK_MAY_PUNCH) || from >= to) return null;
  return host.punchHoleSync?.(file, from, to - from) ? { from, to } : null;
}

/** No hole was made: is that the host's doing? */
function refusedOf({ offset, length, flags }: Work): number {
  const block = Math.ceil(offset / HOLE) * HOLE + HOLE;
  return flags & WORK_MAY_PUNCH && block <= offset + length ? HOLE_REFUSED : 0;
}

function zeroOut(host: FileHost, zeroes: Uint8Array, file: number, from: number, to: number): void {
  while (from < to) {
    from += host.fs.writeSync(file, zeroes, 0, Math.min(zeroes.length, to - from), from);
  }
}
