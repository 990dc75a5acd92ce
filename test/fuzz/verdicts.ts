/** Which verdicts a run must have seen to count as one. */

import * as layout from '#src/layout';
import type { Twins } from './twins.ts';

/** The verdicts that an engine gives by itself: [name, number]. The others are the device's. */
export const verdicts: readonly [name: string, number: number][] = Object.entries(layout)
  .filter(([name, number]) => name.startsWith('BROKEN_') && number <= layout.BROKEN_SIZE)
  .map(([name, number]) => [name, number as number]);

/** Names of the verdicts that no ring of these runs came to. */
export function unreached(runs: readonly Twins[]): string[] {
  return verdicts
    .filter(([, number]) => runs.every((twins) => twins.verdicts[number] === 0))
    .map(([name]) => name);
}
