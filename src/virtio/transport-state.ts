/** What a transport does about its part of a device's saved state. */

import type { StateReader } from '../machine/state-reader.ts';
import type { StateWriter } from '../machine/state-writer.ts';

export interface TransportState {
  save(writer: StateWriter): void;
  /** Reads and checks; `legacy`: the interface that the driver was using. Throws a StateError. */
  load(reader: StateReader, legacy: boolean): RestoredTransport;
  /** Resets device and transport, as the bus does. */
  reset(): void;
}

export interface RestoredTransport {
  /** After the reset, while the device has no transport: what the device must be told before. */
  before(): void;
  /** After the device's registers, when it has its transport back: interrupts and selectors. */
  after(): void;
}

/** For a device whose registers are called by hand. */
export function noTransport(reset: () => void): TransportState {
  const nothing = { before: () => {}, after: () => {} };
  return { save: () => {}, load: () => nothing, reset };
}
