/**
 * A virtio-blk driver (VIRTIO 1.3, 5.2): requests as promises. Load generators use
 * `GuestBlkBatch` instead, which allocates nothing per request.
 */

import {
  SECTOR_SIZE,
  VIRTIO_BLK_CONFIG_BLK_SIZE,
  VIRTIO_BLK_CONFIG_CAPACITY,
  VIRTIO_BLK_CONFIG_SEG_MAX,
  VIRTIO_BLK_CONFIG_WRITEBACK,
  VIRTIO_BLK_F_BLK_SIZE,
  VIRTIO_BLK_F_CONFIG_WCE,
  VIRTIO_BLK_F_DISCARD,
  VIRTIO_BLK_F_FLUSH,
  VIRTIO_BLK_F_GEOMETRY,
  VIRTIO_BLK_F_MQ,
  VIRTIO_BLK_F_RO,
  VIRTIO_BLK_F_SEG_MAX,
  VIRTIO_BLK_F_SIZE_MAX,
  VIRTIO_BLK_F_TOPOLOGY,
  VIRTIO_BLK_F_WRITE_ZEROES,
  VIRTIO_BLK_ID_BYTES,
  VIRTIO_BLK_S_OK,
  VIRTIO_BLK_S_UNSUPP,
  VIRTIO_BLK_T_DISCARD,
  VIRTIO_BLK_T_FLUSH,
  VIRTIO_BLK_T_GET_ID,
  VIRTIO_BLK_T_IN,
  VIRTIO_BLK_T_OUT,
  VIRTIO_BLK_T_WRITE_ZEROES,
  VIRTIO_BLK_WRITE_ZEROES_F_UNMAP,
  VIRTIO_ID_BLOCK,
} from '../spec.ts';
import { ChainCalls } from './chain-calls.ts';
import { GuestDevice, type GuestDeviceOptions } from './device.ts';
import { GuestError } from './error.ts';
import { type Framing, RequestFrame } from './frame.ts';
import type { GuestRam } from './ram.ts';
import type { GuestTransport } from './transport.ts';

export interface GuestBlkOptions extends GuestDeviceOptions {
  /** How requests are cut into buffers unless one says otherwise. Default plain. */
  readonly framing?: Framing;
}

/** A request of any type; what a driver may write is what may stand here. */
export interface BlkRequest {
  readonly type: number;
  readonly sector?: number;
  /** Data for the device to read. */
  readonly out?: Uint8Array;
  /** Bytes for the device to write; one of `out` and `in` at most. */
  readonly in?: number;
  readonly queue?: number;
  readonly framing?: Framing;
}

export interface BlkResult {
  /** The status byte: VIRTIO_BLK_S_*, or STATUS_UNWRITTEN. */
  readonly status: number;
  /** The used length in bytes. */
  readonly written: number;
  /** What the buffers for the device to write hold, whatever the status. */
  readonly data: Uint8Array;
}

/** Feature bits that this driver knows. */
export const BLK_FEATURES: readonly number[] = [
  VIRTIO_BLK_F_SIZE_MAX,
  VIRTIO_BLK_F_SEG_MAX,
  VIRTIO_BLK_F_GEOMETRY,
  VIRTIO_BLK_F_RO,
  VIRTIO_BLK_F_BLK_SIZE,
  VIRTIO_BLK_F_FLUSH,
  VIRTIO_BLK_F_TOPOLOGY,
  VIRTIO_BLK_F_CONFIG_WCE,
  VIRTIO_BLK_F_MQ,
  VIRTIO_BLK_F_DISCARD,
  VIRTIO_BLK_F_WRITE_ZEROES,
];

export class GuestBlk extends GuestDevice {
  readonly framing: Framing;
  readonly #calls: ChainCalls;

  constructor(transport: GuestTransport, ram: GuestRam, options: GuestBlkOptions = {}) {
    super(transport, ram, BLK_FEATURES, options);
    this.framing = options.framing ?? 'plain';
    if (transport.deviceId !== VIRTIO_ID_BLOCK) {
      throw new GuestError('ENODEV', `device type ${transport.deviceId} is no block device`);
    }
    this.#calls = new ChainCalls(this);
    this.onProgress = () => this.#calls.wake();
  }

  /** A driver whose device runs. */
  static async open(
    transport: GuestTransport,
    ram: GuestRam,
    options: GuestBlkOptions = {},
  ): Promise<GuestBlk> {
    const blk = new GuestBlk(transport, ram, options);
    await blk.start();
    return blk;
  }

  override async reset(): Promise<void> {
    await super.reset();
    this.#calls.wake();
  }

  /** Requests under way as promises. */
  get pending(): number {
    return this.#calls.pending;
  }

  /** Size of the disk in sectors of 512 bytes, as the configuration says now. */
  get capacity(): number {
    return this.readConfig64(VIRTIO_BLK_CONFIG_CAPACITY);
  }

  get readOnly(): boolean {
    return this.has(VIRTIO_BLK_F_RO);
  }

  /** Logical block size in bytes. */
  get blockSize(): number {
    if (!this.has(VIRTIO_BLK_F_BLK_SIZE)) return SECTOR_SIZE;
    return this.transport.readConfig(VIRTIO_BLK_CONFIG_BLK_SIZE, 4);
  }

  /** Most buffers of data in one request. */
  get segmentsMax(): number {
    if (!this.has(VIRTIO_BLK_F_SEG_MAX)) return 1;
    return this.transport.readConfig(VIRTIO_BLK_CONFIG_SEG_MAX, 4);
  }

  /** Is a write cache on? Writable where CONFIG_WCE was agreed on. */
  get writeCache(): boolean {
    return this.transport.readConfig(VIRTIO_BLK_CONFIG_WRITEBACK, 1) !== 0;
  }

  set writeCache(on: boolean) {
    this.transport.writeConfig(VIRTIO_BLK_CONFIG_WRITEBACK, 1, on ? 1 : 0);
  }

  /** Reads `bytes`, a multiple of 512, from `sector` on. */
  async read(sector: number, bytes: number): Promise<Uint8Array> {
    return check('read', await this.request({ type: VIRTIO_BLK_T_IN, sector, in: bytes })).data;
  }

  async write(sector: number, data: Uint8Array): Promise<void> {
    check('write', await this.request({ type: VIRTIO_BLK_T_OUT, sector, out: data }));
  }

  async flush(): Promise<void> {
    check('flush', await this.request({ type: VIRTIO_BLK_T_FLUSH }));
  }

  async discard(sector: number, sectors: number): Promise<void> {
    const out = rangeSegment(sector, sectors, 0);
    check('discard', await this.request({ type: VIRTIO_BLK_T_DISCARD, out }));
  }

  /** With `unmap` the device may deallocate what it zeroes. */
  async writeZeroes(sector: number, sectors: number, unmap = false): Promise<void> {
    const out = rangeSegment(sector, sectors, unmap ? VIRTIO_BLK_WRITE_ZEROES_F_UNMAP : 0);
    check('write zeroes', await this.request({ type: VIRTIO_BLK_T_WRITE_ZEROES, out }));
  }

  /** The serial: at most 20 characters, up to the first NUL. */
  async getId(): Promise<string> {
    const request = { type: VIRTIO_BLK_T_GET_ID, in: VIRTIO_BLK_ID_BYTES };
    const { data } = check('get id', await this.request(request));
    const end = data.indexOf(0);
    return String.fromCharCode(...(end < 0 ? data : data.subarray(0, end)));
  }

  /** Any request, well-formed or not. Rejects only with ERESET: a status is an answer. */
  async request(request: BlkRequest): Promise<BlkResult> {
    const { type, sector = 0, out, queue = 0, framing = this.framing } = request;
    const length = out?.length ?? request.in ?? 0;
    const frame = new RequestFrame(this.ram, length);
    const most = Math.max(1, Math.min(this.segmentsMax, this.rings[queue]!.size - 4));
    frame.prepare(type, sector, length, out !== undefined, framing, most);
    if (out) frame.setData(out);
    try {
      const written = await this.#calls.run(queue, frame.chain);
      return { status: frame.status, written, data: out ? new Uint8Array(0) : frame.getData() };
    } finally {
      frame.close();
    }
  }

  /**
   * Many requests with one doorbell per queue: all that the rings have room for are published
   * together. Results in the order of the requests.
   */
  async requestAll(requests: readonly BlkRequest[]): Promise<BlkResult[]> {
    this.#calls.plugged = true;
    const results = requests.map((request) => this.request(request));
    this.#calls.plugged = false;
    for (let queue = 0; queue < this.rings.length; queue++) this.submit(queue);
    return Promise.all(results);
  }
}

/** The data of a DISCARD or WRITE_ZEROES request (5.2.6): one segment. */
export function rangeSegment(sector: number, sectors: number, flags: number): Uint8Array {
  const words = Uint32Array.of(sector, sector / 2 ** 32, sectors, flags);
  return new Uint8Array(words.buffer);
}

function check(what: string, result: BlkResult): BlkResult {
  const { status } = result;
  if (status === VIRTIO_BLK_S_OK) return result;
  const code = status === VIRTIO_BLK_S_UNSUPP ? 'ENOTSUP' : 'EIO';
  throw new GuestError(code, `${what} ended with status ${status}`, status);
}
