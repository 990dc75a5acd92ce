/**
 * What an overlay writes about itself into its top.
 *
 *   0        4096     8192            data offset (a multiple of 64 KiB)
 *   | slot 0 | slot 1 | map: 1 bit per cluster ... | cluster 0 | cluster 1 | ...
 *
 * A header is one sector at the start of a slot, so it is written whole or not at all; the next one
 * goes to the other slot, and the valid one with the higher sequence counts. A cluster's place does
 * not depend on what was written before: where it was never written the top has a hole.
 *
 *   header: magic 8, version, sequence, cluster size, flags: u32; size, base size, base limit,
 *   clusters that the map has bits for, data offset: u64; length u32 and text of the base's
 *   identity; at 496 the digest of all before, 16 digits. Little-endian.
 */

import { Digest, digestOf } from './digest.ts';
import { BlockError } from './error.ts';

export const SLOT_BYTES = 4096;
export const MAP_OFFSET = 2 * SLOT_BYTES;
/** The map is read and written in blocks of so many bytes. */
export const MAP_BLOCK = 4096;
export const CLUSTERS_PER_BLOCK = MAP_BLOCK * 8;
export const CLUSTER_MIN = 4096;
export const CLUSTER_MAX = 65_536;

const VERSION = 1;
const MAGIC = 'vblkOVLY';
const HEADER_BYTES = 512;
const DIGEST_AT = 496;
const TEXT_AT = 76;
const F_COMMITTING = 1;
/** The data begins at a multiple of this, and so does each cluster's part of it. */
const DATA_ALIGN = 65_536;
/** An overlay can grow to so many times the size that it was made with. */
const GROWTH = 8;

export interface OverlayHeader {
  /** Counts the headers that were written. */
  readonly sequence: number;
  readonly clusterSize: number;
  /** Bytes of the overlay. */
  readonly size: number;
  /** Which base it is bound to. */
  readonly base: string;
  readonly baseSize: number;
  /** From here on the base's bytes are not the overlay's: zeroes are. */
  readonly baseLimit: number;
  /** Clusters that the map has room for. */
  readonly mapClusters: number;
  readonly dataOffset: number;
  /** A commit was under way: the base may have changed, and all that differs is in the top. */
  readonly committing: boolean;
}

/** The header of a new overlay. */
export function newHeader(
  clusterSize: number,
  size: number,
  base: string,
  baseSize: number,
): OverlayHeader {
  const room = Math.ceil(size / clusterSize) * GROWTH;
  const mapClusters = Math.ceil(room / CLUSTERS_PER_BLOCK) * CLUSTERS_PER_BLOCK;
  const dataOffset = Math.ceil((MAP_OFFSET + mapClusters / 8) / DATA_ALIGN) * DATA_ALIGN;
  const bound = { base, baseSize, baseLimit: size };
  return { sequence: 1, clusterSize, size, ...bound, mapClusters, dataOffset, committing: false };
}

/** Bytes that the top must have. */
export function topBytes({ clusterSize, size, dataOffset }: OverlayHeader): number {
  return dataOffset + Math.ceil(size / clusterSize) * clusterSize;
}

/** Where in the top an encoded header belongs. */
export function slotAt(slot: Uint8Array): number {
  const sequence = wordsOf(slot.slice(0, HEADER_BYTES))[3] as number;
  return ((sequence - 1) % 2) * SLOT_BYTES;
}

/** A longer identity (of overlays on overlays) stands there as its digest. */
export function storedIdentity(identity: string): string {
  const room = DIGEST_AT - TEXT_AT;
  return new TextEncoder().encode(identity).length <= room ? identity : digestOf(identity);
}

/** A slot with the header in it. */
export function encodeHeader(header: OverlayHeader): Uint8Array {
  const slot = new Uint8Array(SLOT_BYTES);
  const identity = new TextEncoder().encode(header.base);
  slot.set(new TextEncoder().encode(MAGIC));
  const flags = header.committing ? F_COMMITTING : 0;
  wordsOf(slot).set([VERSION, header.sequence, header.clusterSize, flags], 2);
  const { size, baseSize, baseLimit, mapClusters, dataOffset } = header;
  const wide = [size, baseSize, baseLimit, mapClusters, dataOffset].map(BigInt);
  new BigUint64Array(slot.buffer).set(wide, 3);
  wordsOf(slot)[TEXT_AT / 4 - 1] = identity.length;
  slot.set(identity, TEXT_AT);
  slot.set(new TextEncoder().encode(digestOfSlot(slot)), DIGEST_AT);
  return slot;
}

/**
 * The header of a top, from the bytes of its slots; null if both are empty. Throws a BlockError for
 * what is no overlay, for a newer version, and for a header that is damaged.
 */
export function decodeHeader(slots: Uint8Array): OverlayHeader | null {
  const both = [0, SLOT_BYTES].map((at) => slots.slice(at, at + HEADER_BYTES));
  if (slots.every((byte) => byte === 0)) return null;
  const ours = both.filter((slot) => textOf(slot, 0, 8) === MAGIC);
  if (ours.length === 0) throw refusal('EINVAL', 'the top is not empty, and is no overlay');
  for (const slot of ours) {
    const version = wordsOf(slot)[2] as number;
    if (version <= VERSION) continue;
    const known = `this program knows versions up to ${VERSION}`;
    throw refusal('ENOTSUP', `the overlay is of version ${version}; ${known}`);
  }
  const headers = ours.map(decodeSlot).filter((header) => header !== null);
  if (headers.length === 0) throw refusal('EIO', 'the header of the overlay is damaged');
  return headers.reduce((a, b) => (a.sequence > b.sequence ? a : b));
}

export function refusal(code: string, message: string): BlockError {
  return new BlockError(code, 'open', { cause: new Error(message) });
}

/** Null if the slot's digest is wrong, or what it says makes no sense. */
function decodeSlot(slot: Uint8Array): OverlayHeader | null {
  if (textOf(slot, DIGEST_AT, 16) !== digestOfSlot(slot)) return null;
  const words = wordsOf(slot);
  const [sequence, clusterSize, flags] = words.subarray(3, 6);
  const wide = Array.from(new BigUint64Array(slot.buffer).subarray(3, 8), Number);
  const [size, baseSize, baseLimit, mapClusters, dataOffset] = wide;
  const header = {
    sequence: sequence as number,
    clusterSize: clusterSize as number,
    size: size as number,
    base: textOf(slot, TEXT_AT, Math.min(words[TEXT_AT / 4 - 1] as number, DIGEST_AT - TEXT_AT)),
    baseSize: baseSize as number,
    baseLimit: baseLimit as number,
    mapClusters: mapClusters as number,
    dataOffset: dataOffset as number,
    committing: ((flags as number) & F_COMMITTING) !== 0,
  };
  return makesSense(header) ? header : null;
}

function makesSense(header: OverlayHeader): boolean {
  const { clusterSize, size, mapClusters, dataOffset, baseLimit } = header;
  return (
    isClusterSize(clusterSize) &&
    size > 0 &&
    baseLimit <= size &&
    mapClusters * clusterSize >= size &&
    mapClusters % CLUSTERS_PER_BLOCK === 0 &&
    dataOffset >= MAP_OFFSET + mapClusters / 8 &&
    Number.isSafeInteger(topBytes(header))
  );
}

export function isClusterSize(bytes: number): boolean {
  return bytes >= CLUSTER_MIN && bytes <= CLUSTER_MAX && Number.isInteger(Math.log2(bytes));
}

/** A slot's words; it begins its buffer. */
function wordsOf(slot: Uint8Array): Uint32Array {
  return new Uint32Array(slot.buffer, slot.byteOffset, HEADER_BYTES / 4);
}

function digestOfSlot(slot: Uint8Array): string {
  return new Digest().add(slot.subarray(0, DIGEST_AT)).text;
}

function textOf(slot: Uint8Array, at: number, length: number): string {
  return new TextDecoder().decode(slot.subarray(at, at + length));
}
