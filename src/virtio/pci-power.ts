/**
 * The power management capability (PCI Power Management 1.2, 3.2): D0, and D3hot, which keeps the
 * function's state (PC-10).
 */

import {
  PCI_CAP_ID_PM,
  PCI_PM_CTRL,
  PCI_PM_CTRL_NO_SOFT_RESET,
  PCI_PM_CTRL_STATE_MASK,
  PCI_PM_D0,
  PCI_PM_D3HOT,
  PCI_PM_PMC,
} from '../spec.ts';
import type { PciConfigSpace } from './pci-config.ts';

const VERSION_1_2 = 3;

export class PciPower {
  readonly #config: PciConfigSpace;
  readonly #at: number;
  readonly #changed: (awake: boolean) => void;
  #state = PCI_PM_D0;

  /** Adds the capability. `changed` is told after each write of the state, whatever it was. */
  constructor(config: PciConfigSpace, changed: (awake: boolean) => void) {
    const at = config.addCapability(PCI_CAP_ID_PM, 8);
    this.#config = config;
    this.#at = at + PCI_PM_CTRL;
    this.#changed = changed;
    config.set(at + PCI_PM_PMC, 2, VERSION_1_2);
    config.set(this.#at, 2, PCI_PM_CTRL_NO_SOFT_RESET);
    config.allowWrite(this.#at, 1, PCI_PM_CTRL_STATE_MASK);
    config.watch({ offset: this.#at, length: 1, afterWrite: () => this.update() });
  }

  /** In D0. */
  get awake(): boolean {
    return this.#state === PCI_PM_D0;
  }

  /**
   * The register was written, restored or cleared by a function reset. D1 and D2, which are not
   * there, change nothing.
   */
  update(): void {
    const control = this.#config.get(this.#at, 1);
    const state = control & PCI_PM_CTRL_STATE_MASK;
    if (state !== PCI_PM_D0 && state !== PCI_PM_D3HOT) {
      this.#config.set(this.#at, 1, (control & ~PCI_PM_CTRL_STATE_MASK) | this.#state);
      return;
    }
    this.#state = state;
    this.#changed(this.awake);
  }
}
