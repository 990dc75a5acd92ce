/**
 * A SCSI initiator over virtio-scsi (VIRTIO 1.3, 5.6): commands, task management and notification
 * requests as promises, events by a listener. Load generators use `GuestScsiBatch` instead, which
 * allocates nothing per request.
 */

import {
  VIRTIO_ID_SCSI,
  VIRTIO_SCSI_AN_RESPONSE_SIZE,
  VIRTIO_SCSI_AN_SIZE,
  VIRTIO_SCSI_CONFIG_CDB_SIZE,
  VIRTIO_SCSI_CONFIG_NUM_QUEUES,
  VIRTIO_SCSI_CONFIG_SENSE_SIZE,
  VIRTIO_SCSI_CONTROL_QUEUE,
  VIRTIO_SCSI_F_CHANGE,
  VIRTIO_SCSI_F_HOTPLUG,
  VIRTIO_SCSI_F_INOUT,
  VIRTIO_SCSI_FIRST_COMMAND_QUEUE,
  VIRTIO_SCSI_T_TMF,
  VIRTIO_SCSI_TMF_RESPONSE_SIZE,
  VIRTIO_SCSI_TMF_SIZE,
} from '../spec.ts';
import { GuestChain } from './chain.ts';
import { ChainCalls } from './chain-calls.ts';
import { GuestDevice, type GuestDeviceOptions } from './device.ts';
import { GuestError } from './error.ts';
import type { Framing } from './frame.ts';
import type { GuestRam } from './ram.ts';
import { type ScsiEvent, ScsiEventBuffers } from './scsi-events.ts';
import { ScsiFrame } from './scsi-frame.ts';
import type { GuestTransport } from './transport.ts';

export interface GuestScsiOptions extends Omit<GuestDeviceOptions, 'queues'> {
  /** Command queues to set up, besides control and event queue. Default 1. */
  readonly commandQueues?: number;
  /** How commands are cut into buffers unless one says otherwise. Default plain. */
  readonly framing?: Framing;
  /** Event buffers offered when the device runs. Default 8. */
  readonly events?: number;
}

export interface ScsiCommandOptions {
  /** Data for the device to read. */
  readonly dataOut?: Uint8Array;
  /** Bytes for the device to write. */
  readonly dataIn?: number;
  /** Which command queue, from 0. Default 0. */
  readonly queue?: number;
  readonly framing?: Framing;
  /** Below 2^53. Default: one that no command had before. */
  readonly tag?: number;
  /** VIRTIO_SCSI_S_SIMPLE, _ORDERED, _HEAD or _ACA. Default simple. */
  readonly attribute?: number;
}

export interface ScsiResult {
  /** VIRTIO_SCSI_S_*, or RESPONSE_UNWRITTEN. */
  readonly response: number;
  /** The SCSI status: 0 is GOOD, 2 CHECK CONDITION. */
  readonly status: number;
  readonly sense: Uint8Array;
  /** Bytes of the data buffers that were not moved. */
  readonly residual: number;
  /** What the buffers for the device to write hold, whatever the status. */
  readonly data: Uint8Array;
  /** The used length in bytes. */
  readonly written: number;
}

/** Feature bits that this driver knows. */
export const SCSI_FEATURES: readonly number[] = [
  VIRTIO_SCSI_F_INOUT,
  VIRTIO_SCSI_F_HOTPLUG,
  VIRTIO_SCSI_F_CHANGE,
];

/** The address of a logical unit: target 0 to 255, unit 0 to 16383 (5.6.6.1). */
export function scsiLun(target: number, lun: number): Uint8Array {
  return Uint8Array.of(1, target, 0x40 | (lun >>> 8), lun & 0xff, 0, 0, 0, 0);
}

export class GuestScsi extends GuestDevice {
  readonly framing: Framing;
  /** Bytes of a CDB and of sense in each command: the configuration's when the device started. */
  cdbSize = 0;
  senseSize = 0;
  /** Called for each event, after its buffer went back. */
  onEvent: ((event: ScsiEvent) => void) | null = null;
  /** The event buffers while the device runs. */
  eventBuffers: ScsiEventBuffers | null = null;
  readonly #calls: ChainCalls;
  readonly #eventCount: number;
  #eventWaiters: ((event: ScsiEvent) => void)[] = [];
  #tag = 0;

  constructor(transport: GuestTransport, ram: GuestRam, options: GuestScsiOptions = {}) {
    const queues = VIRTIO_SCSI_FIRST_COMMAND_QUEUE + (options.commandQueues ?? 1);
    super(transport, ram, SCSI_FEATURES, { ...options, queues });
    this.framing = options.framing ?? 'plain';
    this.#eventCount = options.events ?? 8;
    if (transport.deviceId !== VIRTIO_ID_SCSI) {
      throw new GuestError('ENODEV', `device type ${transport.deviceId} is no SCSI host`);
    }
    this.#calls = new ChainCalls(this);
    this.onProgress = () => this.#calls.wake();
  }

  /** A driver whose device runs. */
  static async open(
    transport: GuestTransport,
    ram: GuestRam,
    options: GuestScsiOptions = {},
  ): Promise<GuestScsi> {
    const scsi = new GuestScsi(transport, ram, options);
    await scsi.start();
    return scsi;
  }

  override async reset(): Promise<void> {
    await super.reset();
    this.#calls.wake();
  }

  override abandon(): void {
    super.abandon();
    this.eventBuffers?.dropped();
    this.eventBuffers = null;
  }

  /** Reads the sizes, sets DRIVER_OK and offers the event buffers. */
  override driverOk(): void {
    this.readSizes();
    super.driverOk();
    this.eventBuffers = new ScsiEventBuffers(this, this.#eventCount, (event) => {
      const waiters = this.#eventWaiters;
      this.#eventWaiters = [];
      for (const wake of waiters) wake(event);
      this.onEvent?.(event);
    });
  }

  /** Takes CDB and sense size from the configuration, for the commands to come. */
  readSizes(): void {
    this.cdbSize = this.transport.readConfig(VIRTIO_SCSI_CONFIG_CDB_SIZE, 4);
    this.senseSize = this.transport.readConfig(VIRTIO_SCSI_CONFIG_SENSE_SIZE, 4);
  }

  /** Writes them there, and takes what the device made of it. */
  writeSizes(cdb: number, sense: number): void {
    this.transport.writeConfig(VIRTIO_SCSI_CONFIG_CDB_SIZE, 4, cdb);
    this.transport.writeConfig(VIRTIO_SCSI_CONFIG_SENSE_SIZE, 4, sense);
    this.readSizes();
  }

  /** Command queues that the device has. */
  get commandQueues(): number {
    return this.transport.readConfig(VIRTIO_SCSI_CONFIG_NUM_QUEUES, 4);
  }

  /** Promises under way. */
  get pending(): number {
    return this.#calls.pending;
  }

  /** Any command, well-formed or not. Rejects only with ERESET or ENOMEM: a status is an answer. */
  async command(
    lun: Uint8Array,
    cdb: ArrayLike<number>,
    options: ScsiCommandOptions = {},
  ): Promise<ScsiResult> {
    const { dataOut, dataIn = 0, queue = 0, framing = this.framing, attribute = 0 } = options;
    const tag = options.tag ?? this.nextTag();
    const out = dataOut?.length ?? 0;
    const frame = new ScsiFrame(this.ram, {
      cdb: this.cdbSize,
      sense: this.senseSize,
      out,
      in: dataIn,
    });
    frame.prepare(lun, tag, Uint8Array.from(cdb), out, dataIn, framing, attribute);
    if (dataOut) frame.setData(dataOut);
    try {
      const written = await this.#calls.run(VIRTIO_SCSI_FIRST_COMMAND_QUEUE + queue, frame.chain);
      const { code: response, status } = frame;
      const told = response === 0;
      return {
        response,
        status,
        sense: told ? frame.getSense() : new Uint8Array(0),
        residual: frame.residual,
        data: frame.getData(),
        written,
      };
    } finally {
      frame.close();
    }
  }

  /** The commands that `add` starts, published together with one doorbell per queue. */
  async together<T>(add: () => Promise<T>[]): Promise<T[]> {
    this.#calls.plugged = true;
    let results: Promise<T>[];
    try {
      results = add();
    } finally {
      this.#calls.plugged = false;
    }
    for (let queue = 0; queue < this.rings.length; queue++) this.submit(queue);
    return Promise.all(results);
  }

  /** A tag for a command, so that it can be named later. */
  nextTag(): number {
    return ++this.#tag;
  }

  /** Task management (5.6.6.2): `type` is VIRTIO_SCSI_T_TMF_*. Resolves with the response. */
  async taskManagement(type: number, lun: Uint8Array, tag = 0): Promise<number> {
    const request = new Uint8Array(VIRTIO_SCSI_TMF_SIZE);
    putWords(request, 0, [VIRTIO_SCSI_T_TMF, type]);
    request.set(lun, 8);
    putWords(request, 16, [tag % 2 ** 32, Math.floor(tag / 2 ** 32)]);
    const { data } = await this.control(request, VIRTIO_SCSI_TMF_RESPONSE_SIZE);
    return data[0]!;
  }

  /**
   * Asynchronous notification: `type` is VIRTIO_SCSI_T_AN_QUERY or _SUBSCRIBE. Resolves with the
   * events that the device has or will send, and the response.
   */
  async notification(
    type: number,
    lun: Uint8Array,
    events: number,
  ): Promise<{ events: number; response: number }> {
    const request = new Uint8Array(VIRTIO_SCSI_AN_SIZE);
    putWords(request, 0, [type]);
    request.set(lun, 4);
    putWords(request, 12, [events]);
    const { data } = await this.control(request, VIRTIO_SCSI_AN_RESPONSE_SIZE);
    const [a, b, c, d, response] = data;
    return { events: (a! | (b! << 8) | (c! << 16) | (d! << 24)) >>> 0, response: response! };
  }

  /** Any bytes on the control queue, and room for the answer, unwritten bytes of which are 255. */
  async control(
    request: Uint8Array,
    answerBytes: number,
  ): Promise<{ data: Uint8Array; written: number }> {
    const { ram } = this;
    const at = ram.allocate(request.length + answerBytes, 16);
    ram.write(at, request);
    ram.fill(at + request.length, answerBytes, 0xff);
    const chain = new GuestChain();
    if (request.length > 0) chain.out(at, request.length);
    if (answerBytes > 0) chain.in(at + request.length, answerBytes);
    try {
      const written = await this.#calls.run(VIRTIO_SCSI_CONTROL_QUEUE, chain);
      return { data: ram.read(at + request.length, answerBytes), written };
    } finally {
      ram.free(at);
    }
  }

  /** The next event. */
  nextEvent(): Promise<ScsiEvent> {
    const event = new Promise<ScsiEvent>((resolve) => this.#eventWaiters.push(resolve));
    return this.#calls.during(event);
  }
}

/** Little-endian. */
function putWords(bytes: Uint8Array, at: number, words: readonly number[]): void {
  for (const [i, word] of words.entries()) {
    for (let k = 0; k < 4; k++) bytes[at + 4 * i + k] = word >>> (8 * k);
  }
}
