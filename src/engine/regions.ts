/**
 * Guest memory as a table of regions (`layout.ts`): where in the core's memory, or in the guest's
 * own buffer, the bytes at a guest address lie. Engines read the table, main writes it.
 */

import {
  REGION_ALIGN,
  REGION_GUEST_HI,
  REGION_GUEST_LO,
  REGION_OFFSET,
  REGION_SIZE,
  REGION_SIZE_HI,
  REGION_SIZE_LO,
  REGIONS_COUNT,
  REGIONS_FIRST,
} from '../layout.ts';
import type { Range } from './allocator.ts';
import { CoreError } from './core-error.ts';

/** Bytes `guest` to `guest + size` of guest memory lie at `offset` of the memory's buffer. */
export interface Region {
  readonly guest: number;
  readonly size: number;
  readonly offset: number;
}

/** Most regions of one guest. The table is allocated once: queues keep its address. */
export const REGIONS_MAX = 16;
export const REGION_TABLE_BYTES = REGIONS_FIRST + REGIONS_MAX * REGION_SIZE;

const WORD = 0x1_0000_0000;

/**
 * Returns the regions sorted by guest address. Throws EINVAL (no such numbers, too many), EALIGN
 * (offset and guest address differ modulo 4096), ERANGE (beyond `bytes` of memory), EOVERLAP (two
 * regions share a guest address, or one lies on memory of the core's own).
 */
export function checkRegions(
  list: readonly Region[],
  bytes: number,
  arenas: readonly Range[],
): Region[] {
  if (list.length > REGIONS_MAX) {
    throw new CoreError('EINVAL', `${list.length} regions; at most ${REGIONS_MAX} are possible`);
  }
  const sorted = list
    .map(({ guest, size, offset }) => ({ guest, size, offset }))
    .sort((a, b) => a.guest - b.guest);
  for (const [index, region] of sorted.entries()) {
    checkRegion(region, bytes, arenas);
    const before = sorted[index - 1];
    if (before && before.guest + before.size > region.guest) {
      throw new CoreError('EOVERLAP', `${name(region)} overlaps ${name(before)}`);
    }
  }
  return sorted;
}

function checkRegion(region: Region, bytes: number, arenas: readonly Range[]): void {
  const { guest, size, offset } = region;
  const numbers = [guest, size, offset, guest + size];
  if (size <= 0 || numbers.some((value) => !Number.isSafeInteger(value) || value < 0)) {
    throw new CoreError('EINVAL', `${name(region)} is not made of whole numbers of bytes`);
  }
  if (offset % REGION_ALIGN !== guest % REGION_ALIGN) {
    throw new CoreError(
      'EALIGN',
      `${name(region)} lies at offset ${hex(offset)}: it must equal its address modulo 4096`,
    );
  }
  if (offset + size > bytes) {
    throw new CoreError(
      'ERANGE',
      `${name(region)} at offset ${hex(offset)} ends beyond the memory of ${hex(bytes)} bytes`,
    );
  }
  const arena = arenas.find(({ start, end }) => offset < end && start < offset + size);
  if (arena) {
    throw new CoreError(
      'EOVERLAP',
      `${name(region)} at offset ${hex(offset)} covers the core's memory at ${hex(arena.start)}`,
    );
  }
}

/** Writes checked regions to the table at `table`; the places behind them are zeroed. */
export function writeRegions(u32: Uint32Array, table: number, regions: readonly Region[]): void {
  u32.fill(0, table >>> 2, (table + REGION_TABLE_BYTES) >>> 2);
  u32[(table + REGIONS_COUNT) >>> 2] = regions.length;
  for (const [index, { guest, size, offset }] of regions.entries()) {
    const at = table + REGIONS_FIRST + index * REGION_SIZE;
    u32[(at + REGION_GUEST_LO) >>> 2] = guest % WORD;
    u32[(at + REGION_GUEST_HI) >>> 2] = guest / WORD;
    u32[(at + REGION_SIZE_LO) >>> 2] = size % WORD;
    u32[(at + REGION_SIZE_HI) >>> 2] = size / WORD;
    u32[(at + REGION_OFFSET) >>> 2] = offset;
  }
}

/** Reads the table at `table`, as another thread wrote it. */
export function readRegions(u32: Uint32Array, table: number): Region[] {
  const word = (address: number): number => u32[address >>> 2] as number;
  return Array.from({ length: word(table + REGIONS_COUNT) }, (_, index) => {
    const at = table + REGIONS_FIRST + index * REGION_SIZE;
    return {
      guest: word(at + REGION_GUEST_LO) + word(at + REGION_GUEST_HI) * WORD,
      size: word(at + REGION_SIZE_LO) + word(at + REGION_SIZE_HI) * WORD,
      offset: word(at + REGION_OFFSET),
    };
  });
}

function name({ guest, size }: Region): string {
  return `region ${hex(guest)} + ${hex(size)}`;
}

function hex(value: number): string {
  return Number.isSafeInteger(value) && value >= 0 ? `0x${value.toString(16)}` : String(value);
}
