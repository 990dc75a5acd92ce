/** A machine that can be saved, with a virtio-scsi host and disks on it (`SavedRig`). */

import { onTestFinished } from 'vitest';
import { type BackendOptions, BlockBackend } from '#src/block/backend';
import type { BlockDriver } from '#src/block/driver';
import { memoryDisks, memoryState } from '#src/block/memory-state';
import type { Core } from '#src/engine/core';
import type { LogicalUnit } from '#src/scsi/logical-unit';
import type { ScsiUnitOptions, ScsiUnitType } from '#src/scsi/unit-options';
import { scsiState } from '#src/virtio/scsi-state';
import { VirtioScsi, type VirtioScsiOptions } from '#src/virtio/virtio-scsi';
import { ProbeDriver } from '../virtio/probe-driver.ts';
import {
  type Around,
  type Buffer,
  openAround,
  SavedRig,
  type SavedRigOptions,
} from './saved-rig.ts';

export interface UnitOptions extends ScsiUnitOptions {
  readonly type?: ScsiUnitType;
  readonly disk?: BlockDriver | ((core: Core) => BlockDriver);
  readonly backend?: BackendOptions;
  /** Sectors of the disk, unless it is given. */
  readonly capacity?: number;
}

export interface ScsiStateRigOptions extends SavedRigOptions {
  readonly scsi?: VirtioScsiOptions;
  /** Default: a disk at target 0, LUN 0. An error of theirs stops the machine. */
  readonly units?: readonly UnitOptions[];
}

/** Where a command goes, and what comes with it. */
export interface Command {
  readonly queue?: number;
  readonly target?: number;
  readonly lun?: number;
  readonly tag?: number;
  /** Bytes of data; default: 512 for READ and WRITE, else none. */
  readonly out?: Uint8Array;
  readonly in?: number;
}

export const [CONTROL, EVENTS, COMMANDS] = [0, 1, 2];
/** Response and status that nobody has written. */
export const UNANSWERED = [0xa5, 0xa5];
export const GOOD = [0, 0];
export const TEST_READY = [0, 0, 0, 0, 0, 0];
export const read = (lba: number) => [0x28, 0, 0, 0, 0, lba, 0, 0, 1, 0];
export const write = (lba: number) => [0x2a, 0, 0, 0, 0, lba, 0, 0, 1, 0];
const SECTORS = 64;
/** Places in the memory of a head. */
const RESPONSE = 256;
const DATA = 512;

export class ScsiStateRig extends SavedRig {
  readonly scsi: VirtioScsi;
  /** As the driver has written them. */
  sizes = { sense: 96, cdb: 32 };

  static async open(options: ScsiStateRigOptions = {}): Promise<ScsiStateRig> {
    const around = await openAround(options);
    const { core, context, machine, threads } = around;
    const mapping = threads.map((iothread) => ({ iothread }));
    const made = VirtioScsi.realize(core, context, {
      machine,
      virtqueue_size: options.num ?? 16,
      ...(threads.length > 0 && { 'iothread-vq-mapping': mapping }),
      ...options.scsi,
    });
    while (!(await settledNow(made))) for (const thread of threads) thread.turn();
    const rig = new ScsiStateRig(around, await made, options);
    onTestFinished(() => rig.close());
    for (const unit of options.units ?? [{ 'scsi-id': 0, lun: 0 }]) await rig.plug(unit);
    rig.#saveContents();
    return rig;
  }

  private constructor(around: Around, scsi: VirtioScsi, options: ScsiStateRigOptions) {
    super(around, scsi, options);
    this.scsi = scsi;
    this.machine.addState('host', scsiState(scsi, this.pci ?? this.mmio));
  }

  #saveContents(): void {
    this.disks.flatMap(memoryDisks).forEach((one, i) => {
      this.machine.addState(`contents ${i}`, memoryState(this.core, one));
    });
  }

  async plug(options: UnitOptions): Promise<LogicalUnit> {
    const { type = 'hd', disk, backend, capacity = SECTORS, ...unit } = options;
    const driver = typeof disk === 'function' ? disk(this.core) : disk;
    const made = driver ?? new ProbeDriver(capacity * 512);
    const { core, context, machine } = this;
    const policy = { machine, werror: 'stop', rerror: 'stop' } as const;
    const opened = BlockBackend.attach(core, context, made, { ...policy, ...backend });
    this.disks.push(made);
    this.backends.push(opened);
    return this.settle(this.scsi.plug(type, opened, unit));
  }

  unitAt(index: number): LogicalUnit {
    return this.scsi.bus.units[index]!;
  }

  probe(index = 0): ProbeDriver {
    return this.disks[index] as ProbeDriver;
  }

  override takeGuest(other: ScsiStateRig): void {
    super.takeGuest(other);
    this.sizes = { ...other.sizes };
  }

  // ---- The driver -------------------------------------------------------------------------------

  /** Starts the device, and takes the attention that each unit has after a reset. */
  async begin(low?: number): Promise<this> {
    this.start(low);
    for (const { config } of this.scsi.bus.units) {
      this.ask(0, TEST_READY, { target: config.scsiId, lun: config.lun });
      this.kick(COMMANDS);
      await this.turns();
      this.collect(COMMANDS);
    }
    return this;
  }

  place(head: number, queue: number): number {
    return 0x20000 + queue * 0x8000 + head * 1024;
  }

  /** Publishes a command at `head`, which takes three descriptors at most; no kick. */
  ask(head: number, cdb: readonly number[], command: Command = {}): void {
    const { queue = COMMANDS, target = 0, lun = 0, tag = queue * 100 + head } = command;
    const { out, in: bytes = cdb[0] === 0x28 ? 512 : 0 } = command;
    const { words, sizes, ram } = this;
    const place = this.place(head, queue);
    ram.fill(0, place, place + RESPONSE);
    ram.fill(0xa5, place + RESPONSE, place + DATA);
    ram.set([1, target, 0x40 | (lun >>> 8), lun & 0xff], place);
    words.setUint32(place + 8, tag, true);
    ram.set(cdb, place + 19);
    if (out) ram.set(out, place + DATA);
    const buffers: Buffer[] = [{ at: place, length: 19 + sizes.cdb, write: false }];
    if (out) buffers.push({ at: place + DATA, length: out.length, write: false });
    buffers.push({ at: place + RESPONSE, length: 12 + sizes.sense, write: true });
    if (bytes > 0) buffers.push({ at: place + DATA, length: bytes, write: true });
    this.publish(queue, head, buffers);
  }

  /** Publishes a task management function (VIRTIO_SCSI_T_TMF_*) on the control queue. */
  askTmf(head: number, type: number, { target = 0, lun = 0, tag = 0 }: Command = {}): void {
    const { words, ram } = this;
    const place = this.place(head, CONTROL);
    ram.fill(0, place, place + 24);
    words.setUint32(place + 4, type, true);
    ram.set([1, target, 0x40 | (lun >>> 8), lun & 0xff], place + 8);
    words.setUint32(place + 16, tag, true);
    ram[place + RESPONSE] = 0xa5;
    this.publish(CONTROL, head, [
      { at: place, length: 24, write: false },
      { at: place + RESPONSE, length: 1, write: true },
    ]);
  }

  /** What a task management function was answered. */
  tmfAnswer(head: number): number {
    return this.ram[this.place(head, CONTROL) + RESPONSE]!;
  }

  /** Publishes a buffer for an event. */
  giveEvent(head: number): void {
    this.publish(EVENTS, head, [{ at: this.place(head, EVENTS), length: 16, write: true }]);
  }

  /** Event and reason. */
  event(head: number): number[] {
    const at = this.place(head, EVENTS);
    return [this.words.getUint32(at, true), this.words.getUint32(at + 12, true)];
  }

  /** Response and status. */
  answer(head: number, queue = COMMANDS): number[] {
    const at = this.place(head, queue) + RESPONSE;
    return [this.ram[at + 11]!, this.ram[at + 10]!];
  }

  /** Bytes of sense, and additional sense code and qualifier. */
  sense(head: number, queue = COMMANDS): number[] {
    const at = this.place(head, queue) + RESPONSE;
    return [this.words.getUint32(at, true), this.ram[at + 24]!, this.ram[at + 25]!];
  }

  data(head: number, queue = COMMANDS): Uint8Array {
    const at = this.place(head, queue) + DATA;
    return this.ram.slice(at, at + 512);
  }
}

/** A turn of the JavaScript loop; has `promise` settled by then? */
async function settledNow(promise: Promise<unknown>): Promise<boolean> {
  let over = false;
  const end = () => {
    over = true;
  };
  promise.then(end, end);
  await new Promise((resolve) => setImmediate(resolve));
  return over;
}
