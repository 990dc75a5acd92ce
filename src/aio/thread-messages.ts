/**
 * What main and an IOThread say to each other: plain, cloneable, numbered where an answer is owed.
 * No request of a guest is among them (design section 7).
 */

import type { CoreHandle } from '../engine/core.ts';
import type { EncodedError } from './thread-error.ts';

export interface PoolLimits {
  /** Workers of the thread's pool that stay though they are idle. */
  readonly min: number;
  /** Most Workers of the thread's pool. */
  readonly max: number;
}

export type DownMessage =
  /** The first; not counted as mail, for there is no context yet. */
  | {
      readonly type: 'start';
      readonly id: string;
      readonly core: CoreHandle;
      /** Address of the context's block. */
      readonly context: number;
      readonly limits: PoolLimits;
    }
  | {
      readonly type: 'call';
      readonly number: number;
      readonly service: string;
      readonly payload: unknown;
    }
  | { readonly type: 'set-limits'; readonly limits: PoolLimits }
  /** CONTEXT_STOP is set: this only wakes a thread that waits for messages. */
  | { readonly type: 'stop' };

export type UpMessage =
  | { readonly type: 'ready'; readonly thread: number }
  | { readonly type: 'done'; readonly number: number; readonly result: unknown }
  | { readonly type: 'failed'; readonly number: number; readonly error: EncodedError }
  | { readonly type: 'event'; readonly event: string; readonly payload: unknown }
  /** The run loop has ended as it should; `error`: what the thread had not put away. */
  | { readonly type: 'stopped'; readonly error: EncodedError | null }
  /** It could not start, or an error escaped. Nothing follows. */
  | { readonly type: 'died'; readonly error: EncodedError };
