/** Options of an IOThread, in QEMU's words. What is wrong throws a RangeError that names it. */

import { IOTHREAD_POLL_PARAMS } from './poll-params.ts';

/** Those that may be changed at run time (WT-7). */
export interface IOThreadParams {
  /** ns for which the thread busy-polls before it sleeps; 0: not at all. Default 32768. */
  'poll-max-ns'?: number;
  /** Factor by which the polling time grows; 0: 2. Default 0. */
  'poll-grow'?: number;
  /** Divisor by which it shrinks; 0: to zero. Default 0. */
  'poll-shrink'?: number;
  /** Requests that are taken from a queue in one go; 0: the engine's choice. Default 0. */
  'aio-max-batch'?: number;
  /** Workers of the thread's pool that stay though they are idle. Default 0. */
  'thread-pool-min'?: number;
  /** Most Workers of the thread's pool. Default 4. */
  'thread-pool-max'?: number;
}

export type ParamName = keyof IOThreadParams;
export type CheckedParams = Readonly<Required<IOThreadParams>>;

export const DEFAULT_PARAMS: CheckedParams = {
  'poll-max-ns': IOTHREAD_POLL_PARAMS.maxNs,
  'poll-grow': IOTHREAD_POLL_PARAMS.grow,
  'poll-shrink': IOTHREAD_POLL_PARAMS.shrink,
  'aio-max-batch': IOTHREAD_POLL_PARAMS.maxBatch,
  'thread-pool-min': 0,
  'thread-pool-max': 4,
};

/** They stand in words of 32 bits. */
const WORD_MAX = 0xffff_ffff;

/** `old` with what `params` gives; other keys of `params` are not looked at. */
export function checkParams(params: IOThreadParams, old: CheckedParams): CheckedParams {
  const merged = { ...old };
  for (const name of Object.keys(DEFAULT_PARAMS) as ParamName[]) {
    const value = params[name];
    if (value === undefined) continue;
    const least = name === 'thread-pool-max' ? 1 : 0;
    if (!Number.isInteger(value) || value < least || value > WORD_MAX) {
      throw refusal(name, value, `whole numbers from ${least} to ${WORD_MAX}`);
    }
    merged[name] = value;
  }
  const { 'thread-pool-min': min, 'thread-pool-max': max } = merged;
  if (min > max) throw refusal('thread-pool-min', min, `at most thread-pool-max, ${max}`);
  return merged;
}

/** As `checkParams`, and refuses names that are none of them. */
export function checkChange(params: IOThreadParams, old: CheckedParams): CheckedParams {
  for (const [name, value] of Object.entries(params)) {
    if (Object.hasOwn(DEFAULT_PARAMS, name)) continue;
    throw refusal(name, value, `the options ${Object.keys(DEFAULT_PARAMS).join(', ')}`);
  }
  return checkParams(params, old);
}

function refusal(name: string, value: unknown, allowed: string): RangeError {
  return new RangeError(`${name}: ${value} is not allowed; allowed: ${allowed}`);
}
