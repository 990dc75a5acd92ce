/**
 * The bytes of a saved state:
 *
 *   | magic 8 | format u32 | sections u32 | section | section | ... | CRC-32 of all before |
 *   section: | length of id u16 | id | version u32 | length u32 | bytes |
 *
 * A state may come from anywhere: whatever does not fit is refused before anything is done with it.
 */

import { crc32 } from './crc32.ts';
import { StateError } from './state-error.ts';
import { StateReader } from './state-reader.ts';
import { StateWriter } from './state-writer.ts';

/** "vblk", and bytes that a transfer as text would change. */
const MAGIC = [0x76, 0x62, 0x6c, 0x6b, 0x0d, 0x0a, 0x1a, 0x0a];
const FORMAT_VERSION = 1;
const HEADER_BYTES = 16;
const TRAILER_BYTES = 4;
/** Bytes of an id. */
const ID_MAX = 256;
const SECTIONS_MAX = 4096;
const SECTION_BYTES_MAX = 0xffff_ffff;

export interface StateSection {
  /** Names what was saved; no two sections of a state have the same. */
  readonly id: string;
  /** Of the section's own format; a reader refuses a newer one than it knows. */
  readonly version: number;
  readonly bytes: Uint8Array;
}

export function writeState(sections: readonly StateSection[]): Uint8Array {
  const writer = new StateWriter();
  writer.raw(Uint8Array.from(MAGIC)).u32(FORMAT_VERSION).u32(sections.length);
  for (const { id, version, bytes } of sections) writer.text(id).u32(version).blob(bytes);
  writer.u32(crc32(writer.bytes));
  return writer.bytes.slice();
}

/** The sections, as views of `bytes`. Throws a StateError: EFORMAT or EVERSION. */
export function readState(bytes: Uint8Array): StateSection[] {
  if (bytes.length < HEADER_BYTES + TRAILER_BYTES || MAGIC.some((byte, i) => bytes[i] !== byte)) {
    throw new StateError('EFORMAT', 'these bytes are no saved state of vblk');
  }
  const body = bytes.subarray(0, bytes.length - TRAILER_BYTES);
  const header = new StateReader(body);
  header.raw('magic', MAGIC.length);
  const format = header.u32('format');
  if (format !== FORMAT_VERSION) {
    const message = `the state is of format ${format}, this program knows format ${FORMAT_VERSION}`;
    throw new StateError('EVERSION', message);
  }
  const sum = new StateReader(bytes.subarray(body.length)).u32('check sum');
  if (sum !== crc32(body)) {
    throw new StateError('EFORMAT', 'the state is cut off or was altered: its check sum is wrong');
  }
  const count = header.upTo('sections', 4, SECTIONS_MAX);
  const sections = new Map<string, StateSection>();
  for (let i = 0; i < count; i++) {
    const id = header.text(`section ${i}, id`, ID_MAX);
    if (sections.has(id)) throw new StateError('EFORMAT', 'is there twice', { section: id });
    const version = header.u32(`section ${i}, version`);
    const content = header.blob(`section ${i}, length`, SECTION_BYTES_MAX);
    sections.set(id, { id, version, bytes: content });
  }
  header.end();
  return [...sections.values()];
}
