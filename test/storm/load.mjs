/**
 * Verified I/O: keeps requests in flight in all queues of a driver, knows what each must answer,
 * and counts that each is answered or dropped, once.
 */

import { RequestFrame } from '#src/guest/frame';
import * as spec from '#src/spec';
import { fillSector, SECTOR } from './model.mjs';
import { Poison, Traffic } from './traffic.mjs';

const SECTORS_MAX = 8;
const { VIRTIO_BLK_T_IN: IN, VIRTIO_BLK_T_OUT: OUT, VIRTIO_BLK_T_FLUSH: FLUSH } = spec;
const { VIRTIO_BLK_T_WRITE_ZEROES: ZEROES, VIRTIO_BLK_S_OK: OK } = spec;

/** One request at a time, in memory of its own. A `ChainOwner`. */
class Slot {
  busy = false;
  queue;
  type = IN;
  sector = 0;
  sectors = 0;
  serial = 0;
  /** The disk changed its size meanwhile. */
  resized = false;
  frame;
  #load;
  #poison;

  constructor(load, queue, ram) {
    this.#load = load;
    this.queue = queue;
    this.frame = new RequestFrame(ram, SECTORS_MAX * SECTOR);
    const { address, bytes } = this.frame;
    this.#poison = new Poison(ram, address, 16 + bytes + 1);
  }

  finished(_head, written) {
    this.#load.finished(this, written);
  }

  /** The device was reset. From now on it may not touch a byte of the request. */
  dropped() {
    if (!this.busy) return;
    this.checkPoison();
    this.#load.dropped(this);
    this.poison();
  }

  poison() {
    this.#poison.put();
  }

  /** Fails if somebody has written into the request since it was dropped. */
  checkPoison() {
    const error = this.#poison.take();
    if (error) this.#load.fail(error);
  }
}

export class Load extends Traffic {
  /** Requests that ended with IOERR. */
  failed = 0;
  /** Answers other than OK are allowed: faults are being injected. */
  mayFail = false;
  /** The share of writes, of 16, at most 14; with `flushes` each is followed by a flush. */
  writes;
  flushes;
  model;
  #random;
  #blk = null;
  #slots = [];
  /** Sectors that a request in flight touches. */
  #taken;
  #serial = 0;
  #resizing = false;
  #closed = new Set();

  constructor(ram, model, random, options) {
    const { queues, depth, most = model.sectors, writes = 7, flushes = false } = options;
    super(ram);
    this.model = model;
    this.writes = writes;
    this.flushes = flushes;
    this.#random = random;
    this.#taken = new Uint8Array(most + SECTORS_MAX);
    for (let queue = 0; queue < queues; queue++) {
      for (let i = 0; i < depth; i++) this.#slots.push(new Slot(this, queue, ram));
    }
  }

  /** Goes on with this driver, at once. */
  start(blk) {
    this.#blk = blk;
    blk.onProgress = () => this.pumpLater();
    this.begin();
  }

  /** No new requests for this queue until `openQueue`. */
  closeQueue(queue) {
    this.#closed.add(queue);
  }

  openQueue(queue) {
    this.#closed.delete(queue);
    this.pump();
  }

  /** The queue was reset: its requests do not come back. */
  dropQueue(queue) {
    for (const slot of this.#slots) if (slot.queue === queue) slot.dropped();
  }

  /** From now on nobody may touch the memory of its requests, although they are not over yet. */
  poisonQueue(queue) {
    for (const slot of this.#slots) if (slot.queue === queue && slot.busy) slot.poison();
  }

  dropAll() {
    for (const slot of this.#slots) slot.dropped();
  }

  /** Resolves when nothing is in flight; no new requests. */
  async finish() {
    this.pause();
    await this.until(() => this.inFlight === 0);
    for (const slot of this.#slots) slot.checkPoison();
    this.check();
  }

  close() {
    this.pause();
    this.#blk = null;
    for (const { frame } of this.#slots) frame.close();
  }

  // ---- The size changes -------------------------------------------------------------------------

  resizing(on) {
    this.#resizing = on;
    for (const slot of this.#slots) if (slot.busy) slot.resized = true;
  }

  // ---- Requests ---------------------------------------------------------------------------------

  pump() {
    const blk = this.#blk;
    if (!this.on || !blk) return;
    const touched = new Set();
    for (const slot of this.#slots) {
      if (slot.busy || this.#closed.has(slot.queue) || !blk.rings[slot.queue]) continue;
      if (!this.#prepare(slot)) continue;
      if (blk.add(slot.queue, slot.frame.chain, slot) < 0) {
        this.#release(slot);
        continue;
      }
      this.issued++;
      touched.add(slot.queue);
    }
    for (const queue of touched) blk.submit(queue);
  }

  #prepare(slot) {
    slot.checkPoison();
    const random = this.#random;
    slot.type = this.flushes && slot.type === OUT ? FLUSH : this.#typeOf();
    slot.sectors = slot.type === FLUSH ? 0 : 1 + random.below(SECTORS_MAX);
    // Some reach behind the end of a disk that shrinks.
    slot.sector = random.below(this.#taken.length - SECTORS_MAX);
    if (!this.#mayFit(slot)) return false;
    slot.serial = slot.type === OUT ? ++this.#serial : 0;
    slot.resized = this.#resizing;
    slot.busy = true;
    this.#taken.fill(1, slot.sector, slot.sector + slot.sectors);
    this.#write(slot);
    return true;
  }

  #typeOf() {
    const random = this.#random.below(16);
    if (random < this.writes) return OUT;
    if (random === 15) return FLUSH;
    return random === 14 ? ZEROES : IN;
  }

  #mayFit({ sector, sectors }) {
    for (let s = sector; s < sector + sectors; s++) if (this.#taken[s]) return false;
    return true;
  }

  #write({ frame, type, sector, sectors, serial }) {
    const framing = 'plain';
    if (type === FLUSH) return frame.prepare(type, 0, 0, false, framing);
    if (type === ZEROES) {
      frame.prepare(type, 0, 16, true, framing);
      frame.setData(new Uint8Array(Uint32Array.of(sector, 0, sectors, 0).buffer));
      return;
    }
    frame.prepare(type, sector, sectors * SECTOR, type === OUT, framing);
    const { ram } = this;
    ram.refresh();
    const at = ram.offset(frame.data, sectors * SECTOR) >>> 2;
    if (type === IN) return ram.u32.fill(0xeeeeeeee, at, at + (sectors * SECTOR) / 4);
    for (let i = 0; i < sectors; i++) fillSector(ram.u32, at + i * 128, serial, sector + i);
  }

  #release(slot) {
    slot.busy = false;
    this.#taken.fill(0, slot.sector, slot.sector + slot.sectors);
  }

  // ---- Answers ----------------------------------------------------------------------------------

  finished(slot, written) {
    try {
      if (!slot.busy) throw new Error('a request was answered that was not in flight');
      this.#verify(slot, written);
    } catch (error) {
      this.fail(error);
    }
    this.completed++;
    this.#release(slot);
    this.wake();
  }

  dropped(slot) {
    const { type, sector, sectors, serial } = slot;
    if (type === OUT || type === ZEROES) this.#mayHold(sector, sectors, serial, slot.resized);
    this.droppedCount++;
    this.#release(slot);
    this.wake();
  }

  #mayHold(sector, sectors, serial, resized) {
    this.model.mayHold(sector, sectors, serial);
    if (resized) this.model.mayHold(sector, sectors, 0);
  }

  #verify(slot, written) {
    const { type, sector, sectors, serial, frame, resized } = slot;
    const { status } = frame;
    const what = `request ${type} of sectors ${sector} + ${sectors}`;
    const changes = type === OUT || type === ZEROES;
    if (status !== OK) {
      const behind = sector + sectors > this.model.sectors;
      if (status !== spec.VIRTIO_BLK_S_IOERR || !(behind || resized || this.mayFail)) {
        throw new Error(
          `${what} ended with status ${status}: ${slot.frame.getData().subarray(0, 16)}`,
        );
      }
      this.failed++;
      if (changes && !behind) this.#mayHold(sector, sectors, serial, resized);
      return;
    }
    const length = 1 + (type === IN ? sectors * SECTOR : 0);
    if (written !== length) throw new Error(`${what}: used length ${written}, not ${length}`);
    if (type === FLUSH) return;
    if (sector + sectors > this.model.sectors && !resized) {
      throw new Error(`${what} succeeded behind the end, ${this.model.sectors}`);
    }
    if (changes && resized) this.#mayHold(sector, sectors, serial, true);
    else if (changes) this.model.wrote(sector, sectors, serial);
    else if (!resized) this.#check(frame, sector, sectors, what);
  }

  #check(frame, sector, sectors, what) {
    const { ram, model } = this;
    ram.refresh();
    model.check(ram.u32, ram.offset(frame.data, sectors * SECTOR) >>> 2, sector, sectors, what);
  }
}
