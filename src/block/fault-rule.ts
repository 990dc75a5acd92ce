/** Rules of the fault driver: plain data that says which requests go wrong, and how. */

import { isErrnoCode, OptionError } from './error.ts';
import { OPERATION_NAMES, type OperationName } from './operation.ts';

export interface FaultMatch {
  /** Requests of this kind, or of these kinds; default all. */
  readonly op?: OperationName | readonly OperationName[];
  /** Requests that touch `length` bytes (default: to the end) at `offset` (default 0). */
  readonly offset?: number;
  readonly length?: number;
  /** Lets so many matching requests pass first. */
  readonly skip?: number;
  /** Acts on so many matching requests, of all threads; default on all. */
  readonly count?: number;
}

export type FaultAction =
  /** Does not reach the disk; ends at once with `errno`, by default EIO. */
  | { readonly action: 'fail'; readonly errno?: string }
  /** Moves at most `bytes` bytes. */
  | { readonly action: 'short'; readonly bytes: number }
  /** Waits `ms`, or without it for `release()`; then goes to the disk, or fails with `errno`. */
  | { readonly action: 'delay'; readonly ms?: number; readonly errno?: string }
  /** Waits until `group` requests wait, then they go to the disk, the last one first. */
  | { readonly action: 'reorder'; readonly group: number };

export type FaultRule = FaultMatch & FaultAction;

/** A fault disk has so many rules at most. */
export const RULES_MAX = 64;
export const ACTIONS: readonly string[] = ['fail', 'short', 'delay', 'reorder'];

/** Does this rule make requests settle later? */
export function holds(rule: FaultRule): boolean {
  return rule.action === 'delay' || rule.action === 'reorder';
}

/** Refuses rules that say nothing sensible, naming the first one that does not. */
export function checkRules(value: unknown): readonly FaultRule[] {
  if (!Array.isArray(value) || value.length > RULES_MAX) {
    throw new OptionError('rules', value, `a list of at most ${RULES_MAX} rules`);
  }
  value.forEach((rule, i) => {
    checkRule(rule as Record<string, unknown>, `rules[${i}]`);
  });
  return value as readonly FaultRule[];
}

function checkRule(rule: Record<string, unknown>, name: string): void {
  if (typeof rule !== 'object' || rule === null) throw new OptionError(name, rule, 'a rule');
  if (!ACTIONS.includes(rule['action'] as string)) {
    throw new OptionError(`${name}.action`, rule['action'], ACTIONS.join(', '));
  }
  for (const op of rule['op'] === undefined ? [] : [rule['op']].flat()) {
    if (!OPERATION_NAMES.includes(op as OperationName))
      throw new OptionError(`${name}.op`, op, OPERATION_NAMES.join(', '));
  }
  const errno = rule['errno'];
  if (errno !== undefined && !(typeof errno === 'string' && isErrnoCode(errno))) {
    throw new OptionError(`${name}.errno`, errno, "a code as 'EIO' or 'ENOSPC'");
  }
  for (const field of ['offset', 'length', 'skip', 'count', 'bytes', 'ms']) {
    const given = rule[field];
    if (given === undefined || (Number.isFinite(given) && (given as number) >= 0)) continue;
    throw new OptionError(`${name}.${field}`, given, 'numbers from 0');
  }
  if (rule['action'] === 'short' && rule['bytes'] === undefined) {
    throw new OptionError(`${name}.bytes`, undefined, 'numbers from 0');
  }
  const group = rule['group'];
  if (rule['action'] === 'reorder' && !(Number.isInteger(group) && (group as number) >= 2)) {
    throw new OptionError(`${name}.group`, group, 'whole numbers from 2');
  }
}
