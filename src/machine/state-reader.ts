/**
 * Reads what `StateWriter` wrote, from bytes that may be anything: each read is given the name of
 * its field, and throws a StateError with that name instead of going beyond the end. No length that
 * was read is believed before as many bytes are there.
 */

import { StateError, type StateErrorCode } from './state-error.ts';

export class StateReader {
  readonly #bytes: Uint8Array;
  readonly #section: string | undefined;
  #at = 0;

  /** `section`: its id, for the messages. */
  constructor(bytes: Uint8Array, section?: string) {
    this.#bytes = bytes;
    this.#section = section;
  }

  /** Bytes not yet read. */
  get left(): number {
    return this.#bytes.length - this.#at;
  }

  u8(field: string): number {
    return this.#word(field, 1);
  }

  u16(field: string): number {
    return this.#word(field, 2);
  }

  u32(field: string): number {
    return this.#word(field, 4);
  }

  u64(field: string): number {
    const low = this.u32(field);
    const value = this.u32(field) * 0x1_0000_0000 + low;
    return Number.isSafeInteger(value)
      ? value
      : this.fail('EINVAL', field, `${value} is too large`);
  }

  /** One of 0 to `most`. */
  upTo(field: string, width: 1 | 2 | 4, most: number): number {
    const value = this.#word(field, width);
    if (value <= most) return value;
    return this.fail('EINVAL', field, `${value} is larger than ${most}`);
  }

  bool(field: string): boolean {
    return this.upTo(field, 1, 1) === 1;
  }

  text(field: string, most: number): string {
    const length = this.upTo(field, 2, most);
    try {
      return new TextDecoder('utf-8', { fatal: true }).decode(this.raw(field, length));
    } catch (error) {
      if (error instanceof StateError) throw error;
      return this.fail('EINVAL', field, 'is no text');
    }
  }

  /** At most `most` bytes; a view, to be copied by whoever keeps it. */
  blob(field: string, most: number): Uint8Array {
    return this.raw(field, this.upTo(field, 4, most));
  }

  /** `length` bytes; a view, to be copied by whoever keeps it. */
  raw(field: string, length: number): Uint8Array {
    const at = this.#take(field, length);
    return this.#bytes.subarray(at, at + length);
  }

  /** What this machine has must be what was saved. */
  expect(field: string, saved: number | string, here: number | string): void {
    if (saved === here) return;
    this.fail('EMISMATCH', field, `the state was saved with ${saved}, here it is ${here}`);
  }

  /** All was read: a longer section is of something else. */
  end(): void {
    if (this.left > 0) this.fail('EFORMAT', 'end', `${this.left} bytes are left over`);
  }

  fail(code: StateErrorCode, field: string, message: string): never {
    throw new StateError(code, message, { section: this.#section, field });
  }

  #word(field: string, width: number): number {
    const at = this.#take(field, width);
    let value = 0;
    for (let i = width - 1; i >= 0; i--) value = value * 256 + this.#bytes[at + i]!;
    return value;
  }

  #take(field: string, length: number): number {
    if (length > this.left) this.fail('EFORMAT', field, 'the state is cut off here');
    const at = this.#at;
    this.#at += length;
    return at;
  }
}
