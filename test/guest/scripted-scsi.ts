/**
 * A SCSI host as small as it can be: the engine's queues behind a transport without a bus, and a
 * script that answers commands. What GuestScsi's tests look through.
 */

import { Core } from '#src/engine/core';
import { createQueue, type QueueMemory } from '#src/engine/queue-memory';
import type { FeatureWords, GuestTransport, RingPlace } from '#src/guest/transport';
import { featureWords } from '#src/guest/transport';
import {
  QUEUE_BATCH,
  QUEUE_BROKEN,
  QUEUE_DONE,
  QUEUE_F_EVENT_IDX,
  QUEUE_F_INDIRECT,
  QUEUE_RECORDS,
  QUEUE_SCSI,
  RECORD_IN_BYTES,
  RECORD_OUT_BYTES,
  RECORD_SIZE,
  RECORD_WRITTEN,
  SCSI_REQUEST_CDB,
  SCSI_REQUEST_IN_BYTES,
  SCSI_REQUEST_OUT_BYTES,
  SCSI_REQUEST_SIZE,
  SCSI_RESPONSE_CODE,
  SCSI_RESPONSE_RESIDUAL,
  SCSI_RESPONSE_SENSE,
  SCSI_RESPONSE_SENSE_LENGTH,
  SCSI_RESPONSE_SIZE,
  SCSI_RESPONSE_STATUS,
} from '#src/layout';
import {
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_VERSION_1,
  VIRTIO_ID_SCSI,
  VIRTIO_SCSI_CONFIG_CDB_SIZE,
  VIRTIO_SCSI_CONFIG_NUM_QUEUES,
  VIRTIO_SCSI_CONFIG_SENSE_SIZE,
  VIRTIO_SCSI_F_HOTPLUG,
} from '#src/spec';

const SIZE = 64;

export interface SeenCommand {
  lun: number[];
  tag: number;
  cdb: number[];
  attribute: number;
  dataOut: Uint8Array;
  inBytes: number;
}

export interface Answer {
  code?: number;
  status?: number;
  residual?: number;
  sense?: readonly number[];
  dataIn?: Uint8Array;
}

/** Answers commands by `onCommand` and control requests by `onControl`; null: keeps them. */
export class ScriptedScsi implements GuestTransport {
  readonly name = 'scripted';
  readonly legacy = false;
  readonly ringAlign = 4096;
  readonly deviceId: number = VIRTIO_ID_SCSI;
  readonly core: Core;
  readonly config = new Map([
    [VIRTIO_SCSI_CONFIG_CDB_SIZE, 32],
    [VIRTIO_SCSI_CONFIG_SENSE_SIZE, 96],
    [VIRTIO_SCSI_CONFIG_NUM_QUEUES, 2],
  ]);
  readonly commands: SeenCommand[] = [];
  readonly controls: Uint8Array[] = [];
  features: FeatureWords = [0, 0];
  kicks = 0;
  onCommand: (command: SeenCommand) => Answer = () => ({});
  onControl: (request: Uint8Array) => Uint8Array = () => new Uint8Array(0);
  readonly #queues: QueueMemory[];
  readonly #scratch: number;
  #status = 0;
  #selected = 0;

  constructor(core: Core) {
    this.core = core;
    this.#queues = [0, 1, 2, 3].map((index) => createQueue(core, SIZE, index >= 2));
    this.#scratch = core.allocate(65_536);
  }

  /** Is this queue broken, and by what? */
  broken(index: number): number {
    return this.core.u32[(this.#queues[index]!.address + QUEUE_BROKEN) >>> 2]!;
  }

  /** Puts an event into the next buffer of the event queue; false if there is none. */
  sendEvent(bytes: Uint8Array): boolean {
    const { engine } = this.core;
    const queue = this.#queues[1]!.address;
    if (engine.queuePop(queue, 1) !== 1) return false;
    this.#give(queue, this.#word(queue, QUEUE_BATCH), bytes);
    return true;
  }

  readStatus(): number {
    return this.#status;
  }
  writeStatus(value: number): void {
    this.#status = value;
    if (value !== 0) return;
    for (const { address } of this.#queues) this.core.engine.queueReset(address);
  }
  readDeviceFeatures(): FeatureWords {
    return featureWords([
      VIRTIO_SCSI_F_HOTPLUG,
      VIRTIO_F_INDIRECT_DESC,
      VIRTIO_F_EVENT_IDX,
      VIRTIO_F_VERSION_1,
    ]);
  }
  writeDriverFeatures(features: FeatureWords): void {
    this.features = features;
  }
  selectQueue(index: number): void {
    this.#selected = index;
  }
  readQueueSize(): number {
    return this.#selected < this.#queues.length ? SIZE : 0;
  }
  writeQueueSize(): void {}
  writeQueueRing(): void {}
  writeQueueEnable(): void {}
  readQueueEnable(): number {
    return 1;
  }
  disableQueue(): boolean {
    return false;
  }
  writeQueueReset(): void {}
  readQueueReset(): number {
    return 0;
  }
  setUpConfigInterrupt(): void {}
  setUpQueue(index: number, { size, desc, avail, used }: RingPlace): void {
    const { address } = this.#queues[index]!;
    const has = (bit: number) => ((this.features[0] >>> bit) & 1) === 1;
    const features =
      (has(VIRTIO_F_EVENT_IDX) ? QUEUE_F_EVENT_IDX : 0) |
      (has(VIRTIO_F_INDIRECT_DESC) ? QUEUE_F_INDIRECT : 0);
    this.core.engine.queueEnable(address, size, features, desc, 0, avail, 0, used, 0);
  }
  readIsr(): number {
    return 0;
  }
  readConfigGeneration(): number {
    return 0;
  }
  readConfig(offset: number): number {
    return this.config.get(offset) ?? 0;
  }
  writeConfig(offset: number, _width: number, value: number): void {
    this.config.set(offset, value);
  }

  kick(index: number): void {
    this.kicks++;
    if (index === 0) this.#serveControl(this.#queues[0]!.address);
    if (index >= 2) this.#serveCommands(this.#queues[index]!.address);
  }

  #word(queue: number, field: number): number {
    const { u32 } = this.core;
    return u32[u32[(queue + field) >>> 2]! >>> 2]!;
  }

  #record(queue: number, head: number, field: number): number {
    const { u32 } = this.core;
    return (u32[(queue + QUEUE_RECORDS) >>> 2]! + head * RECORD_SIZE + field) >>> 2;
  }

  /** Writes `bytes` into a raw chain and gives it back. */
  #give(queue: number, head: number, bytes: Uint8Array): void {
    const { engine, u8, u32 } = this.core;
    u8.set(bytes, this.#scratch);
    const written = engine.copyToChain(queue, head, 0, this.#scratch, bytes.length);
    u32[this.#record(queue, head, RECORD_WRITTEN)] = written;
    u32[u32[(queue + QUEUE_DONE) >>> 2]! >>> 2] = head;
    engine.queuePush(queue, 1);
  }

  #serveControl(queue: number): void {
    const { engine } = this.core;
    while (engine.queuePop(queue, 1) === 1) {
      const head = this.#word(queue, QUEUE_BATCH);
      const length = this.core.u32[this.#record(queue, head, RECORD_OUT_BYTES)]!;
      engine.copyFromChain(queue, head, 0, this.#scratch, length);
      const request = this.core.u8.slice(this.#scratch, this.#scratch + length);
      this.controls.push(request);
      this.#give(queue, head, this.onControl(request));
    }
  }

  #serveCommands(queue: number): void {
    const { engine } = this.core;
    const sizes = [VIRTIO_SCSI_CONFIG_CDB_SIZE, VIRTIO_SCSI_CONFIG_SENSE_SIZE] as const;
    for (;;) {
      const [cdb, sense] = sizes.map((field) => this.readConfig(field)) as [number, number];
      const count = engine.scsiPop(queue, SIZE, cdb, sense);
      if (count <= 0) return;
      const { u32 } = this.core;
      const batch = u32[(queue + QUEUE_BATCH) >>> 2]! >>> 2;
      const done = u32[(queue + QUEUE_DONE) >>> 2]! >>> 2;
      for (let i = 0; i < count; i++) {
        const head = u32[batch + i]!;
        this.#command(queue, head);
        u32[done + i] = head;
      }
      engine.scsiPush(queue, count);
    }
  }

  #command(queue: number, head: number): void {
    const { engine, u8, u32 } = this.core;
    const table = u32[(queue + QUEUE_SCSI) >>> 2]!;
    const request = table + head * SCSI_REQUEST_SIZE;
    const word = (field: number) => u32[(request + field) >>> 2]!;
    const outBytes = word(SCSI_REQUEST_OUT_BYTES);
    const inBytes = word(SCSI_REQUEST_IN_BYTES);
    const skipOut = u32[this.#record(queue, head, RECORD_OUT_BYTES)]! - outBytes;
    const skipIn = u32[this.#record(queue, head, RECORD_IN_BYTES)]! - inBytes;
    engine.copyFromChain(queue, head, skipOut, this.#scratch, outBytes);
    const command: SeenCommand = {
      lun: [...u8.subarray(request, request + 8)],
      tag: word(8) + word(12) * 2 ** 32,
      cdb: [...u8.subarray(request + SCSI_REQUEST_CDB, request + SCSI_REQUEST_CDB + 32)],
      attribute: u8[request + 16]!,
      dataOut: u8.slice(this.#scratch, this.#scratch + outBytes),
      inBytes,
    };
    this.commands.push(command);
    const answer = this.onCommand(command);
    const row = table + SIZE * SCSI_REQUEST_SIZE + head * SCSI_RESPONSE_SIZE;
    const { code = 0, status = 0, residual = 0, sense = [], dataIn } = answer;
    u32[(row + SCSI_RESPONSE_RESIDUAL) >>> 2] = residual;
    u32[(row + SCSI_RESPONSE_SENSE_LENGTH) >>> 2] = sense.length;
    u8.set(sense, row + SCSI_RESPONSE_SENSE);
    u8[row + SCSI_RESPONSE_STATUS] = status;
    u8[row + SCSI_RESPONSE_CODE] = code;
    if (!dataIn) return;
    u8.set(dataIn, this.#scratch);
    const written = engine.copyToChain(queue, head, skipIn, this.#scratch, dataIn.length);
    u32[this.#record(queue, head, RECORD_WRITTEN)] = written;
  }
}

export async function scriptedScsi(): Promise<ScriptedScsi> {
  return new ScriptedScsi(await Core.open({ ramBytes: 1 << 20 }));
}
