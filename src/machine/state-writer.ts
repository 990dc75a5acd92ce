/** Writes the fields of a state one behind the other: little-endian, not aligned, without names. */

export class StateWriter {
  #bytes = new Uint8Array(256);
  #length = 0;

  /** What was written so far: a view, good until more is written. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  u8(value: number): this {
    return this.#word(value, 1);
  }

  u16(value: number): this {
    return this.#word(value, 2);
  }

  u32(value: number): this {
    return this.#word(value, 4);
  }

  /** A safe integer from 0 on. */
  u64(value: number): this {
    return this.u32(value % 0x1_0000_0000).u32(Math.floor(value / 0x1_0000_0000));
  }

  bool(value: boolean): this {
    return this.u8(value ? 1 : 0);
  }

  /** UTF-8, with its length (u16) in front. */
  text(value: string): this {
    const bytes = new TextEncoder().encode(value);
    return this.u16(bytes.length).raw(bytes);
  }

  /** With their length (u32) in front. */
  blob(bytes: Uint8Array): this {
    return this.u32(bytes.length).raw(bytes);
  }

  /** As they are: whoever reads them knows how many. */
  raw(bytes: Uint8Array): this {
    const at = this.#grow(bytes.length);
    this.#bytes.set(bytes, at);
    return this;
  }

  #word(value: number, width: number): this {
    const at = this.#grow(width);
    for (let i = 0; i < width; i++) this.#bytes[at + i] = value >>> (8 * i);
    return this;
  }

  /** Room for `bytes` more; returns where they go. */
  #grow(bytes: number): number {
    const at = this.#length;
    this.#length += bytes;
    if (this.#length > this.#bytes.length) {
      const longer = new Uint8Array(Math.max(this.#length, 2 * this.#bytes.length));
      longer.set(this.#bytes.subarray(0, at));
      this.#bytes = longer;
    }
    return at;
  }
}
