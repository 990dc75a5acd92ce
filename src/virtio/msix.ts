/**
 * MSI-X: a table of messages, each of which can be masked, and a bit per vector that remembers an
 * interrupt while it is (PCI Local Bus 3.0, 6.8.2; QEMU: hw/pci/msix.c). Table and pending bits
 * lie in one memory BAR.
 */

import {
  PCI_MSIX_ENTRY_CTRL_MASKBIT,
  PCI_MSIX_ENTRY_DATA,
  PCI_MSIX_ENTRY_LOWER_ADDR,
  PCI_MSIX_ENTRY_SIZE,
  PCI_MSIX_ENTRY_UPPER_ADDR,
  PCI_MSIX_ENTRY_VECTOR_CTRL,
} from '../spec.ts';
import { allOnes, loadLittle, storeLittle, type Width } from './config-space.ts';

/** Where the pending bits begin, at least: QEMU's layout of the BAR. */
const PENDING_AT_LEAST = 0x800;
const BAR_AT_LEAST = 0x1000;

/** Sends a message: `data` (u32) to guest address `address` (up to 2^64, as a number). */
export type SendMessage = (address: number, data: number) => void;

export class Msix {
  readonly vectors: number;
  /** Offset of the pending bits in the BAR; the table is at 0. */
  readonly pendingAt: number;
  /** Size of the BAR in bytes, a power of two. */
  readonly barSize: number;

  readonly #send: SendMessage;
  readonly #table: Uint8Array;
  readonly #pending: Uint8Array;
  /** How many queues (and the configuration) use each vector (PC-7). */
  readonly #uses: Uint16Array;
  #enabled = false;
  #masked = false;
  #gateOpen = true;

  /** `vectors`: 1 to 2048. */
  constructor(vectors: number, send: SendMessage) {
    if (!(Number.isInteger(vectors) && vectors >= 1 && vectors <= 2048)) {
      throw new RangeError(`MSI-X vectors must be 1 to 2048, not ${vectors}`);
    }
    this.vectors = vectors;
    this.#send = send;
    this.#table = new Uint8Array(vectors * PCI_MSIX_ENTRY_SIZE);
    this.#pending = new Uint8Array(Math.ceil(vectors / 64) * 8);
    this.#uses = new Uint16Array(vectors);
    this.pendingAt = Math.max(PENDING_AT_LEAST, this.#table.length);
    const end = this.pendingAt + this.#pending.length;
    this.barSize = Math.max(BAR_AT_LEAST, 2 ** Math.ceil(Math.log2(end)));
    this.reset();
  }

  get enabled(): boolean {
    return this.#enabled;
  }

  /** The enable and function mask bits of message control, as the driver wrote them. */
  control(enabled: boolean, functionMasked: boolean): void {
    this.#enabled = enabled;
    this.#masked = functionMasked;
    this.#flush();
  }

  /** A closed gate (no bus master, D3hot) keeps messages pending. */
  setGate(open: boolean): void {
    this.#gateOpen = open;
    this.#flush();
  }

  /** One more user of `vector`; false if there is no such vector. */
  use(vector: number): boolean {
    if (vector >= this.vectors) return false;
    this.#uses[vector]!++;
    return true;
  }

  /** One user less; the last one takes a pending interrupt with it. NO_VECTOR is ignored. */
  unuse(vector: number): void {
    if (vector >= this.vectors || this.#uses[vector] === 0) return;
    this.#uses[vector]!--;
    if (this.#uses[vector] === 0) this.#setPending(vector, false);
  }

  /** Device reset: nobody uses a vector. The table stays as the driver wrote it. */
  unuseAll(): void {
    this.#uses.fill(0);
    this.#pending.fill(0);
  }

  /** Function reset: all vectors masked, nothing pending, off. */
  reset(): void {
    this.unuseAll();
    this.#enabled = false;
    this.#masked = false;
    this.#table.fill(0);
    for (let vector = 0; vector < this.vectors; vector++) {
      this.#table[this.#entry(vector) + PCI_MSIX_ENTRY_VECTOR_CTRL] = PCI_MSIX_ENTRY_CTRL_MASKBIT;
    }
  }

  /** Copies of the table and of the pending bits. */
  get contents(): { readonly table: Uint8Array; readonly pending: Uint8Array } {
    return { table: this.#table.slice(), pending: this.#pending.slice() };
  }

  /** The table as it was saved, with the bits that a driver can write. */
  restoreTable(table: Uint8Array): void {
    for (let at = 0; at < this.#table.length; at += 4) {
      this.write(at, 4, loadLittle(table, at, 4));
    }
  }

  /** Interrupts that were remembered; those that are not masked any more are sent. */
  restorePending(pending: Uint8Array): void {
    for (let vector = 0; vector < this.vectors; vector++) {
      const wanted = (pending[vector >>> 3]! & (1 << (vector & 7))) !== 0;
      this.#setPending(vector, wanted && this.#uses[vector] !== 0);
    }
    this.#flush();
  }

  /** Sends the message of `vector`, or remembers it if masked. Nothing if nobody uses it. */
  notify(vector: number): void {
    if (vector >= this.vectors || this.#uses[vector] === 0) return;
    if (this.#isMasked(vector)) {
      this.#setPending(vector, true);
      return;
    }
    const at = this.#entry(vector);
    const high = loadLittle(this.#table, at + PCI_MSIX_ENTRY_UPPER_ADDR, 4);
    const low = loadLittle(this.#table, at + PCI_MSIX_ENTRY_LOWER_ADDR, 4);
    const data = loadLittle(this.#table, at + PCI_MSIX_ENTRY_DATA, 4);
    this.#send(high * 0x1_0000_0000 + low, data);
  }

  /** Reads the BAR: 0 between table and pending bits and after them, all ones outside. */
  read(offset: number, width: Width): number {
    if (offset + width > this.barSize) return allOnes(width);
    let value = 0;
    for (let i = width - 1; i >= 0; i--) value = ((value << 8) | this.#byte(offset + i)) >>> 0;
    return value;
  }

  /** Writes the table. A vector that comes unmasked sends what is pending, once (PC-6). */
  write(offset: number, width: Width, value: number): void {
    if (offset + width > this.#table.length) return;
    storeLittle(this.#table, offset, width, value);
    const last = Math.floor((offset + width - 1) / PCI_MSIX_ENTRY_SIZE);
    for (let vector = Math.floor(offset / PCI_MSIX_ENTRY_SIZE); vector <= last; vector++) {
      const at = this.#entry(vector);
      this.#table[at + PCI_MSIX_ENTRY_LOWER_ADDR]! &= ~3;
      const control = at + PCI_MSIX_ENTRY_VECTOR_CTRL;
      this.#table[control]! &= PCI_MSIX_ENTRY_CTRL_MASKBIT;
      this.#table.fill(0, control + 1, control + 4);
      this.#deliver(vector);
    }
  }

  #byte(offset: number): number {
    return this.#table[offset] ?? this.#pending[offset - this.pendingAt] ?? 0;
  }

  #entry(vector: number): number {
    return vector * PCI_MSIX_ENTRY_SIZE;
  }

  #isMasked(vector: number): boolean {
    const control = this.#table[this.#entry(vector) + PCI_MSIX_ENTRY_VECTOR_CTRL]!;
    const masked = this.#masked || (control & PCI_MSIX_ENTRY_CTRL_MASKBIT) !== 0;
    return masked || !this.#enabled || !this.#gateOpen;
  }

  #setPending(vector: number, on: boolean): void {
    const bit = 1 << (vector & 7);
    if (on) this.#pending[vector >>> 3]! |= bit;
    else this.#pending[vector >>> 3]! &= ~bit;
  }

  #deliver(vector: number): void {
    const pending = this.#pending[vector >>> 3]! & (1 << (vector & 7));
    if (pending === 0 || this.#isMasked(vector)) return;
    this.#setPending(vector, false);
    this.notify(vector);
  }

  #flush(): void {
    for (let vector = 0; vector < this.vectors; vector++) this.#deliver(vector);
  }
}
