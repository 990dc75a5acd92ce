/** A PCI function with nothing behind it: registers that remember, and a log of accesses. */

import type { PciFunction } from '#src/adapter/v86-pci';

type Width = 1 | 2 | 4;

export interface Access {
  readonly bar: number;
  readonly offset: number;
  readonly width: Width;
  /** Written value; undefined for a read. */
  readonly value?: number;
}

export const TOY_VENDOR = 0x1234;
export const TOY_DEVICE = 0x5678;
export const IO_BAR = 0;
export const IO_BYTES = 32;
export const MEMORY_BAR = 2;
export const MEMORY_BYTES = 4096;

export class ToyPci implements PciFunction {
  readonly bars = [
    { index: IO_BAR, kind: 'io', size: IO_BYTES },
    { index: MEMORY_BAR, kind: 'memory', size: MEMORY_BYTES },
  ] as const;
  readonly registers = [new Uint8Array(IO_BYTES), new Uint8Array(), new Uint8Array(MEMORY_BYTES)];
  readonly accesses: Access[] = [];
  readonly configReads: { offset: number; width: Width }[] = [];
  /** Called after each access of a BAR, from inside the guest's instruction. */
  onAccess: (access: Access) => void = () => {};
  readonly #config = new DataView(new ArrayBuffer(256));
  readonly #writable = new DataView(new ArrayBuffer(256));

  constructor() {
    this.#config.setUint16(0, TOY_VENDOR, true);
    this.#config.setUint16(2, TOY_DEVICE, true);
    this.#config.setUint32(8, 0xff00_0001, true); // class: other; revision 1
    this.#config.setUint32(0x10 + 4 * IO_BAR, 1, true);
    this.#config.setUint8(0x3d, 1); // INTA
    this.#writable.setUint16(4, 0x0407, true);
    this.#writable.setUint32(0x10 + 4 * IO_BAR, ~(IO_BYTES - 1), true);
    this.#writable.setUint32(0x10 + 4 * MEMORY_BAR, ~(MEMORY_BYTES - 1), true);
    this.#writable.setUint8(0x3c, 0xff);
    this.#writable.setUint32(0x40, 0xffff_ffff, true);
  }

  configRead(offset: number, width: Width): number {
    this.configReads.push({ offset, width });
    return read(this.#config, offset, width);
  }

  configWrite(offset: number, width: Width, value: number): void {
    for (let n = 0; n < width; n++) {
      const mask = this.#writable.getUint8(offset + n);
      const byte = (value >>> (8 * n)) & mask;
      this.#config.setUint8(offset + n, (this.#config.getUint8(offset + n) & ~mask) | byte);
    }
  }

  barRead(bar: number, offset: number, width: Width): number {
    this.#note({ bar, offset, width });
    return read(new DataView(this.registers[bar]!.buffer), offset, width);
  }

  barWrite(bar: number, offset: number, width: Width, value: number): void {
    for (let n = 0; n < width; n++) this.registers[bar]![offset + n] = value >>> (8 * n);
    this.#note({ bar, offset, width, value });
  }

  #note(access: Access): void {
    this.accesses.push(access);
    this.onAccess(access);
  }
}

function read(view: DataView, offset: number, width: Width): number {
  if (width === 1) return view.getUint8(offset);
  return width === 2 ? view.getUint16(offset, true) : view.getUint32(offset, true);
}
