/**
 * The data plane of one command queue of virtio-scsi, in the context that serves it: pop, hand over
 * to the logical units, push (design section 1, steps 4 to 10). Around it is what all queues do
 * (`RingQueue`). A closed gate stops the commands of its unit, not the queue. All methods: home
 * thread. QEMU: `virtio_scsi_handle_cmd_vq`.
 */

import { LONG_WAY, type RowTransfer } from '../block/direct-batch.ts';
import { OP_READ, OP_WRITE } from '../block/driver.ts';
import type { BackendLane } from '../block/lane.ts';
import type { Core } from '../engine/core.ts';
import { PLAIN_WRITE, POP_STALLED } from '../engine/engine.ts';
import { QUEUE_BATCH, QUEUE_CAPACITY, SCSI_BUS_SIZES } from '../layout.ts';
import type { CommandMatch, MaybeLater } from '../scsi/bus-messages.ts';
import type { CommandSource, ScsiHome } from '../scsi/home.ts';
import type { ScsiUnit } from '../scsi/unit.ts';
import { EAGAIN } from '../spec.ts';
import { PlainTable } from './blk-plain.ts';
import type { QueueEvents } from './data-plane.ts';
import { RingQueue } from './ring-queue.ts';
import { ScsiCommands } from './scsi-commands.ts';
import type { ScsiQueueConfig } from './scsi-queue-config.ts';
import { lunOf, ScsiRecords, targetOf } from './scsi-records.ts';

/** How many rows, in the result of `scsiCollect`. */
const COUNT_MASK = 0xffff;
/** With less of it a CDB may be cut off, which the unit finds. */
const CDB_PLAIN = 16;

export class ScsiQueue extends RingQueue implements CommandSource {
  declare readonly config: ScsiQueueConfig;
  readonly #core: Core;
  readonly #home: ScsiHome;
  readonly #records: ScsiRecords;
  readonly #commands: ScsiCommands;
  readonly #rows: PlainTable;
  /** Index of QUEUE_BATCH's first word, and of SCSI_BUS_SIZES. */
  readonly #batch: number;
  readonly #sizes: number;
  /** Room for the heads of a batch. */
  readonly #others: Uint32Array;
  /** Lanes whose gate this batch has passed. */
  readonly #plugged: BackendLane[] = [];

  /**
   * `asleep`: another one serves the queue until `take`. Throws a RangeError if the context has no
   * bottom half left; then nothing is left behind.
   */
  constructor(config: ScsiQueueConfig, home: ScsiHome, events: QueueEvents, asleep = false) {
    const { core, context } = home;
    const records = new ScsiRecords(core, config.queue);
    super(config, core, context, records, events, asleep);
    const tell = events.onGuestWrite ?? null;
    this.#core = core;
    this.#home = home;
    this.#records = records;
    this.#commands = new ScsiCommands(core, home, config, records, this.serving, tell);
    this.#commands.onPushed = events.onPushed ?? null;
    this.#commands.onAnswered = this.#answered;
    this.#rows = new PlainTable(core, config.queue);
    this.#batch = records.u32[(config.queue + QUEUE_BATCH) >>> 2]! >>> 2;
    this.#sizes = (config.bus + SCSI_BUS_SIZES) >>> 2;
    this.#others = new Uint32Array(records.u32[(config.queue + QUEUE_CAPACITY) >>> 2]!);
    this.begun('scsi-queue', this.#commands);
    home.sources.add(this);
  }

  protected override closing(): void {
    this.#home.sources.delete(this);
  }

  protected override dropAll(): void {
    this.#commands.forget();
  }

  // ---- Serving ----------------------------------------------------------------------------------

  protected override serveRing(): boolean {
    const { engine } = this.#core;
    const commands = this.#commands;
    const most = this.popMax();
    if (commands.hasAdopted) this.#begin();
    for (;;) {
      // Once for the batch: a driver that changes them meanwhile changes those to come (BG-18).
      const sizes = Atomics.load(this.#records.u32, this.#sizes);
      const cdbSize = sizes & 0xffff;
      const count = engine.scsiPop(this.config.queue, most, cdbSize, sizes >>> 16);
      this.stalled = count === POP_STALLED;
      if (count <= 0) return count === 0;
      this.#serveBatch(count, cdbSize);
      this.budget -= count;
      if (count < most || this.budget <= 0) return true; // the caller looks once more
    }
  }

  /** Commands that were taken over come first. */
  #begin(): void {
    this.#commands.batching = true;
    try {
      this.#commands.begin();
      this.#commands.push();
    } finally {
      this.#commands.batching = false;
    }
  }

  /** Serves QUEUE_BATCH[0 .. count); pushes before the gates are left, so that a drain sees it. */
  #serveBatch(count: number, cdbSize: number): void {
    this.#commands.batching = true;
    try {
      this.#handleHeads(count, cdbSize);
      this.#commands.push();
    } finally {
      this.#commands.batching = false;
      for (let lane = this.#plugged.pop(); lane; lane = this.#plugged.pop()) lane.unplug();
    }
  }

  #handleHeads(count: number, cdbSize: number): void {
    const records = this.#records;
    let last = records.lunWord(records.u32[this.#batch]!);
    for (let at = 0; at < count; ) {
      const word = records.lunWord(records.u32[this.#batch + at]!);
      const unit = cdbSize >= CDB_PLAIN ? this.#plainUnit(word) : null;
      if (unit) {
        if (word !== last) this.#bringForward(word, at, count);
        last = word;
        at += this.#transfer(unit, word, at, count, cdbSize);
        if (at === count || records.lunWord(records.u32[this.#batch + at]!) !== word) continue;
      }
      this.#commands.start(records.u32[this.#batch + at++]!, cdbSize);
    }
  }

  /**
   * Has the commands for one address follow each other in QUEUE_BATCH[at .. count), so that they go
   * to their unit together. Those for an address stay in the driver's order; there is none among
   * units, whose task sets are their own (SAM-5).
   */
  #bringForward(word: number, at: number, count: number): void {
    const records = this.#records;
    const { u32 } = records;
    const others = this.#others;
    let own = this.#batch + at;
    let left = 0;
    for (let i = own; i < this.#batch + count; i++) {
      const head = u32[i]!;
      if (records.lunWord(head) === word) u32[own++] = head;
      else others[left++] = head;
    }
    for (let i = 0; i < left; i++) u32[own + i] = others[i]!;
  }

  /** The unit whose reads and writes may go straight to the lane, if that is so. */
  #plainUnit(word: number): ScsiUnit | null {
    const unit = this.#home.units.at(targetOf(word), lunOf(word));
    if (!unit || this.#commands.tellsWrites || !unit.lane.direct) return null;
    const { words } = unit;
    if (!words.realized || words.hasAttention || !unit.hasMedium) return null;
    return (words.blockSize & (words.blockSize - 1)) === 0 ? unit : null;
  }

  /** Does the plain ones at the front of QUEUE_BATCH[at .. count). How many it has seen to. */
  #transfer(unit: ScsiUnit, word: number, at: number, count: number, cdbSize: number): number {
    const { engine } = this.#core;
    const { queue } = this.config;
    const { lane, config, words } = unit;
    const block = words.blockSize;
    let done = 0;
    for (;;) {
      const from = at + done;
      const found = engine.scsiCollect(queue, from, count - from, config.backend, block, word);
      const rows = found & COUNT_MASK;
      const write = (found & PLAIN_WRITE) !== 0;
      if (rows === 0) return done;
      this.#plug(lane);
      const op = write ? OP_WRITE : OP_READ;
      const may = !write || unit.writable;
      const transfer = may ? lane.transferRows(op, this.#rows.take(rows)) : null;
      this.#records.revalidate();
      if (transfer) {
        const ended = this.#commands.finishRows(from, rows, lane.address);
        transfer.stopClock(op, ended);
        if (ended < rows) this.#startOdd(from, rows, transfer, cdbSize);
      } else this.#startAll(from, rows, cdbSize);
      done += rows;
      if (at + done === count) return done;
    }
  }

  /** The long way, which says why the short one is closed. */
  #startAll(from: number, rows: number, cdbSize: number): void {
    for (let at = from; at < from + rows; at++) {
      this.#commands.start(this.#records.u32[this.#batch + at]!, cdbSize);
    }
  }

  #plug(lane: BackendLane): void {
    if (this.#plugged.includes(lane)) return;
    lane.plug();
    this.#plugged.push(lane);
  }

  /** Those of the rows that have not succeeded: the long way, or the end that they have come to. */
  #startOdd(from: number, rows: number, transfer: RowTransfer, cdbSize: number): void {
    const { results, lengths } = this.#rows.take(rows);
    const odd: [head: number, result: number][] = [];
    for (let i = 0; i < rows; i++) {
      if (results[i] === lengths[i]) continue;
      odd.push([this.#records.u32[this.#batch + from + i]!, transfer.resultOf(results[i]!)]);
    }
    for (const [head, result] of odd) {
      const isOver = result !== LONG_WAY && result !== -EAGAIN;
      this.#commands.start(head, cdbSize, isOver ? result : undefined);
    }
  }

  // ---- Later ------------------------------------------------------------------------------------

  /** A command was answered in a poll, or by a cancel. Inside. */
  readonly #answered = (): void => {
    try {
      this.#commands.push();
    } catch (error) {
      this.threw(error);
    }
    this.afterSettled();
  };

  // ---- Task management --------------------------------------------------------------------------

  cancel(match: CommandMatch, response: 'aborted' | 'reset'): MaybeLater<number> {
    return this.within(0, () => {
      const commands = this.#commands;
      const { batching } = commands; // then the push comes later
      commands.batching = true;
      try {
        const canceled = commands.cancel(match, response, batching);
        if (!batching) commands.push();
        return canceled;
      } finally {
        commands.batching = batching;
      }
    });
  }

  count(match: CommandMatch): number {
    return this.within(0, () => this.#commands.count(match));
  }
}
