/** What a driver needs from the bus under it; PCI and MMIO, modern and legacy, each in its way. */

/** Feature bits 0 to 31 and 32 to 63, unsigned. */
export type FeatureWords = readonly [low: number, high: number];

/** Guest addresses of a ring's parts. Legacy transports only tell the device `desc`. */
export interface RingPlace {
  readonly size: number;
  readonly desc: number;
  readonly avail: number;
  readonly used: number;
}

export interface GuestTransport {
  /** For messages: `pci modern`, `mmio 1`, ... */
  readonly name: string;
  /** The legacy interface: no FEATURES_OK, no VERSION_1, rings in one piece. */
  readonly legacy: boolean;
  /** Alignment of a legacy ring's used part that the device is told of, in bytes. */
  readonly ringAlign: number;
  /** Device type of the standard, 5: 2 is a block device. */
  readonly deviceId: number;

  readStatus(): number;
  writeStatus(value: number): void;
  readDeviceFeatures(): FeatureWords;
  writeDriverFeatures(features: FeatureWords): void;

  /** The queue registers below act on the queue selected last. */
  selectQueue(index: number): void;
  /** Descriptors that the queue may have, 0 if there is no such queue; later its size. */
  readQueueSize(): number;
  writeQueueSize(size: number): void;
  writeQueueRing(ring: RingPlace): void;
  /** Legacy interfaces have no such register: a queue is enabled by its address. */
  writeQueueEnable(value: number): void;
  readQueueEnable(): number;
  /** Takes the queue from the device, where the interface can (MMIO, legacy); else false. */
  disableQueue(): boolean;
  /** Begins to reset the queue alone (RING_RESET); legacy interfaces cannot. */
  writeQueueReset(): void;
  /** 1 while that goes on. */
  readQueueReset(): number;
  /** Says how configuration interrupts come; a reset forgets it. Before the queues are set up. */
  setUpConfigInterrupt(): void;
  /** Everything from selecting to enabling, in the standard's order. */
  setUpQueue(index: number, ring: RingPlace, vector?: number): void;
  kick(index: number): void;

  /** Why the device interrupted (bit 0 queues, bit 1 configuration), and acknowledges that. */
  readIsr(): number;
  /** Counts up when the configuration changed; always 0 on legacy interfaces. */
  readConfigGeneration(): number;
  readConfig(offset: number, width: 1 | 2 | 4): number;
  writeConfig(offset: number, width: 1 | 2 | 4, value: number): void;
}

export function hasFeature(features: FeatureWords, bit: number): boolean {
  return ((features[bit >>> 5]! >>> (bit & 31)) & 1) === 1;
}

/** The words with exactly these bits. */
export function featureWords(bits: Iterable<number>): FeatureWords {
  const words: [number, number] = [0, 0];
  for (const bit of bits) words[bit >>> 5] = (words[bit >>> 5]! | (1 << (bit & 31))) >>> 0;
  return words;
}
