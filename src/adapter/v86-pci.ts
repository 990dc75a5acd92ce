/**
 * A PCI function on v86's bus 0. v86 keeps configuration spaces as plain bytes: nothing sees a
 * read or a write, every bit is writable and memory BARs stay where they are. Here the function
 * answers for itself, and its BARs follow the base addresses and the enable bits of the command
 * register. Nothing here knows virtio.
 */

import { V86Hotplug } from './v86-hotplug.ts';
import { cpuOf, type V86Cpu, type V86Instance, V86Word } from './v86-machine.ts';
import { V86PollPoint } from './v86-poll.ts';
import { type MappedWindow, MemoryWindows, mapPorts, type Width } from './v86-windows.ts';

/** The function as v86's bus sees it. Offsets and sizes in bytes, values unsigned. */
export interface PciFunction {
  configRead(offset: number, width: Width): number;
  configWrite(offset: number, width: Width, value: number): void;
  /** The base address registers in use; index 0 to 5, size a power of two. */
  readonly bars: readonly {
    readonly index: number;
    readonly kind: 'io' | 'memory';
    readonly size: number;
  }[];
  barRead(bar: number, offset: number, width: Width): number;
  barWrite(bar: number, offset: number, width: Width, value: number): void;
}

/** A function in its slot. */
export interface PciSlot {
  /** Device number on bus 0. */
  readonly slot: number;
  /**
   * Drives INTx. From inside a memory BAR's callback the change waits for the next poll point if
   * the guest could take an interrupt at once: v86's compiled code holds the guest's registers in
   * locals there, and would lose what the interrupt does to them. With interrupts off nothing is
   * delivered, so a handler that reads the ISR lowers the line before it returns.
   */
  setInterrupt(level: boolean): void;
  /** After v86 or the function was put to another state: BARs and line are told anew. */
  refresh(): void;
  /**
   * Asks the guest to let go of the function; when it has, `ejected` is called. Again after an
   * answer that did not come. False if nobody can be asked: v86 without `acpi: true`.
   */
  requestEject(): boolean;
  /** Takes the function off the bus, whether or not the guest is using it. */
  detach(): void;
}

/** Device numbers that v86 leaves free. */
const FIRST_SLOT = 8;
const LAST_SLOT = 13;

const COMMAND = 0x04;
const COMMAND_IO = 1;
const COMMAND_MEMORY = 2;
const BAR0 = 0x10;
const BAR_64BIT = 0x04;
const HEADER_BYTES = 0x40;
const CONFIG_DATA_PORT = 0xcfc;
const EFLAGS_IF = 0x200;

/**
 * Puts `device` into `slot`, by default the first free one. BIOS and kernel find it if this is
 * done in v86's `emulator-ready` listener. Later a guest with ACPI finds it by itself, if a
 * function or `enableHotplug` was there when its BIOS ran; others have to rescan their bus.
 */
export function attachPciFunction(
  emulator: V86Instance,
  device: PciFunction,
  options: PciSlotOptions = {},
): PciSlot {
  return V86PciBus.of(cpuOf(emulator)).attach(device, options);
}

/**
 * Lets the guest's kernel plug and unplug functions while it runs, by ACPI: for a v86 with
 * `acpi: true` to which nothing is attached before its BIOS runs. False without ACPI.
 */
export function enableHotplug(emulator: V86Instance): boolean {
  return V86PciBus.of(cpuOf(emulator)).hotplug !== null;
}

export interface PciSlotOptions {
  readonly slot?: number | undefined;
  readonly name?: string;
  /** The guest has let go of the function and wants it off the bus, asked to or by itself. */
  readonly ejected?: () => void;
}

/** What is shared by our functions on one emulator: the hooks, each installed once. */
class V86PciBus {
  static readonly #buses = new WeakMap<V86Cpu, V86PciBus>();

  readonly cpu: V86Cpu;
  readonly memory: MemoryWindows;
  readonly pollPoint: V86PollPoint;
  readonly flags: V86Word;
  /** Null without ACPI. */
  readonly hotplug: V86Hotplug | null;
  /** By v86's id, `slot << 3`. */
  readonly #functions = new Map<number, AttachedFunction>();

  static of(cpu: V86Cpu): V86PciBus {
    let bus = V86PciBus.#buses.get(cpu);
    if (!bus) {
      bus = new V86PciBus(cpu);
      V86PciBus.#buses.set(cpu, bus);
    }
    return bus;
  }

  private constructor(cpu: V86Cpu) {
    this.cpu = cpu;
    this.memory = new MemoryWindows(cpu);
    this.pollPoint = V86PollPoint.of(cpu);
    this.flags = new V86Word(cpu, cpu.flags);
    this.hotplug = V86Hotplug.install(cpu, {
      pluggable: (slot) => this.#functions.has(slot << 3) || this.#isFree(slot),
      ejected: (slot) => this.#functions.get(slot << 3)?.ejected(),
    });
    this.#hookReads();
    this.#hookWrites();
  }

  attach(device: PciFunction, options: PciSlotOptions): AttachedFunction {
    const slot = this.#freeSlot(options.slot);
    const attached = new AttachedFunction(this, device, slot, options);
    this.#functions.set(slot << 3, attached);
    this.hotplug?.plugged(slot);
    return attached;
  }

  remove(slot: number): void {
    this.#functions.delete(slot << 3);
    this.hotplug?.unplugged(slot);
  }

  #isFree(slot: number): boolean {
    return !this.cpu.devices.pci.device_spaces[slot << 3];
  }

  #freeSlot(wanted: number | undefined): number {
    if (wanted !== undefined) {
      if (!Number.isInteger(wanted) || wanted < 0 || wanted > 31 || !this.#isFree(wanted)) {
        throw new Error(`PCI slot ${wanted} is not free`);
      }
      return wanted;
    }
    for (let slot = FIRST_SLOT; slot <= LAST_SLOT; slot++) {
      if (this.#isFree(slot)) return slot;
    }
    throw new Error(`no free PCI slot from ${FIRST_SLOT} to ${LAST_SLOT}`);
  }

  /** Reads of the data port see the function itself, at the time and with the width of the read. */
  #hookReads(): void {
    const { pci_addr: address } = this.cpu.devices.pci;
    const target = () =>
      (address[3]! & 0x80) !== 0
        ? this.#functions.get((address[2]! << 8) | address[1]!)
        : undefined;
    for (let lane = 0; lane < 4; lane++) {
      const port = this.cpu.io.ports[CONFIG_DATA_PORT + lane]!;
      const read = (width: Width, otherwise: (port: number) => number) =>
        function (this: unknown, number: number): number {
          const found = target();
          if (!found) return otherwise.call(this, number);
          return found.device.configRead((address[0]! & 0xfc) | lane, width) | 0;
        };
      port.read8 = read(1, port.read8);
      if (lane % 2 === 0) port.read16 = read(2, port.read16);
      if (lane === 0) port.read32 = read(4, port.read32);
    }
  }

  #hookWrites(): void {
    const { pci } = this.cpu.devices;
    const write = (width: Width, otherwise: (address: number, value: number) => void) => {
      const mask = 2 ** (8 * width) - 1;
      return (address: number, value: number): void => {
        const found = this.#functions.get((address >> 8) & 0xffff);
        if (found) found.configWrite(address & 0xff, width, (value & mask) >>> 0);
        else otherwise.call(pci, address, value);
      };
    };
    pci.pci_write8 = write(1, pci.pci_write8);
    pci.pci_write16 = write(2, pci.pci_write16);
    pci.pci_write32 = write(4, pci.pci_write32);
  }
}

interface BarMapping {
  readonly base: number;
  readonly window: MappedWindow;
}

class AttachedFunction implements PciSlot {
  readonly device: PciFunction;
  readonly slot: number;
  readonly #bus: V86PciBus;
  readonly #mappings = new Map<number, BarMapping>();
  /** The level that the function wants, and the one that v86 was told. */
  #wanted = false;
  #level = false;
  readonly #removePoll: () => void;
  readonly #ejected: (() => void) | undefined;

  constructor(bus: V86PciBus, device: PciFunction, slot: number, options: PciSlotOptions) {
    this.#bus = bus;
    this.device = device;
    this.slot = slot;
    this.#ejected = options.ejected;
    bus.cpu.devices.pci.register_device({
      pci_id: slot << 3,
      pci_space: new Uint8Array(256),
      pci_bars: [],
      name: options.name ?? 'vblk',
    });
    this.#update();
    this.#removePoll = bus.pollPoint.add(() => {
      this.#applyLevel();
      return Number.POSITIVE_INFINITY;
    });
  }

  refresh(): void {
    this.#update();
    this.#level = !this.#wanted; // as v86's interrupt controller may think
    this.#applyLevel();
  }

  configWrite(offset: number, width: Width, value: number): void {
    this.device.configWrite(offset, width, value);
    if (offset < HEADER_BYTES) this.#update();
  }

  setInterrupt(level: boolean): void {
    this.#wanted = level;
    const { flags, memory, pollPoint } = this.#bus;
    if (memory.busy && (flags.value & EFLAGS_IF) !== 0) pollPoint.hasten();
    else this.#applyLevel();
  }

  requestEject(): boolean {
    this.#bus.hotplug?.requestEject(this.slot);
    return this.#bus.hotplug !== null;
  }

  ejected(): void {
    this.#ejected?.();
  }

  detach(): void {
    this.setInterrupt(false);
    this.#applyLevel();
    this.#removePoll();
    for (const { window } of this.#mappings.values()) window.unmap();
    this.#mappings.clear();
    const { pci } = this.#bus.cpu.devices;
    pci.device_spaces[this.slot << 3] = undefined;
    pci.devices[this.slot << 3] = undefined;
    this.#bus.remove(this.slot);
  }

  #applyLevel(): void {
    if (this.#wanted === this.#level) return;
    this.#level = this.#wanted;
    const { pci } = this.#bus.cpu.devices;
    if (this.#level) pci.raise_irq(this.slot << 3);
    else pci.lower_irq(this.slot << 3);
  }

  /** After a write to the header: v86 gets its copy (it reads the interrupt pin there). */
  #update(): void {
    const space = this.#bus.cpu.devices.pci.device_spaces[this.slot << 3]!;
    for (let at = 0; at < HEADER_BYTES; at += 4) space[at >> 2] = this.device.configRead(at, 4);
    for (const bar of this.device.bars) {
      const base = this.#barBase(bar.index, bar.kind);
      const mapping = this.#mappings.get(bar.index);
      if (mapping?.base === base) continue;
      mapping?.window.unmap();
      this.#mappings.delete(bar.index);
      if (base !== undefined) {
        this.#mappings.set(bar.index, { base, window: this.#map(bar.index, bar.kind, base) });
      }
    }
  }

  /** Where the BAR answers: nowhere while disabled, unassigned, or in the way of guest RAM. */
  #barBase(index: number, kind: 'io' | 'memory'): number | undefined {
    const command = this.device.configRead(COMMAND, 2);
    if ((command & (kind === 'io' ? COMMAND_IO : COMMAND_MEMORY)) === 0) return undefined;
    const register = this.device.configRead(BAR0 + 4 * index, 4);
    if (kind === 'io') return register & 0xfffc || undefined;
    const base = (register & ~0xf) >>> 0;
    const high = register & BAR_64BIT ? this.device.configRead(BAR0 + 4 * index + 4, 4) : 0;
    return high === 0 && base >= this.#bus.cpu.memory_size[0]! ? base : undefined;
  }

  #map(index: number, kind: 'io' | 'memory', base: number): MappedWindow {
    const { device } = this;
    const { size } = device.bars.find((bar) => bar.index === index)!;
    const handler = {
      read: (offset: number, width: Width) => device.barRead(index, offset, width),
      write: (offset: number, width: Width, value: number) =>
        device.barWrite(index, offset, width, value),
    };
    const { cpu, memory } = this.#bus;
    return kind === 'io' ? mapPorts(cpu, base, size, handler) : memory.map(base, size, handler);
  }
}
