/**
 * The fault disk: another disk that fails, delays, reorders or falls short when rules say so. For
 * tests, and for embedders who want to see what their guest does then. QEMU: `block/blkdebug.c`.
 */

import type { Core } from '../engine/core.ts';
import { ECANCELED } from '../spec.ts';
import {
  type BlockDriver,
  type BlockRequest,
  type DriverSpec,
  OP_READ,
  OP_WRITE,
  PENDING,
  type Settles,
} from './driver.ts';
import { errnoOf, errnoOfThrown, OptionError } from './error.ts';
import { checkRules, type FaultRule, holds } from './fault-rule.ts';
import { FaultTable } from './fault-table.ts';
import { SegmentVector } from './io-vector.ts';
import { booleanOption, checkNames, type DriverOptions, integerOption } from './option.ts';
import { type DriverThread, isOpenDriver, openDriver } from './registry.ts';

export type { FaultAction, FaultMatch, FaultRule } from './fault-rule.ts';

export interface FaultOptions {
  /** The disk behind: by name, or open already (then this disk serves its thread only). */
  image: DriverSpec | BlockDriver;
  /** The first rule that acts on a request decides. Default: none. */
  rules?: readonly FaultRule[];
  /** Lets `setRules` bring rules that delay although none was there at the start. */
  'may-delay'?: boolean;
  /** Core address of the rules of a fault disk that is open already (`share`), instead of rules. */
  table?: number;
}

/** A request that waits on its thread: for its time, for its group, or for `release`. */
interface Held {
  readonly request: BlockRequest;
  /** Rule that holds it. */
  readonly rule: FaultRule;
  timer: ReturnType<typeof setTimeout> | null;
}

export class FaultDriver implements BlockDriver {
  readonly driver = 'fault';
  readonly settles: Settles;
  readonly threads: 'any' | 'one';
  readonly clusterDisk = 0;
  readonly image: BlockDriver;
  readonly #table: FaultTable;
  #held: Held[] = [];

  /** Without a `table` in core memory the rules are this thread's alone. */
  constructor(
    image: BlockDriver,
    rules: readonly FaultRule[] = [],
    mayDelay = false,
    table: FaultTable = new FaultTable(),
  ) {
    this.image = image;
    this.settles = mayDelay || rules.some(holds) ? 'loop' : image.settles;
    this.threads = table.address ? image.threads : 'one';
    this.#table = table;
    if (rules.length > 0) this.setRules(rules);
  }

  /** The same image and the same rules, with their counts. */
  get share(): DriverSpec | null {
    const { image } = this;
    const table = this.#table.address;
    if (!image.share || !table) return null;
    const options = { image: image.share, 'may-delay': this.settles === 'loop', table };
    return { driver: this.driver, options };
  }

  several(several: boolean): void {
    this.image.several?.(several);
  }

  resized(size: number): void {
    this.image.resized?.(size);
  }

  get children(): readonly BlockDriver[] {
    return [this.image];
  }

  get size(): number {
    return this.image.size;
  }

  get readOnly(): boolean {
    return this.image.readOnly;
  }

  get alignment(): number {
    return this.image.alignment;
  }

  get fua(): boolean {
    return this.image.fua ?? false;
  }

  /** Requests that wait. */
  get held(): number {
    return this.#held.length;
  }

  /**
   * Replaces the rules and their counts, for all threads that have the disk open. Requests that
   * wait go on waiting. Main.
   */
  setRules(rules: readonly FaultRule[]): void {
    checkRules(rules);
    if (this.settles !== 'loop' && rules.some(holds)) {
      throw new OptionError('rules', rules, "rules that delay only with 'may-delay' set at open");
    }
    this.#table.write(rules);
  }

  /**
   * Lets `count` of this thread's waiting requests (default all) go on, in the order they came or
   * in reverse. Each may settle before this returns. Returns how many went.
   */
  release(count = this.#held.length, order: 'fifo' | 'reverse' = 'fifo'): number {
    const list = order === 'fifo' ? [...this.#held] : this.#held.toReversed();
    return this.#releaseAll(list.slice(0, count));
  }

  submit(request: BlockRequest): number {
    const rule = this.#table.find(request);
    if (!rule) return this.image.submit(request);
    switch (rule.action) {
      case 'fail':
        return -errnoOf(rule.errno ?? 'EIO');
      case 'short':
        return this.#submitShort(request, rule.bytes);
      case 'delay':
      case 'reorder':
        this.#hold(request, rule);
        return PENDING;
    }
  }

  truncate(size: number): number {
    return this.image.truncate(size);
  }

  identity(): string | null {
    return this.image.identity?.() ?? null;
  }

  /** A request that waits here ends at once (BB-25). */
  cancel(request: BlockRequest): void {
    const at = this.#held.findIndex((held) => held.request === request);
    if (at < 0) {
      this.image.cancel?.(request);
      return;
    }
    const [held] = this.#held.splice(at, 1);
    if (held!.timer) clearTimeout(held!.timer);
    request.settle(-ECANCELED);
  }

  /** Waiting requests end with ECANCELED. */
  close(): void | Promise<void> {
    for (const held of this.#held.splice(0)) {
      if (held.timer) clearTimeout(held.timer);
      held.request.settle(-ECANCELED);
    }
    this.#table.close();
    return this.image.close();
  }

  #submitShort(request: BlockRequest, bytes: number): number {
    const { op, offset, flags, length } = request;
    if (bytes >= length || (op !== OP_READ && op !== OP_WRITE)) return this.image.submit(request);
    if (bytes === 0) return 0;
    const vector = new SegmentVector();
    vector.slice(request.vector, 0, bytes);
    const settle = (result: number) => request.settle(result);
    return this.image.submit({ op, offset, length: bytes, flags, vector, settle });
  }

  #hold(request: BlockRequest, rule: FaultRule): void {
    const held: Held = { request, rule, timer: null };
    this.#held.push(held);
    if (rule.action === 'delay' && rule.ms !== undefined) {
      held.timer = setTimeout(() => this.#releaseAll([held]), rule.ms);
    }
    if (rule.action === 'reorder') {
      const group = this.#held.filter((other) => other.rule === rule);
      // Later, since a request may not settle inside its own submit.
      if (group.length === rule.group) setTimeout(() => this.#releaseAll(group.reverse()), 0);
    }
  }

  #releaseAll(list: readonly Held[]): number {
    let released = 0;
    for (const held of list) {
      const at = this.#held.indexOf(held);
      if (at < 0) continue; // released meanwhile, by another way
      this.#held.splice(at, 1);
      if (held.timer) clearTimeout(held.timer);
      this.#carryOut(held);
      released += 1;
    }
    return released;
  }

  #carryOut({ request, rule }: Held): void {
    const errno = rule.action === 'delay' ? rule.errno : undefined;
    const result = errno === undefined ? this.#submitToImage(request) : -errnoOf(errno);
    if (result !== PENDING) request.settle(result);
  }

  /** Nobody is above us to catch what the disk throws: it must not be lost. */
  #submitToImage(request: BlockRequest): number {
    try {
      return this.image.submit(request);
    } catch (thrown) {
      return errnoOfThrown(thrown);
    }
  }
}

export function openFault(
  core: Core,
  options: DriverOptions,
  thread: DriverThread,
): FaultDriver | Promise<FaultDriver> {
  checkNames(options, 'fault', ['image', 'rules', 'may-delay', 'table']);
  const rules = checkRules(options['rules'] ?? []);
  const mayDelay = booleanOption(options, 'may-delay', false);
  const disk = options['image'] as DriverSpec | BlockDriver | undefined;
  if (typeof disk !== 'object' || disk === null) {
    throw new OptionError('image', disk, 'a DriverSpec or an open driver');
  }
  const image = isOpenDriver(disk) ? disk : openDriver(core, disk, thread);
  const address = integerOption(options, 'table', 0, 8, 0xffff_fffc);
  const make = (open: BlockDriver): FaultDriver => {
    const table = address || thread.main ? new FaultTable(core, address || undefined) : undefined;
    return new FaultDriver(open, rules, mayDelay, table);
  };
  return image instanceof Promise ? image.then(make) : make(image);
}
