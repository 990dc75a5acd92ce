/**
 * The device configuration space as a driver reads it (VIRTIO 1.3, 2.5): bytes that the device
 * fills, a generation that tells a torn read, and the byte order of a legacy guest.
 */

/** Width of a register access in bytes. */
export type Width = 1 | 2 | 4;

/** What a read that nobody answers gives: all ones. */
export function allOnes(width: Width): number {
  return width === 4 ? 0xffffffff : width === 2 ? 0xffff : 0xff;
}

/** Reads `width` bytes, least significant first, as an unsigned number. The range is inside. */
export function loadLittle(bytes: Uint8Array, offset: number, width: Width): number {
  let value = 0;
  for (let i = width - 1; i >= 0; i--) value = ((value << 8) | bytes[offset + i]!) >>> 0;
  return value;
}

/** Writes the low `width` bytes of `value`, least significant first. The range is inside. */
export function storeLittle(bytes: Uint8Array, offset: number, width: Width, value: number): void {
  for (let i = 0; i < width; i++) bytes[offset + i] = value >>> (8 * i);
}

/** Turns round the bytes of `value`. */
export function swapBytes(value: number, width: Width): number {
  let swapped = 0;
  for (let i = 0; i < width; i++) swapped = (swapped << 8) | ((value >>> (8 * i)) & 0xff);
  return swapped >>> 0;
}

/**
 * Reads `width` bytes of a configuration space, all ones if any lies outside. `mirrored`: the
 * fields of one that a big-endian guest reads, null for the others.
 */
export function loadConfig(
  bytes: Uint8Array,
  mirrored: readonly number[] | null,
  offset: number,
  width: Width,
): number {
  if (offset + width > bytes.length) return allOnes(width);
  if (mirrored) return loadMirrored(bytes, mirrored, offset, width);
  return loadLittle(bytes, offset, width);
}

/**
 * Reads little-endian fields as a big-endian guest expects them: the bytes of each field come in
 * the opposite order. `fields` lists the widths of the fields from offset 0 on, without gaps.
 */
function loadMirrored(
  bytes: Uint8Array,
  fields: readonly number[],
  offset: number,
  width: Width,
): number {
  let value = 0;
  for (let i = width - 1; i >= 0; i--) {
    value = ((value << 8) | bytes[mirror(fields, offset + i)]!) >>> 0;
  }
  return value;
}

/** Where the byte at `offset` of the mirrored space lies in the little-endian one. */
function mirror(fields: readonly number[], offset: number): number {
  let start = 0;
  for (const width of fields) {
    if (offset < start + width) return start + width - 1 - (offset - start);
    start += width;
  }
  return offset; // beyond the listed fields: single bytes
}

/**
 * The 8-bit configuration generation (2.5.1). It counts when the driver looks, not when a change
 * happens: any number of changes between two looks is one step, so that 256 of them cannot wrap
 * to the value the driver saw before (VC-5).
 */
export class ConfigGeneration {
  #value = 0;
  #changed = false;

  /** The contents have changed. */
  touch(): void {
    this.#changed = true;
  }

  /** To be called before each read of the contents or of the generation. */
  look(): number {
    if (this.#changed) {
      this.#changed = false;
      this.#value = (this.#value + 1) & 0xff;
    }
    return this.#value;
  }
}
