/** What the modern and the legacy PCI interface have in common. */
import { VIRTIO_PCI_VRING_ALIGN } from '../spec.ts';
import { GuestError } from './error.ts';
import type { MsixMessage, PciConfig, Width } from './pci-config.ts';
import type { FeatureWords, GuestTransport, RingPlace } from './transport.ts';

export abstract class PciTransport implements GuestTransport {
  abstract readonly name: string;
  abstract readonly legacy: boolean;
  readonly ringAlign = VIRTIO_PCI_VRING_ALIGN;
  readonly deviceId: number;
  readonly config: PciConfig;
  /** MSI-X is on: vectors tell who interrupted, and the ISR register need not be read. */
  msix = false;

  protected constructor(config: PciConfig, deviceId: number) {
    this.config = config;
    this.deviceId = deviceId;
  }

  /** Programs the vectors and turns MSI-X on (none: off). */
  enableMsix(messages: readonly MsixMessage[]): void {
    this.config.enableMsix(messages);
    this.msix = messages.length > 0;
  }

  /** With MSI-X, vector 0 tells of configuration. */
  setUpConfigInterrupt(): void {
    if (this.msix) this.writeConfigVector(0);
  }

  /** Throws EDEVICE if the device refuses the vector (it then reads back NO_VECTOR). */
  abstract writeConfigVector(vector: number): void;
  abstract readStatus(): number;
  abstract writeStatus(value: number): void;
  abstract readDeviceFeatures(): FeatureWords;
  abstract writeDriverFeatures(features: FeatureWords): void;
  abstract selectQueue(index: number): void;
  abstract readQueueSize(): number;
  abstract writeQueueSize(size: number): void;
  abstract writeQueueRing(ring: RingPlace): void;
  abstract writeQueueEnable(value: number): void;
  abstract readQueueEnable(): number;
  abstract disableQueue(): boolean;
  abstract writeQueueReset(): void;
  abstract readQueueReset(): number;
  abstract setUpQueue(index: number, ring: RingPlace, vector?: number): void;
  abstract kick(index: number): void;
  abstract readIsr(): number;
  abstract readConfigGeneration(): number;
  abstract readConfig(offset: number, width: Width): number;
  abstract writeConfig(offset: number, width: Width, value: number): void;
}

/** The error of a vector register that reads back NO_VECTOR. */
export function refusedVector(vector: number): GuestError {
  return new GuestError('EDEVICE', `the device refused vector ${vector}`);
}
