/**
 * Requests smaller than a disk's blocks: read the block, change it, write it back, while nobody
 * else writes to it, on whatever thread (BB-23). Stands between one lane and its driver if the
 * backend was opened with `readModifyWrite`. Home thread of the lane.
 * QEMU: `bdrv_co_do_pwritev_part`, `bdrv_padding_*`.
 *
 *   disk      |  block  |  block  |  block  |
 *   request        |---------------|
 *   edges     |  head   |         |  tail   |     read, patched and written with the rest
 */

import type { BottomHalf } from '../aio/bottom-half.ts';
import type { AioContext } from '../aio/context.ts';
import type { Core } from '../engine/core.ts';
import { ECANCELED, EIO, ENOMEM, ENOTSUP } from '../spec.ts';
import { BouncePool, type BounceSlot } from './bounce.ts';
import {
  type BlockDriver,
  type BlockOp,
  type BlockRequest,
  type IoVector,
  OP_DISCARD,
  OP_FLUSH,
  OP_READ,
  OP_WRITE,
  OP_WRITE_ZEROES,
  PENDING,
  type Settles,
} from './driver.ts';
import { errnoOfThrown } from './error.ts';
import { gather, SegmentVector, scatter } from './io-vector.ts';
import { BOUNCE_BYTES, BOUNCE_SLOTS, type LaneOptions } from './lane-options.ts';
import { RangeLocker } from './range-locks.ts';

const NO_DATA: IoVector = new SegmentVector();

export class SerialisingDriver implements BlockDriver {
  readonly driver: string;
  readonly settles: Settles;
  readonly threads = 'one';
  readonly alignment = 1;
  readonly clusterDisk = 0;
  readonly fua: boolean;
  readonly children: readonly BlockDriver[];
  readonly disk: BlockDriver;
  readonly core: Core;
  readonly locks: RangeLocker;
  readonly slots: BouncePool;
  readonly #retry: BottomHalf;
  readonly #waiting: Piece[] = [];
  /** What the disk was asked for, by the request that it is a part of. */
  readonly active = new Map<BlockRequest, Piece>();

  /**
   * `ranges`: address of the locks; `lane`: of the lane's words, which owns those that it takes.
   * `area`: core memory for slots that main has set aside.
   */
  constructor(
    core: Core,
    context: AioContext,
    disk: BlockDriver,
    { ranges, lane }: { readonly ranges: number; readonly lane: number },
    options: LaneOptions,
    area = 0,
  ) {
    this.core = core;
    this.disk = disk;
    this.driver = disk.driver;
    // Who waits for a block is not done before `submit` returns.
    this.settles = disk.settles === 'inline' ? 'word' : disk.settles;
    this.fua = disk.fua ?? false;
    this.children = [disk];
    this.#retry = context.bottomHalf('serialised', () => this.#tryAgain());
    this.locks = new RangeLocker(core, ranges, lane, this.#retry);
    this.slots = new BouncePool(core, {
      slotBytes: options.bounceBytes ?? BOUNCE_BYTES,
      slots: options.bounceSlots ?? BOUNCE_SLOTS,
      inCore: disk.settles === 'word',
      area,
    });
  }

  get size(): number {
    return this.disk.size;
  }

  get readOnly(): boolean {
    return this.disk.readOnly;
  }

  truncate(size: number): number {
    return this.disk.truncate(size);
  }

  submit(request: BlockRequest): number {
    const { op, offset, length } = request;
    const unit = this.disk.alignment;
    const whole = offset % unit === 0 && length % unit === 0;
    if (op === OP_FLUSH || (whole && op === OP_READ)) return this.disk.submit(request);
    if (op === OP_DISCARD && !whole) return this.#discard(request);
    if (op === OP_WRITE_ZEROES && !whole) return -ENOTSUP; // the lane writes zeroes
    const piece = new Piece(this, request, whole);
    return piece.begin();
  }

  /** Whole blocks only: a discard is a hint. */
  #discard(request: BlockRequest): number {
    const unit = this.disk.alignment;
    const { offset, length } = request;
    const first = Math.ceil(offset / unit) * unit;
    const end = Math.floor((offset + length) / unit) * unit;
    if (end <= first) return 0;
    request.offset = first;
    request.length = end - first;
    return new Piece(this, request, true).begin();
  }

  /** For pieces: a lock or a slot is wanted that another has. */
  wait(piece: Piece): void {
    this.#waiting.push(piece);
  }

  /** For pieces: a slot or a lock of this lane's has come free. */
  freed(): void {
    if (this.#waiting.length > 0) this.#retry.schedule();
  }

  /** One that still waits ends at once; the disk is told of others. */
  cancel(request: BlockRequest): void {
    const at = this.#waiting.findIndex((piece) => piece.request === request);
    if (at >= 0) this.#waiting.splice(at, 1)[0]!.settle(-ECANCELED);
    else this.disk.cancel?.(this.active.get(request) ?? request);
  }

  #tryAgain(): void {
    for (const piece of this.#waiting.splice(0)) piece.again();
  }

  /** The lane's end, not the disk's. Nothing is in flight. */
  close(): void {
    this.locks.close();
    this.#retry.delete();
    this.slots.close();
  }
}

type Step = 'lock' | 'head' | 'tail' | 'main';

/** One part of a request on its way; what the disk sees of it. */
class Piece implements BlockRequest {
  op: BlockOp = OP_READ;
  offset = 0;
  length = 0;
  flags = 0;
  vector: IoVector = NO_DATA;
  readonly #front: SerialisingDriver;
  readonly request: BlockRequest;
  /** The request is made of whole blocks: only the lock is needed. */
  readonly #whole: boolean;
  /** What is done of the request, and the whole blocks around it. */
  #bytes: number;
  #from: number;
  #to: number;
  #step: Step = 'lock';
  #slot: BounceSlot | null = null;
  #locked = false;
  /** The caller of `submit` has been answered with PENDING. */
  #later = false;
  /** Data lies in core memory, whose view may be a new one by the time it is copied. */
  readonly #inCore: boolean;

  constructor(front: SerialisingDriver, request: BlockRequest, whole: boolean) {
    const unit = front.disk.alignment;
    this.#front = front;
    this.request = request;
    this.#whole = whole;
    this.#inCore = front.core.shows(request.vector.bytes);
    this.#from = request.offset - (request.offset % unit);
    const most = whole ? Number.POSITIVE_INFINITY : front.slots.slotBytes;
    const end = Math.ceil((request.offset + request.length) / unit) * unit;
    this.#to = Math.min(end, this.#from + most);
    this.#bytes = Math.min(request.length, this.#to - request.offset);
  }

  /** As `submit`. */
  begin(): number {
    const result = this.#run();
    if (result !== PENDING) return result;
    this.#later = true;
    this.#front.active.set(this.request, this);
    return PENDING;
  }

  /** From the bottom half: what was wanted may be there now. */
  again(): void {
    this.#finish(this.#run());
  }

  readonly settle = (result: number): void => {
    this.#finish(this.#absorb(result));
  };

  #finish(result: number): void {
    if (result !== PENDING && this.#later) this.request.settle(result);
  }

  get #isRead(): boolean {
    return this.request.op === OP_READ;
  }

  /** Takes what is needed, then goes through the steps. PENDING: it goes on by itself. */
  #run(): number {
    const front = this.#front;
    if (!this.#whole && !this.#slot) {
      try {
        this.#slot = front.slots.take();
      } catch {
        return -ENOMEM;
      }
      if (!this.#slot) return this.#wait();
    }
    if (!this.#isRead && !this.#locked) {
      this.#locked = front.locks.lock(...this.#blocks());
      if (!this.#locked) return this.#wait();
    }
    this.#step = this.#first();
    return this.#submitStep();
  }

  #wait(): number {
    this.#front.wait(this);
    return PENDING;
  }

  #blocks(): [number, number] {
    const unit = this.#front.disk.alignment;
    return [this.#from / unit, (this.#to - this.#from) / unit];
  }

  /** A read has one step; a write reads the blocks that it covers in part. */
  #first(): Step {
    if (this.#isRead || this.#whole) return 'main';
    if (this.request.offset > this.#from) return 'head';
    return this.#hasTail ? 'tail' : 'main';
  }

  /** The last block is covered in part, and is not the head. */
  get #hasTail(): boolean {
    const { offset } = this.request;
    const unit = this.#front.disk.alignment;
    const inHead = offset > this.#from && this.#to - this.#from === unit;
    return !inHead && offset + this.#bytes < this.#to;
  }

  #submitStep(): number {
    for (;;) {
      this.#prepare();
      let result: number;
      try {
        result = this.#front.disk.submit(this);
      } catch (thrown) {
        result = errnoOfThrown(thrown);
      }
      if (result === PENDING) return PENDING;
      const end = this.#take(result);
      if (end !== PENDING) return end;
    }
  }

  /** A step has settled later. */
  #absorb(result: number): number {
    const end = this.#take(result);
    return end === PENDING ? this.#submitStep() : end;
  }

  #prepare(): void {
    const unit = this.#front.disk.alignment;
    const request = this.request;
    if (this.#whole) {
      ({ op: this.op, offset: this.offset, length: this.length } = request);
      this.flags = request.flags;
      this.vector = this.#data();
      return;
    }
    const main = this.#step === 'main';
    this.op = main ? request.op : OP_READ;
    this.flags = main ? request.flags : 0;
    this.offset = this.#step === 'tail' ? this.#to - unit : this.#from;
    this.length = main ? this.#to - this.#from : unit;
    if (main && this.op === OP_WRITE) this.#patch();
    const { vector, bytes, start } = this.#slot!;
    vector.reset(bytes);
    vector.append(start + this.offset - this.#from, this.length);
    this.vector = vector;
  }

  #patch(): void {
    const slot = this.#slot!;
    const at = slot.start + this.request.offset - this.#from;
    gather(this.#data(), 0, slot.bytes, at, this.#bytes);
  }

  /** The caller's bytes, in memory as it is now. */
  #data(): IoVector {
    const { vector } = this.request;
    if (this.#inCore) vector.bytes = this.#front.core.u8;
    return vector;
  }

  /** Takes a step's result: PENDING if there is another, else the request's. */
  #take(result: number): number {
    if (this.#step === 'main' || result < 0)
      return this.#end(this.#whole ? result : this.#done(result));
    const unit = this.#front.disk.alignment;
    if (result > unit) return this.#end(-EIO);
    // Behind the end of a file there are zeroes.
    const slot = this.#slot!;
    const start = slot.start + this.offset - this.#from;
    slot.bytes.fill(0, start + result, start + unit);
    this.#step = this.#step === 'head' && this.#hasTail ? 'tail' : 'main';
    return PENDING;
  }

  /** What of the blocks that were moved is the request's. */
  #done(result: number): number {
    if (result < 0) return result;
    if (result > this.length) return -EIO;
    const pad = this.request.offset - this.#from;
    const unit = this.#front.disk.alignment;
    const atEnd = this.#isRead && (result === 0 || result % unit !== 0);
    const done = Math.max(0, Math.min(this.#bytes, result - pad));
    if (!this.#isRead) return done;
    const slot = this.#slot!;
    if (atEnd) slot.bytes.fill(0, slot.start + result, slot.start + this.length);
    const bytes = atEnd ? this.#bytes : done;
    scatter(this.#data(), 0, slot.bytes, slot.start + pad, bytes);
    return bytes;
  }

  #end(result: number): number {
    const front = this.#front;
    if (this.#locked) front.locks.unlock(...this.#blocks());
    this.#locked = false;
    if (this.#slot) front.slots.give(this.#slot);
    this.#slot = null;
    front.active.delete(this.request);
    front.freed();
    return result;
  }
}
