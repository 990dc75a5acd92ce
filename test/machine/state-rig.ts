/** A machine that can be saved, with a virtio-blk device (`SavedRig`). */

import { onTestFinished } from 'vitest';
import { type BackendOptions, BlockBackend } from '#src/block/backend';
import type { BlockDriver } from '#src/block/driver';
import { memoryDisks, memoryState } from '#src/block/memory-state';
import type { Core } from '#src/engine/core';
import { blkState } from '#src/virtio/blk-state';
import { VirtioBlk, type VirtioBlkOptions } from '#src/virtio/virtio-blk';
import { settled } from '../virtio/blk-bench.ts';
import { ProbeDriver } from '../virtio/probe-driver.ts';
import { type Around, openAround, SavedRig, type SavedRigOptions } from './saved-rig.ts';

export interface StateRigOptions extends SavedRigOptions {
  readonly disk?: BlockDriver | ((core: Core) => BlockDriver);
  readonly backend?: BackendOptions;
  readonly blk?: VirtioBlkOptions;
  /** Sectors. */
  readonly capacity?: number;
}

export const SECTORS = 64;

export class StateRig extends SavedRig {
  readonly disk: BlockDriver;
  readonly backend: BlockBackend;
  readonly blk: VirtioBlk;

  static async open(options: StateRigOptions = {}): Promise<StateRig> {
    const around = await openAround(options);
    const { core, context, machine, threads } = around;
    const { disk, capacity = SECTORS } = options;
    const made = typeof disk === 'function' ? disk(core) : disk;
    const driver = made ?? new ProbeDriver(capacity * 512);
    const backend = BlockBackend.attach(core, context, driver, { machine, ...options.backend });
    const blkOptions = { machine, 'queue-size': options.num ?? 16, ...options.blk };
    const mapping = threads.map((iothread) => ({ iothread }));
    const placed = threads.length === 0 ? {} : { 'iothread-vq-mapping': mapping };
    const blk =
      threads.length === 0
        ? new VirtioBlk(core, context, backend, blkOptions)
        : await settled(
            VirtioBlk.realize(core, context, backend, { ...placed, ...blkOptions }),
            threads,
          );
    const rig = new StateRig(around, driver, backend, blk, options);
    onTestFinished(() => rig.close());
    return rig;
  }

  private constructor(
    around: Around,
    disk: BlockDriver,
    backend: BlockBackend,
    blk: VirtioBlk,
    options: StateRigOptions,
  ) {
    super(around, blk, options);
    this.disk = disk;
    this.backend = backend;
    this.blk = blk;
    this.disks.push(disk);
    this.backends.push(backend);
    this.machine.addState('disk', blkState(this.blk, this.pci ?? this.mmio));
    memoryDisks(this.disk).forEach((one, i) => {
      this.machine.addState(`contents ${i}`, memoryState(this.core, one));
    });
  }

  // ---- The driver -------------------------------------------------------------------------------

  /** Publishes a request at `head`, which takes three descriptors; no kick. */
  ask(head: number, type: number, sector: number, fill = 0, queue = 0): void {
    const { words } = this;
    const place = this.place(head, queue);
    words.setUint32(place, type, true);
    words.setUint32(place + 4, 0, true);
    words.setBigUint64(place + 8, BigInt(sector), true);
    this.ram.fill(fill, place + 512, place + 1024);
    words.setUint8(place + 16, 0xa5);
    this.publish(queue, head, [
      { at: place, length: 16, write: false },
      { at: place + 512, length: 512, write: type !== 1 },
      { at: place + 16, length: 1, write: true },
    ]);
  }

  place(head: number, queue = 0): number {
    return 0x20000 + queue * 0x8000 + head * 1024;
  }

  status(head: number, queue = 0): number {
    return this.ram[this.place(head, queue) + 16]!;
  }

  data(head: number, queue = 0): Uint8Array {
    const at = this.place(head, queue) + 512;
    return this.ram.slice(at, at + 512);
  }
}
