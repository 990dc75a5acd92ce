/**
 * The words of a logical unit that all threads share (LUN_*, SCSI_BUS_*): its state, its pending
 * unit attention with precedence (SC-11), tray and lock, block size. Any thread, unless it says
 * otherwise. QEMU: `scsi_ua_precedence`, `scsi_device_set_ua`, `scsi_cd_change_media_cb`.
 */

import type { Core } from '../engine/core.ts';
import {
  LUN_ATTENTION,
  LUN_BLOCK_SIZE,
  LUN_F_EJECT_REQUEST,
  LUN_F_LOCKED,
  LUN_F_MEDIUM_CHANGED,
  LUN_F_MEDIUM_EVENT,
  LUN_F_TRAY_OPEN,
  LUN_FLAGS,
  LUN_HIDDEN,
  LUN_REALIZED,
  LUN_STATE,
  SCSI_BUS_ATTENTION,
} from '../layout.ts';
import {
  ATTENTION_CAPACITY_CHANGED,
  ATTENTION_CLEARED_BY_POWER_LOSS,
  ATTENTION_INTERNAL_RESET,
  ATTENTION_MEDIUM_CHANGED,
  ATTENTION_MICROCODE_CHANGED,
  ATTENTION_NEXUS_LOSS,
  ATTENTION_NO_MEDIUM,
  ATTENTION_NONE,
  ATTENTION_REPORTED_LUNS_CHANGED,
  ATTENTION_RESET,
} from './codes.ts';

/** What a unit has been through, as a saved state keeps it. */
export interface LunState {
  /** Pending unit attention: asc << 8 | ascq; 0: none. */
  readonly attention: number;
  /** LUN_F_*. */
  readonly flags: number;
  /** Bytes. */
  readonly blockSize: number;
}

export const LUN_FLAGS_ALL =
  LUN_F_TRAY_OPEN | LUN_F_LOCKED | LUN_F_MEDIUM_CHANGED | LUN_F_MEDIUM_EVENT | LUN_F_EJECT_REQUEST;

/** Lower is more important. Resets in the order of SAM-5 5.14; all others by their number. */
export function attentionPrecedence(attention: number): number {
  switch (attention) {
    case ATTENTION_NONE:
      return Number.POSITIVE_INFINITY;
    case ATTENTION_INTERNAL_RESET: // goes with POWER ON
      return 1;
    case ATTENTION_MICROCODE_CHANGED: // goes with SCSI BUS RESET
      return 2;
    case ATTENTION_CLEARED_BY_POWER_LOSS:
      return 8;
  }
  const ascq = attention & 0xff;
  const isReset = attention >= ATTENTION_RESET && attention <= ATTENTION_NEXUS_LOSS;
  // 29/05 and 29/06, of the transceiver's mode, go with all others.
  return isReset && ascq !== 5 && ascq !== 6 ? ascq : attention;
}

export class LunWords {
  readonly #core: Core;
  readonly #lun: number;
  readonly #bus: number;
  #u32: Uint32Array;

  /** `lun`, `bus`: core addresses of the words of the unit and of its bus. */
  constructor(core: Core, lun: number, bus: number) {
    this.#core = core;
    this.#lun = lun;
    this.#bus = bus;
    this.#u32 = core.u32;
  }

  /** Main, before anybody knows of the unit: hidden, and its power has just come on. */
  reset(blockSize: number): void {
    this.#store(LUN_STATE, LUN_HIDDEN);
    this.#store(LUN_FLAGS, 0);
    this.#store(LUN_BLOCK_SIZE, blockSize);
    this.#store(LUN_ATTENTION, ATTENTION_RESET);
  }

  /** LUN_HIDDEN, LUN_REALIZED or LUN_LEAVING. */
  get state(): number {
    return this.#load(LUN_STATE);
  }

  /** Main. */
  set state(state: number) {
    this.#store(LUN_STATE, state);
  }

  /** Do commands find the unit (SC-9)? */
  get realized(): boolean {
    return this.state === LUN_REALIZED;
  }

  /** Bytes of a logical block. */
  get blockSize(): number {
    return this.#load(LUN_BLOCK_SIZE);
  }

  set blockSize(bytes: number) {
    this.#store(LUN_BLOCK_SIZE, bytes);
  }

  // ---- Unit attentions --------------------------------------------------------------------------

  /** Is there one that the next command would report? */
  get hasAttention(): boolean {
    const u32 = this.#words();
    return (
      Atomics.load(u32, (this.#lun + LUN_ATTENTION) >>> 2) !== ATTENTION_NONE ||
      Atomics.load(u32, (this.#bus + SCSI_BUS_ATTENTION) >>> 2) !== ATTENTION_NONE
    );
  }

  /** Leaves what is pending if that is as important, or more. */
  setAttention(attention: number): void {
    raise(this.#words(), this.#lun + LUN_ATTENTION, attention);
  }

  /**
   * Fetches what the command that is being made reports, and clears it: nobody else gets it. The
   * unit's comes before the bus's. 0: nothing.
   */
  takeAttention(): number {
    const u32 = this.#words();
    const own = Atomics.exchange(u32, (this.#lun + LUN_ATTENTION) >>> 2, ATTENTION_NONE);
    if (own === ATTENTION_NONE) {
      return Atomics.exchange(u32, (this.#bus + SCSI_BUS_ATTENTION) >>> 2, ATTENTION_NONE);
    }
    // "No medium" is told before "medium changed", for guests that poll neither (SD-11).
    const flags = Atomics.and(u32, (this.#lun + LUN_FLAGS) >>> 2, ~LUN_F_MEDIUM_CHANGED);
    if (flags & LUN_F_MEDIUM_CHANGED) this.setAttention(ATTENTION_MEDIUM_CHANGED);
    return own;
  }

  /** REPORT LUNS tells what has changed, so nobody needs to be told that something has (SC-10). */
  clearReportedLunsChanged(): void {
    const u32 = this.#words();
    for (const at of [this.#lun + LUN_ATTENTION, this.#bus + SCSI_BUS_ATTENTION]) {
      Atomics.compareExchange(u32, at >>> 2, ATTENTION_REPORTED_LUNS_CHANGED, ATTENTION_NONE);
    }
  }

  /** Main: the disk has another size (SD-16). */
  capacityChanged(): void {
    this.setAttention(ATTENTION_CAPACITY_CHANGED);
  }

  // ---- Tray -------------------------------------------------------------------------------------

  /** LUN_F_*. */
  get flags(): number {
    return this.#load(LUN_FLAGS);
  }

  /** Sets or clears `flag`; returns whether it was set before. */
  flag(flag: number, on: boolean): boolean {
    const at = (this.#lun + LUN_FLAGS) >>> 2;
    const u32 = this.#words();
    return ((on ? Atomics.or(u32, at, flag) : Atomics.and(u32, at, ~flag)) & flag) !== 0;
  }

  /** Main: a medium was put in or taken out by the host. */
  mediumChanged(loaded: boolean): void {
    this.flag(LUN_F_EJECT_REQUEST, false);
    this.flag(LUN_F_TRAY_OPEN, !loaded);
    this.flag(LUN_F_MEDIUM_CHANGED, loaded);
    this.flag(LUN_F_MEDIUM_EVENT, true);
    this.setAttention(ATTENTION_NO_MEDIUM);
  }

  /** Main: the host asks the guest to give the medium back; by force, the lock does not count. */
  requestEject(force: boolean): void {
    this.flag(LUN_F_EJECT_REQUEST, true);
    if (force) this.flag(LUN_F_LOCKED, false);
  }

  /** A reset of the unit: tray closed and unlocked, and the initiator is told. */
  resetUnit(attention: number = ATTENTION_RESET): void {
    this.flag(LUN_F_TRAY_OPEN | LUN_F_LOCKED, false);
    this.setAttention(attention);
  }

  // ---- Save and load ----------------------------------------------------------------------------

  saved(): LunState {
    const { flags, blockSize } = this;
    return { attention: this.#load(LUN_ATTENTION), flags, blockSize };
  }

  /** Main, while nobody has commands of the unit. */
  restore({ attention, flags, blockSize }: LunState): void {
    this.#store(LUN_ATTENTION, attention);
    this.#store(LUN_FLAGS, flags);
    this.#store(LUN_BLOCK_SIZE, blockSize);
  }

  #load(field: number): number {
    return Atomics.load(this.#words(), (this.#lun + field) >>> 2);
  }

  #store(field: number, value: number): void {
    Atomics.store(this.#words(), (this.#lun + field) >>> 2, value);
  }

  /** The words lie where the memory ended long ago, so a view is kept while it works. */
  #words(): Uint32Array {
    return (this.#u32 = this.#core.keepU32(this.#u32));
  }
}

/** Main: every unit of the bus at `bus` could report it; the first one that is asked does. */
export function setBusAttention(core: Core, bus: number, attention: number): void {
  raise(core.u32, bus + SCSI_BUS_ATTENTION, attention);
}

function raise(u32: Uint32Array, address: number, attention: number): void {
  for (;;) {
    const pending = Atomics.load(u32, address >>> 2);
    if (attentionPrecedence(attention) >= attentionPrecedence(pending)) return;
    if (Atomics.compareExchange(u32, address >>> 2, pending, attention) === pending) return;
  }
}
