/** What a device asks of its transport. The interrupt status register and vectors live there. */
export interface VirtioTransport {
  /** Used buffers are there in queue `index`, and the driver wants to know. */
  interruptQueue(index: number): void;
  /** The configuration space or the status has changed. */
  interruptConfig(): void;
  /** The device was reset: forget interrupt status, vectors and selectors (VC-3). */
  deviceReset(): void;
  /** Queue `index` was reset alone: forget its vector, if it can have one (VC-7). */
  queueReset?(index: number): void;
}
