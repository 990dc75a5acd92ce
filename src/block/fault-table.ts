/**
 * The rules of a fault disk as data, so that all threads that have the disk open go by the same
 * ones and count together: "fail the third write" means the third of all threads.
 *
 *   | generation | count | matched x 64 | rule x 64 |      a rule: 8 doubles, NaN: not given
 *
 * Main writes rules; any thread reads them and counts (atomic).
 */

import type { Core } from '../engine/core.ts';
import { type BlockRequest, OP_FLUSH } from './driver.ts';
import { codeOf, errnoOf } from './error.ts';
import { ACTIONS, type FaultRule, RULES_MAX } from './fault-rule.ts';
import { OPERATION_NAMES, type OperationName, operationName } from './operation.ts';

const COUNT = 4;
const MATCHED = 8;
const RULES = MATCHED + RULES_MAX * 4;
/** Doubles of a rule. */
const FIELDS = 8;
export const TABLE_BYTES = RULES + RULES_MAX * FIELDS * 8;

/** Memory that a table lies in: core memory, or some of its own. */
interface TableMemory {
  readonly i32: Int32Array;
  readonly memory: { readonly buffer: ArrayBuffer | SharedArrayBuffer };
}

export class FaultTable {
  /** Core address, or 0 if the table lies in memory of its own. */
  readonly address: number;
  readonly #memory: TableMemory;
  readonly #core: Core | null;
  /** Rules as last read, and the generation that they are of. */
  #rules: readonly FaultRule[] = [];
  #generation = 0;

  /** `address`: that of a table of another thread. Without a core, only this thread has it. */
  constructor(core?: Core, address?: number) {
    this.#memory = core ?? ownMemory();
    this.#core = core && address === undefined ? core : null;
    this.address = address ?? core?.allocate(TABLE_BYTES) ?? 0;
  }

  /** Frees the table, on the thread that made it. */
  close(): void {
    this.#core?.free(this.address);
  }

  /** Replaces the rules and their counts. Main. */
  write(rules: readonly FaultRule[]): void {
    const { i32 } = this.#memory;
    Atomics.add(i32, this.#at(0), 1); // odd: readers wait
    Atomics.store(i32, this.#at(COUNT), rules.length);
    rules.forEach((rule, i) => {
      this.#fields(i).set(encode(rule));
      Atomics.store(i32, this.#at(MATCHED) + i, 0);
    });
    Atomics.add(i32, this.#at(0), 1);
  }

  /** The first rule that acts on a request. Each rule that it meets on the way counts it. */
  find(request: BlockRequest): FaultRule | undefined {
    this.#refresh();
    return this.#rules.find((rule, i) => this.#acts(rule, i, request));
  }

  #acts(rule: FaultRule, index: number, request: BlockRequest): boolean {
    if (!matchesOp(rule, request) || !touches(rule, request)) return false;
    const { skip = 0, count = Number.POSITIVE_INFINITY } = rule;
    const order = Atomics.add(this.#memory.i32, this.#at(MATCHED) + index, 1) - skip;
    return order >= 0 && order < count;
  }

  /** Reads the rules again if they have changed. */
  #refresh(): void {
    const { i32 } = this.#memory;
    while (Atomics.load(i32, this.#at(0)) !== this.#generation) {
      const generation = Atomics.load(i32, this.#at(0));
      if (generation % 2 !== 0) continue; // main is writing
      const count = Atomics.load(i32, this.#at(COUNT));
      this.#rules = Array.from({ length: count }, (_, i) => decode(this.#fields(i)));
      this.#generation = generation;
    }
  }

  #at(offset: number): number {
    return (this.address + offset) >>> 2;
  }

  #fields(index: number): Float64Array {
    const at = this.address + RULES + index * FIELDS * 8;
    return new Float64Array(this.#memory.memory.buffer, at, FIELDS);
  }
}

function ownMemory(): TableMemory {
  const buffer = new ArrayBuffer(TABLE_BYTES);
  return { i32: new Int32Array(buffer), memory: { buffer } };
}

/** What rules of one action or another have. */
interface AnyRule {
  readonly bytes?: number;
  readonly ms?: number;
  readonly group?: number;
  readonly errno?: string;
}

function encode(rule: FaultRule): number[] {
  const ops: readonly OperationName[] = rule.op === undefined ? OPERATION_NAMES : [rule.op].flat();
  const mask = ops.reduce((bits, op) => bits | (1 << OPERATION_NAMES.indexOf(op)), 0);
  const { bytes, ms, group, errno } = rule as AnyRule;
  const amount = bytes ?? ms ?? group;
  const code = errno === undefined ? undefined : errnoOf(errno);
  const { offset, length, skip, count } = rule;
  return [ACTIONS.indexOf(rule.action), mask, offset, length, skip, count, code, amount].map(
    (field) => field ?? Number.NaN,
  );
}

function decode(fields: Float64Array): FaultRule {
  const [action, mask, offset, length, skip, count, code, amount] = Array.from(fields, (field) =>
    Number.isNaN(field) ? undefined : field,
  );
  const op = OPERATION_NAMES.filter((_, i) => (mask as number) & (1 << i));
  const name = ACTIONS[action as number] as FaultRule['action'];
  const given = Object.entries({
    offset,
    length,
    skip,
    count,
    errno: code === undefined ? undefined : codeOf(code),
    [AMOUNTS[name]]: amount,
  }).filter(([, value]) => value !== undefined);
  return { action: name, op, ...Object.fromEntries(given) } as unknown as FaultRule;
}

/** What a rule's number is called. */
const AMOUNTS = { fail: 'none', short: 'bytes', delay: 'ms', reorder: 'group' } as const;

function matchesOp(rule: FaultRule, request: BlockRequest): boolean {
  return (rule.op as readonly OperationName[]).includes(operationName(request.op));
}

/** A flush touches no byte: a rule with a range leaves it alone. */
function touches(rule: FaultRule, request: BlockRequest): boolean {
  if (rule.offset === undefined && rule.length === undefined) return true;
  if (request.op === OP_FLUSH) return false;
  const from = rule.offset ?? 0;
  const to = from + (rule.length ?? Number.POSITIVE_INFINITY);
  return request.offset < to && request.offset + request.length > from;
}
