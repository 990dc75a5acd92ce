/**
 * One thread's view of a logical unit: its configuration, the words that all threads share, that
 * thread's lane of the backend, and the requests that came by that thread. A request is answered
 * exactly once, whatever happens to it (SC-6). QEMU: `hw/scsi/scsi-bus.c`, `hw/scsi/scsi-disk.c`.
 *
 * All methods: the thread of the lane's context.
 */

import type { BottomHalf } from '../aio/bottom-half.ts';
import { OP_READ, OP_WRITE, PENDING } from '../block/driver.ts';
import type { ErrorAction } from '../block/error-policy.ts';
import type { BackendLane } from '../block/lane.ts';
import type { LaneRequest } from '../block/lane-request.ts';
import { type OperationName, operationName } from '../block/operation.ts';
import type { Core } from '../engine/core.ts';
import { LUN_F_TRAY_OPEN } from '../layout.ts';
import { EAGAIN } from '../spec.ts';
import { check, countResidual, fail } from './answer.ts';
import { cdbLength, decodeTransfer, type PlainTransfer } from './cdb.ts';
import {
  REQUEST_SENSE,
  SENSE_INVALID_FIELD_IN_CDB,
  SENSE_INVALID_OPCODE,
  SENSE_NO_MEDIUM,
  UNIT_ATTENTION,
} from './codes.ts';
import type { CommandTable } from './command.ts';
import { CD_COMMANDS, HD_COMMANDS } from './commands.ts';
import { DiskWords } from './disk-words.ts';
import { LunWords } from './lun-words.ts';
import { type ScsiRequest, ScsiRequestList } from './request.ts';
import type { ScsiUnitConfig } from './unit-options.ts';

/** A request of the guest's that the host could not do (BB-19). */
export interface ScsiFailure {
  readonly unit: ScsiUnit;
  readonly operation: OperationName;
  /** A positive number as in errno. */
  readonly errno: number;
  readonly action: ErrorAction;
  /** Bytes. */
  readonly offset: number;
  readonly length: number;
}

/** What units of one thread have in common. */
export interface ScsiThread {
  readonly core: Core;
  /** Parameter data are made here: 64 KiB. */
  readonly scratch: Uint8Array;
  /** LUNs of a target that commands find, in ascending order. */
  lunsOf(target: number): readonly number[];
  /** The machine runs: what waits may go on (VM-3). */
  readonly running: boolean;
  /** They are being told: a pending REPORTED LUNS DATA HAS CHANGED is no news any more (SC-10). */
  lunsReported(target: number): void;
}

/** Most bytes that a command which moves no blocks may ask for (SD-13). */
export const EMULATED_MAX = 65_536;
/** Operations of a command after which others have their turn. */
const OPERATIONS_AT_ONCE = 32;

export class ScsiUnit {
  readonly config: ScsiUnitConfig;
  readonly lane: BackendLane;
  readonly words: LunWords;
  readonly disk: DiskWords;
  /** Told of each operation that failed, once its fate is settled. */
  onFailure: ((failure: ScsiFailure) => void) | null = null;
  readonly thread: ScsiThread;
  /** Enqueued (SC-2). */
  readonly #requests = new ScsiRequestList();
  /** Canceled, and still in the lane. */
  readonly #leaving = new ScsiRequestList();
  readonly #commands: CommandTable;
  /** Resumes what waits for its next turn; made when first needed. */
  #bottomHalf: BottomHalf | null = null;
  #parked = 0;
  /** What the next operation has ended with, if it was done already. */
  #given: number | null = null;

  constructor(thread: ScsiThread, config: ScsiUnitConfig, lane: BackendLane) {
    this.thread = thread;
    this.config = config;
    this.lane = lane;
    this.words = new LunWords(thread.core, config.words, config.bus);
    this.disk = new DiskWords(thread.core, config.backend);
    this.#commands = config.type === 'hd' ? HD_COMMANDS : CD_COMMANDS;
    lane.onOpen.add(this.#resume);
  }

  /** Requests that have not been answered. */
  get busy(): number {
    return this.#requests.count + this.#leaving.count;
  }

  /** Those on the list, oldest first: not the canceled ones. */
  get requests(): readonly ScsiRequest[] {
    return this.#requests.snapshot();
  }

  /** Ends the unit's part in this thread. Every request has been answered. */
  close(): void {
    if (this.busy > 0) throw new Error(`a SCSI unit was closed with ${this.busy} requests`);
    this.lane.onOpen.delete(this.#resume);
    this.#bottomHalf?.delete();
    this.#bottomHalf = null;
  }

  // ---- The disk, for commands -------------------------------------------------------------------

  /** There is one, and the tray is closed. */
  get hasMedium(): boolean {
    return this.disk.hasMedium && (this.words.flags & LUN_F_TRAY_OPEN) === 0;
  }

  get writable(): boolean {
    return this.config.type === 'hd' && !this.disk.readOnly;
  }

  /** Whole logical blocks. */
  get blocks(): number {
    return Math.floor(this.disk.capacity / this.words.blockSize);
  }

  /** Without overflow; no blocks at all may begin at the end (SD-1). */
  inRange(lba: number, blocks: number): boolean {
    const { blocks: all } = this;
    return blocks <= all && lba <= all - blocks;
  }

  // ---- Requests ---------------------------------------------------------------------------------

  /**
   * May the CDB in `bytes[at ..]` go the short way: straight to the lane, by its `transfer`, with
   * neither a request nor this unit? Then fills in `into`. `given`: bytes of the CDB; `outBytes`
   * and `inBytes` as of ScsiBuffers. Allocates nothing.
   */
  decodePlain(
    bytes: Uint8Array,
    at: number,
    given: number,
    outBytes: number,
    inBytes: number,
    into: PlainTransfer,
  ): boolean {
    const { words } = this;
    const size = words.blockSize;
    if (!decodeTransfer(bytes, at, given, size, into)) return false;
    const { op, offset, length } = into;
    const out = op === OP_WRITE;
    if ((out ? outBytes : inBytes) < length || (out ? inBytes : outBytes) > 0) return false;
    if (words.hasAttention || !words.realized || !this.hasMedium) return false;
    if (out && !this.writable) return false;
    const end = this.blocks * size;
    return length <= end && offset <= end - length;
  }

  /** Begins a request. `done` may be called before this returns. */
  start(request: ScsiRequest): void {
    request.begin(this);
    this.#requests.append(request);
    request.enqueued = true;
    if (this.#admit(request)) this.#execute(request);
    else this.#end(request);
  }

  /** As `start`, of a plain command whose operation the HBA has had done, with `result`. */
  startDone(request: ScsiRequest, result: number): void {
    this.#given = result;
    try {
      this.start(request);
    } finally {
      this.#given = null;
    }
  }

  /** False: it is answered already. What was no command at all takes no unit attention. */
  #admit(request: ScsiRequest): boolean {
    const { cdb, buffers } = request;
    const opcode = cdb[0]!;
    const needed = cdbLength(opcode);
    if (buffers.outBytes > 0 && buffers.inBytes > 0) return refuse(request, 'failure');
    if (needed === 0 || request.cdbLength < needed) return check(request, SENSE_INVALID_OPCODE);
    const command = this.#commands[opcode] ?? null;
    if (command) {
      request.command = command;
      request.transfer = command.transfer(cdb, this);
      const room = command.direction === 'out' ? buffers.outBytes : buffers.inBytes;
      if (request.transfer > room && request.transfer > 0) return refuse(request, 'overrun');
    }
    if ((!command || command.attention) && !request.retry) {
      const attention = this.words.takeAttention();
      if (attention !== 0 && opcode !== REQUEST_SENSE) {
        return check(request, (UNIT_ATTENTION << 16) | attention);
      }
      request.attention = attention;
    }
    return command ? true : check(request, SENSE_INVALID_OPCODE);
  }

  /** From the beginning. */
  #execute(request: ScsiRequest): void {
    const { command, transfer } = request;
    request.operations = 0;
    request.transferred = 0;
    if (command!.medium && !this.hasMedium) check(request, SENSE_NO_MEDIUM);
    else if (!command!.blocks && transfer > EMULATED_MAX) {
      check(request, SENSE_INVALID_FIELD_IN_CDB);
    } else if (command!.run(this, request)) {
      this.#carryOn(request);
      return;
    }
    this.#end(request);
  }

  /** Does its operations until it has ended, or waits. */
  #carryOn(request: ScsiRequest): void {
    for (let turns = 0; !request.canceled; turns++) {
      if (turns === OPERATIONS_AT_ONCE) {
        this.#park(request);
        this.#bottomHalf ??= this.lane.context.bottomHalf('scsi-unit', this.#resume);
        this.#bottomHalf.schedule();
        return;
      }
      const result = this.#submit(request);
      if (result === PENDING) return;
      if (!this.#absorb(request, result)) return;
      if (!request.step(this, request)) break;
    }
    this.#end(request);
  }

  /** 0, a negative errno, or PENDING: it is in the lane, or parked. */
  #submit(request: ScsiRequest): number {
    if (this.#given !== null) {
      const given = this.#given;
      this.#given = null;
      return given;
    }
    const { op, offset, length, flags, data, dataAt, buffers } = request;
    const io = this.lane.request();
    io.op = op;
    io.offset = offset;
    io.length = length;
    io.flags = flags;
    io.guard = request.guard;
    io.done = request.settled;
    if (data === 'in') buffers.appendIn(io.vector, dataAt, length);
    else if (data === 'out') buffers.appendOut(io.vector, dataAt, length);
    else if (data === 'own') {
      io.vector.reset(request.own);
      io.vector.append(0, length);
    }
    const result = this.lane.submit(io);
    if (result === PENDING) {
      request.io = io;
      request.place = 'lane';
      return PENDING;
    }
    io.release();
    if (result !== -EAGAIN) return result;
    this.#park(request);
    return PENDING;
  }

  /** False: the request goes no further. */
  #absorb(request: ScsiRequest, result: number): boolean {
    if (result < 0 && !this.#fail(request, -result)) return false;
    request.operations += 1;
    return true;
  }

  /** For requests: their operation in the lane has ended. */
  settled(request: ScsiRequest, io: LaneRequest, result: number): void {
    const { abandoned } = io;
    request.io = null;
    request.place = 'running';
    io.release();
    if (abandoned && !request.canceled) this.#leave(request, 'reset');
    if (request.canceled) this.#end(request);
    else if (this.#absorb(request, result)) {
      if (request.step(this, request)) this.#carryOn(request);
      else this.#end(request);
    }
  }

  /** The error policy decides (BB-19). True: as if nothing had happened. */
  #fail(request: ScsiRequest, errno: number): boolean {
    const { op, offset, length } = request;
    const action = this.disk.actionFor(op === OP_READ, errno);
    const failure = { unit: this, operation: operationName(op), errno, action, offset, length };
    if (action === 'stop') request.place = 'failed';
    else if (action === 'report') {
      fail(request, errno);
      this.#end(request);
    }
    this.onFailure?.(failure);
    return action === 'ignore';
  }

  /** The one end of all ways. */
  #end(request: ScsiRequest): void {
    if (request.place === 'ended') throw new Error('a SCSI request has ended twice');
    request.list!.remove(request);
    request.enqueued = false;
    request.place = 'ended';
    if (request.canceled) {
      request.response = request.cancelResponse;
      request.senseLength = 0;
      request.transferred = 0;
    }
    countResidual(request);
    request.done(request);
  }

  // ---- Those that wait --------------------------------------------------------------------------

  #park(request: ScsiRequest): void {
    request.place = 'parked';
    this.#parked += 1;
  }

  #unpark(request: ScsiRequest): void {
    request.place = 'running';
    this.#parked -= 1;
  }

  /** The gate is open, or their turn has come: oldest first. They may park anew. */
  readonly #resume = (): void => {
    if (this.#parked === 0 || !this.thread.running) return;
    for (const request of this.#requests.snapshot()) {
      if (request.place !== 'parked') continue; // answered meanwhile, or in the lane
      this.#unpark(request);
      this.#guarded(request, () => {
        // What has not begun sees the medium and the size as they are now.
        if (request.operations === 0) this.#execute(request);
        else this.#carryOn(request);
      });
    }
  };

  /** The machine goes on: what has waited for it does too. */
  resume(): void {
    this.#resume();
  }

  /** The machine goes on: what the error policy has kept is tried again, from its beginning. */
  restartFailed(): void {
    for (const request of this.#requests.snapshot()) {
      if (request.place !== 'failed') continue;
      request.place = 'running';
      if (request.command!.direction === 'none') {
        this.#requests.remove(request); // SC-7: such a command is enqueued anew
        this.#requests.append(request);
      }
      this.#guarded(request, () => this.#execute(request));
    }
  }

  #guarded(request: ScsiRequest, run: () => void): void {
    const { guard } = request;
    if (guard && !guard.enter()) {
      this.#leave(request, 'reset');
      run = () => this.#end(request);
    }
    try {
      run();
    } finally {
      guard?.leave();
    }
  }

  // ---- Cancel (SC-6) ----------------------------------------------------------------------------

  /**
   * Asks for the end of a request of this unit. It is dequeued at once and answered with `response`
   * as soon as nothing touches its buffers any more: before this returns if it only waits, else
   * from a later poll. One that has been answered, or is canceled already, is left alone.
   */
  cancel(request: ScsiRequest, response: 'aborted' | 'reset' = 'aborted'): void {
    if (request.unit !== this) throw new Error('a SCSI request belongs to another unit');
    if (request.canceled || request.place === 'ended' || request.place === 'new') return;
    const { place } = request;
    if (place === 'parked') this.#unpark(request);
    this.#leave(request, response);
    if (place === 'lane') request.io!.cancel();
    else if (place !== 'running') this.#end(request);
  }

  /** Cancels all that is enqueued. */
  cancelAll(response: 'aborted' | 'reset' = 'aborted'): void {
    for (const request of this.#requests.snapshot()) this.cancel(request, response);
  }

  /** The buffers of all requests are the guest's again: no byte of them is touched from now on. */
  abandonAll(): void {
    for (const list of [this.#requests, this.#leaving]) {
      for (const request of list.snapshot()) if (request.io) request.io.abandoned = true;
    }
    this.cancelAll('reset');
  }

  #leave(request: ScsiRequest, response: 'aborted' | 'reset'): void {
    request.canceled = true;
    request.cancelResponse = response;
    this.#requests.remove(request);
    request.enqueued = false;
    this.#leaving.append(request);
  }
}

function refuse(request: ScsiRequest, response: 'overrun' | 'failure'): false {
  request.response = response;
  return false;
}
