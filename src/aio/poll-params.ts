/**
 * The numbers of adaptive polling (AP-4 to AP-6). They are words of the context's block, so any
 * thread may read and change them. QEMU: `aio_context_set_poll_params`, `adjust_polling_time`.
 */

import type { Core } from '../engine/core.ts';
import {
  CONTEXT_MAX_BATCH,
  CONTEXT_POLL_GROW,
  CONTEXT_POLL_MAX,
  CONTEXT_POLL_SHRINK,
} from '../layout.ts';
import { notifyContext } from './wake.ts';

export interface PollParams {
  /** Longest busy polling in ns; 0: none. QEMU: poll-max-ns. */
  maxNs: number;
  /** By what factor a handler's polling grows; 0: 2. QEMU: poll-grow. */
  grow: number;
  /** By what divisor it shrinks; 0: to nothing at once. QEMU: poll-shrink. */
  shrink: number;
  /** Requests that a batch holds at most; 0: as the engine likes. QEMU: aio-max-batch. */
  maxBatch: number;
}

/** What an IOThread starts with. A context that nobody told does not poll. */
export const IOTHREAD_POLL_PARAMS: PollParams = { maxNs: 32768, grow: 0, shrink: 0, maxBatch: 0 };

const WORD_MAX = 0xffff_ffff;
/** Where a handler's polling starts, in ns. */
const FIRST_NS = 4000;

const fields = {
  maxNs: ['poll-max-ns', CONTEXT_POLL_MAX],
  grow: ['poll-grow', CONTEXT_POLL_GROW],
  shrink: ['poll-shrink', CONTEXT_POLL_SHRINK],
  maxBatch: ['aio-max-batch', CONTEXT_MAX_BATCH],
} as const;

type Key = keyof PollParams;

/**
 * Sets what is given of the context at `address`, and tells it, so that it goes by the new numbers
 * at once (NT-10). Throws a RangeError that names the number, and then all stay as they were
 * (WT-7). Any thread.
 */
export function setPollParams(core: Core, address: number, params: Partial<PollParams>): void {
  const given = (Object.keys(fields) as Key[]).filter((key) => params[key] !== undefined);
  for (const key of given) {
    const value = params[key] as number;
    if (Number.isInteger(value) && value >= 0 && value <= WORD_MAX) continue;
    const range = `allowed: integers from 0 to ${WORD_MAX}`;
    throw new RangeError(`${fields[key][0]}: ${value} is not allowed; ${range}`);
  }
  for (const key of given) {
    Atomics.store(core.u32, (address + fields[key][1]) >>> 2, params[key] as number);
  }
  notifyContext(core, address);
}

export function pollParams(core: Core, address: number): PollParams {
  const read = (key: Key): number => Atomics.load(core.u32, (address + fields[key][1]) >>> 2);
  return {
    maxNs: read('maxNs'),
    grow: read('grow'),
    shrink: read('shrink'),
    maxBatch: read('maxBatch'),
  };
}

/**
 * How long to poll for a handler next time, if it was polled for `now` ns and its event came after
 * `blocked` ns (AP-5).
 */
export function nextPollNs(now: number, blocked: number, params: PollParams): number {
  const { maxNs, grow, shrink } = params;
  if (blocked <= now) return now; // polling catches it
  if (blocked > maxNs) return shrink === 0 ? 0 : Math.floor(now / shrink);
  if (now >= maxNs) return now;
  return Math.min(maxNs, now === 0 ? FIRST_NS : now * (grow || 2));
}
