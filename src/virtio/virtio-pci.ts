/**
 * virtio over PCI: one function of a conventional PCI bus (VIRTIO 1.3, 4.1; QEMU:
 * hw/virtio/virtio-pci.c). It is given accesses to configuration space and BARs and three
 * functions for interrupts, and knows no emulator. All calls come from the main thread.
 *
 *   BAR 0   I/O      legacy registers                  (legacy, transitional)
 *   BAR 1   memory   MSI-X table and pending bits      (if `msi` is given)
 *   BAR 4   memory or I/O   common, ISR, device, notify (modern, transitional)
 */

import {
  PCI_AF_CAP,
  PCI_AF_CAP_FLR,
  PCI_AF_CAP_TP,
  PCI_AF_CTRL,
  PCI_AF_CTRL_FLR,
  PCI_AF_LENGTH,
  PCI_BASE_ADDRESS_0,
  PCI_CAP_ID_AF,
  PCI_CAP_ID_MSIX,
  PCI_CAP_ID_PM,
  PCI_COMMAND,
  PCI_COMMAND_INTX_DISABLE,
  PCI_COMMAND_MASTER,
  PCI_MSIX_FLAGS,
  PCI_MSIX_FLAGS_ENABLE,
  PCI_MSIX_FLAGS_MASKALL,
  PCI_MSIX_PBA,
  PCI_MSIX_TABLE,
  PCI_PM_CTRL,
  PCI_PM_CTRL_NO_SOFT_RESET,
  PCI_PM_CTRL_STATE_MASK,
  PCI_PM_D0,
  PCI_PM_D3HOT,
  PCI_PM_PMC,
  PCI_STATUS,
  PCI_STATUS_INTERRUPT,
} from '../spec.ts';
import { allOnes, type VirtioDevice, type Width } from './device.ts';
import { Msix, type SendMessage } from './msix.ts';
import { PciCommonConfig } from './pci-common-config.ts';
import { type PciBar, PciConfigSpace } from './pci-config.ts';
import { PciInterrupts } from './pci-interrupts.ts';
import {
  addVirtioCapabilities,
  LEGACY_BAR,
  MODERN_BAR,
  type ModernLayout,
  MSIX_BAR,
  modernLayout,
  type PciMode,
  type PciStructure,
  writeIdentity,
} from './pci-layout.ts';
import { installWindow } from './pci-window.ts';
import { VirtioPciLegacy } from './virtio-pci-legacy.ts';

export type { PciBar } from './pci-config.ts';
export type { PciMode } from './pci-layout.ts';

export interface VirtioPciOptions {
  /** Which drivers can use it. Default transitional. */
  mode?: PciMode;
  /** Drives the interrupt line (INTA). Called only when the level changes. */
  intx(level: boolean): void;
  /** Sends a message. Without it the function has no MSI-X. */
  msi?: SendMessage;
  /** MSI-X vectors; default one per queue and one for configuration. */
  vectors?: number;
  /** Kind of the modern BAR. Default memory. */
  modernBar?: 'memory' | 'io';
  /** A modern memory BAR is 64-bit and prefetchable. Default true. */
  bar64?: boolean;
  /** Called after a BAR may have moved, or came or went: ask `barAddress`. */
  barsChanged?(): void;
}

export class VirtioPci {
  readonly device: VirtioDevice;
  readonly mode: PciMode;
  readonly #config = new PciConfigSpace();
  readonly #interrupts: PciInterrupts;
  readonly #layout: ModernLayout;
  readonly #common: PciCommonConfig | null;
  readonly #legacy: VirtioPciLegacy | null;
  readonly #barsChanged: () => void;
  #msixAt = 0;
  #powerAt = 0;
  #flrAt = 0;
  #powerState = PCI_PM_D0;

  /** Takes the device: it has one transport. Throws RangeError for what cannot be built. */
  constructor(device: VirtioDevice, options: VirtioPciOptions) {
    const { mode = 'transitional', modernBar = 'memory', msi } = options;
    const vectors = options.vectors ?? device.queues.length + 1;
    const msix = msi && vectors > 0 ? new Msix(vectors, msi) : null;
    this.device = device;
    this.mode = mode;
    this.#barsChanged = () => options.barsChanged?.();
    this.#interrupts = new PciInterrupts(device.queues, msix, (level) => options.intx(level));
    this.#layout = modernLayout(modernBar, device.queues.length, device.configLength);
    this.#common = mode === 'legacy' ? null : new PciCommonConfig(device, this.#interrupts);
    this.#legacy =
      mode === 'modern'
        ? null
        : new VirtioPciLegacy(device, this.#interrupts, () => this.#grantBusMaster());
    writeIdentity(this.#config, mode, device.deviceId);
    this.#addBars(modernBar, options.bar64 ?? true);
    if (this.#common) {
      installWindow(this.#config, addVirtioCapabilities(this.#config, this.#layout), this);
    }
    if (msix) this.#addMsix(msix);
    this.#addPowerManagement();
    this.#addFunctionReset();
    this.#watchHeader();
    this.#takeDevice();
  }

  // ---- What the bus calls ---------------------------------------------------------------------

  /** Reads configuration space: 256 bytes, all ones beyond. */
  configRead(offset: number, width: Width): number {
    return this.#config.read(offset, width);
  }

  configWrite(offset: number, width: Width, value: number): void {
    this.#config.write(offset, width, value);
  }

  /** BARs in the order of their numbers. */
  get bars(): readonly PciBar[] {
    return this.#config.bars;
  }

  /** Where BAR `index` is now, or null while it is not there or not decoded. */
  barAddress(index: number): number | null {
    return this.#powerState === PCI_PM_D0 ? this.#config.barAddress(index) : null;
  }

  /** Reads a BAR; all ones where nothing is, and in D3hot. */
  barRead(bar: number, offset: number, width: Width): number {
    if (this.#powerState !== PCI_PM_D0) return allOnes(width);
    if (bar === MODERN_BAR && this.#common) return this.#modernRead(offset, width);
    if (bar === LEGACY_BAR && this.#legacy) return this.#legacy.read(offset, width);
    if (bar === MSIX_BAR && this.#interrupts.msix) return this.#interrupts.msix.read(offset, width);
    return allOnes(width);
  }

  /** Writes a BAR; ignored where nothing is, and in D3hot. */
  barWrite(bar: number, offset: number, width: Width, value: number): void {
    if (this.#powerState !== PCI_PM_D0) return;
    if (bar === MODERN_BAR && this.#common) this.#modernWrite(offset, width, value);
    else if (bar === LEGACY_BAR) this.#legacy?.write(offset, width, value);
    else if (bar === MSIX_BAR) this.#interrupts.msix?.write(offset, width, value);
  }

  // ---- The modern BAR -------------------------------------------------------------------------

  #modernRead(offset: number, width: Width): number {
    const { common, isr, device, notify } = this.#layout;
    if (inside(isr, offset)) return offset === isr.offset ? this.#interrupts.readIsr() : 0;
    if (inside(common, offset)) return this.#common!.read(offset - common.offset, width);
    if (inside(device, offset)) {
      this.device.useLegacy(false);
      return this.device.readConfig(offset - device.offset, width);
    }
    return inside(notify, offset) ? 0 : allOnes(width);
  }

  #modernWrite(offset: number, width: Width, value: number): void {
    const { common, device, notify, notifyMultiplier } = this.#layout;
    if (inside(notify, offset)) {
      // Own doorbells: any width, any value. A shared one: the value names the queue (PC-9).
      if (notifyMultiplier !== 0) {
        this.device.kick(Math.floor((offset - notify.offset) / notifyMultiplier));
      } else if (offset === notify.offset) {
        this.device.kick(value & (width === 1 ? 0xff : 0xffff));
      }
    } else if (inside(common, offset)) {
      this.#common!.write(offset - common.offset, width, value);
    } else if (inside(device, offset)) {
      this.device.useLegacy(false);
      this.device.writeConfig(offset - device.offset, width, value);
    }
  }

  // ---- Construction ---------------------------------------------------------------------------

  #addBars(kind: 'io' | 'memory', bar64: boolean): void {
    if (this.#legacy) {
      const size = this.#legacy.barSize;
      this.#config.addBar({ index: LEGACY_BAR, size, kind: 'io', wide: false });
    }
    const msix = this.#interrupts.msix;
    if (msix) {
      this.#config.addBar({ index: MSIX_BAR, size: msix.barSize, kind: 'memory', wide: false });
    }
    if (this.#common) {
      const wide = kind === 'memory' && bar64;
      this.#config.addBar({ index: MODERN_BAR, size: this.#layout.size, kind, wide });
    }
  }

  #addMsix(msix: Msix): void {
    const config = this.#config;
    const at = config.addCapability(PCI_CAP_ID_MSIX, 12);
    this.#msixAt = at;
    config.set(at + PCI_MSIX_FLAGS, 2, msix.vectors - 1);
    config.allowWrite(at + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
    config.set(at + PCI_MSIX_TABLE, 4, MSIX_BAR);
    config.set(at + PCI_MSIX_PBA, 4, msix.pendingAt | MSIX_BAR);
    config.watch({ offset: at + PCI_MSIX_FLAGS, length: 2, afterWrite: () => this.#setMsix() });
  }

  /** D0 and D3hot; D3hot keeps the state (PC-10). */
  #addPowerManagement(): void {
    const config = this.#config;
    const at = config.addCapability(PCI_CAP_ID_PM, 8);
    this.#powerAt = at + PCI_PM_CTRL;
    config.set(at + PCI_PM_PMC, 2, 3);
    config.set(this.#powerAt, 2, PCI_PM_CTRL_NO_SOFT_RESET);
    config.allowWrite(this.#powerAt, 1, PCI_PM_CTRL_STATE_MASK);
    config.watch({ offset: this.#powerAt, length: 1, afterWrite: () => this.#setPower() });
  }

  /** Function level reset by the Advanced Features capability: no PCI Express here (PC-10). */
  #addFunctionReset(): void {
    const config = this.#config;
    const at = config.addCapability(PCI_CAP_ID_AF, 6);
    this.#flrAt = at + PCI_AF_CTRL;
    config.set(at + PCI_AF_LENGTH, 1, 6);
    config.set(at + PCI_AF_CAP, 1, PCI_AF_CAP_TP | PCI_AF_CAP_FLR);
    config.allowWrite(this.#flrAt, 1, PCI_AF_CTRL_FLR);
    config.watch({
      offset: this.#flrAt,
      length: 1,
      afterWrite: () => {
        if (config.get(this.#flrAt, 1) & PCI_AF_CTRL_FLR) this.functionReset();
      },
    });
  }

  #watchHeader(): void {
    const config = this.#config;
    config.watch({ offset: PCI_COMMAND, length: 2, afterWrite: () => this.#setCommand() });
    config.watch({
      offset: PCI_STATUS,
      length: 2,
      beforeRead: () => {
        const others = config.get(PCI_STATUS, 2) & ~PCI_STATUS_INTERRUPT;
        const interrupt = this.#interrupts.asserted ? PCI_STATUS_INTERRUPT : 0;
        config.set(PCI_STATUS, 2, others | interrupt);
      },
    });
    config.watch({ offset: PCI_BASE_ADDRESS_0, length: 24, afterWrite: () => this.#barsChanged() });
  }

  #takeDevice(): void {
    const interrupts = this.#interrupts;
    this.device.transport = {
      interruptQueue: (index) => interrupts.interruptQueue(index),
      interruptConfig: () => interrupts.interruptConfig(),
      deviceReset: () => {
        interrupts.reset();
        this.#common?.reset();
        this.#legacy?.reset();
      },
    };
    this.device.useLegacy(this.mode === 'legacy');
    this.#setCommand(); // bus mastering is off until the driver asks for it
  }

  // ---- What configuration writes do -----------------------------------------------------------

  #setCommand(): void {
    this.device.setBusMaster((this.#config.get(PCI_COMMAND, 2) & PCI_COMMAND_MASTER) !== 0);
    this.#setGates();
    this.#barsChanged();
  }

  /** Interrupts leave only if the command register and the power state allow them. */
  #setGates(): void {
    const command = this.#config.get(PCI_COMMAND, 2);
    const awake = this.#powerState === PCI_PM_D0;
    this.#interrupts.allowLine(awake && !(command & PCI_COMMAND_INTX_DISABLE));
    this.#interrupts.msix?.setGate(awake && (command & PCI_COMMAND_MASTER) !== 0);
  }

  #grantBusMaster(): void {
    const command = this.#config.get(PCI_COMMAND, 2);
    if (command & PCI_COMMAND_MASTER) return;
    this.#config.set(PCI_COMMAND, 2, command | PCI_COMMAND_MASTER);
    this.#setCommand();
  }

  #setMsix(): void {
    const flags = this.#config.get(this.#msixAt + PCI_MSIX_FLAGS, 2);
    const enabled = (flags & PCI_MSIX_FLAGS_ENABLE) !== 0;
    this.#interrupts.controlMsix(enabled, (flags & PCI_MSIX_FLAGS_MASKALL) !== 0);
  }

  /** A write of D1 or D2, which are not there, changes nothing. */
  #setPower(): void {
    const control = this.#config.get(this.#powerAt, 1);
    const state = control & PCI_PM_CTRL_STATE_MASK;
    if (state !== PCI_PM_D0 && state !== PCI_PM_D3HOT) {
      this.#config.set(this.#powerAt, 1, (control & ~PCI_PM_CTRL_STATE_MASK) | this.#powerState);
      return;
    }
    this.#powerState = state;
    this.#setGates();
    this.#barsChanged();
  }

  /**
   * Resets the function as the bus does, device and configuration space: FLR, or the machine's
   * reset. BARs lose their addresses, bus mastering is off, MSI-X is off and all masked.
   */
  functionReset(): void {
    this.device.reset();
    this.#config.clearWritable();
    this.#powerState = PCI_PM_D0;
    this.#interrupts.reset();
    this.#interrupts.msix?.reset();
    this.#setCommand();
  }
}

function inside(structure: PciStructure, offset: number): boolean {
  return offset >= structure.offset && offset < structure.offset + structure.length;
}
