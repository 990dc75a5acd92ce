/**
 * Keeps a device's registers from being touched out of its own callbacks (BH-13): a bottom half
 * that does DMA may hit them. QEMU: `MemReentrancyGuard`.
 */
export class ReentrancyGuard {
  /** The device is inside a register access or a guarded callback of its own. */
  engaged = false;
  readonly #refused: ((what: string) => void) | null;

  /** `refused` is told of each access that came from inside. */
  constructor(refused: ((what: string) => void) | null = null) {
    this.#refused = refused;
  }

  /** Runs a callback of the device. One inside another is allowed, as in QEMU. */
  run(callback: () => void): void {
    const before = this.engaged;
    this.engaged = true;
    try {
      callback();
    } finally {
      this.engaged = before;
    }
  }

  /** Makes a register access, or refuses it: false if it comes from inside the device. */
  access(what: string, access: () => void): boolean {
    if (this.engaged) {
      this.#refused?.(what);
      return false;
    }
    this.run(access);
    return true;
  }
}
