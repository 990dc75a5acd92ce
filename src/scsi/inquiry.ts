/** INQUIRY: standard data and vital product data pages (SPC-4 6.4, 7.8; SD-2). */

import { check, reply } from './answer.ts';
import { get16, put16, put32, putText } from './bytes.ts';
import {
  SENSE_INVALID_FIELD_IN_CDB,
  TYPE_DISK,
  TYPE_ROM,
  VERSION_SPC_3,
  VPD_BLOCK_CHARACTERISTICS,
  VPD_BLOCK_LIMITS,
  VPD_DEVICE_IDENTIFICATION,
  VPD_LOGICAL_BLOCK_PROVISIONING,
  VPD_SERIAL_NUMBER,
  VPD_SUPPORTED_PAGES,
} from './codes.ts';
import { command } from './command.ts';
import type { ScsiRequest } from './request.ts';
import type { ScsiUnit } from './unit.ts';
import type { ScsiUnitConfig } from './unit-options.ts';

/** Byte 1 of the CDB. */
export const INQUIRY_EVPD = 0x01;
export const INQUIRY_CMDDT = 0x02;
/** Bytes of standard INQUIRY data. */
export const INQUIRY_BYTES = 36;
/** RESPONSE DATA FORMAT 2, HISUP. */
export const INQUIRY_FORMAT = 0x12;
/** SYNC and CMDQUE, byte 7. */
export const INQUIRY_SYNC_CMDQUE = 0x12;
const REMOVABLE = 0x80;

const VPD_HEADER = 4;
/** Most descriptors of one UNMAP that drivers are told of. */
const UNMAP_DESCRIPTORS_MAX = 255;
/** Bytes of an UNMAP and of a transfer that drivers are told of (QEMU's defaults). */
const UNMAP_BYTES_MAX = 1024 * 1024 * 1024;
const TRANSFER_BYTES_MAX = 0x7fff_ffff;
/** UNMAP, WRITE SAME (10) and WRITE SAME (16) can free. */
const LBPU_LBPWS_LBPWS10 = 0xe0;
const PROVISIONING_FULL = 1;
const PROVISIONING_THIN = 2;

// Designators of page 83, SPC-4 7.8.6
const BINARY = 0x1;
const ASCII = 0x2;
const SAS = 0x60;
const NAA = 0x3;
const PORT_NAA = 0x93;
const PORT_RELATIVE = 0x94;

export const INQUIRY_COMMAND = command({
  direction: 'in',
  transfer: (cdb) => get16(cdb, 3),
  medium: false,
  attention: false,
  run: inquiry,
});

function inquiry(unit: ScsiUnit, request: ScsiRequest): false {
  const { cdb } = request;
  const bytes = unit.thread.scratch;
  if (cdb[1]! & INQUIRY_CMDDT) return check(request, SENSE_INVALID_FIELD_IN_CDB);
  if (cdb[1]! & INQUIRY_EVPD) {
    const length = vitalProductData(unit, cdb[2]!, bytes);
    if (length < 0) return check(request, SENSE_INVALID_FIELD_IN_CDB);
    return reply(request, bytes, length);
  }
  if (cdb[2] !== 0) return check(request, SENSE_INVALID_FIELD_IN_CDB);
  return reply(request, bytes, standardInquiry(unit.config, bytes));
}

function peripheral(config: ScsiUnitConfig): number {
  return config.type === 'hd' ? TYPE_DISK : TYPE_ROM;
}

function standardInquiry(config: ScsiUnitConfig, into: Uint8Array): number {
  into.fill(0, 0, INQUIRY_BYTES);
  into[0] = peripheral(config);
  into[1] = config.removable ? REMOVABLE : 0;
  into[2] = VERSION_SPC_3;
  into[3] = INQUIRY_FORMAT;
  into[4] = INQUIRY_BYTES - 5;
  into[7] = INQUIRY_SYNC_CMDQUE;
  putText(into, 8, 8, config.vendor);
  putText(into, 16, 16, config.product);
  putText(into, 32, 4, config.version);
  return INQUIRY_BYTES;
}

/** The page's bytes, or -1: there is no such page. */
function vitalProductData(unit: ScsiUnit, page: number, into: Uint8Array): number {
  const { config } = unit;
  if (!supportedPages(config).includes(page)) return -1;
  into.fill(0, 0, VPD_HEADER + 60);
  let length = 0;
  if (page === VPD_SUPPORTED_PAGES) length = listPages(config, into);
  else if (page === VPD_SERIAL_NUMBER) length = serialNumber(config, into);
  else if (page === VPD_DEVICE_IDENTIFICATION) length = identify(config, into);
  else if (page === VPD_BLOCK_LIMITS) length = blockLimits(unit, into);
  else if (page === VPD_BLOCK_CHARACTERISTICS) length = characteristics(config, into);
  else length = provisioning(config, into);
  into[0] = peripheral(config);
  into[1] = page;
  put16(into, 2, length - VPD_HEADER);
  return length;
}

function supportedPages({ type, serial }: ScsiUnitConfig): number[] {
  const pages = [VPD_SUPPORTED_PAGES];
  if (serial) pages.push(VPD_SERIAL_NUMBER);
  pages.push(VPD_DEVICE_IDENTIFICATION);
  if (type !== 'hd') return pages;
  pages.push(VPD_BLOCK_LIMITS, VPD_BLOCK_CHARACTERISTICS, VPD_LOGICAL_BLOCK_PROVISIONING);
  return pages;
}

function listPages(config: ScsiUnitConfig, into: Uint8Array): number {
  const pages = supportedPages(config);
  into.set(pages, VPD_HEADER);
  return VPD_HEADER + pages.length;
}

function serialNumber({ serial }: ScsiUnitConfig, into: Uint8Array): number {
  putText(into, VPD_HEADER, serial.length, serial);
  return VPD_HEADER + serial.length;
}

function identify(config: ScsiUnitConfig, into: Uint8Array): number {
  const { deviceId, wwn, portWwn, portIndex } = config;
  let at = VPD_HEADER;
  const designator = (codeSet: number, type: number, length: number): number => {
    into.set([codeSet, type, 0, length], at);
    at += 4 + length;
    return at - length;
  };
  if (deviceId) {
    putText(into, designator(ASCII, 0, deviceId.length), deviceId.length, deviceId);
  }
  if (wwn) putName(into, designator(BINARY, NAA, 8), wwn);
  if (portWwn) putName(into, designator(SAS | BINARY, PORT_NAA, 8), portWwn);
  if (portIndex > 0) put32(into, designator(SAS | BINARY, PORT_RELATIVE, 4), portIndex);
  return at;
}

function putName(into: Uint8Array, at: number, [hi, lo]: readonly [number, number]): void {
  put32(into, at, hi);
  put32(into, at + 4, lo);
}

function blockLimits(unit: ScsiUnit, into: Uint8Array): number {
  const { blockSize } = unit.words;
  const transferBlocks = Math.floor(TRANSFER_BYTES_MAX / blockSize);
  into[4] = 1; // WSNZ: WRITE SAME of no blocks is refused
  put32(into, 8, transferBlocks);
  if (unit.config.discardGranularity > 0) {
    put32(into, 20, Math.floor(UNMAP_BYTES_MAX / blockSize));
    put32(into, 24, UNMAP_DESCRIPTORS_MAX);
    put32(into, 28, Math.floor(unit.config.discardGranularity / blockSize));
  }
  put32(into, 40, transferBlocks); // lower half of MAXIMUM WRITE SAME LENGTH
  return VPD_HEADER + 60;
}

function characteristics({ rotationRate }: ScsiUnitConfig, into: Uint8Array): number {
  put16(into, 4, rotationRate);
  return VPD_HEADER + 60;
}

function provisioning({ discardGranularity }: ScsiUnitConfig, into: Uint8Array): number {
  into[5] = LBPU_LBPWS_LBPWS10;
  into[6] = discardGranularity > 0 ? PROVISIONING_THIN : PROVISIONING_FULL;
  return VPD_HEADER + 4;
}
