/** Mode pages (SPC-4 7.5, SBC-3 6.4, MMC-6 7), current and changeable values (SD-8). */

import { LUN_F_LOCKED } from '../layout.ts';
import { put16, put24 } from './bytes.ts';
import {
  MODE_PAGE_CACHING,
  MODE_PAGE_CAPABILITIES,
  MODE_PAGE_CD_AUDIO,
  MODE_PAGE_ERROR_RECOVERY,
  MODE_PAGE_FLEXIBLE_GEOMETRY,
  MODE_PAGE_RIGID_GEOMETRY,
} from './codes.ts';
import type { ScsiUnit } from './unit.ts';

/** PC: which values. What was saved nobody keeps. */
export const PC_CURRENT = 0;
export const PC_CHANGEABLE = 1;
export const PC_SAVED = 3;
/** Of the caching page, byte 2. */
export const WCE = 0x04;
/** Page code and length. */
export const PAGE_HEADER = 2;

const HEADS = 16;
const SECTORS = 63;
const CYLINDERS_MIN = 2;
const CYLINDERS_MAX = 65_535;
const TURNS_PER_MINUTE = 5400;
const LANDING_ZONE = 0xff_ffff;
/** kB/s of a CD at single speed. */
const CD_SPEED = 176;

interface Page {
  readonly code: number;
  /** Bytes behind the header. */
  readonly length: number;
  /** Puts values at `into[at ..]`, which is zeroes. Not asked for changeable ones. */
  readonly fill: (unit: ScsiUnit, into: Uint8Array, at: number) => void;
  /** What MODE SELECT may change: `[byte, mask]`, counted from behind the header. */
  readonly changeable?: readonly [number, number];
}

const ERROR_RECOVERY_HD: Page = {
  code: MODE_PAGE_ERROR_RECOVERY,
  length: 10,
  fill: (_unit, into, at) => {
    into[at] = 0x80; // AWRE
  },
};

const ERROR_RECOVERY_CD: Page = {
  code: MODE_PAGE_ERROR_RECOVERY,
  length: 10,
  fill: (_unit, into, at) => {
    into[at] = 0x80;
    into[at + 1] = 0x20; // read retry count
  },
};

const RIGID_GEOMETRY: Page = {
  code: MODE_PAGE_RIGID_GEOMETRY,
  length: 0x16,
  fill: (unit, into, at) => {
    const cylinders = cylindersOf(unit);
    put24(into, at, cylinders);
    into[at + 3] = HEADS;
    put24(into, at + 4, cylinders); // write precompensation begins behind the last one
    put24(into, at + 7, cylinders); // and so does reduced write current
    put16(into, at + 10, 200); // step rate, ns
    put24(into, at + 12, LANDING_ZONE);
    put16(into, at + 18, TURNS_PER_MINUTE);
  },
};

const FLEXIBLE_GEOMETRY: Page = {
  code: MODE_PAGE_FLEXIBLE_GEOMETRY,
  length: 0x1e,
  fill: (unit, into, at) => {
    const cylinders = cylindersOf(unit);
    put16(into, at, 5000); // kbit/s
    into[at + 2] = HEADS;
    into[at + 3] = SECTORS;
    put16(into, at + 4, Math.min(unit.words.blockSize, 0xffff));
    put16(into, at + 6, cylinders);
    put16(into, at + 8, cylinders);
    put16(into, at + 10, cylinders);
    put16(into, at + 12, 1); // step rate, 100 us
    into[at + 14] = 1; // step pulse, us
    put16(into, at + 15, 1); // head settles, 100 us
    into[at + 17] = 1; // motor on, 0.1 s
    into[at + 18] = 1; // motor off
    put16(into, at + 26, TURNS_PER_MINUTE);
  },
};

const CACHING: Page = {
  code: MODE_PAGE_CACHING,
  length: 0x12,
  changeable: [0, WCE],
  fill: (unit, into, at) => {
    into[at] = unit.disk.writeCache ? WCE : 0;
  },
};

const CD_AUDIO: Page = { code: MODE_PAGE_CD_AUDIO, length: 14, fill() {} };

const CAPABILITIES: Page = {
  code: MODE_PAGE_CAPABILITIES,
  length: 0x14,
  fill: (unit, into, at) => {
    into[at] = 0x3b; // reads CD-R and CD-RW
    into[at + 2] = 0x7f; // audio, composite, digital ports, mode 2, multi-session
    into[at + 3] = 0xff; // CD-DA, C2, ISRC, UPC, bar code
    into[at + 4] = 0x2d | (unit.words.flags & LUN_F_LOCKED ? 0x02 : 0); // tray, eject, lock
    put16(into, at + 6, 50 * CD_SPEED);
    put16(into, at + 8, 2); // volume levels
    put16(into, at + 10, 2048); // buffer, KiB
    put16(into, at + 12, 16 * CD_SPEED);
    put16(into, at + 16, 16 * CD_SPEED);
    put16(into, at + 18, 16 * CD_SPEED);
  },
};

const HD_PAGES = [ERROR_RECOVERY_HD, RIGID_GEOMETRY, FLEXIBLE_GEOMETRY, CACHING];
const CD_PAGES = [ERROR_RECOVERY_CD, CACHING, CD_AUDIO, CAPABILITIES];

/** In ascending order. */
export function modePages(unit: ScsiUnit): readonly number[] {
  return pagesOf(unit).map(({ code }) => code);
}

/** Puts a page at `into[at ..]`. Its bytes with the header, or -1: there is no such page. */
export function fillModePage(
  unit: ScsiUnit,
  code: number,
  control: number,
  into: Uint8Array,
  at: number,
): number {
  const page = pagesOf(unit).find((known) => known.code === code);
  if (!page) return -1;
  const from = at + PAGE_HEADER;
  into.fill(0, at, from + page.length);
  into[at] = code;
  into[at + 1] = page.length;
  if (control !== PC_CHANGEABLE) page.fill(unit, into, from);
  else if (page.changeable) into[from + page.changeable[0]] = page.changeable[1];
  return PAGE_HEADER + page.length;
}

function pagesOf({ config }: ScsiUnit): readonly Page[] {
  return config.type === 'hd' ? HD_PAGES : CD_PAGES;
}

/** A guess, as everybody's: 16 heads and 63 sectors. */
function cylindersOf({ disk }: ScsiUnit): number {
  const cylinders = Math.floor(disk.capacity / (512 * HEADS * SECTORS));
  return Math.min(Math.max(cylinders, CYLINDERS_MIN), CYLINDERS_MAX);
}
