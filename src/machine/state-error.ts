/** Why a state was not saved or not loaded. */

/**
 * - `EFORMAT`: no state of ours, cut off, or altered;
 * - `EVERSION`: written by a newer program;
 * - `EMISMATCH`: of another machine: `section` and `field` say what differs;
 * - `EINVAL`: a value that no machine can have, or that does not fit to guest memory;
 * - `EBUSY`: the machine runs, or has requests in flight (VM-8).
 */
export type StateErrorCode = 'EFORMAT' | 'EVERSION' | 'EMISMATCH' | 'EINVAL' | 'EBUSY';

export class StateError extends Error {
  override readonly name = 'StateError';
  readonly code: StateErrorCode;
  /** Id of the section, if it is about one. */
  readonly section: string | undefined;
  readonly field: string | undefined;

  /** `where`: section and field, as far as they are known; they begin the message. */
  constructor(
    code: StateErrorCode,
    message: string,
    where: { section?: string | undefined; field?: string | undefined; cause?: unknown } = {},
  ) {
    const { section, field, cause } = where;
    const place = [section && `section '${section}'`, field].filter(Boolean).join(', ');
    super(place ? `${place}: ${message}` : message, cause === undefined ? {} : { cause });
    this.code = code;
    this.section = section;
    this.field = field;
  }
}
