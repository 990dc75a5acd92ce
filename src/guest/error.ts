/**
 * What the guest side throws. Codes: `ENODEV` nothing usable is there, `EDEVICE` the device broke
 * the standard, `ENOMEM` guest memory or ring is full, `EFAULT` an address outside guest memory,
 * `EIO` and `ENOTSUP` a request ended so (`status` tells), `ERESET` it was dropped by a reset.
 */
export type GuestErrorCode =
  | 'ENODEV'
  | 'EDEVICE'
  | 'ENOMEM'
  | 'EFAULT'
  | 'EIO'
  | 'ENOTSUP'
  | 'ERESET';

export class GuestError extends Error {
  readonly code: GuestErrorCode;
  /** The status byte of the request, where there was one. */
  readonly status: number | null;

  constructor(code: GuestErrorCode, message: string, status: number | null = null) {
    super(`${code}: ${message}`);
    this.name = 'GuestError';
    this.code = code;
    this.status = status;
  }
}
