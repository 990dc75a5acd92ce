/**
 * What the disk must hold, sector by sector, as serial numbers of the writes; 0 is zeroes. After a
 * write of which nobody knows whether it was done, a sector may hold any of several.
 */
export const SECTOR = 512;
const WORDS = SECTOR / 4;

/** The first word of a sector as the write `serial` leaves it; the others follow from it. */
const firstWord = (serial, sector) =>
  serial === 0 ? 0 : (Math.imul(serial, 0x9e3779b1) ^ Math.imul(sector, 0x85ebca6b)) >>> 0 || 1;
const stepOf = (first) => (first === 0 ? 0 : 0x01000193);

/** Fills a sector of `u32` from word `at` on. */
export function fillSector(u32, at, serial, sector) {
  let word = firstWord(serial, sector);
  const step = stepOf(word);
  for (let i = 0; i < WORDS; i++, word = (word + step) >>> 0) u32[at + i] = word;
}

/** Does the sector at word `at` hold what `serial` leaves, every byte of it? */
function holds(u32, at, serial, sector) {
  let word = firstWord(serial, sector);
  const step = stepOf(word);
  for (let i = 0; i < WORDS; i++, word = (word + step) >>> 0)
    if (u32[at + i] !== word) return false;
  return true;
}

export class DiskModel {
  sectors;
  #known;
  /** Sectors that may hold something else as well: all that they may. */
  #maybe = new Map();

  constructor(sectors, most = sectors) {
    this.sectors = sectors;
    this.#known = new Uint32Array(most);
  }

  /** A write that has succeeded. */
  wrote(sector, count, serial) {
    for (let s = sector; s < sector + count; s++) {
      this.#known[s] = serial;
      this.#maybe.delete(s);
    }
  }

  /** A write of which nobody knows whether it was done. */
  mayHold(sector, count, serial) {
    for (let s = sector; s < sector + count; s++) {
      const all = this.#maybe.get(s) ?? new Set([this.#known[s]]);
      this.#maybe.set(s, all.add(serial));
    }
  }

  /** What lies behind the end is gone. */
  resize(sectors) {
    for (let s = sectors; s < this.#known.length; s++) {
      this.#known[s] = 0;
      this.#maybe.delete(s);
    }
    this.sectors = sectors;
  }

  /** Throws unless `count` sectors from word `at` of `u32` on are what they may be. */
  check(u32, at, sector, count, who) {
    for (let i = 0; i < count; i++) this.#checkOne(u32, at + i * WORDS, sector + i, who);
  }

  #checkOne(u32, at, sector, who) {
    const maybe = this.#maybe.get(sector);
    const serials = maybe ?? [this.#known[sector]];
    for (const serial of serials) {
      if (!holds(u32, at, serial, sector)) continue;
      if (maybe) this.wrote(sector, 1, serial); // now we know
      return;
    }
    const found = u32[at].toString(16);
    throw new Error(`${who}: sector ${sector} begins with ${found}, not as [${[...serials]}]`);
  }
}
