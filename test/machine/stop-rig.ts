/** A disk that can fail on a bus, with a machine that stops, and a guest's driver on it. */

import { onTestFinished } from 'vitest';
import type { BackendOptions } from '#src/block/backend';
import type { FaultDriver, FaultRule } from '#src/block/fault';
import type { BlkResult, GuestBlk } from '#src/guest/blk';
import { Machine } from '#src/machine/machine';
import { VIRTIO_BLK_T_OUT } from '#src/spec';
import type { VirtioBlkOptions } from '#src/virtio/virtio-blk';
import {
  Machine as Bus,
  type EngineName,
  type Slot,
  type TransportName,
  turns,
} from '../device/machine.ts';

export interface StopRigOptions {
  readonly engine?: EngineName;
  readonly transport?: TransportName;
  /** Default 1. */
  readonly queues?: number;
  readonly backend?: Omit<BackendOptions, 'machine'>;
  readonly device?: VirtioBlkOptions;
  /** Requests may be held (`HOLD`): all settle later then. */
  readonly mayDelay?: boolean;
  /** Called with the machine before anything joins it. */
  readonly prepare?: (machine: Machine) => void;
}

export const MAIN_AND_THREADS: readonly EngineName[] = [
  'wasm',
  'js',
  'wasm, IOThread',
  'wasm, two IOThreads',
];

export const SECTOR = 512;

export class StopRig {
  readonly bus: Bus;
  readonly machine: Machine;
  /** Events since the last `take`: names, and of errors what is done about them. */
  readonly log: string[] = [];
  guest!: GuestBlk;
  /** Statuses of requests that have ended, by their number. */
  readonly ended = new Map<number, number>();

  static async open(options: StopRigOptions = {}): Promise<StopRig> {
    const { engine = 'wasm', queues = 1, mayDelay = false } = options;
    let machine: Machine | undefined;
    const bus = await Bus.open({
      engine,
      transport: options.transport ?? 'pci modern, MSI-X',
      disk: {
        driver: 'fault',
        options: { image: { driver: 'memory', options: { size: 1 << 20 } }, 'may-delay': mayDelay },
      },
      backend: (context) => {
        machine = new Machine(context);
        options.prepare?.(machine);
        return { machine, name: 'drive', ...options.backend };
      },
      device: { 'num-queues': queues, ...options.device },
      guest: { queues },
    });
    const rig = new StopRig(bus, machine!);
    onTestFinished(() => rig.#close());
    rig.guest = await bus.start();
    return rig;
  }

  private constructor(bus: Bus, machine: Machine) {
    this.bus = bus;
    this.machine = machine;
    for (const name of ['STOP', 'RESUME', 'DEVICE_DELETED'] as const) {
      machine.events.on(name, () => this.log.push(name));
    }
    machine.events.on('BLOCK_IO_ERROR', ({ data }) => {
      this.log.push(`${data.operation} ${data.action}`);
    });
  }

  async #close(): Promise<void> {
    this.rules([]);
    this.machine.close();
    const closed = this.bus.close();
    await this.bus.release(this.disk).catch(() => {});
    await closed;
  }

  get slot(): Slot {
    return this.bus.slot;
  }

  get disk(): FaultDriver {
    return this.slot.backend.driver as FaultDriver;
  }

  rules(rules: readonly FaultRule[]): void {
    this.disk.setRules(rules);
  }

  take(): string[] {
    return this.log.splice(0);
  }

  /** A write of one sector of bytes `id`; how it ends stands in `ended`. */
  write(id: number, queue = 0): void {
    const out = new Uint8Array(SECTOR).fill(id);
    this.#ask(id, this.guest.request({ type: VIRTIO_BLK_T_OUT, sector: id, out, queue }));
  }

  /** Neighbours, published together: the device may merge them. */
  writeAll(ids: readonly number[], queue = 0): void {
    const requests = ids.map((id) => ({
      type: VIRTIO_BLK_T_OUT,
      sector: id,
      out: new Uint8Array(SECTOR).fill(id),
      queue,
    }));
    const all = this.guest.requestAll(requests);
    ids.forEach((id, i) => {
      this.#ask(
        id,
        all.then((results) => results[i]!),
      );
    });
  }

  read(id: number, queue = 0): void {
    this.#ask(id, this.guest.request({ type: 0, sector: id, in: SECTOR, queue }));
  }

  #ask(id: number, result: Promise<BlkResult>): void {
    result.then(
      ({ status }) => {
        if (this.ended.has(id)) throw new Error(`request ${id} ended twice`);
        this.ended.set(id, status);
      },
      () => {}, // reset
    );
  }

  /** Turns until `condition` holds. */
  async until(condition: () => boolean): Promise<void> {
    for (const end = Date.now() + 6_000; !condition(); ) {
      if (Date.now() > end) throw new Error(this.#standing());
      await turns();
    }
  }

  #standing(): string {
    const { state } = this.machine;
    return `it never comes so far: ${state}, ${this.log}, ended ${[...this.ended.keys()]}`;
  }

  /** As many turns as all that is under way may need. */
  async settle(): Promise<void> {
    for (let i = 0; i < 5; i++) await turns();
  }

  /** First byte of each sector from `first` on, as the host reads it. */
  async image(first: number, sectors: number): Promise<number[]> {
    const bytes = new Uint8Array(sectors * SECTOR);
    await this.slot.backend.io.read(first * SECTOR, bytes);
    return Array.from({ length: sectors }, (_, i) => bytes[i * SECTOR]!);
  }

  async checksum(): Promise<string> {
    const bytes = new Uint8Array(1 << 20);
    await this.slot.backend.io.read(0, bytes);
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
    return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
  }

  word(field: number, queue = 0): number {
    const address = this.slot.device.queueConfigs[queue]!.queue;
    return Atomics.load(this.bus.core.u32, (address + field) >>> 2);
  }
}

export function range(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => first + i);
}
