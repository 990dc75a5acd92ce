/**
 * Requests of an overlay to the disks that it stands on. They may settle at once or later, so what
 * comes next is a callback; steps that end at once do not nest, however many there are. No promises
 * here: a thread that serves may block before they resolve.
 */

import type { Core } from '../engine/core.ts';
import { EIO, ENOSPC, ENOTSUP } from '../spec.ts';
import {
  type BlockDriver,
  type BlockOp,
  type BlockRequest,
  type IoVector,
  OP_DISCARD,
  OP_FLUSH,
  type OP_READ,
  OP_WRITE,
  PENDING,
} from './driver.ts';
import { errnoOfThrown } from './error.ts';
import { followView } from './followed-view.ts';
import { SegmentVector, zeroVector } from './io-vector.ts';

/** Takes the result of a step: 0 or more, or a negative errno. */
export type End = (result: number) => void;

/** Does `step` again and again, as long as `more` says so of its result. */
export function repeat(step: (end: End) => void, more: (result: number) => boolean): void {
  let again = true;
  while (again) {
    again = false;
    let returned = false;
    step((result) => {
      if (!more(result)) return;
      if (returned) repeat(step, more);
      else again = true;
    });
    returned = true;
  }
}

/**
 * What a driver's `submit` returns for a request that `start` carries out: the result that it ended
 * with before it returned, or PENDING, and then the request is settled.
 */
export function submitted(request: BlockRequest, start: (end: End) => void): number {
  let result = PENDING;
  let returned = false;
  start((ended) => {
    if (returned) request.settle(ended);
    else result = ended;
  });
  returned = true;
  return result;
}

/** `submit`, and `end` when it has settled. A driver that throws has failed. */
function submit(disk: BlockDriver, request: Omit<BlockRequest, 'settle'>, end: End): void {
  let result: number;
  try {
    result = disk.submit({ ...request, settle: end });
  } catch (thrown) {
    result = errnoOfThrown(thrown);
  }
  if (result !== PENDING) end(result);
}

/** FLUSH, DISCARD or WRITE_ZEROES. Ends with 0; a disk that lacks DISCARD has done it. */
export function command(
  disk: BlockDriver,
  op: BlockOp,
  offset: number,
  length: number,
  flags: number,
  end: End,
): void {
  submit(disk, { op, offset, length, flags, vector: new SegmentVector() }, (result) => {
    end(result === -ENOTSUP && op === OP_DISCARD ? 0 : Math.min(result, 0));
  });
}

export function flush(disk: BlockDriver, end: End): void {
  command(disk, OP_FLUSH, 0, 0, 0, end);
}

/**
 * Moves all of `vector` from or to a disk, in as many parts as it takes. Ends with its length. What
 * lies behind the end of the disk reads as zeroes.
 */
export function transfer(
  core: Core,
  disk: BlockDriver,
  op: typeof OP_READ | typeof OP_WRITE,
  offset: number,
  vector: IoVector,
  length: number,
  end: End,
): void {
  const bytes = followView(core, vector.bytes);
  const rest = new SegmentVector();
  let done = 0;
  repeat(
    (ended) => {
      vector.bytes = bytes(); // a memory that has grown has a new buffer
      rest.slice(vector, done, length - done);
      const part = { op, offset: offset + done, length: length - done, flags: 0, vector: rest };
      submit(disk, part, ended);
    },
    (result) => {
      vector.bytes = bytes();
      const moved = absorb(disk, op, result, length - done);
      if (moved < 0) {
        end(moved);
        return false;
      }
      if (moved > result) zeroVector(vector, done + result, moved - result);
      done += moved;
      if (done < length) return true;
      end(length);
      return false;
    },
  );
}

/** Bytes that are done after a part's result, or a negative errno. */
function absorb(disk: BlockDriver, op: BlockOp, result: number, left: number): number {
  if (result < 0) return result;
  if (result > left) return -EIO;
  if (op === OP_WRITE) return result === 0 ? -ENOSPC : result;
  const atEnd = result === 0 || result % disk.alignment !== 0;
  return atEnd ? left : result;
}
