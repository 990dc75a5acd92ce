/** Fields of CDBs and parameter data: unsigned, most significant byte first. */

export function get16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

export function get24(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 16) | get16(bytes, at + 1);
}

export function get32(bytes: Uint8Array, at: number): number {
  return get16(bytes, at) * 0x1_0000 + get16(bytes, at + 2);
}

/** As a double: what it rounds lies beyond the end of any disk. */
export function get64(bytes: Uint8Array, at: number): number {
  return get32(bytes, at) * 0x1_0000_0000 + get32(bytes, at + 4);
}

export function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

export function put24(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 16;
  put16(bytes, at + 1, value);
}

export function put32(bytes: Uint8Array, at: number, value: number): void {
  put16(bytes, at, value >>> 16);
  put16(bytes, at + 2, value);
}

/** `value`: a whole number up to 2^53. */
export function put64(bytes: Uint8Array, at: number, value: number): void {
  put32(bytes, at, Math.floor(value / 0x1_0000_0000));
  put32(bytes, at + 4, value >>> 0);
}

/** `text` in `length` bytes, filled up with spaces. It is ASCII. */
export function putText(bytes: Uint8Array, at: number, length: number, text: string): void {
  for (let i = 0; i < length; i++) bytes[at + i] = i < text.length ? text.charCodeAt(i) : 0x20;
}
