/** The parts of v86 that the adapter touches, as plain objects, for tests without a CPU. */

import type { V86Cpu, V86Instance, V86Port } from '#src/adapter/v86-machine';
import type { PciFunction } from '#src/guest/pci-config';

export const RAM_BYTES = 1 << 20;
const PAGE_BYTES = 65536;
/** Where v86's memory has guest address 0. */
export const RAM_OFFSET = 3 * PAGE_BYTES + 4096;
const FLAGS_OFFSET = 120;
const COUNTER_OFFSET = 664;
const EMPTY = 0xff;
const CONFIG_ADDRESS_ENABLE = 0x8000_0000;

export class FakeV86 implements V86Instance {
  readonly cpu: V86Cpu;
  readonly v86: { readonly cpu: unknown; idle: boolean };
  readonly memory: WebAssembly.Memory;
  /** Guest addresses that v86 was told to translate anew: from, to. */
  readonly dirtied: [from: number, to: number][] = [];
  /** Level of each function's interrupt line, as last told; in order. */
  readonly irqs: { id: number; level: boolean }[] = [];
  /** Stores that reached v86's own handlers, not ours. */
  readonly strayStores: number[] = [];
  readonly #address = new Uint8Array(4);

  constructor(ramOffset = RAM_OFFSET, shared = false) {
    const initial = 4 + RAM_BYTES / PAGE_BYTES;
    this.memory = new WebAssembly.Memory({ initial, maximum: 65535, shared });
    this.cpu = this.#makeCpu(ramOffset);
    this.v86 = { cpu: this.cpu, idle: true };
  }

  set interruptsOn(on: boolean) {
    new Int32Array(this.memory.buffer, FLAGS_OFFSET, 1)[0] = on ? 0x202 : 2;
  }

  /** Instructions executed, which tells v86 when a slice ends. */
  get counter(): number {
    return new Uint32Array(this.memory.buffer, COUNTER_OFFSET, 1)[0]!;
  }

  set counter(count: number) {
    new Uint32Array(this.memory.buffer, COUNTER_OFFSET, 1)[0] = count;
  }

  poll(): number {
    return this.cpu.run_hardware_timers(false, 0);
  }

  configRead(id: number, offset: number, width: 1 | 2 | 4): number {
    this.#select(id, offset);
    const number = 0xcfc + (offset & 3);
    const port = this.cpu.io.ports[number]!;
    if (width === 1) return port.read8(number);
    return width === 2 ? port.read16(number) : port.read32(number) >>> 0;
  }

  configWrite(id: number, offset: number, width: 1 | 2 | 4, value: number): void {
    const { pci } = this.cpu.devices;
    const address = (CONFIG_ADDRESS_ENABLE | (id << 8) | offset) >> 0;
    if (width === 1) pci.pci_write8(address, value);
    else if (width === 2) pci.pci_write16(address, value);
    else pci.pci_write32(address, value);
  }

  /** Guest's load and store of device memory, as v86's compiled code does them. */
  load(address: number, width: 1 | 2 | 4): number {
    const { memory_map_read8: read8, memory_map_read32: read32 } = this.cpu;
    const block = address >>> 17;
    if (width === 4) return read32[block]!(address | 0) >>> 0;
    const low = read8[block]!(address | 0);
    return width === 1 ? low : low | (read8[block]!((address + 1) | 0) << 8);
  }

  store(address: number, width: 1 | 2 | 4, value: number): void {
    const block = address >>> 17;
    if (width === 1) this.cpu.memory_map_write8[block]!(address | 0, value);
    else if (width === 2) this.cpu.mmap_write16(address | 0, value);
    else this.cpu.memory_map_write32[block]!(address | 0, value | 0);
  }

  #select(id: number, offset: number): void {
    new DataView(this.#address.buffer).setUint32(
      0,
      (CONFIG_ADDRESS_ENABLE | (id << 8) | (offset & 0xfc)) >>> 0,
      true,
    );
  }

  #makeCpu(ramOffset: number): V86Cpu {
    const stray = (address: number) => this.strayStores.push(address >>> 0);
    const blocks = 1 << 15;
    const spaces: (Int32Array | undefined)[] = [];
    const { memory } = this;
    const irq = (level: boolean) => (id: number) => this.irqs.push({ id, level });
    const cpu: V86Cpu = {
      devices: {
        pci: {
          pci_addr: this.#address,
          device_spaces: spaces,
          devices: [],
          register_device: ({ pci_id }) => {
            spaces[pci_id] = new Int32Array(64);
          },
          pci_write8: stray,
          pci_write16: stray,
          pci_write32: stray,
          raise_irq: irq(true),
          lower_irq: irq(false),
        },
      },
      io: { ports: Array.from({ length: 0x10000 }, emptyPort) },
      memory_map_read8: Array(blocks).fill(() => EMPTY),
      memory_map_read32: Array(blocks).fill(() => -1),
      memory_map_write8: Array(blocks).fill(stray),
      memory_map_write32: Array(blocks).fill(stray),
      mmap_write16: (address, value) => {
        const write8 = cpu.memory_map_write8[address >>> 17]!;
        write8(address, value & 0xff);
        write8((address + 1) | 0, value >> 8);
      },
      // Views are made anew, as v86 does: a growth detaches them.
      get instruction_counter() {
        return new Uint32Array(memory.buffer, COUNTER_OFFSET, 1);
      },
      get flags() {
        return new Int32Array(memory.buffer, FLAGS_OFFSET, 1);
      },
      get mem8() {
        return new Uint8Array(memory.buffer, ramOffset, RAM_BYTES);
      },
      memory_size: Uint32Array.of(RAM_BYTES),
      wasm_memory: memory,
      jit_dirty_cache: (from, to) => this.dirtied.push([from, to]),
      run_hardware_timers: () => 100,
    };
    return cpu;
  }
}

function emptyPort(): V86Port {
  return {
    read8: () => 0xff,
    read16: () => 0xffff,
    read32: () => -1,
    write8: () => {},
    write16: () => {},
    write32: () => {},
    device: undefined,
  };
}

/** The function in a slot as a driver reaches it: through v86's ports and device memory. */
export function functionIn(v86: FakeV86, slot: number): PciFunction {
  const id = slot << 3;
  const bar = (index: number) => v86.configRead(id, 0x10 + 4 * index, 4);
  const portOf = (index: number, offset: number) => {
    const number = (bar(index) & 0xfffc) + offset;
    return { number, port: v86.cpu.io.ports[number]! };
  };
  return {
    configRead: (offset, width) => v86.configRead(id, offset, width),
    configWrite: (offset, width, value) => v86.configWrite(id, offset, width, value),
    barRead(index, offset, width) {
      if ((bar(index) & 1) === 0) return v86.load(((bar(index) & ~0xf) >>> 0) + offset, width);
      const { number, port } = portOf(index, offset);
      if (width === 1) return port.read8(number);
      return width === 2 ? port.read16(number) : port.read32(number) >>> 0;
    },
    barWrite(index, offset, width, value) {
      if ((bar(index) & 1) === 0) {
        v86.store(((bar(index) & ~0xf) >>> 0) + offset, width, value);
        return;
      }
      const { port } = portOf(index, offset);
      if (width === 1) port.write8(value);
      else if (width === 2) port.write16(value);
      else port.write32(value);
    },
  };
}
