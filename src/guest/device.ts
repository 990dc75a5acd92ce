/**
 * A virtio device as its driver holds it: reset, features, queues, DRIVER_OK in the standard's
 * order (VIRTIO 1.3, 3.1), then chains in and completions out, by interrupt or by polling.
 *
 * Each step is a method of its own, so that a test can leave one out.
 */

import {
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_RING_RESET,
  VIRTIO_F_VERSION_1,
  VIRTIO_MSI_NO_VECTOR,
  VIRTIO_PCI_ISR_CONFIG,
  VIRTIO_PCI_ISR_QUEUE,
  VIRTIO_STATUS_ACKNOWLEDGE,
  VIRTIO_STATUS_DRIVER,
  VIRTIO_STATUS_DRIVER_OK,
  VIRTIO_STATUS_FAILED,
  VIRTIO_STATUS_FEATURES_OK,
  VIRTIO_STATUS_NEEDS_RESET,
} from '../spec.ts';
import type { GuestChain } from './chain.ts';
import { GuestError } from './error.ts';
import type { GuestRam } from './ram.ts';
import { type ChainForm, GuestRing } from './ring.ts';
import { type FeatureWords, featureWords, type GuestTransport, hasFeature } from './transport.ts';

export interface GuestDeviceOptions {
  /** Queues to set up. Default 1. */
  readonly queues?: number;
  /** Largest ring; a modern driver may take less than the device offers. Default: all. */
  readonly queueSize?: number;
  /** Feature bits that the driver leaves alone although it knows them. */
  readonly without?: readonly number[];
  /** How chains are written. Default direct. */
  readonly form?: ChainForm;
  /**
   * The owner calls `interrupt()` when the device interrupts. Default false: interrupts are off
   * and the used rings are polled.
   */
  readonly interrupts?: boolean;
  /**
   * MSI-X vectors that the owner has enabled; 0: the interrupt line. Configuration takes vector 0,
   * queue i vector i + 1, and what is beyond the last shares it.
   */
  readonly vectors?: number;
  /** Lets the device run while the driver waits. Default: one turn of the JavaScript loop. */
  readonly relax?: () => void | Promise<void>;
}

/** Who is told that a chain came back. Called from `poll` and `interrupt`. */
export interface ChainOwner {
  /** `written` is the used length in bytes. The head may be in use again by the next call. */
  finished(head: number, written: number): void;
  /** The device was reset: none of this owner's chains comes back. May be called repeatedly. */
  dropped(): void;
}

const RING_FEATURES = [
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_VERSION_1,
  VIRTIO_F_RING_RESET,
];

export class GuestDevice {
  readonly ram: GuestRam;
  readonly transport: GuestTransport;
  readonly options: GuestDeviceOptions;
  /** Features agreed on. */
  features: FeatureWords = [0, 0];
  rings: GuestRing[] = [];
  /** Doorbells rung, and interrupts taken. */
  kicks = 0;
  interruptsTaken = 0;
  /** Called for each configuration interrupt; a device that needs a reset gives one too. */
  onConfigChange: (() => void) | null = null;
  /** Called after chains came back. */
  onProgress: (() => void) | null = null;
  readonly #known: readonly number[];
  /** Per queue and head: who waits for the chain. */
  #owners: (ChainOwner | null)[][] = [];

  /** `known`: the feature bits that this driver can handle, ring features aside. */
  constructor(
    transport: GuestTransport,
    ram: GuestRam,
    known: readonly number[],
    options: GuestDeviceOptions,
  ) {
    this.ram = ram;
    this.transport = transport;
    this.options = options;
    this.#known = [...known, ...RING_FEATURES];
  }

  get status(): number {
    return this.transport.readStatus();
  }

  get needsReset(): boolean {
    return (this.status & VIRTIO_STATUS_NEEDS_RESET) !== 0;
  }

  /** Was this feature agreed on? */
  has(bit: number): boolean {
    return hasFeature(this.features, bit);
  }

  relax(): void | Promise<void> {
    if (this.options.relax) return this.options.relax();
    return new Promise((resolve) => setTimeout(resolve, 0));
  }

  /** Reset to DRIVER_OK. */
  async start(): Promise<void> {
    await this.reset();
    this.negotiate();
    this.setUpQueues();
    this.driverOk();
  }

  /** Resets the device and waits until it says so (2.1.1); then the rings are ours again. */
  async reset(): Promise<void> {
    this.transport.writeStatus(0);
    while (this.transport.readStatus() !== 0) await this.relax();
    this.abandon();
  }

  /** The device was reset, or is there no more: rings are freed and what was in flight dropped. */
  abandon(): void {
    for (const ring of this.rings) ring.close();
    this.rings = [];
    const owners = new Set(this.#owners.flat());
    this.#owners = [];
    this.features = [0, 0];
    for (const owner of owners) owner?.dropped();
  }

  /**
   * ACKNOWLEDGE, DRIVER, features, FEATURES_OK. Throws EDEVICE if the device refuses them. `lie`
   * makes of the wanted features what is told to the device.
   */
  negotiate(lie: (wanted: FeatureWords) => FeatureWords = (wanted) => wanted): void {
    const { transport } = this;
    transport.writeStatus(VIRTIO_STATUS_ACKNOWLEDGE);
    transport.writeStatus(VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
    const offered = transport.readDeviceFeatures();
    const without = new Set(this.options.without);
    const wanted = this.#known.filter((bit) => hasFeature(offered, bit) && !without.has(bit));
    this.features = featureWords(wanted);
    transport.writeDriverFeatures(lie(this.features));
    if (transport.legacy) return;
    transport.writeStatus(transport.readStatus() | VIRTIO_STATUS_FEATURES_OK);
    if ((transport.readStatus() & VIRTIO_STATUS_FEATURES_OK) === 0) {
      transport.writeStatus(transport.readStatus() | VIRTIO_STATUS_FAILED);
      throw new GuestError('EDEVICE', 'the device refused the features it offered');
    }
  }

  /**
   * Resets one queue, waits until the device says so (2.6.1), and gives it a new ring elsewhere;
   * what was in flight is dropped. Only with VIRTIO_F_RING_RESET, and while `start`ed.
   */
  async resetQueue(index: number): Promise<void> {
    const { transport } = this;
    transport.selectQueue(index);
    transport.writeQueueReset();
    while (transport.readQueueReset() !== 0 || transport.readQueueEnable() !== 0) {
      await this.relax();
      transport.selectQueue(index);
    }
    const ring = this.createRing(index); // before the old one's pages are free again
    this.rings[index]!.close();
    this.rings[index] = ring;
    const owners = new Set(this.#owners[index]);
    this.#owners[index] = new Array(ring.size).fill(null);
    transport.setUpQueue(index, ring, this.vectorOf(index));
    for (const owner of owners) owner?.dropped();
  }

  setUpQueues(): void {
    const count = this.options.queues ?? 1;
    this.transport.setUpConfigInterrupt();
    for (let index = this.rings.length; index < count; index++) {
      const ring = this.createRing(index);
      this.adoptRing(ring);
      this.transport.setUpQueue(index, ring, this.vectorOf(index));
    }
  }

  /** Takes a ring for the next queue into the books; telling the device is the caller's. */
  adoptRing(ring: GuestRing): void {
    this.rings.push(ring);
    this.#owners.push(new Array(ring.size).fill(null));
  }

  /** A ring for queue `index` in guest memory, of which the device does not know yet. */
  createRing(index: number): GuestRing {
    const { transport, options } = this;
    transport.selectQueue(index);
    const offered = transport.readQueueSize();
    if (offered === 0) throw new GuestError('EDEVICE', `there is no queue ${index}`);
    const most = options.queueSize ?? offered;
    // PCI's legacy interface cannot tell the device a size.
    const size = transport.name === 'pci legacy' ? offered : Math.min(offered, most);
    const form = options.form ?? 'direct';
    const ring = new GuestRing(this.ram, {
      size,
      layout: transport.legacy ? 'legacy' : 'modern',
      align: transport.ringAlign,
      eventIdx: this.has(VIRTIO_F_EVENT_IDX),
      form: this.has(VIRTIO_F_INDIRECT_DESC) ? form : 'direct',
    });
    ring.setInterrupts(options.interrupts ?? false);
    return ring;
  }

  /** The MSI-X vector of a queue's interrupts, or NO_VECTOR. */
  vectorOf(index: number): number {
    const vectors = this.options.vectors ?? 0;
    return vectors === 0 ? VIRTIO_MSI_NO_VECTOR : Math.min(index + 1, vectors - 1);
  }

  driverOk(): void {
    this.transport.writeStatus(this.transport.readStatus() | VIRTIO_STATUS_DRIVER_OK);
  }

  /** Adds a chain for `owner`; its head, or -1 if the ring has no room. Then `submit`. */
  add(queue: number, chain: GuestChain, owner: ChainOwner): number {
    const head = this.rings[queue]!.add(chain);
    if (head >= 0) this.#owners[queue]![head] = owner;
    return head;
  }

  /** Publishes what was added to the queue and rings the doorbell if the device wants it. */
  submit(queue: number): void {
    const ring = this.rings[queue]!;
    ring.publish();
    if (!ring.needsKick()) return;
    this.kicks++;
    this.transport.kick(queue);
  }

  /** Takes back what has finished, from all queues. Returns how many chains. */
  poll(): number {
    let count = 0;
    for (let queue = 0; queue < this.rings.length; queue++) count += this.#drain(queue);
    if (count > 0) this.onProgress?.();
    return count;
  }

  /**
   * The device interrupted, by its line or by MSI-X `vector`. Call it outside of any register
   * access of the device but a doorbell.
   */
  interrupt(vector = -1): void {
    this.interruptsTaken++;
    const causes = vector < 0 ? this.transport.readIsr() : this.#causesOf(vector);
    if (causes & VIRTIO_PCI_ISR_CONFIG) this.onConfigChange?.();
    if ((causes & VIRTIO_PCI_ISR_QUEUE) === 0) return;
    if (this.options.interrupts) this.#service();
    else this.poll();
  }

  /** A 64-bit configuration field, both halves of one moment (2.5.3). */
  readConfig64(offset: number): number {
    const { transport } = this;
    for (;;) {
      const generation = transport.readConfigGeneration();
      const low = transport.readConfig(offset, 4);
      const high = transport.readConfig(offset + 4, 4);
      const still = transport.legacy
        ? transport.readConfig(offset, 4) === low
        : transport.readConfigGeneration() === generation;
      if (still) return high * 2 ** 32 + low;
    }
  }

  #causesOf(vector: number): number {
    const config = vector === 0 ? VIRTIO_PCI_ISR_CONFIG : 0;
    return config | (vector > 0 || this.options.vectors === 1 ? VIRTIO_PCI_ISR_QUEUE : 0);
  }

  /** Interrupts off, collect, on; and again if something came in between. */
  #service(): void {
    let count = 0;
    for (let queue = 0; queue < this.rings.length; queue++) {
      const ring = this.rings[queue]!;
      do {
        ring.setInterrupts(false);
        count += this.#drain(queue);
      } while (ring.setInterrupts(true));
    }
    if (count > 0) this.onProgress?.();
  }

  #drain(queue: number): number {
    const ring = this.rings[queue]!;
    const owners = this.#owners[queue]!;
    let count = 0;
    for (let head = ring.collect(); head >= 0; head = ring.collect()) {
      const owner = owners[head];
      owners[head] = null;
      owner?.finished(head, ring.written);
      count++;
    }
    return count;
  }
}
