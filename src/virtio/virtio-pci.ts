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
  PCI_COMMAND,
  PCI_COMMAND_INTX_DISABLE,
  PCI_COMMAND_MASTER,
  PCI_MSIX_FLAGS,
  PCI_MSIX_FLAGS_ENABLE,
  PCI_MSIX_FLAGS_MASKALL,
  PCI_MSIX_PBA,
  PCI_MSIX_TABLE,
  PCI_STATUS,
  PCI_STATUS_INTERRUPT,
  VIRTIO_MSI_NO_VECTOR,
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
import { PciPower } from './pci-power.ts';
import type { PciState } from './pci-state.ts';
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
  #flrAt = 0;
  readonly #power: PciPower;
  /** False: taken off the bus. */
  #present = true;

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
    this.#power = new PciPower(this.#config, (awake) => this.#setAwake(awake));
    this.#addFunctionReset();
    this.#watchHeader();
    this.#takeDevice();
  }

  // ---- What the bus calls ---------------------------------------------------------------------

  /** Reads configuration space: 256 bytes, all ones beyond, and after `remove`. */
  configRead(offset: number, width: Width): number {
    return this.#present ? this.#config.read(offset, width) : allOnes(width);
  }

  configWrite(offset: number, width: Width, value: number): void {
    if (this.#present) this.#config.write(offset, width, value);
  }

  /** BARs in the order of their numbers. */
  get bars(): readonly PciBar[] {
    return this.#config.bars;
  }

  /** Where BAR `index` is now, or null while it is not there or not decoded. */
  barAddress(index: number): number | null {
    return this.#answers ? this.#config.barAddress(index) : null;
  }

  /** BARs answer: not in D3hot, and not after `remove`. */
  get #answers(): boolean {
    return this.#present && this.#power.awake;
  }

  /** Reads a BAR; all ones where nothing is, in D3hot, and after `remove`. */
  barRead(bar: number, offset: number, width: Width): number {
    if (!this.#answers) return allOnes(width);
    if (bar === MODERN_BAR && this.#common) return this.#modernRead(offset, width);
    if (bar === LEGACY_BAR && this.#legacy) return this.#legacy.read(offset, width);
    if (bar === MSIX_BAR && this.#interrupts.msix) return this.#interrupts.msix.read(offset, width);
    return allOnes(width);
  }

  /** Writes a BAR; ignored where nothing is, in D3hot, and after `remove`. */
  barWrite(bar: number, offset: number, width: Width, value: number): void {
    if (!this.#answers) return;
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
      queueReset: (index) => interrupts.setQueueVector(index, VIRTIO_MSI_NO_VECTOR),
    };
    this.device.useLegacy(this.mode === 'legacy');
    this.#setCommand(); // bus mastering is off until the driver asks for it
  }

  // ---- Save and load --------------------------------------------------------------------------

  /** All that is the function's own, for `pci-state.ts`. */
  state(): PciState {
    const interrupts = this.#interrupts;
    const none = new Uint8Array(0);
    const [device, driver, queue] = this.#common?.selectors ?? [0, 0, 0];
    return {
      config: this.#config.bytes,
      isr: interrupts.isr,
      asserted: interrupts.asserted,
      configVector: interrupts.configVector,
      queueVectors: this.device.queues.map(({ vector }) => vector),
      selectors: [device, driver, queue, this.#legacy?.queueSelect ?? 0],
      ...(interrupts.msix?.contents ?? { table: none, pending: none }),
    };
  }

  /** Where a saved configuration space is another function's, -1 if nowhere. */
  configDiffers(config: Uint8Array): number {
    return this.#config.differs(config);
  }

  /** After `functionReset`, while the device has no transport. */
  restoreConfig({ config, table }: PciState): void {
    this.#config.restore(config);
    this.#interrupts.msix?.restoreTable(table);
    if (this.#interrupts.msix) this.#setMsix();
    this.#power.update();
    this.#setCommand();
  }

  /** After the device's registers: vectors, what is pending, and who had selected what. */
  restoreInterrupts(state: PciState): void {
    const interrupts = this.#interrupts;
    interrupts.configVector = state.configVector;
    state.queueVectors.forEach((vector, index) => {
      interrupts.setQueueVector(index, vector);
    });
    interrupts.msix?.restorePending(state.pending);
    interrupts.restore(state.isr, state.asserted);
    const [device, driver, queue, legacyQueue] = state.selectors;
    if (this.#common) this.#common.selectors = [device, driver, queue];
    if (this.#legacy) this.#legacy.queueSelect = legacyQueue;
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
    const { awake } = this.#power;
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

  /**
   * In D3hot nothing can be reached, and nothing new is taken from the rings; what was taken is
   * finished, its interrupt comes in D0, and all registers are as they were (PC-10).
   */
  #setAwake(awake: boolean): void {
    this.device.setAwake(awake);
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
    this.#interrupts.reset();
    this.#interrupts.msix?.reset();
    this.#power.update(); // the line may rise again: by now nothing asserts it
    this.#setCommand();
  }

  /**
   * Takes the function off the bus, whether or not its driver agreed: when this returns every
   * access reads all ones, the line is low, and nothing touches guest memory any more. `close` of
   * the device waits for what is in flight. Throws, and the function stays, from inside a submit
   * of the device's own driver.
   */
  remove(): void {
    this.device.reset();
    this.#present = false;
    this.#interrupts.allowLine(false);
    this.#interrupts.msix?.setGate(false);
    this.#barsChanged();
  }
}

function inside(structure: PciStructure, offset: number): boolean {
  return offset >= structure.offset && offset < structure.offset + structure.length;
}
