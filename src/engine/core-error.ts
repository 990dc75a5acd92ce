/**
 * What went wrong: EINVAL a wrong argument, EALIGN and EOVERLAP and ERANGE a region refused, ENOMEM
 * memory cannot grow, ENOTSUP this platform or build lacks what was asked, EMODULE the module does
 * not fit the memory or cannot be compiled, EABI module and memory are of different versions, EPERM
 * only the thread that opened the core may do this.
 */
export type CoreErrorCode =
  | 'EINVAL'
  | 'EALIGN'
  | 'EOVERLAP'
  | 'ERANGE'
  | 'ENOMEM'
  | 'ENOTSUP'
  | 'EMODULE'
  | 'EABI'
  | 'EPERM';

/** The core's own refusal; nothing was changed. `cause` is the platform's error, if any. */
export class CoreError extends Error {
  readonly code: CoreErrorCode;

  constructor(code: CoreErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'CoreError';
    this.code = code;
  }
}
