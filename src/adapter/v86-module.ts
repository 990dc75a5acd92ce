/**
 * Makes the memory of a WebAssembly module shared by rewriting the module: its memory's limits get
 * the shared flag and a maximum. Whether plain loads and stores stay in order between threads is
 * the module's business as before; v86's are its own CPU's, which is one thread.
 * WebAssembly core specification, 5.5: binary format of modules.
 */

const HEADER_BYTES = 8;
const MAGIC = 0x6d73_6100;
const VERSION = 1;

const SECTION_IMPORT = 2;
const SECTION_MEMORY = 5;

const EXTERN_FUNCTION = 0;
const EXTERN_TABLE = 1;
const EXTERN_MEMORY = 2;
const EXTERN_GLOBAL = 3;

const LIMITS_MAXIMUM = 1;
const LIMITS_SHARED = 2;

/** A memory's limits in a module: where they stand, and the smallest size in pages. */
interface Limits {
  readonly start: number;
  readonly end: number;
  readonly minimum: number;
}

/**
 * A copy of `module` whose memory, imported or its own, is shared and may grow to `maximum` pages
 * of 64 KiB. Throws an Error that says what is unexpected: no memory or several, one that is shared
 * already, smaller than it must be at least, or bytes that are no module.
 */
export function withSharedMemory(module: Uint8Array, maximum: number): Uint8Array<ArrayBuffer> {
  const reader = new Reader(module);
  const found: { section: Section; limits: Limits }[] = [];
  for (const section of sections(reader)) {
    for (const limits of memoriesIn(section, reader)) found.push({ section, limits });
  }
  if (found.length !== 1) throw new Error(`the module has ${found.length} memories, not one`);
  const { section, limits } = found[0]!;
  if (limits.minimum > maximum) {
    throw new Error(`the module needs ${limits.minimum} pages of memory, more than ${maximum}`);
  }
  return rewritten(module, section, limits, maximum);
}

interface Section {
  readonly id: number;
  /** Where its size stands. */
  readonly at: number;
  /** Where its contents stand. */
  readonly start: number;
  readonly end: number;
}

/** Those up to the memory's: nothing that counts here comes after it. */
function* sections(reader: Reader): Generator<Section> {
  if (reader.u32() !== MAGIC || reader.u32() !== VERSION) {
    throw new Error('these bytes are no WebAssembly module of version 1');
  }
  while (reader.at < reader.length) {
    const id = reader.byte();
    const at = reader.at;
    const size = reader.leb();
    const section = { id, at, start: reader.at, end: reader.at + size };
    if (section.end > reader.length) throw new Error('a section ends behind the module');
    yield section;
    if (id === SECTION_MEMORY) return;
    reader.at = section.end;
  }
}

function* memoriesIn({ id, start, end }: Section, reader: Reader): Generator<Limits> {
  if (id !== SECTION_IMPORT && id !== SECTION_MEMORY) return;
  reader.at = start;
  for (let left = reader.leb(); left > 0; left--) {
    const kind = id === SECTION_MEMORY ? EXTERN_MEMORY : importKind(reader);
    if (kind === EXTERN_MEMORY) yield memoryLimits(reader);
    else skipType(kind, reader);
  }
  if (reader.at !== end) throw new Error(`section ${id} is not as long as it says`);
}

function importKind(reader: Reader): number {
  reader.skip(reader.leb()); // module
  reader.skip(reader.leb()); // name
  return reader.byte();
}

function skipType(kind: number, reader: Reader): void {
  if (kind === EXTERN_FUNCTION) {
    reader.leb();
  } else if (kind === EXTERN_TABLE) {
    reader.byte();
    const flags = reader.byte();
    reader.leb();
    if (flags & LIMITS_MAXIMUM) reader.leb();
  } else if (kind === EXTERN_GLOBAL) {
    reader.skip(2);
  } else {
    throw new Error(`an import of unknown kind ${kind}`);
  }
}

function memoryLimits(reader: Reader): Limits {
  const start = reader.at;
  const flags = reader.byte();
  if (flags & LIMITS_SHARED) throw new Error("the module's memory is shared already");
  if (flags & ~LIMITS_MAXIMUM) throw new Error(`memory limits of unknown kind ${flags}`);
  const minimum = reader.leb();
  if (flags & LIMITS_MAXIMUM) reader.leb();
  return { start, end: reader.at, minimum };
}

function rewritten(
  module: Uint8Array,
  section: Section,
  limits: Limits,
  maximum: number,
): Uint8Array<ArrayBuffer> {
  const flags = LIMITS_MAXIMUM | LIMITS_SHARED;
  const ours = [flags, ...leb(limits.minimum), ...leb(maximum)];
  const size = section.end - section.start - (limits.end - limits.start) + ours.length;
  const pieces = [
    module.subarray(0, section.at),
    leb(size),
    module.subarray(section.start, limits.start),
    ours,
    module.subarray(limits.end),
  ];
  const bytes = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

/** Unsigned LEB128. */
function leb(value: number): number[] {
  const bytes: number[] = [];
  let left = value;
  for (; left > 0x7f; left >>>= 7) bytes.push((left & 0x7f) | 0x80);
  bytes.push(left);
  return bytes;
}

/** Reads on from `at`; throws an Error behind the end. */
class Reader {
  at = 0;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    if (bytes.length < HEADER_BYTES) throw new Error('too short for a WebAssembly module');
  }

  get length(): number {
    return this.#bytes.length;
  }

  byte(): number {
    if (this.at >= this.length) throw new Error('the module ends too early');
    return this.#bytes[this.at++]!;
  }

  skip(bytes: number): void {
    this.at += bytes;
  }

  /** Four bytes, little-endian. */
  u32(): number {
    return (this.byte() | (this.byte() << 8) | (this.byte() << 16) | (this.byte() << 24)) >>> 0;
  }

  /** Unsigned LEB128 of at most 32 bits. */
  leb(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.byte();
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
    throw new Error('a number of more than five bytes');
  }
}
