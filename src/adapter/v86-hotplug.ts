/**
 * Hot plug of PCI slots on v86 with `acpi: true`: the controller that SeaBIOS' ACPI tables drive
 * (QEMU: docs/specs/acpi_pci_hotplug, the part without bridges). An event sets bit 1 of the
 * general-purpose events; the guest's kernel then runs the tables' method `_L01`, which reads what
 * has happened to each slot and passes it on to the kernel's PCI code.
 *
 *   0xAE00  slots to look at (something came), a bit each
 *   0xAE04  slots that the guest shall let go of
 *   0xAE08  written: slots that the guest ejects
 *   0xAE0C  slots that can be plugged; read by the BIOS when it builds the tables
 *
 * Without it these ports read all ones, and a Linux guest lets go of all that is on the bus.
 */

import type { V86Acpi, V86Cpu } from './v86-machine.ts';
import { mapPorts, type Width } from './v86-windows.ts';

const PORTS = 0xae00;
const SLOTS_UP = 0x0;
const SLOTS_DOWN = 0x4;
const EJECT = 0x8;
const PLUGGABLE = 0xc;
const PORTS_BYTES = 0x10;

const GPE_STATUS_PORT = 0xafe0;
const GPE_HOTPLUG = 1 << 1;
const SCI_IRQ = 9;
const SLOTS = 32;

export interface HotplugSlots {
  /** May something come and go at `slot`? */
  pluggable(slot: number): boolean;
  /** The guest has let go of what is at `slot`. From inside its write to a port. */
  ejected(slot: number): void;
}

export class V86Hotplug {
  readonly #acpi: V86Acpi;
  readonly #slots: HotplugSlots;
  /** Events that the guest has not been shown. */
  #up = 0;
  #down = 0;
  /** Those that it is reading: stay as they are until it clears the event. */
  #shown: { readonly up: number; readonly down: number } | null = null;

  /** Once per emulator, before its BIOS runs. Null if it has no ACPI. */
  static install(cpu: V86Cpu, slots: HotplugSlots): V86Hotplug | null {
    const { acpi } = cpu.devices;
    const raise = cpu.device_raise_irq;
    return acpi && raise ? new V86Hotplug(cpu, acpi, slots, () => raise.call(cpu, SCI_IRQ)) : null;
  }

  private constructor(cpu: V86Cpu, acpi: V86Acpi, slots: HotplugSlots, raise: () => void) {
    this.#acpi = acpi;
    this.#slots = slots;
    mapPorts(cpu, PORTS, PORTS_BYTES, {
      read: (offset, width) => this.#read(offset, width),
      write: (offset, _width, value) => {
        if (offset === EJECT) this.#eject(value);
      },
    });
    // Status bits are cleared by writing ones; v86 would set them.
    cpu.io.ports[GPE_STATUS_PORT]!.write8 = (value) => this.#clear(value);
    const timer = acpi.timer;
    acpi.timer = (now) => {
      const sleep = timer.call(acpi, now);
      // v86 has just lowered the line: it knows of no events but its timer's.
      if (acpi.gpe[0]! & acpi.gpe[2]! & GPE_HOTPLUG) raise();
      return sleep;
    };
  }

  /** Something came to `slot`: the guest shall look. */
  plugged(slot: number): void {
    this.#up |= 1 << slot;
    this.#down &= ~(1 << slot);
    this.#signal();
  }

  /**
   * What was in `slot` is gone. A guest that was not asked is not told either: Linux would reset
   * the missing device first, and wait for ever for a status of 0.
   */
  unplugged(slot: number): void {
    this.#up &= ~(1 << slot);
    this.#down &= ~(1 << slot);
  }

  /** The guest shall let go of what is at `slot`. */
  requestEject(slot: number): void {
    this.#down |= 1 << slot;
    this.#signal();
  }

  #signal(): void {
    this.#acpi.gpe[0]! |= GPE_HOTPLUG;
  }

  /** The tables read both words once per slot, for one event. */
  #read(offset: number, width: Width): number {
    if (width !== 4) return 0;
    if (offset === PLUGGABLE) return this.#bits((slot) => this.#slots.pluggable(slot));
    if (offset !== SLOTS_UP && offset !== SLOTS_DOWN) return 0;
    this.#shown ??= { up: this.#up, down: this.#down };
    return (offset === SLOTS_UP ? this.#shown.up : this.#shown.down) >>> 0;
  }

  #bits(isSet: (slot: number) => boolean): number {
    let bits = 0;
    for (let slot = 0; slot < SLOTS; slot++) if (isSet(slot)) bits |= 1 << slot;
    return bits >>> 0;
  }

  /** The guest has seen what it was shown; what came meanwhile is an event of its own. */
  #clear(status: number): void {
    this.#acpi.gpe[0]! &= ~status;
    if (!(status & GPE_HOTPLUG) || !this.#shown) return;
    this.#up &= ~this.#shown.up;
    this.#down &= ~this.#shown.down;
    this.#shown = null;
    if (this.#up !== 0 || this.#down !== 0) this.#signal();
  }

  #eject(slots: number): void {
    for (let slot = 0; slot < SLOTS; slot++) if (slots & (1 << slot)) this.#slots.ejected(slot);
  }
}
