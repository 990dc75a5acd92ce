/** A bus of one thread and an HBA whose buffers are plain byte arrays. */

import { openCore } from '#src/adapter/node';
import { ManualClock } from '#src/aio/clock';
import { AioContext } from '#src/aio/context';
import { type BackendOptions, BlockBackend } from '#src/block/backend';
import type { BlockDriver } from '#src/block/driver';
import type { SegmentVector } from '#src/block/io-vector';
import type { BackendLane } from '#src/block/lane';
import { MemoryDriver } from '#src/block/memory';
import type { Core } from '#src/engine/core';
import { LUN_REALIZED, LUN_SIZE, SCSI_BUS_SIZE } from '#src/layout';
import { LunWords } from '#src/scsi/lun-words';
import type { ScsiBuffers, ScsiRequest } from '#src/scsi/request';
import type { ScsiFailure, ScsiUnit } from '#src/scsi/unit';
import {
  readScsiUnitOptions,
  type ScsiUnitConfig,
  type ScsiUnitOptions,
  type ScsiUnitType,
} from '#src/scsi/unit-options';
import { ScsiUnits } from '#src/scsi/units';

export const PAGE = 65_536;
/** Bytes around each buffer that nobody may touch. */
const GUARD = 64;
const GUARD_BYTE = 0xa5;

/** Data-out and data-in in one array, each between guards. */
export class TestBuffers implements ScsiBuffers {
  readonly outBytes: number;
  readonly inBytes: number;
  readonly #bytes: Uint8Array;
  readonly #inAt: number;

  constructor(out: Uint8Array, inBytes: number) {
    this.outBytes = out.length;
    this.inBytes = inBytes;
    this.#inAt = GUARD * 2 + out.length;
    this.#bytes = new Uint8Array(this.#inAt + inBytes + GUARD).fill(GUARD_BYTE);
    this.#bytes.set(out, GUARD);
  }

  get out(): Uint8Array {
    return this.#bytes.subarray(GUARD, GUARD + this.outBytes);
  }

  get in(): Uint8Array {
    return this.#bytes.subarray(this.#inAt, this.#inAt + this.inBytes);
  }

  /** Are the guards, and data-in from `from` on, as they were? */
  untouched(from: number): boolean {
    const guards = [
      this.#bytes.subarray(0, GUARD),
      this.#bytes.subarray(GUARD + this.outBytes, this.#inAt),
      this.#bytes.subarray(this.#inAt + from),
    ];
    return guards.every((guard) => guard.every((byte) => byte === GUARD_BYTE));
  }

  copyOut(at: number, into: Uint8Array): number {
    const bytes = this.out.subarray(at, at + into.length);
    into.set(bytes);
    return bytes.length;
  }

  copyIn(at: number, bytes: Uint8Array): number {
    if (at + bytes.length > this.inBytes) throw new Error('more than data-in has room for');
    this.in.set(bytes, at);
    return bytes.length;
  }

  appendOut(vector: SegmentVector, at: number, length: number): void {
    this.#append(vector, GUARD, this.outBytes, at, length);
  }

  appendIn(vector: SegmentVector, at: number, length: number): void {
    this.#append(vector, this.#inAt, this.inBytes, at, length);
  }

  #append(vector: SegmentVector, from: number, size: number, at: number, length: number): void {
    if (at + length > size) throw new Error('more than the buffer has');
    vector.reset(this.#bytes);
    vector.append(from + at, length);
  }
}

export interface Answer {
  request: ScsiRequest;
  buffers: TestBuffers;
  /** Each call of `done`: what it said. */
  answers: { response: string; status: number; sense: string; residual: number; moved: number }[];
}

export interface Bus {
  core: Core;
  context: AioContext;
  units: ScsiUnits;
  bus: number;
}

export interface Rig extends Bus {
  backend: BlockBackend;
  lane: BackendLane;
  unit: ScsiUnit;
  words: LunWords;
  config: ScsiUnitConfig;
  failures: ScsiFailure[];
}

export async function openBus(): Promise<Bus> {
  const core = await openCore({ ramBytes: 4 * PAGE });
  const context = new AioContext(core, { sleeper: 'hook', clock: new ManualClock() });
  const bus = core.allocate(SCSI_BUS_SIZE);
  core.u8.fill(0, bus, bus + SCSI_BUS_SIZE);
  return { core, context, units: new ScsiUnits(core), bus };
}

export interface PlugOptions {
  driver?: BlockDriver | null;
  backend?: BackendOptions;
  unit?: ScsiUnitOptions;
}

/** Plugs a realized unit without a pending unit attention. */
export function plug(bus: Bus, type: ScsiUnitType, given: PlugOptions = {}): Rig {
  const { core, context, units } = bus;
  const driver = given.driver === undefined ? new MemoryDriver(core, 1024 * 1024) : given.driver;
  const backend = driver
    ? BlockBackend.attach(core, context, driver, given.backend)
    : BlockBackend.empty(core, context, given.backend);
  const lane = backend.openLane(context);
  const settings = readScsiUnitOptions(core, type, backend, given.unit ?? {});
  const words = core.allocate(LUN_SIZE);
  const config: ScsiUnitConfig = structuredClone({
    ...settings,
    scsiId: settings.scsiId ?? 0,
    lun: settings.lun ?? 0,
    words,
    bus: bus.bus,
    backend: backend.address,
  });
  const shared = new LunWords(core, words, bus.bus);
  shared.reset(settings.logicalBlockSize);
  shared.takeAttention();
  shared.state = LUN_REALIZED;
  const unit = units.plug(config, lane);
  const failures: ScsiFailure[] = [];
  unit.onFailure = (failure) => failures.push(failure);
  return { ...bus, backend, lane, unit, words: shared, config, failures };
}

export async function rig(type: ScsiUnitType, given: PlugOptions = {}): Promise<Rig> {
  return plug(await openBus(), type, given);
}

export interface Data {
  out?: Uint8Array | readonly number[];
  in?: number;
  /** Bytes of the CDB that the initiator gave. */
  cdbBytes?: number;
}

/** Submits a command to an address. */
export function submitTo(
  units: ScsiUnits,
  target: number,
  lun: number,
  cdb: readonly number[],
  data: Data = {},
): Answer {
  const request = units.request();
  const buffers = new TestBuffers(Uint8Array.from(data.out ?? []), data.in ?? 0);
  const answers: Answer['answers'] = [];
  request.cdb.fill(0);
  request.cdb.set(cdb);
  request.cdbLength = data.cdbBytes ?? 32;
  request.buffers = buffers;
  request.done = (ended) => {
    const { response, status, residual } = ended;
    answers.push({ response, status, sense: senseOf(ended), residual, moved: ended.transferred });
  };
  units.submit(request, target, lun);
  return { request, buffers, answers };
}

export function submit(r: Rig, cdb: readonly number[], data: Data = {}): Answer {
  return submitTo(r.units, r.config.scsiId, r.config.lun, cdb, data);
}

/** Submits and polls until it has ended. Throws unless it has exactly one answer. */
export function run(
  r: Rig,
  cdb: readonly number[],
  data: Data = {},
): Answer['answers'][0] & Answer {
  const answer = submit(r, cdb, data);
  for (let i = 0; i < 1000 && answer.answers.length === 0; i++) r.context.poll();
  if (answer.answers.length !== 1) throw new Error(`${answer.answers.length} answers`);
  const { request } = answer;
  if (!answer.buffers.untouched(request.buffers.inBytes)) throw new Error('guards were touched');
  request.release();
  return { ...answer, ...answer.answers[0]! };
}

/** `5/24/00` in hexadecimal, or empty. */
export function senseOf({ sense, senseLength }: ScsiRequest): string {
  if (senseLength === 0) return '';
  const hex = (byte: number) => byte.toString(16).padStart(2, '0');
  return `${(sense[2]! & 15).toString(16)}/${hex(sense[12]!)}/${hex(sense[13]!)}`;
}

/** GOOD or the sense, or the response if it is not `ok`. */
export function verdict({ response, status, sense }: Answer['answers'][0]): string {
  if (response !== 'ok') return response;
  return status === 0 ? 'GOOD' : sense || `status ${status}`;
}

/** `bytes` as a big-endian list. */
export function be(value: number, bytes: number): number[] {
  const list: number[] = [];
  for (let i = bytes - 1; i >= 0; i--) list.push(Math.floor(value / 256 ** i) % 256);
  return list;
}

export const read10 = (lba: number, blocks: number, flags = 0) => [
  0x28,
  flags,
  ...be(lba, 4),
  0,
  ...be(blocks, 2),
  0,
];
export const write10 = (lba: number, blocks: number, flags = 0) => [
  0x2a,
  flags,
  ...be(lba, 4),
  0,
  ...be(blocks, 2),
  0,
];
