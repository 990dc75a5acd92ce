/** What a unit knows of a command before it is begun. */

import type { Step } from './request.ts';
import type { ScsiUnit } from './unit.ts';

export interface Command {
  /** Which way the data go; `none` for a command that has none. */
  readonly direction: 'none' | 'in' | 'out';
  /** Bytes that the CDB wants to move: more than the buffers hold is an overrun (SC-12). */
  readonly transfer: (cdb: Uint8Array, unit: ScsiUnit) => number;
  /** 3A/00 without a medium, or with the tray open. */
  readonly medium: boolean;
  /** Reports a pending unit attention instead of doing anything (SC-11). */
  readonly attention: boolean;
  /** Moves blocks; otherwise at most 64 KiB (SD-13). */
  readonly blocks: boolean;
  readonly run: Step;
}

/** Commands of a type of unit, by operation code. */
export type CommandTable = readonly (Command | undefined)[];

/** A command with the usual answers to what `given` does not say. */
export function command(given: Partial<Command> & Pick<Command, 'run'>): Command {
  return {
    direction: 'none',
    transfer: () => 0,
    medium: true,
    attention: true,
    blocks: false,
    ...given,
  };
}

export function commandTable(...entries: [number, Command][]): CommandTable {
  const table = new Array<Command | undefined>(256).fill(undefined);
  for (const [opcode, entry] of entries) table[opcode] = entry;
  return table;
}
