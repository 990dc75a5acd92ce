/** REPORT LUNS (SPC-4 6.33; SC-10), and LUNs as eight bytes (SAM-5 4.7). */

import { get32, put32 } from './bytes.ts';
import type { ScsiRequest } from './request.ts';
import type { ScsiThread } from './unit.ts';

/** Length field and LUN 0. */
const BYTES_MIN = 16;
/** SELECT REPORT: addressable LUNs, well known ones, or all. */
const SELECT_MAX = 2;

/** Are allocation length and SELECT REPORT such that there is an answer? */
export function lunsWanted(cdb: Uint8Array): boolean {
  return get32(cdb, 6) >= BYTES_MIN && cdb[2]! <= SELECT_MAX;
}

/**
 * Fills the thread's scratch; returns how many bytes go to the initiator: whole LUNs only. LUN 0
 * comes first, whether it is there or not.
 */
export function fillLuns(request: ScsiRequest, thread: ScsiThread, target: number): number {
  const { scratch } = thread;
  thread.lunsReported(target);
  const others = thread.lunsOf(target).filter((lun) => lun !== 0);
  put32(scratch, 0, (others.length + 1) * 8);
  put32(scratch, 4, 0);
  const room = Math.min(request.transfer, scratch.length);
  let at = 8;
  for (const lun of [0, ...others]) {
    if (at + 8 > room) break;
    putLun(scratch, at, lun);
    at += 8;
  }
  return at;
}

/** One level: peripheral device addressing up to 255, then flat space addressing. */
export function putLun(into: Uint8Array, at: number, lun: number): void {
  into.fill(0, at, at + 8);
  into[at] = lun < 256 ? 0 : 0x40 | (lun >>> 8);
  into[at + 1] = lun;
}
