/**
 * A block of registers, accessed with any width at any offset. A driver should use each register's
 * own width; what it does instead must still be safe and mean the obvious.
 */

import { allOnes, type Width } from './config-space.ts';

export interface Register {
  readonly offset: number;
  readonly width: Width;
  read(): number;
  /** Left out: read-only. */
  write?(value: number): void;
}

export class RegisterFile {
  readonly size: number;
  /** The register at each byte. */
  readonly #at: (Register | undefined)[];

  /** `size` in bytes; the registers are disjoint and lie inside. */
  constructor(size: number, registers: readonly Register[]) {
    this.size = size;
    this.#at = new Array(size).fill(undefined);
    for (const register of registers) {
      this.#at.fill(register, register.offset, register.offset + register.width);
    }
  }

  /** All ones if a byte lies outside; bytes between registers are 0. */
  read(offset: number, width: Width): number {
    if (offset + width > this.size) return allOnes(width);
    const register = this.#at[offset];
    if (register?.offset === offset && register.width === width) return register.read() >>> 0;
    let value = 0;
    for (let i = 0; i < width; ) {
      const part = this.#at[offset + i];
      const skip = part ? offset + i - part.offset : 0;
      const bytes = part ? Math.min(part.width - skip, width - i) : 1;
      // One read per register: a read may have a side effect.
      if (part) value |= ((part.read() >>> (8 * skip)) & maskOf(bytes)) << (8 * i);
      i += bytes;
    }
    return value >>> 0;
  }

  /** Ignored if a byte lies outside. Part of a register is merged into its present value. */
  write(offset: number, width: Width, value: number): void {
    if (offset + width > this.size) return;
    const register = this.#at[offset];
    if (register?.offset === offset && register.width === width) {
      register.write?.((value & maskOf(width)) >>> 0);
      return;
    }
    for (let i = 0; i < width; ) {
      const part = this.#at[offset + i];
      const skip = part ? offset + i - part.offset : 0;
      const bytes = part ? Math.min(part.width - skip, width - i) : 1;
      if (part?.write) {
        const mask = maskOf(bytes) << (8 * skip);
        part.write(((part.read() & ~mask) | (((value >>> (8 * i)) << (8 * skip)) & mask)) >>> 0);
      }
      i += bytes;
    }
  }
}

function maskOf(bytes: number): number {
  return bytes === 4 ? -1 : (1 << (8 * bytes)) - 1;
}
