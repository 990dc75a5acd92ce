/**
 * What is wrong with the caller of the event loop. `EPERM`: this thread may not do that. `ENOTSUP`:
 * the platform or the memory cannot. `EBUSY`: something is still in use. `EDEADLK`: it would wait
 * for itself. `ESHUTDOWN`: the thread is stopping or has stopped. `EOWNERDEAD`: the thread died;
 * `cause` says why.
 */
export type AioErrorCode = 'EPERM' | 'ENOTSUP' | 'EBUSY' | 'EDEADLK' | 'ESHUTDOWN' | 'EOWNERDEAD';

export class AioError extends Error {
  override readonly name = 'AioError';
  readonly code: AioErrorCode;

  constructor(code: AioErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}
