/**
 * Options of `scsi-hd` and `scsi-cd` in QEMU's words. What is wrong throws an `OptionError` that
 * names the option, its value and what is allowed. `werror`, `rerror` are the backend's.
 * QEMU: `scsi_hd_properties`, `scsi_cd_properties`, `scsi_realize`.
 */

import type { BlockBackend } from '../block/backend.ts';
import { logicalBlockSizeOption, physicalBlockSizeOption } from '../block/block-size.ts';
import { OptionError } from '../block/error.ts';
import type { Core } from '../engine/core.ts';
import { BACKEND_F_NO_MEDIUM, BACKEND_FLAGS } from '../layout.ts';

export type ScsiUnitType = 'hd' | 'cd';

export interface ScsiUnitOptions {
  /** The unit's name in events. Default: none. */
  id?: string;
  /** QEMU's only channel. */
  channel?: number;
  /** Target, 0 to 255. Default: chosen by the bus. */
  'scsi-id'?: number;
  /** 0 to 16383. Default: chosen by the bus. */
  lun?: number;
  /** VPD page 80; up to 36 characters. Default: none, and the page is missing. */
  serial?: string;
  /** World wide name (NAA) of the unit and of its port: a number of 64 bits, or `0x5000...`. */
  wwn?: number | bigint | string;
  port_wwn?: number | bigint | string;
  /** Relative target port, VPD page 83. 0 (default): none. */
  port_index?: number;
  /** At most 8, 16 and 4 characters of INQUIRY. */
  vendor?: string;
  product?: string;
  ver?: string;
  /** VPD page 83, up to 247 characters. Default: 20 of the serial, or the backend's name. */
  device_id?: string;
  /** Bytes. Default: the backend's; of a CD always 2048. */
  logical_block_size?: number;
  /** Bytes. Default: the logical one. */
  physical_block_size?: number;
  /** Bytes; 0: the unit says that it cannot discard. Default: 4096, or a block if that is more. */
  discard_granularity?: number;
  /** Turns per minute; 1: does not turn; 0 (default): unknown. */
  rotation_rate?: number;
  /** The guest may eject the medium of an hd. Default false. A CD's always. */
  removable?: boolean;
}

/** The options with their defaults: plain data. */
export interface ScsiUnitSettings {
  readonly type: ScsiUnitType;
  readonly id: string | null;
  /** Null: the bus chooses. */
  readonly scsiId: number | null;
  readonly lun: number | null;
  readonly serial: string;
  /** The two words of it, the upper one first. */
  readonly wwn: readonly [number, number] | null;
  readonly portWwn: readonly [number, number] | null;
  readonly portIndex: number;
  readonly vendor: string;
  readonly product: string;
  readonly version: string;
  readonly deviceId: string;
  /** Bytes, as all sizes here. */
  readonly logicalBlockSize: number;
  readonly physicalBlockSize: number;
  readonly discardGranularity: number;
  readonly rotationRate: number;
  readonly removable: boolean;
}

/** A unit as every thread that serves it is told of it: plain data, cloneable. */
export interface ScsiUnitConfig extends ScsiUnitSettings {
  readonly scsiId: number;
  readonly lun: number;
  /** Core addresses of the words LUN_*, SCSI_BUS_* and BACKEND_*. */
  readonly words: number;
  readonly bus: number;
  readonly backend: number;
}

export const CD_BLOCK_SIZE = 2048;
export const TARGET_MAX = 255;
export const LUN_MAX = 16_383;
/** QEMU: MAX_SERIAL_LEN, MAX_SERIAL_LEN_FOR_DEVID. */
const SERIAL_MAX = 36;
const SERIAL_IN_DEVICE_ID = 20;
const DEVICE_ID_MAX = 247;
const DISCARD_GRANULARITY = 4096;

const NAMES: readonly (keyof ScsiUnitOptions)[] = [
  'id',
  'channel',
  'scsi-id',
  'lun',
  'serial',
  'wwn',
  'port_wwn',
  'port_index',
  'vendor',
  'product',
  'ver',
  'device_id',
  'logical_block_size',
  'physical_block_size',
  'discard_granularity',
  'rotation_rate',
  'removable',
];

/** Reads `options` for a unit on `backend`. Nothing is changed, whether it throws or not. */
export function readScsiUnitOptions(
  core: Core,
  type: ScsiUnitType,
  backend: BlockBackend | null | undefined,
  options: ScsiUnitOptions,
): ScsiUnitSettings {
  checkDrive(core, type, backend);
  checkNames(options);
  integer(options, 'channel', 0, 0, 0);
  const serial = text(options, 'serial', '', SERIAL_MAX);
  const id = serial.slice(0, SERIAL_IN_DEVICE_ID) || asciiOf(backend.name);
  const logical = logicalBlockSize(type, backend, options);
  const physical = options.physical_block_size ?? logical;
  return {
    type,
    id: idOption(options.id),
    scsiId: address(options, 'scsi-id', TARGET_MAX),
    lun: address(options, 'lun', LUN_MAX),
    serial,
    wwn: worldWideName(options, 'wwn'),
    portWwn: worldWideName(options, 'port_wwn'),
    portIndex: integer(options, 'port_index', 0, 0, 0xffff),
    vendor: text(options, 'vendor', 'QEMU', 8),
    product: text(options, 'product', type === 'hd' ? 'QEMU HARDDISK' : 'QEMU CD-ROM', 16),
    version: text(options, 'ver', '2.5+', 4),
    deviceId: text(options, 'device_id', id, DEVICE_ID_MAX),
    logicalBlockSize: logical,
    physicalBlockSize: physicalBlockSizeOption(physical, logical),
    discardGranularity: discardOption(options, logical),
    rotationRate: integer(options, 'rotation_rate', 0, 0, 0xffff),
    removable: removableOption(type, options.removable),
  };
}

function checkDrive(
  core: Core,
  type: ScsiUnitType,
  backend: BlockBackend | null | undefined,
): asserts backend is BlockBackend {
  if (!backend) throw new OptionError('drive', backend, 'an open BlockBackend');
  const flags = core.u32[(backend.address + BACKEND_FLAGS) >>> 2]!;
  if (type === 'hd' && flags & BACKEND_F_NO_MEDIUM) {
    throw new OptionError('drive', 'empty', 'a drive with a medium in it');
  }
}

function checkNames(options: ScsiUnitOptions): void {
  for (const [name, value] of Object.entries(options)) {
    if ((NAMES as readonly string[]).includes(name)) continue;
    throw new OptionError(name, value, `the options ${NAMES.join(', ')}`);
  }
}

/** As QEMU's `id_wellformed`. */
function idOption(id: unknown): string | null {
  if (id === undefined) return null;
  if (typeof id === 'string' && /^[a-z][\w.-]*$/i.test(id)) return id;
  throw new OptionError('id', id, 'letters, digits, -, . and _, a letter first');
}

function address(options: ScsiUnitOptions, name: 'scsi-id' | 'lun', max: number): number | null {
  return options[name] === undefined ? null : integer(options, name, 0, 0, max);
}

type IntegerName = 'channel' | 'scsi-id' | 'lun' | 'port_index' | 'rotation_rate';

function integer(
  options: ScsiUnitOptions,
  name: IntegerName,
  fallback: number,
  min: number,
  max: number,
): number {
  const value = options[name] ?? fallback;
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  const allowed = min === max ? `${min}` : `whole numbers from ${min} to ${max}`;
  throw new OptionError(name, value, allowed);
}

type TextName = 'serial' | 'vendor' | 'product' | 'ver' | 'device_id';

function text(options: ScsiUnitOptions, name: TextName, fallback: string, max: number): string {
  const value = options[name] ?? fallback;
  if (typeof value === 'string' && value.length <= max && /^[\x20-\x7e]*$/.test(value)) {
    return value;
  }
  throw new OptionError(name, value, `up to ${max} printable ASCII characters`);
}

function asciiOf(name: string): string {
  return name.replace(/[^\x20-\x7e]/g, '?').slice(0, DEVICE_ID_MAX);
}

/** 0: none, as in QEMU. */
function worldWideName(
  options: ScsiUnitOptions,
  name: 'wwn' | 'port_wwn',
): readonly [number, number] | null {
  const value = options[name] ?? 0;
  const whole =
    typeof value === 'bigint' ||
    (typeof value === 'number' && Number.isSafeInteger(value)) ||
    (typeof value === 'string' && /^(0x[\da-f]+|\d+)$/i.test(value));
  const number = whole ? BigInt(value) : -1n;
  if (number < 0n || number > 0xffff_ffff_ffff_ffffn) {
    throw new OptionError(name, value, "whole numbers of 64 bits, as '0x5000c500a1b2c3d4'");
  }
  if (number === 0n) return null;
  return [Number(number >> 32n), Number(number & 0xffff_ffffn)];
}

function logicalBlockSize(
  type: ScsiUnitType,
  backend: BlockBackend,
  options: ScsiUnitOptions,
): number {
  const fallback = type === 'cd' ? CD_BLOCK_SIZE : backend.logicalBlockSize;
  const size = options.logical_block_size ?? fallback;
  if (type === 'cd' && size !== CD_BLOCK_SIZE) {
    throw new OptionError('logical_block_size', size, `${CD_BLOCK_SIZE}: it is a CD`);
  }
  return logicalBlockSizeOption(size, backend.alignment);
}

function discardOption(options: ScsiUnitOptions, logical: number): number {
  const size = options.discard_granularity ?? Math.max(logical, DISCARD_GRANULARITY);
  if (Number.isInteger(size) && size >= 0 && size < 2 ** 32 && size % logical === 0) return size;
  throw new OptionError('discard_granularity', size, `0, or multiples of ${logical} below 4 GiB`);
}

function removableOption(type: ScsiUnitType, value: boolean | undefined): boolean {
  const removable = value ?? type === 'cd';
  if (type === 'cd' && removable !== true) throw new OptionError('removable', value, 'true');
  if (typeof removable === 'boolean') return removable;
  throw new OptionError('removable', value, 'true, false');
}
