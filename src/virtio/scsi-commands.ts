/**
 * The commands of one queue between pop and push: handed to their units, answered, given back. A
 * command is in exactly one of: with a unit (in its lane, parked, or kept by the error policy),
 * taken over and not begun, done; and leaves by `push` or by a reset. Belongs to one `ScsiQueue`
 * and its home thread. QEMU: `virtio_scsi_handle_cmd_req_*`, `virtio_scsi_complete_cmd_req`.
 */

import type { Core } from '../engine/core.ts';
import { QUEUE_CAPACITY, QUEUE_DONE } from '../layout.ts';
import type { CommandMatch, MaybeLater } from '../scsi/bus-messages.ts';
import type { ScsiHome } from '../scsi/home.ts';
import type { ScsiPlace, ScsiRequest, ScsiResponse } from '../scsi/request.ts';
import {
  VIRTIO_SCSI_S_ABORTED,
  VIRTIO_SCSI_S_BAD_TARGET,
  VIRTIO_SCSI_S_FAILURE,
  VIRTIO_SCSI_S_OK,
  VIRTIO_SCSI_S_OVERRUN,
  VIRTIO_SCSI_S_RESET,
} from '../spec.ts';
import type { GuestWriteListener } from './guest-write.ts';
import type { QueueServing } from './queue-serving.ts';
import type { QueueRequests } from './queue-waiting.ts';
import { ChainBuffers } from './scsi-buffers.ts';
import type { ScsiQueueConfig } from './scsi-queue-config.ts';
import { lunOf, NO_TARGET, type ScsiRecords, targetOf } from './scsi-records.ts';

const CODES: Readonly<Record<ScsiResponse, number>> = {
  ok: VIRTIO_SCSI_S_OK,
  overrun: VIRTIO_SCSI_S_OVERRUN,
  aborted: VIRTIO_SCSI_S_ABORTED,
  reset: VIRTIO_SCSI_S_RESET,
  'bad-target': VIRTIO_SCSI_S_BAD_TARGET,
  failure: VIRTIO_SCSI_S_FAILURE,
};

/** A request's number beyond all targets: nobody is there. */
const NOBODY = 256;

export class ScsiCommands implements QueueRequests {
  interrupt = false;
  readonly parked = { heads: () => [...this.#heads('parked'), ...this.#adopted] };
  readonly failed = { heads: () => [...this.#heads('failed'), ...this.#adoptedFailed] };
  /** As `QueueEvents.onPushed`. */
  onPushed: (() => void) | null = null;
  /** A command was answered outside of a batch: push, and tell. Inside (`QueueServing`). */
  onAnswered: () => void = () => {};
  /** Answers are pushed together, at the end of what is going on. */
  batching = false;
  readonly #core: Core;
  readonly #home: ScsiHome;
  readonly #config: ScsiQueueConfig;
  readonly #records: ScsiRecords;
  readonly #guard: QueueServing;
  readonly #onGuestWrite: GuestWriteListener | null;
  /** With their units, by head, oldest first. */
  readonly #requests = new Map<number, ScsiRequest>();
  readonly #buffers: ChainBuffers[];
  /** Taken over from who served the queue before, and not begun. */
  #adopted: number[] = [];
  #adoptedFailed: number[] = [];
  /** Who waits until a command has been given back. */
  readonly #waiting = new Map<ScsiRequest, (() => void)[]>();
  #pushed: (() => void)[] = [];
  /** What ends now is not told to the driver. */
  #dropping = false;
  /** Index of QUEUE_DONE's first word, and how many heads stand there. */
  readonly #done: number;
  #doneCount = 0;

  constructor(
    core: Core,
    home: ScsiHome,
    config: ScsiQueueConfig,
    records: ScsiRecords,
    guard: QueueServing,
    onGuestWrite: GuestWriteListener | null,
  ) {
    this.#core = core;
    this.#home = home;
    this.#config = config;
    this.#records = records;
    this.#guard = guard;
    this.#onGuestWrite = onGuestWrite;
    this.#done = records.u32[(config.queue + QUEUE_DONE) >>> 2]! >>> 2;
    const capacity = records.u32[(config.queue + QUEUE_CAPACITY) >>> 2]!;
    this.#buffers = Array.from({ length: capacity }, (_, head) => {
      return new ChainBuffers(records, head);
    });
  }

  /** Is somebody told of what is written to guest memory, one segment after the other? */
  get tellsWrites(): boolean {
    return this.#onGuestWrite !== null;
  }

  /** In a lane, of whatever epoch. */
  get submitted(): number {
    return this.#heads('lane').length;
  }

  #heads(place: ScsiPlace): number[] {
    return [...this.#requests].filter(([, one]) => one.place === place).map(([head]) => head);
  }

  // ---- To the unit ------------------------------------------------------------------------------

  /**
   * Hands a popped command to its unit. `cdbSize`: bytes of CDB that the driver gave. `result`: if
   * given, its operation has been done already, and ended so.
   */
  start(head: number, cdbSize: number, result?: number): void {
    this.#records.setCdbSize(head, cdbSize);
    this.#submit(this.#request(head), result);
  }

  /** What the unit is given of a command; it is one of ours from here on. */
  #request(head: number): ScsiRequest {
    const records = this.#records;
    const request = this.#home.units.request();
    request.tagLo = records.tagLo(head);
    request.tagHi = records.tagHi(head);
    records.copyCdb(head, request.cdb);
    request.cdbLength = Math.min(records.cdbSize(head), request.cdb.length);
    request.buffers = this.#buffers[head]!.begin();
    request.guard = this.#guard;
    request.owner = head;
    request.done = this.#ended;
    this.#requests.set(head, request);
    return request;
  }

  #submit(request: ScsiRequest, result?: number): void {
    const records = this.#records;
    const { units } = this.#home;
    const word = records.lunWord(request.owner);
    const target = targetOf(word);
    const unit = units.at(target, lunOf(word));
    if (unit?.words.realized && result !== undefined) unit.startDone(request, result);
    else units.submit(request, target === NO_TARGET ? NOBODY : target, lunOf(word));
    records.revalidate();
  }

  /** The unit: a command has ended, in whatever call. */
  readonly #ended = (request: ScsiRequest): void => {
    const head = request.owner;
    const records = this.#records;
    this.#requests.delete(head);
    records.refresh();
    const waiting = this.#waiting.get(request);
    if (waiting) {
      this.#waiting.delete(request);
      this.#pushed.push(...waiting);
    }
    const isOurs = !this.#dropping && !records.isStale(head);
    if (isOurs) this.#complete(head, request);
    request.release();
    if (!this.batching) this.onAnswered();
  };

  #complete(head: number, request: ScsiRequest): void {
    this.#records.respond(head, CODES[request.response], request);
    if (this.#onGuestWrite) this.#records.tellWritable(head, this.#onGuestWrite);
    this.#records.u32[this.#done + this.#doneCount++] = head;
  }

  /** Lists the rows of the plain table that have succeeded, of QUEUE_BATCH[from ..]. How many. */
  finishRows(from: number, count: number, lane: number): number {
    const { engine } = this.#core;
    const ended = engine.scsiFinish(this.#config.queue, from, count, lane, this.#doneCount);
    this.#doneCount += ended;
    return ended;
  }

  /** Gives what is done back to the driver, in one call; who waits for that is told after it. */
  push(): void {
    const count = this.#doneCount;
    this.#doneCount = 0;
    if (count > 0) {
      const wanted = this.#core.engine.scsiPush(this.#config.queue, count);
      if (wanted < 0) throw new Error('scsi: a command was answered twice');
      if (wanted === 1) {
        this.interrupt = true;
        this.onPushed?.();
      }
    }
    if (this.#pushed.length === 0) return;
    const waiting = this.#pushed;
    this.#pushed = [];
    for (const tell of waiting) tell();
  }

  // ---- Task management --------------------------------------------------------------------------

  /** As `CommandSource.cancel`. Inside; the caller pushes, at once unless `later`. */
  cancel(match: CommandMatch, response: 'aborted' | 'reset', later: boolean): MaybeLater<number> {
    const { units } = this.#home;
    const begun = this.#matching(match);
    const adopted = this.#takeAdopted(match).map((head) => this.#request(head));
    const found = [...begun, ...adopted];
    // What is canceled already is only waited for (SC-6).
    const given = found.map((request) => this.#whenGiven(request));
    for (const request of begun) request.unit?.cancel(request, response);
    for (const request of adopted) units.answer(request, response);
    if (!later && found.every((request) => !this.#waiting.has(request))) return found.length;
    return Promise.all(given).then(() => found.length);
  }

  /** Resolves when the driver has been given the command back. */
  #whenGiven(request: ScsiRequest): Promise<void> {
    const waiting = this.#waiting.get(request) ?? [];
    this.#waiting.set(request, waiting);
    return new Promise((given) => waiting.push(given));
  }

  count(match: CommandMatch): number {
    const begun = this.#matching(match).filter((request) => !request.canceled);
    return begun.length + this.#matchingAdopted(match).length;
  }

  /** With a unit, and of this epoch. */
  #matching({ target, lun, tag }: CommandMatch): ScsiRequest[] {
    return [...this.#requests.values()].filter(({ unit, tagLo, tagHi, owner }) => {
      if (unit?.config.scsiId !== target || unit.config.lun !== lun) return false;
      if (this.#records.isStale(owner)) return false;
      return tag === null || (tag[0] === tagLo && tag[1] === tagHi);
    });
  }

  /** Not begun here. */
  #matchingAdopted({ target, lun, tag }: CommandMatch): number[] {
    const records = this.#records;
    return [...this.#adoptedFailed, ...this.#adopted].filter((head) => {
      const word = records.lunWord(head);
      if (targetOf(word) !== target || lunOf(word) !== lun || records.isStale(head)) return false;
      return tag === null || (tag[0] === records.tagLo(head) && tag[1] === records.tagHi(head));
    });
  }

  #takeAdopted(match: CommandMatch): number[] {
    const taken = this.#matchingAdopted(match);
    this.#adopted = this.#adopted.filter((head) => !taken.includes(head));
    this.#adoptedFailed = this.#adoptedFailed.filter((head) => !taken.includes(head));
    return taken;
  }

  // ---- Those that wait --------------------------------------------------------------------------

  /** Begins what was taken over. Each has been begun before, where it took a unit attention. */
  begin(): void {
    const adopted = this.#adopted;
    this.#adopted = [];
    for (const head of adopted) {
      const request = this.#request(head);
      request.retry = true;
      this.#submit(request);
    }
  }

  get hasAdopted(): boolean {
    return this.#adopted.length > 0;
  }

  /** What units have kept they try again by themselves (`ScsiHome`). */
  restartFailed(): void {
    this.#adopted.unshift(...this.#adoptedFailed.splice(0));
  }

  adopt(parked: readonly number[], failed: readonly number[] = []): void {
    const waiting = new Set([...this.#requests.keys(), ...this.#adopted, ...this.#adoptedFailed]);
    for (const head of [...parked, ...failed]) {
      if (!this.#records.isInFlight(head) || waiting.has(head)) {
        throw new RangeError(`scsi: command ${head} does not wait to be taken over`);
      }
      waiting.add(head);
    }
    this.#adopted.push(...parked);
    this.#adoptedFailed.push(...failed);
  }

  /**
   * Reset, or somebody else serves the queue from now on: forgets all commands. Those in a lane
   * still settle, but no byte of theirs is touched. Nothing of it is told to the driver.
   */
  forget(): void {
    this.#dropping = true;
    this.batching = true;
    try {
      for (const request of [...this.#requests.values()]) {
        if (request.io) request.io.abandoned = true;
        request.unit?.cancel(request, 'reset');
      }
    } finally {
      this.#dropping = false;
      this.batching = false;
    }
    this.#adopted = [];
    this.#adoptedFailed = [];
    this.#doneCount = 0;
    this.interrupt = false;
    this.push(); // only tells who waits
  }
}
