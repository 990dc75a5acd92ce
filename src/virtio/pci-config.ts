/**
 * PCI configuration space of one function, type 0 header (PCI Local Bus 3.0, 6.1 to 6.3, 6.7):
 * bytes, and for each bit whether software may write it. Knows nothing of virtio.
 */

import {
  PCI_BASE_ADDRESS_0,
  PCI_BASE_ADDRESS_MEM_PREFETCH,
  PCI_BASE_ADDRESS_MEM_TYPE_64,
  PCI_BASE_ADDRESS_SPACE_IO,
  PCI_CAPABILITY_LIST,
  PCI_COMMAND,
  PCI_COMMAND_IO,
  PCI_COMMAND_MEMORY,
  PCI_INTERRUPT_LINE,
  PCI_STATUS,
  PCI_STATUS_CAP_LIST,
} from '../spec.ts';
import { allOnes, loadLittle, storeLittle, type Width } from './config-space.ts';

export const PCI_CONFIG_SIZE = 256;
/** Command bits that can be set: I/O, memory, master, parity, SERR, INTx disable. */
const COMMAND_WRITABLE = 0x547;
const CAPABILITIES_AT = 0x40;

export interface PciBar {
  /** 0 to 5; a 64-bit BAR takes this number and the next. */
  readonly index: number;
  /** Bytes, a power of two. */
  readonly size: number;
  readonly kind: 'io' | 'memory';
  /** 64-bit and prefetchable. */
  readonly wide: boolean;
}

/** Called when software accesses `length` bytes at `offset`, even in part. */
interface Watcher {
  readonly offset: number;
  readonly length: number;
  beforeRead?(): void;
  afterWrite?(): void;
}

export class PciConfigSpace {
  readonly bars: PciBar[] = [];
  readonly #bytes = new Uint8Array(PCI_CONFIG_SIZE);
  readonly #writable = new Uint8Array(PCI_CONFIG_SIZE);
  readonly #watchers: Watcher[] = [];
  #lastCapability = 0;
  #end = CAPABILITIES_AT;

  constructor() {
    this.allowWrite(PCI_COMMAND, 2, COMMAND_WRITABLE);
    this.allowWrite(PCI_INTERRUPT_LINE, 1, 0xff);
  }

  // ---- What software does ---------------------------------------------------------------------

  /** All ones if a byte lies outside. */
  read(offset: number, width: Width): number {
    if (offset + width > PCI_CONFIG_SIZE) return allOnes(width);
    for (const watcher of this.#watchers) {
      if (overlaps(watcher, offset, width)) watcher.beforeRead?.();
    }
    return loadLittle(this.#bytes, offset, width);
  }

  /** Changes the bits that may be written; ignored if a byte lies outside. */
  write(offset: number, width: Width, value: number): void {
    if (offset + width > PCI_CONFIG_SIZE) return;
    for (let i = 0; i < width; i++) {
      const mask = this.#writable[offset + i]!;
      const kept = this.#bytes[offset + i]! & ~mask;
      this.#bytes[offset + i] = kept | ((value >>> (8 * i)) & mask);
    }
    for (const watcher of this.#watchers) {
      if (overlaps(watcher, offset, width)) watcher.afterWrite?.();
    }
  }

  // ---- What the device does -------------------------------------------------------------------

  /** Reads and writes without masks and watchers. */
  get(offset: number, width: Width): number {
    return loadLittle(this.#bytes, offset, width);
  }

  set(offset: number, width: Width, value: number): void {
    storeLittle(this.#bytes, offset, width, value);
  }

  allowWrite(offset: number, width: Width, bits: number): void {
    storeLittle(this.#writable, offset, width, bits);
  }

  watch(watcher: Watcher): void {
    this.#watchers.push(watcher);
  }

  /** A copy of all of it, as software last wrote it and the device last set it. */
  get bytes(): Uint8Array {
    return this.#bytes.slice();
  }

  /**
   * Where the first byte is that `bytes`, another function's, can never have here; -1: nowhere. The
   * status register is the device's own, and lives.
   */
  differs(bytes: Uint8Array): number {
    return this.#bytes.findIndex((byte, at) => {
      const fixed = at === PCI_STATUS || at === PCI_STATUS + 1 ? 0 : ~this.#writable[at]!;
      return ((byte ^ bytes[at]!) & fixed & 0xff) !== 0;
    });
  }

  /** Takes over what software can write. Nobody who watches is told. */
  restore(bytes: Uint8Array): void {
    for (let at = 0; at < PCI_CONFIG_SIZE; at++) {
      const mask = this.#writable[at]!;
      this.#bytes[at] = (this.#bytes[at]! & ~mask) | (bytes[at]! & mask);
    }
  }

  /** Function reset: all that software can write is 0. */
  clearWritable(): void {
    for (let i = 0; i < PCI_CONFIG_SIZE; i++) this.#bytes[i]! &= ~this.#writable[i]!;
  }

  /** Adds a capability of `length` bytes at the end of the list; returns its offset. */
  addCapability(id: number, length: number): number {
    const at = this.#end;
    if (at + length > PCI_CONFIG_SIZE) throw new RangeError('PCI capabilities do not fit');
    this.#end = (at + length + 3) & ~3;
    this.set(at, 1, id);
    this.set(this.#lastCapability === 0 ? PCI_CAPABILITY_LIST : this.#lastCapability + 1, 1, at);
    this.#lastCapability = at;
    this.set(PCI_STATUS, 2, this.get(PCI_STATUS, 2) | PCI_STATUS_CAP_LIST);
    return at;
  }

  /** Software finds the size by writing ones: address bits below it cannot be set. */
  addBar(bar: PciBar): void {
    this.bars.push(bar);
    const at = PCI_BASE_ADDRESS_0 + 4 * bar.index;
    const wideFlags = PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH;
    this.set(at, 4, bar.kind === 'io' ? PCI_BASE_ADDRESS_SPACE_IO : bar.wide ? wideFlags : 0);
    this.allowWrite(at, 4, ~(bar.size - 1));
    if (bar.wide) this.allowWrite(at + 4, 4, 0xffffffff);
  }

  /** Where BAR `index` lies, or null if there is none or its space is not decoded. */
  barAddress(index: number): number | null {
    const bar = this.bars.find((candidate) => candidate.index === index);
    if (!bar) return null;
    const decode = bar.kind === 'io' ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
    if (!(this.get(PCI_COMMAND, 2) & decode)) return null;
    const at = PCI_BASE_ADDRESS_0 + 4 * index;
    const low = (this.get(at, 4) & ~(bar.size - 1)) >>> 0;
    return bar.wide ? this.get(at + 4, 4) * 0x1_0000_0000 + low : low;
  }
}

function overlaps(watcher: Watcher, offset: number, width: number): boolean {
  return offset < watcher.offset + watcher.length && watcher.offset < offset + width;
}
