/** What a coroutine must not do, by name (CO-1, CO-8). All are mistakes of the program. */

export type CoroutineErrorCode =
  /** It was scheduled already, by schedule or by a sleep. */
  | 'ESCHEDULED'
  /** It is running already, further up on the same stack. */
  | 'ERECURSIVE'
  /** A yield outside of any coroutine. */
  | 'ENOCALLER'
  /** It has ended. */
  | 'EENDED'
  /** It ended with a mutex locked, or a mutex is unlocked by someone who does not hold it. */
  | 'ELOCKED'
  /** A coroutine stays on the thread where it was made. */
  | 'ETHREAD'
  /** The context has no place for another one. */
  | 'ENOSPC';

export class CoroutineError extends Error {
  readonly code: CoroutineErrorCode;

  constructor(code: CoroutineErrorCode, message: string) {
    super(message);
    this.name = 'CoroutineError';
    this.code = code;
  }
}
