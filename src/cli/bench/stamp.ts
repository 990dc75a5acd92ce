/**
 * What the bench writes, so that it can be checked. Each sector of 512 bytes:
 *
 *     | sector number | generation | check word | whatever was there ... | check word |
 *
 * The generation counts how often its block was written. The check word is over both; it stands at
 * both ends, so that half a sector does not pass for a whole one.
 */

import { SECTOR_SHIFT, SECTOR_SIZE } from '../../spec.ts';

const WORDS = SECTOR_SIZE / 4;
const LAST = WORDS - 1;
const checkWord = (sector: number, generation: number) =>
  (Math.imul(sector, 0x9e3779b1) ^ Math.imul(generation, 0x85ebca6b) ^ 0x5bd1e995) >>> 0;

/** Stamps `bytes` bytes at word `at` as the sectors from `offset` (bytes) on. */
export function stamp(
  u32: Uint32Array,
  at: number,
  bytes: number,
  offset: number,
  generation: number,
): void {
  let sector = Math.floor(offset / 2 ** SECTOR_SHIFT) >>> 0;
  for (let word = at; word < at + bytes / 4; word += WORDS, sector++) {
    const check = checkWord(sector, generation);
    u32[word] = sector;
    u32[word + 1] = generation;
    u32[word + 2] = check;
    u32[word + LAST] = check;
  }
}

/** The first byte offset whose sector is not what `stamp` wrote, or -1. */
export function findWrong(
  u32: Uint32Array,
  at: number,
  bytes: number,
  offset: number,
  generation: number,
): number {
  let sector = Math.floor(offset / 2 ** SECTOR_SHIFT) >>> 0;
  for (let word = at; word < at + bytes / 4; word += WORDS, sector++) {
    const check = checkWord(sector, generation);
    const right =
      u32[word] === sector &&
      u32[word + 1] === generation &&
      u32[word + 2] === check &&
      u32[word + LAST] === check;
    if (!right) return offset + (word - at) * 4;
  }
  return -1;
}
