/**
 * A SCSI bus in a saved state (VM-9): which units it has, and what those have been through. The
 * contents of their disks are the backends'. Main thread. QEMU: `vmstate_scsi_device`,
 * `vmstate_scsi_disk_state`.
 */

import type { Core } from '../engine/core.ts';
import { LUN_REALIZED } from '../layout.ts';
import { StateError } from '../machine/state-error.ts';
import type { StateReader } from '../machine/state-reader.ts';
import type { StateWriter } from '../machine/state-writer.ts';
import type { ScsiBus } from './bus.ts';
import { DiskWords } from './disk-words.ts';
import type { LogicalUnit } from './logical-unit.ts';
import { LUN_FLAGS_ALL, type LunState } from './lun-words.ts';
import { canBeBlockSize } from './mode-select.ts';
import { LUN_MAX, type ScsiUnitConfig, type ScsiUnitType, TARGET_MAX } from './unit-options.ts';

export interface BusState {
  /** What the first unit that is asked reports; 0: nothing. */
  readonly attention: number;
  readonly units: readonly UnitState[];
}

export interface UnitState {
  readonly unit: LogicalUnit;
  readonly words: LunState;
  readonly writeCache: boolean;
}

const TYPES: readonly ScsiUnitType[] = ['hd', 'cd'];
const UNITS_MOST = (TARGET_MAX + 1) * (LUN_MAX + 1);
const ATTENTION_MOST = 0xffff;

// ---- Which units there are ---------------------------------------------------------------------

/** By target and LUN, whatever the order in which they were plugged in. */
function unitsOf(bus: ScsiBus): LogicalUnit[] {
  return [...bus.units].sort(({ config: a }, { config: b }) => {
    return a.scsiId - b.scsiId || a.lun - b.lun;
  });
}

/** What must be the same here and there. */
export function writeUnits(writer: StateWriter, core: Core, bus: ScsiBus): void {
  const units = unitsOf(bus);
  writer.u32(units.length);
  for (const { config } of units) {
    writer.u8(TYPES.indexOf(config.type)).u8(config.scsiId).u16(config.lun);
  }
  for (const { config } of units) {
    const { hasMedium, capacity } = new DiskWords(core, config.backend);
    writer
      .u32(config.logicalBlockSize)
      .bool(hasMedium)
      .u64(hasMedium ? capacity : 0);
  }
}

/** Throws a StateError, EMISMATCH, that names what differs. */
export function checkUnits(reader: StateReader, core: Core, bus: ScsiBus): void {
  const units = unitsOf(bus);
  const count = reader.upTo('units', 4, UNITS_MOST);
  const saved: string[] = [];
  for (let i = 0; i < count; i++) {
    const type = TYPES[reader.upTo('units, kind', 1, TYPES.length - 1)]!;
    const [scsiId, lun] = [reader.u8('units, target'), reader.u16('units, LUN')];
    saved.push(nameOf({ type, scsiId, lun }));
  }
  const here = units.map((unit) => nameOf(unit.config));
  reader.expect('units', saved.join(', ') || 'none', here.join(', ') || 'none');
  for (const unit of units) checkUnit(reader, core, unit);
}

function nameOf({ type, scsiId, lun }: Pick<ScsiUnitConfig, 'type' | 'scsiId' | 'lun'>): string {
  return `${type} ${scsiId}:${lun}`;
}

function checkUnit(reader: StateReader, core: Core, { config }: LogicalUnit): void {
  const disk = new DiskWords(core, config.backend);
  const block = `${nameOf(config)}, logical_block_size`;
  const size = `${nameOf(config)}, capacity`;
  reader.expect(block, reader.u32(block), config.logicalBlockSize);
  const loaded = reader.bool(size);
  const bytes = reader.u64(size);
  reader.expect(size, mediumText(loaded, bytes), mediumText(disk.hasMedium, disk.capacity));
}

function mediumText(loaded: boolean, bytes: number): string {
  return loaded ? `${bytes} bytes` : 'no medium';
}

// ---- What they have been through ---------------------------------------------------------------

export function writeBus(writer: StateWriter, bus: ScsiBus): void {
  writer.u16(bus.attention);
  for (const { words, backend } of unitsOf(bus)) {
    const { attention, flags, blockSize } = words.saved();
    writer.u16(attention).u8(flags).u32(blockSize).bool(backend.writeCache);
  }
}

export function readBus(reader: StateReader, bus: ScsiBus): BusState {
  const attention = reader.upTo('unit attention of the bus', 2, ATTENTION_MOST);
  const units = unitsOf(bus).map((unit) => readUnit(reader, unit));
  return { attention, units };
}

function readUnit(reader: StateReader, unit: LogicalUnit): UnitState {
  const { config, backend } = unit;
  const name = nameOf(config);
  const attention = reader.upTo(`${name}, unit attention`, 2, ATTENTION_MOST);
  const flags = reader.upTo(`${name}, tray`, 1, LUN_FLAGS_ALL);
  const blockSize = reader.u32(`${name}, block size`);
  if (blockSize !== config.logicalBlockSize && !canBeBlockSize(blockSize, backend.alignment)) {
    reader.fail('EINVAL', `${name}, block size`, `no driver can choose ${blockSize} bytes`);
  }
  const writeCache = reader.bool(`${name}, write cache`);
  return { unit, words: { attention, flags, blockSize }, writeCache };
}

/** After a reset. Throws a StateError, EBUSY, if there are other units than when it was read. */
export function restoreBus(bus: ScsiBus, { attention, units }: BusState): void {
  const here = unitsOf(bus);
  const isSame = here.length === units.length && units.every(({ unit }, i) => unit === here[i]);
  if (!isSame || !isAtRest(bus)) {
    throw new StateError('EBUSY', 'a disk was plugged in or out while the state was loaded');
  }
  bus.attention = attention;
  for (const { unit, words, writeCache } of units) {
    unit.words.restore(words);
    unit.backend.writeCache = writeCache;
  }
}

/** No unit is coming or going. */
export function isAtRest(bus: ScsiBus): boolean {
  return bus.units.every(({ words }) => words.state === LUN_REALIZED);
}
