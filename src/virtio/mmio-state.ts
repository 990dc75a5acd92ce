/**
 * The registers of virtio-mmio in a saved state (VM-5): selectors, what a driver has latched, and
 * the interrupt status. QEMU: `virtio_mmio_save_extra_state`.
 */

import type { StateReader } from '../machine/state-reader.ts';
import type { TransportState } from './transport-state.ts';
import type { VirtioMmio } from './virtio-mmio.ts';

/** Interrupt status: used buffers and configuration. */
const INTERRUPTS_MOST = 3;
const PAGE_SHIFT_MOST = 31;

/** What `VirtioMmio` gives and takes. */
export interface MmioState {
  readonly interruptStatus: number;
  /** Device features, driver features, queue. */
  readonly selectors: readonly [number, number, number];
  /** Written by a modern driver, and not yet agreed upon. */
  readonly driverFeatures: readonly [number, number];
  /** Legacy: log2 of the page size. */
  readonly pageShift: number;
  /** Legacy: alignment of each queue's used ring. */
  readonly aligns: readonly number[];
}

export function mmioState(mmio: VirtioMmio): TransportState {
  return {
    save(writer) {
      const { interruptStatus, selectors, driverFeatures, pageShift, aligns } = mmio.state();
      writer.u8(mmio.version).u8(interruptStatus);
      for (const word of [...selectors, ...driverFeatures]) writer.u32(word);
      writer.u8(pageShift);
      for (const align of aligns) writer.u32(align);
    },
    load(reader, legacy) {
      const state = read(reader, mmio, legacy);
      return { before: () => {}, after: () => mmio.restore(state) };
    },
    reset: () => mmio.device?.reset(),
  };
}

function read(reader: StateReader, mmio: VirtioMmio, legacy: boolean): MmioState {
  reader.expect('version of virtio-mmio', reader.u8('version of virtio-mmio'), mmio.version);
  if (legacy !== (mmio.version === 1)) {
    reader.fail('EINVAL', 'legacy', `version ${mmio.version} has no such interface`);
  }
  const interruptStatus = reader.upTo('interrupt status', 1, INTERRUPTS_MOST);
  const words = Array.from({ length: 5 }, (_, i) => reader.u32(`latched register ${i}`));
  const [deviceSelect, driverSelect, queueSelect, low, high] = words as [
    number,
    number,
    number,
    number,
    number,
  ];
  const pageShift = reader.upTo('guest page size', 1, PAGE_SHIFT_MOST);
  const aligns = mmio.state().aligns.map((_, index) => readAlign(reader, index));
  return {
    interruptStatus,
    selectors: [deviceSelect, driverSelect, queueSelect],
    driverFeatures: [low, high],
    pageShift,
    aligns,
  };
}

function readAlign(reader: StateReader, index: number): number {
  const align = reader.u32(`queue ${index}, alignment`);
  if (align !== 0 && (align & (align - 1)) === 0) return align;
  return reader.fail('EINVAL', `queue ${index}, alignment`, `${align} is no power of two`);
}
