/** A ring whose requests are SCSI commands, and its rows in the SCSI table. */

import { expect } from 'vitest';
import {
  QUEUE_SCSI,
  SCSI_REQUEST_ATTRIBUTES,
  SCSI_REQUEST_CDB,
  SCSI_REQUEST_IN_BYTES,
  SCSI_REQUEST_LUN,
  SCSI_REQUEST_OUT_BYTES,
  SCSI_REQUEST_SIZE,
  SCSI_REQUEST_TAG,
  SCSI_RESPONSE_SIZE,
} from '#src/layout';
import { RAM_AT } from './machine.ts';
import { type Buffer, WRITE } from './raw-ring.ts';
import { queueWord, type Rig } from './rig.ts';

export const room = RAM_AT + 8192;
export const answers = room + 0x1000;
const payload = room + 0x2000;
/** The default sizes: a header of 51 bytes, a response of 108. */
export const [CDB, SENSE] = [32, 96];

/** Byte `i` of the header that the driver wrote. */
export const byte = (i: number) => (0x11 + i * 7) & 0xff;
export function writeHeader(r: Rig, at: number, length = 19 + CDB): void {
  for (let i = 0; i < length; i++) r.machine.ram8[at + i] = byte(i);
}
const bytes = (from: number, count: number) =>
  Array.from({ length: count }, (_, i) => byte(from + i));
const zeroes = (count: number) => new Array<number>(count).fill(0);

const requests = (r: Rig) => queueWord(r, QUEUE_SCSI);
export const requestRow = (r: Rig, head = 0) => requests(r) + head * SCSI_REQUEST_SIZE;
export const responseRow = (r: Rig, head = 0) =>
  requestRow(r, r.ring.num) + head * SCSI_RESPONSE_SIZE;
export const row = (r: Rig, field: number, length: number, head = 0) => [
  ...r.machine.u8.subarray(requestRow(r, head) + field, requestRow(r, head) + field + length),
];
export const data = (r: Rig, head = 0) =>
  [SCSI_REQUEST_OUT_BYTES, SCSI_REQUEST_IN_BYTES].map((field) =>
    r.machine.word(requestRow(r, head) + field),
  );

export const header = { at: room, length: 19 + CDB };
export const response = { at: answers, length: 12 + SENSE, flags: WRITE };
export const read = { at: payload, length: 1024, flags: WRITE };
export const write = { at: payload, length: 512 };

export function pop(r: Rig, buffers: readonly Buffer[], cdbSize = CDB, senseSize = SENSE): number {
  r.ring.chain(0, buffers);
  r.ring.offer(0);
  return r.engine.scsiPop(r.queue, 8, cdbSize, senseSize);
}

export function expectHeader(r: Rig, cdb = CDB, head = 0): void {
  expect(row(r, SCSI_REQUEST_LUN, 8, head)).toEqual(bytes(0, 8));
  expect(row(r, SCSI_REQUEST_TAG, 8, head)).toEqual(bytes(8, 8));
  expect(row(r, SCSI_REQUEST_ATTRIBUTES, 3, head)).toEqual(bytes(16, 3));
  const kept = Math.min(cdb, 32);
  // One byte beyond: the padding of the row.
  expect(row(r, SCSI_REQUEST_CDB, 33, head)).toEqual([...bytes(19, kept), ...zeroes(33 - kept)]);
}
