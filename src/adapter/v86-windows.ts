/**
 * Address windows of PCI functions on v86: ranges of I/O ports and of device memory, which come,
 * move and go as the guest programs base address registers.
 */

import type { V86Cpu, V86Port } from './v86-machine.ts';

export type Width = 1 | 2 | 4;

/** What answers in a window; `offset` counts from the window's start. */
export interface WindowHandler {
  read(offset: number, width: Width): number;
  write(offset: number, width: Width, value: number): void;
}

/** A mapped window. Unmapping gives the addresses back to whoever answered before. */
export interface MappedWindow {
  unmap(): void;
}

const PORTS = 0x10000;

/** Maps `size` ports from `base` on. Ports from 0x10000 up do not exist. */
export function mapPorts(
  cpu: V86Cpu,
  base: number,
  size: number,
  handler: WindowHandler,
): MappedWindow {
  const { ports } = cpu.io;
  const replaced = new Map<number, { ours: V86Port; before: V86Port }>();
  for (let port = base; port < Math.min(base + size, PORTS); port++) {
    const ours = portAt(port - base, handler);
    replaced.set(port, { ours, before: ports[port]! });
    ports[port] = ours;
  }
  return {
    unmap() {
      for (const [port, { ours, before }] of replaced) {
        if (ports[port] === ours) ports[port] = before;
      }
    },
  };
}

function portAt(offset: number, handler: WindowHandler): V86Port {
  return {
    read8: () => handler.read(offset, 1),
    read16: () => handler.read(offset, 2),
    read32: () => handler.read(offset, 4) | 0,
    write8: (value) => handler.write(offset, 1, value & 0xff),
    write16: (value) => handler.write(offset, 2, value & 0xffff),
    write32: (value) => handler.write(offset, 4, value >>> 0),
    device: undefined,
  };
}

interface MemoryWindow {
  readonly base: number;
  readonly end: number;
  readonly handler: WindowHandler;
}

/** The windows of one block of v86's, and the way back to what it was. */
interface Block {
  readonly windows: MemoryWindow[];
  restore(): void;
}

const BLOCK_SHIFT = 17; // v86 maps device memory in blocks of 128 KiB

/**
 * Device memory of one emulator. Several windows may lie in one of v86's blocks; what no window
 * answers goes to the block's former handlers. One per emulator, since it replaces `mmap_write16`:
 * v86 would split a 16-bit store into two of 8 bits, which a register need not take.
 */
export class MemoryWindows {
  readonly #cpu: V86Cpu;
  readonly #blocks = new Map<number, Block>();
  /** The window that was found last: a guest stays with a register for a while. */
  #last: MemoryWindow | undefined;
  #depth = 0;

  constructor(cpu: V86Cpu) {
    this.#cpu = cpu;
    const splitWrite16 = cpu.mmap_write16;
    cpu.mmap_write16 = (address, value) => {
      const window = this.#find(address);
      if (window) this.#write(window, address, 2, value & 0xffff);
      else splitWrite16.call(cpu, address, value);
    };
  }

  /** Is a handler being called right now? Then the CPU is in the middle of an instruction. */
  get busy(): boolean {
    return this.#depth > 0;
  }

  /** Maps `size` bytes from guest physical address `base` on, which lies above guest RAM. */
  map(base: number, size: number, handler: WindowHandler): MappedWindow {
    const window = { base, end: base + size, handler };
    const blocks = blocksOf(window);
    for (const index of blocks) this.#block(index).windows.unshift(window);
    this.#last = undefined; // the new one may lie over it
    return {
      unmap: () => {
        this.#last = undefined;
        for (const index of blocks) this.#remove(index, window);
      },
    };
  }

  #find(address: number): MemoryWindow | undefined {
    const at = address >>> 0;
    const last = this.#last;
    if (last && at >= last.base && at < last.end) return last;
    const windows = this.#blocks.get(at >>> BLOCK_SHIFT)?.windows;
    const found = windows?.find((window) => at >= window.base && at < window.end);
    if (found) this.#last = found;
    return found;
  }

  #block(index: number): Block {
    let block = this.#blocks.get(index);
    if (!block) {
      block = this.#takeOver(index);
      this.#blocks.set(index, block);
    }
    return block;
  }

  #remove(index: number, window: MemoryWindow): void {
    const block = this.#blocks.get(index);
    const at = block?.windows.indexOf(window) ?? -1;
    if (!block || at < 0) return;
    block.windows.splice(at, 1);
    if (block.windows.length > 0) return;
    block.restore();
    this.#blocks.delete(index);
  }

  #takeOver(index: number): Block {
    const cpu = this.#cpu;
    const read8 = cpu.memory_map_read8[index]!;
    const read32 = cpu.memory_map_read32[index]!;
    const write8 = cpu.memory_map_write8[index]!;
    const write32 = cpu.memory_map_write32[index]!;
    const read = (width: Width, otherwise: typeof read8) => (address: number) => {
      const window = this.#find(address);
      return window ? this.#read(window, address, width) : otherwise(address);
    };
    const write = (width: Width, otherwise: typeof write8) => (address: number, value: number) => {
      const window = this.#find(address);
      if (window) this.#write(window, address, width, width === 1 ? value & 0xff : value >>> 0);
      else otherwise(address, value);
    };
    cpu.memory_map_read8[index] = read(1, read8);
    cpu.memory_map_read32[index] = read(4, read32);
    cpu.memory_map_write8[index] = write(1, write8);
    cpu.memory_map_write32[index] = write(4, write32);
    return {
      windows: [],
      restore() {
        cpu.memory_map_read8[index] = read8;
        cpu.memory_map_read32[index] = read32;
        cpu.memory_map_write8[index] = write8;
        cpu.memory_map_write32[index] = write32;
      },
    };
  }

  #read(window: MemoryWindow, address: number, width: Width): number {
    this.#depth++;
    try {
      return window.handler.read((address >>> 0) - window.base, width) | 0;
    } finally {
      this.#depth--;
    }
  }

  #write(window: MemoryWindow, address: number, width: Width, value: number): void {
    this.#depth++;
    try {
      window.handler.write((address >>> 0) - window.base, width, value);
    } finally {
      this.#depth--;
    }
  }
}

function blocksOf(window: MemoryWindow): number[] {
  const first = Math.floor(window.base / 2 ** BLOCK_SHIFT);
  const last = Math.floor((window.end - 1) / 2 ** BLOCK_SHIFT);
  return Array.from({ length: last - first + 1 }, (_, n) => first + n);
}
