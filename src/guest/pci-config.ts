/**
 * A PCI function as firmware and bus driver see it: base address registers sized and placed,
 * capabilities walked, MSI-X programmed. Knows nothing of virtio but where a region of a BAR is
 * reached through the configuration window (VIRTIO 1.3, 4.1.4.9).
 */

import {
  PCI_BASE_ADDRESS_0,
  PCI_BASE_ADDRESS_MEM_TYPE_64,
  PCI_BASE_ADDRESS_MEM_TYPE_MASK,
  PCI_BASE_ADDRESS_SPACE_IO,
  PCI_CAP_ID_MSIX,
  PCI_CAPABILITY_LIST,
  PCI_COMMAND,
  PCI_COMMAND_IO,
  PCI_COMMAND_MASTER,
  PCI_COMMAND_MEMORY,
  PCI_MSIX_BIR,
  PCI_MSIX_ENTRY_CTRL_MASKBIT,
  PCI_MSIX_ENTRY_DATA,
  PCI_MSIX_ENTRY_LOWER_ADDR,
  PCI_MSIX_ENTRY_SIZE,
  PCI_MSIX_ENTRY_UPPER_ADDR,
  PCI_MSIX_ENTRY_VECTOR_CTRL,
  PCI_MSIX_FLAGS,
  PCI_MSIX_FLAGS_ENABLE,
  PCI_MSIX_FLAGS_MASKALL,
  PCI_MSIX_FLAGS_QSIZE,
  PCI_MSIX_TABLE,
  PCI_STATUS,
  PCI_STATUS_CAP_LIST,
  VIRTIO_PCI_CAP_BAR,
  VIRTIO_PCI_CAP_LENGTH,
  VIRTIO_PCI_CAP_OFFSET,
  VIRTIO_PCI_CFG_DATA,
} from '../spec.ts';
import { GuestError } from './error.ts';

export type Width = 1 | 2 | 4;

/** A PCI function, as an emulator's bus reaches it. Offsets and widths in bytes. */
export interface PciFunction {
  configRead(offset: number, width: Width): number;
  configWrite(offset: number, width: Width, value: number): void;
  barRead(bar: number, offset: number, width: Width): number;
  barWrite(bar: number, offset: number, width: Width, value: number): void;
}

/** A base address register after sizing and placing; `size` 0 if it is not there. */
export interface PlacedBar {
  readonly kind: 'io' | 'memory';
  readonly size: number;
  readonly address: number;
}

/** A piece of a BAR. */
export interface BarRegion {
  readonly bar: number;
  readonly offset: number;
  readonly length: number;
}

/** What an MSI-X vector writes, and where. */
export interface MsixMessage {
  readonly address: number;
  readonly data: number;
}

const BARS = 6;
const FIRST_IO = 0xc000;
const FIRST_MEMORY = 0xfe000000;
const NO_BAR: PlacedBar = { kind: 'memory', size: 0, address: 0 };

export class PciConfig {
  readonly bars: readonly PlacedBar[];
  /** Position of the capability through which BARs are reached, 0: directly. */
  window = 0;
  readonly #fn: PciFunction;
  #nextIo = FIRST_IO;
  #nextMemory = FIRST_MEMORY;

  /** Sizes and places all BARs and turns decoding and bus mastering on. */
  constructor(fn: PciFunction) {
    this.#fn = fn;
    const bars: PlacedBar[] = [];
    while (bars.length < BARS) bars.push(...this.#place(bars.length));
    this.bars = bars;
    this.command = PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
  }

  read(offset: number, width: Width): number {
    return this.#fn.configRead(offset, width) >>> 0;
  }

  write(offset: number, width: Width, value: number): void {
    this.#fn.configWrite(offset, width, value);
  }

  get command(): number {
    return this.read(PCI_COMMAND, 2);
  }

  set command(value: number) {
    this.write(PCI_COMMAND, 2, value);
  }

  /** Positions of all capabilities with this id, in the order of the list. */
  *capabilities(id: number): Generator<number> {
    if ((this.read(PCI_STATUS, 2) & PCI_STATUS_CAP_LIST) === 0) return;
    let at = this.read(PCI_CAPABILITY_LIST, 1) & ~3;
    // As Linux: 48 capabilities are the most that fit, more is a loop.
    for (let left = 48; at >= 0x40; left--) {
      if (left === 0) throw new GuestError('EDEVICE', 'capability list loops');
      if (this.read(at, 1) === id) yield at;
      at = this.read(at + 1, 1) & ~3;
    }
  }

  readRegion(region: BarRegion, at: number, width: Width): number {
    const { bar, offset } = region;
    if (this.window === 0) return this.#fn.barRead(bar, offset + at, width) >>> 0;
    this.#aim(region, at, width);
    return this.read(this.window + VIRTIO_PCI_CFG_DATA, width);
  }

  writeRegion(region: BarRegion, at: number, width: Width, value: number): void {
    const { bar, offset } = region;
    if (this.window === 0) {
      this.#fn.barWrite(bar, offset + at, width, value);
      return;
    }
    this.#aim(region, at, width);
    this.write(this.window + VIRTIO_PCI_CFG_DATA, width, value);
  }

  /** Vectors that the function has; 0: no MSI-X. */
  get msixVectors(): number {
    const [at] = this.capabilities(PCI_CAP_ID_MSIX);
    return at === undefined ? 0 : (this.read(at + PCI_MSIX_FLAGS, 2) & PCI_MSIX_FLAGS_QSIZE) + 1;
  }

  /** Programs vector i with `messages[i]` and turns MSI-X on; with none, off. */
  enableMsix(messages: readonly MsixMessage[]): void {
    const [at] = this.capabilities(PCI_CAP_ID_MSIX);
    if (at === undefined) throw new GuestError('ENODEV', 'no MSI-X');
    const flags = messages.length > 0 ? PCI_MSIX_FLAGS_ENABLE : 0;
    this.write(at + PCI_MSIX_FLAGS, 2, flags | PCI_MSIX_FLAGS_MASKALL);
    for (const [vector, message] of messages.entries()) {
      const { bar, offset } = this.#msixEntry(at, vector);
      this.#fn.barWrite(bar, offset + PCI_MSIX_ENTRY_LOWER_ADDR, 4, message.address);
      this.#fn.barWrite(bar, offset + PCI_MSIX_ENTRY_UPPER_ADDR, 4, 0);
      this.#fn.barWrite(bar, offset + PCI_MSIX_ENTRY_DATA, 4, message.data);
      this.#fn.barWrite(bar, offset + PCI_MSIX_ENTRY_VECTOR_CTRL, 4, 0);
    }
    this.write(at + PCI_MSIX_FLAGS, 2, flags);
  }

  maskMsix(vector: number, masked: boolean): void {
    const [at] = this.capabilities(PCI_CAP_ID_MSIX);
    if (at === undefined) throw new GuestError('ENODEV', 'no MSI-X');
    const { bar, offset } = this.#msixEntry(at, vector);
    const control = masked ? PCI_MSIX_ENTRY_CTRL_MASKBIT : 0;
    this.#fn.barWrite(bar, offset + PCI_MSIX_ENTRY_VECTOR_CTRL, 4, control);
  }

  #msixEntry(capability: number, vector: number): BarRegion {
    const table = this.read(capability + PCI_MSIX_TABLE, 4);
    const bar = table & PCI_MSIX_BIR;
    const offset = table - bar + vector * PCI_MSIX_ENTRY_SIZE;
    if (offset + PCI_MSIX_ENTRY_SIZE > (this.bars[bar]?.size ?? 0)) {
      throw new GuestError('EDEVICE', `MSI-X entry ${vector} lies outside BAR ${bar}`);
    }
    return { bar, offset, length: PCI_MSIX_ENTRY_SIZE };
  }

  #aim(region: BarRegion, at: number, width: Width): void {
    this.write(this.window + VIRTIO_PCI_CAP_BAR, 1, region.bar);
    this.write(this.window + VIRTIO_PCI_CAP_OFFSET, 4, region.offset + at);
    this.write(this.window + VIRTIO_PCI_CAP_LENGTH, 4, width);
  }

  /** Sizes the BAR at `index` and gives it an address. A 64-bit one takes two places. */
  #place(index: number): PlacedBar[] {
    const register = PCI_BASE_ADDRESS_0 + 4 * index;
    this.write(register, 4, 0xffffffff);
    const mask = this.read(register, 4);
    if (mask === 0) return [NO_BAR];
    const io = (mask & PCI_BASE_ADDRESS_SPACE_IO) !== 0;
    const wide = !io && (mask & PCI_BASE_ADDRESS_MEM_TYPE_MASK) === PCI_BASE_ADDRESS_MEM_TYPE_64;
    const bits = (mask & (io ? ~3 : ~15)) >>> 0;
    // An I/O BAR may leave its upper half unimplemented.
    const size = io ? (~(bits | 0xffff0000) + 1) & 0xffff : (~bits + 1) >>> 0;
    const address = io ? roundUp(this.#nextIo, size) : roundUp(this.#nextMemory, size);
    if (io) this.#nextIo = address + size;
    else this.#nextMemory = address + size;
    this.write(register, 4, address);
    if (wide) this.write(register + 4, 4, 0);
    if ((this.read(register, 4) & (io ? ~3 : ~15)) >>> 0 !== address) {
      throw new GuestError('EDEVICE', `BAR ${index} does not keep its address`);
    }
    const bar: PlacedBar = { kind: io ? 'io' : 'memory', size, address };
    return wide ? [bar, NO_BAR] : [bar];
  }
}

function roundUp(value: number, size: number): number {
  return Math.ceil(value / size) * size;
}
