/**
 * A virtio-pci function in a saved state: configuration space, interrupts, MSI-X, and the selectors
 * of both interfaces (VM-5). QEMU: `virtio_pci_save_config`, `virtio_pci_save_extra_state`.
 */

import type { StateReader } from '../machine/state-reader.ts';
import { VIRTIO_MSI_NO_VECTOR } from '../spec.ts';
import { PCI_CONFIG_SIZE } from './pci-config.ts';
import type { TransportState } from './transport-state.ts';
import type { VirtioPci } from './virtio-pci.ts';

/** Interrupt status: queue and configuration. */
const ISR_MOST = 3;

/** What `VirtioPci` gives and takes. */
export interface PciState {
  /** All 256 bytes. */
  readonly config: Uint8Array;
  readonly isr: number;
  /** The device wants its line high. */
  readonly asserted: boolean;
  readonly configVector: number;
  readonly queueVectors: readonly number[];
  /** Device features, driver features, queue; and the legacy interface's queue. */
  readonly selectors: readonly [number, number, number, number];
  /** MSI-X: the table, and a bit per vector; empty without it. */
  readonly table: Uint8Array;
  readonly pending: Uint8Array;
}

export function pciState(pci: VirtioPci): TransportState {
  return {
    save(writer) {
      const state = pci.state();
      writer.text(pci.mode).raw(state.config).u8(state.isr).bool(state.asserted);
      writer.u16(state.configVector);
      for (const vector of state.queueVectors) writer.u16(vector);
      for (const selector of state.selectors) writer.u32(selector);
      writer.blob(state.table).blob(state.pending);
    },
    load(reader, legacy) {
      const state = read(reader, pci, legacy);
      return {
        before: () => pci.restoreConfig(state),
        after: () => pci.restoreInterrupts(state),
      };
    },
    reset: () => pci.functionReset(),
  };
}

function read(reader: StateReader, pci: VirtioPci, legacy: boolean): PciState {
  reader.expect('mode', reader.text('mode', 16), pci.mode);
  if (pci.mode !== 'transitional' && legacy !== (pci.mode === 'legacy')) {
    reader.fail('EINVAL', 'legacy', `a function of mode ${pci.mode} has no such interface`);
  }
  const here = pci.state();
  const config = reader.raw('PCI configuration space', PCI_CONFIG_SIZE).slice();
  const differs = pci.configDiffers(config);
  if (differs >= 0) {
    const field = `PCI configuration space, byte 0x${differs.toString(16)}`;
    reader.expect(field, config[differs]!, here.config[differs]!);
  }
  const isr = reader.upTo('interrupt status', 1, ISR_MOST);
  const asserted = reader.bool('interrupt line');
  const vectors = here.table.length / 16;
  const configVector = readVector(reader, 'configuration vector', vectors);
  const queueVectors = here.queueVectors.map((_, index) => {
    return readVector(reader, `queue ${index}, vector`, vectors);
  });
  const selectors = here.selectors.map((_, i) => reader.u32(`selector ${i}`));
  return {
    config,
    isr,
    asserted,
    configVector,
    queueVectors,
    selectors: selectors as [number, number, number, number],
    table: readBytes(reader, 'MSI-X table', here.table.length),
    pending: readBytes(reader, 'MSI-X pending bits', here.pending.length),
  };
}

function readVector(reader: StateReader, field: string, vectors: number): number {
  const vector = reader.u16(field);
  if (vector < vectors || vector === VIRTIO_MSI_NO_VECTOR) return vector;
  return reader.fail('EINVAL', field, `there is no vector ${vector}`);
}

function readBytes(reader: StateReader, field: string, length: number): Uint8Array {
  const bytes = reader.blob(field, 0xffff_ffff);
  reader.expect(`${field}, length`, bytes.length, length);
  return bytes.slice();
}
