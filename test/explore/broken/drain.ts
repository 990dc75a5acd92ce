/**
 * Drained sections: parking (MC M4), who wakes main (MC M5, M6), flushes and ranges. QEMU's parked
 * requests are in one list with a lock, which the end of a section empties; ours are in a list of
 * their home thread's, which every end of an outermost section has looked through there. So what is
 * wrong in a variant of the model is another step here.
 */

import { piecesOf } from '../product.ts';
import {
  type BrokenFlush,
  type FlushPieces,
  flushesAgainstWrites,
  flushModule,
} from '../programs/flushes.ts';
import { parking } from '../programs/parking.ts';
import { overlappingRanges } from '../programs/ranges.ts';
import type { BrokenCase } from './case.ts';

const ASLEEP = /asleep for ever/;
const BLOCK = [0, 0] as const;
const IN_SECTION = /a request in a section/;

const parkingCases: BrokenCase[] = [
  {
    // The section ends between home's look at the gate and its word that something is parked.
    name: 'M4a: only who has said that something is parked is told of the end',
    program: parking({}, { toldIfParked: true }),
    fails: ASLEEP,
  },
  {
    // The same where main never waits; and the other way round, told before it is true.
    name: 'M4b: only who has said so is told, in a section that waits for nobody',
    program: parking({ polls: false }, { toldIfParked: true }),
    fails: ASLEEP,
  },
  {
    name: 'M4b: home is told of the end before the gate opens',
    program: parking({ polls: false }, { toldBeforeOpen: true }),
    fails: ASLEEP,
  },
  {
    // Between home's look and its count the next section has begun, and found nothing in flight.
    name: 'M4c: what comes back counts itself in after it has looked (historic bug 13)',
    program: parking({ sections: 2 }, { countsLate: true }),
    fails: IN_SECTION,
  },
  {
    name: 'M4d: main takes the list of what is parked, in no order with home',
    program: parking({}, { mainTakesList: true }),
    fails: ASLEEP,
  },
  {
    name: 'the end of an inner section brings back what is parked, that of the outermost does not',
    program: parking({ depth: 2 }, { innerEndTells: true }),
    fails: ASLEEP,
  },
  {
    // The graph lock's last reader, which kicks only a writer that has said that it waits.
    name: 'M5a: a leave wakes main only if main has said that it waits (historic bug 14)',
    program: parking({}, { wakesWhoWaits: true }),
    fails: ASLEEP,
  },
  {
    name: 'who is refused at the gate wakes nobody, though it was counted for a moment',
    program: parking({}, { refusalIsSilent: true }),
    fails: ASLEEP,
  },
  {
    name: 'M6a: a drain looks who is in flight before it says that it waits',
    program: parking({}, { looksFirst: true }),
    fails: ASLEEP,
  },
  {
    name: 'M6b: a request wakes main before it counts itself out',
    program: parking({}, { wakesFirst: true }),
    fails: ASLEEP,
  },
];

const rangeCases: BrokenCase[] = [
  {
    name: 'who finds a range locked says that it waits, and does not look again',
    program: overlappingRanges([BLOCK, BLOCK], {}, { noSecondLook: true }),
    fails: ASLEEP,
  },
  {
    name: 'who unlocks a range looks who waits before it clears the lock',
    program: overlappingRanges([BLOCK, BLOCK], {}, { wakesFirst: true }),
    fails: ASLEEP,
  },
  {
    name: 'a seat at the range locks is given back under somebody who wakes it',
    program: overlappingRanges([BLOCK, BLOCK], { closing: true }, { closesBlindly: true }),
    fails: /schedules what has gone/,
  },
];

/** A text of the module's; what stands there instead. */
async function flushCase(name: string, broken: BrokenFlush, ...texts: readonly [string, string][]) {
  const edits = texts.map(([text, replacement]) => ({
    file: `src/${flushModule}.ts`,
    text,
    replacement,
  }));
  const pieces = await piecesOf<FlushPieces>(flushModule, edits);
  const failing = [name.includes('fail')];
  const program = flushesAgainstWrites(pieces, { failing }, broken);
  return { name, program, fails: /a write is not stable/ };
}

const BEGUN = '  Atomics.add(words, (backend + BACKEND_FLUSHES_BEGUN) >>> 2, 1);\n';
const CLEAN = '  Atomics.store(words, (backend + BACKEND_DIRTY) >>> 2, 0);\n';
const FAILED = '  if (!covered) Atomics.store(words, (backend + BACKEND_DIRTY) >>> 2, 1);\n';
const ENDED = '  Atomics.add(words, (backend + BACKEND_FLUSHES_ENDED) >>> 2, 1);\n';

const flushCases: BrokenCase[] = await Promise.all([
  flushCase('a write is told of before it is noted', { toldFirst: true }),
  flushCase('a disk counts as clean before the flush has begun', {}, [
    BEGUN + CLEAN,
    CLEAN + BEGUN,
  ]),
  flushCase(
    'a disk counts as clean when a flush has ended, whatever was written meanwhile',
    {},
    [CLEAN, ''],
    [FAILED, FAILED.replace('if (!covered) ', '').replace(', 1)', ', covered ? 0 : 1)')],
  ),
  flushCase('a flush has ended before it is said that it failed', {}, [
    FAILED + ENDED,
    ENDED + FAILED,
  ]),
  flushCase('nobody is told that a flush failed', {}, [FAILED, '  void covered;\n']),
  flushCase('who skips a flush does not look whether one has begun meanwhile', {}, [
    'return Atomics.load(words, begun) === before;',
    'return true;',
  ]),
]);

export const drainCases = [...parkingCases, ...rangeCases, ...flushCases];
