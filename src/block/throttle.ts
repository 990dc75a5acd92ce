/**
 * The throttle disk: another disk that takes so many bytes and requests per second, with bursts.
 * All threads that have it open share the limits; each lets its own requests go first in, first
 * out, reads and writes apart. Flushes never wait. QEMU: `block/throttle.c`,
 * `block/throttle-groups.c`.
 *
 * In a drained section the limits stand aside (BB-28). A lane's parts of a long request count one
 * by one.
 */

import type { AioContext } from '../aio/context.ts';
import type { Timer } from '../aio/timer.ts';
import type { Core } from '../engine/core.ts';
import { ECANCELED } from '../spec.ts';
import {
  type BlockDriver,
  type BlockRequest,
  type DriverSpec,
  OP_FLUSH,
  OP_READ,
  PENDING,
  type Settles,
} from './driver.ts';
import { errnoOfThrown, OptionError } from './error.ts';
import { followView } from './followed-view.ts';
import { checkNames, type DriverOptions, integerOption } from './option.ts';
import { type DriverThread, isOpenDriver, openDriver } from './registry.ts';
import { type Direction, READS, ThrottleBuckets, WRITES } from './throttle-buckets.ts';
import { checkLimits, LIMIT_NAMES, limitOptions, type ThrottleLimits } from './throttle-limits.ts';

export type { ThrottleLimits } from './throttle-limits.ts';

export interface ThrottleOptions extends ThrottleLimits {
  /** The disk behind: by name, or open already (then this disk serves its thread only). */
  readonly file: DriverSpec | BlockDriver;
  /** Core address of the buckets of a throttle that is open already (`share`): no limits then. */
  readonly buckets?: number;
}

/** Who waits looks again after this, in ns, since another thread may have changed the limits. */
const LOOK_NS = 100e6;

interface Waiting {
  readonly request: BlockRequest;
  /** The request's memory: views may be replaced while it waits. */
  readonly bytes: () => Uint8Array;
  /** The buckets have counted it: when it may go, on which clock, by which limits. */
  turn: Turn | null;
}

interface Turn {
  readonly at: number;
  readonly clock: ClockName;
  readonly changes: number;
}

type ClockName = 'virtual' | 'realtime';

/** Requests of one direction that wait on this thread, and the timer of the first. */
class WaitingRequests {
  readonly direction: Direction;
  readonly requests: Waiting[] = [];
  readonly timers: Readonly<Record<ClockName, Timer>>;

  constructor(direction: Direction, context: AioContext, due: () => void) {
    const name = `throttle ${direction === READS ? 'reads' : 'writes'}`;
    this.direction = direction;
    this.timers = {
      virtual: context.timer(name, due, 'virtual'),
      realtime: context.timer(name, due, 'realtime'),
    };
  }

  disarm(): void {
    this.timers.virtual.del();
    this.timers.realtime.del();
  }
}

export class ThrottleDriver implements BlockDriver {
  readonly driver = 'throttle';
  /** A timer of the context wakes what waits: the thread may block, if the disk behind allows. */
  readonly settles: Settles;
  readonly threads: 'any' | 'one';
  readonly clusterDisk = 0;
  readonly file: BlockDriver;
  readonly children: readonly BlockDriver[];
  readonly #buckets: ThrottleBuckets;
  readonly #context: AioContext;
  readonly #reads: WaitingRequests;
  readonly #writes: WaitingRequests;
  #clock: ClockName = 'realtime';
  #drained = false;

  constructor(file: BlockDriver, buckets: ThrottleBuckets, context: AioContext) {
    this.file = file;
    this.children = [file];
    this.settles = file.settles === 'loop' ? 'loop' : 'word';
    this.threads = buckets.address ? file.threads : 'one';
    this.#buckets = buckets;
    this.#context = context;
    this.#reads = new WaitingRequests(READS, context, () => this.#serve(this.#reads));
    this.#writes = new WaitingRequests(WRITES, context, () => this.#serve(this.#writes));
  }

  /** The same disk and the same buckets. */
  get share(): DriverSpec | null {
    const { share } = this.file;
    const { address } = this.#buckets;
    if (!share || !address) return null;
    return { driver: this.driver, options: { file: share, buckets: address } };
  }

  get size(): number {
    return this.file.size;
  }

  get readOnly(): boolean {
    return this.file.readOnly;
  }

  get alignment(): number {
    return this.file.alignment;
  }

  get fua(): boolean {
    return this.file.fua ?? false;
  }

  /** Requests that wait on this thread. */
  get waiting(): number {
    return this.#reads.requests.length + this.#writes.requests.length;
  }

  get limits(): ThrottleLimits {
    return limitOptions(this.#buckets.read());
  }

  /**
   * Replaces all limits, for all threads that have the disk open, and empties the buckets. Requests
   * that wait on other threads notice within a tenth of a second. Throws an OptionError, and then
   * nothing has changed. Main.
   */
  setLimits(limits: ThrottleLimits): void {
    checkNames(limits as DriverOptions, 'throttle', LIMIT_NAMES);
    this.#buckets.write(checkLimits(limits as DriverOptions));
    this.#serve(this.#reads);
    this.#serve(this.#writes);
  }

  submit(request: BlockRequest): number {
    const { op, length } = request;
    if (op === OP_FLUSH) return this.file.submit(request);
    const waiting = op === OP_READ ? this.#reads : this.#writes;
    let turn: Turn | null = null;
    if (waiting.requests.length === 0) {
      turn = this.#count(waiting.direction, length);
      if (this.#mayGo(turn)) return this.file.submit(request);
      this.#arm(waiting, turn);
    }
    const bytes = followView(this.#context.core, request.vector.bytes);
    waiting.requests.push({ request, bytes, turn });
    return PENDING;
  }

  truncate(size: number): number {
    return this.file.truncate(size);
  }

  resized(size: number): void {
    this.file.resized?.(size);
  }

  several(several: boolean): void {
    this.file.several?.(several);
  }

  identity(): string | null {
    return this.file.identity?.() ?? null;
  }

  /** All that waits goes to the disk, and nothing waits until `drainedEnd`. */
  drainedBegin(): void {
    this.#drained = true;
    this.#serve(this.#reads);
    this.#serve(this.#writes);
  }

  drainedEnd(): void {
    this.#drained = false;
  }

  /** One that waits here ends at once, with ECANCELED. */
  cancel(request: BlockRequest): void {
    const waiting = request.op === OP_READ ? this.#reads : this.#writes;
    const at = waiting.requests.findIndex((other) => other.request === request);
    if (at < 0) {
      this.file.cancel?.(request);
      return;
    }
    waiting.requests.splice(at, 1);
    if (waiting.requests.length === 0) waiting.disarm();
    request.settle(-ECANCELED);
  }

  /** Waiting requests end with ECANCELED. */
  close(): void | Promise<void> {
    for (const waiting of [this.#reads, this.#writes]) {
      waiting.disarm();
      for (const { request } of waiting.requests.splice(0)) request.settle(-ECANCELED);
    }
    this.#buckets.close();
    return this.file.close();
  }

  /** Lets as many go as may, and arms the timer for the next one. */
  #serve(waiting: WaitingRequests): void {
    const { requests, direction } = waiting;
    waiting.disarm();
    for (let next = requests[0]; next; next = requests[0]) {
      const { turn } = next;
      const holds = turn?.clock === this.#clockName() && turn.changes === this.#buckets.changes;
      next.turn = holds ? turn : this.#count(direction, next.request.length);
      if (!this.#mayGo(next.turn)) {
        this.#arm(waiting, next.turn);
        return;
      }
      requests.shift();
      this.#carryOut(next);
    }
  }

  #count(direction: Direction, bytes: number): Turn {
    const clock = this.#clockName();
    const now = this.#context.clocks[clock].now();
    const wait = this.#buckets.pass(direction, bytes, now);
    return { at: now + wait, clock, changes: this.#buckets.changes };
  }

  #mayGo({ at, clock }: Turn): boolean {
    return this.#drained || at <= this.#context.clocks[clock].now();
  }

  #arm(waiting: WaitingRequests, { at, clock }: Turn): void {
    const look = this.#context.clocks[clock].now() + LOOK_NS;
    waiting.timers[clock].mod(Math.min(at, look));
  }

  /** Nobody is above us to catch what the disk throws: it must not be lost. */
  #carryOut({ request, bytes }: Waiting): void {
    let result: number;
    request.vector.bytes = bytes();
    try {
      result = this.file.submit(request);
    } catch (thrown) {
      result = errnoOfThrown(thrown);
    }
    if (result !== PENDING) request.settle(result);
  }

  /**
   * The machine's time while it runs. Without a machine, and for what the host asks for while the
   * machine is stopped, time goes on by itself: it would wait for ever (QEMU: REALTIME always).
   */
  #clockName(): ClockName {
    const clock = this.#context.clocks.virtual.enabled ? 'virtual' : 'realtime';
    if (clock !== this.#clock) this.#buckets.clockChanged();
    return (this.#clock = clock);
  }
}

export function openThrottle(
  core: Core,
  options: DriverOptions,
  thread: DriverThread,
): ThrottleDriver | Promise<ThrottleDriver> {
  checkNames(options, 'throttle', ['file', 'buckets', ...LIMIT_NAMES]);
  const limits = checkLimits(options);
  const address = integerOption(options, 'buckets', 0, 8, 0xffff_fffc);
  const disk = options['file'] as DriverSpec | BlockDriver | undefined;
  if (typeof disk !== 'object' || disk === null) {
    throw new OptionError('file', disk, 'a DriverSpec or an open driver');
  }
  const { context } = thread;
  if (!context) throw new OptionError('driver', 'throttle', 'one opened for an AioContext');
  const file = isOpenDriver(disk) ? disk : openDriver(core, disk, thread);
  const make = (open: BlockDriver): ThrottleDriver => {
    try {
      const buckets = new ThrottleBuckets(address || thread.main ? core : null, address);
      if (!address) buckets.write(limits);
      return new ThrottleDriver(open, buckets, context);
    } catch (thrown) {
      void open.close();
      throw thrown;
    }
  };
  return file instanceof Promise ? file.then(make) : make(file);
}
