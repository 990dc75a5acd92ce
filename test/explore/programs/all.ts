/** Every program, with the title of its test: the rows of the behaviour that it shows. */

import { piecesOf } from '../product.ts';
import type { Program } from '../world.ts';
import {
  nestedPolls,
  oneshotAgainstSchedule,
  scheduleAgainstCancel,
  scheduleAgainstDelete,
  scheduleAgainstPoll,
} from './bottom-halves.ts';
import { scheduleDuringWalk, scheduleFromInside, scheduleTwice } from './coroutines.ts';
import { type FlushPieces, flushesAgainstWrites, flushModule } from './flushes.ts';
import { drain } from './gate.ts';
import { detachAgainstKick, drainWhilePolling, setAgainstWatch } from './notifiers.ts';
import { parking } from './parking.ts';
import { cancelAgainstTake, completion, twoWorkers } from './pool.ts';
import {
  drainAgainstHandler,
  moveAgainstKick,
  resetAgainstServe,
  sectionAgainstLife,
  startAgainstKick,
  stopAgainstKick,
} from './queue-life.ts';
import { overlappingRanges } from './ranges.ts';
import { busyPolling, interruptAgainstCollect, kickAgainstServe } from './rings.ts';
import { quiesceAgainstServe } from './serving.ts';
import {
  foreignPoll,
  mail,
  pollBetweenPrepareAndCheck,
  visitsAgainstClose,
  waitAgainstKick,
} from './waking.ts';

type Shown = readonly [title: string, program: Program];

const flushes = await piecesOf<FlushPieces>(flushModule);

/** Ranges of blocks. */
const LEFT = [0, 0] as const;
const RIGHT = [1, 1] as const;
const BOTH = [0, 1] as const;

/** Small enough for all their executions. */
export const small: readonly Shown[] = [
  ['NT-1 NT-2 BH-2 schedule against poll', scheduleAgainstPoll({ producers: 1, rounds: 2 })],
  [
    'NT-1 NT-2 BH-2 two threads that schedule, against poll',
    scheduleAgainstPoll({ producers: 2, rounds: 1 }),
  ],
  [
    'NT-1 NT-2 BH-2 two bottom halves scheduled against poll',
    scheduleAgainstPoll({ producers: 1, rounds: 2, slots: 2 }),
  ],
  [
    'NT-1 GS-1 GS-2 schedule against prepare and check',
    scheduleAgainstPoll({ producers: 1, rounds: 2, loop: 'turn' }),
  ],
  [
    'NT-1 GS-1 GS-2 two threads that schedule, against prepare and check',
    scheduleAgainstPoll({ producers: 2, rounds: 1, loop: 'turn' }),
  ],
  ['NT-3 a blocking poll between prepare and check', pollBetweenPrepareAndCheck()],
  ['NT-5 a foreign poll without blocking is refused', foreignPoll()],
  ['NT-5 a foreign blocking poll is refused', foreignPoll({ blocking: true })],
  ['BH-6 schedule against delete, and the slot used again', scheduleAgainstDelete()],
  ['BH-5 schedule against cancel', scheduleAgainstCancel()],
  ['BH-8 BH-9 nested polls', nestedPolls()],
  ['BH-1 historic bug 5 a slot freed before its schedule notifies', oneshotAgainstSchedule()],
  ['WT-1 a wait against the kick', waitAgainstKick()],
  ['FD-5 visits against the closing of a context', visitsAgainstClose()],
  ['mail to a thread that sleeps', mail({ senders: 1 })],
  ['mail of two threads to one that sleeps', mail({ senders: 2 })],
  ['CO-13 coroutines scheduled from inside and during the walk', scheduleFromInside()],
  ['CO-13 a coroutine scheduled again during the walk', scheduleDuringWalk()],
  ['CO-1 one coroutine scheduled by two threads', scheduleTwice()],
  ['TP-2 TP-3 completion, and a nested wait for another', completion()],
  ['TP-2 two Workers that take two requests', twoWorkers()],
  ['TP-4 cancel against the Worker that takes the request', cancelAgainstTake()],
  ['the drain gate, two lanes', drain({ lanes: 2 })],
  [
    'the drain gate, and main asleep until a leave wakes it',
    drain({ lanes: 1, requests: 2, sleeping: true }),
  ],
  ['BB-8 parking, one drained section', parking()],
  ['BB-7 BB-8 parking, nested sections', parking({ depth: 2 })],
  ['BB-8 historic bug 13 parking, a section behind the other', parking({ sections: 2 })],
  [
    'BB-8 parking, a section behind the other and nobody waits',
    parking({ sections: 2, polls: false }),
  ],
  ['BB-23 two lanes that want one block', overlappingRanges([LEFT, LEFT], { closing: true })],
  ['BB-23 two lanes that want overlapping ranges', overlappingRanges([BOTH, RIGHT])],
  ['BB-24 flushes against writes', flushesAgainstWrites(flushes)],
  ['BB-24 flushes against writes, one fails', flushesAgainstWrites(flushes, { failing: [true] })],
  ['NT-9 a notifier set while its context begins to watch', setAgainstWatch()],
  ['HN-2 historic bug 10 detach of a host notifier against a kick', detachAgainstKick()],
  ['HN-8 historic bug 12 detach and attach in poll mode against a kick', drainWhilePolling()],
  ['the first half of a reset against a thread that serves', quiesceAgainstServe()],
  ['DP-14 HN-3 start of a queue against a kick', startAgainstKick()],
  ['DP-14 HN-2 HN-3 stop and start of a queue against a kick', stopAgainstKick()],
  ['VC-3 DP-14 reset and start of a queue against its handler', resetAgainstServe()],
  ['DP-1 DP-3 historic bug 9 start and stop against a drained section', sectionAgainstLife()],
  [
    'DP-1 DP-3 stop, start and stop against a drained section',
    sectionAgainstLife({ steps: ['stop', 'start', 'stop'] }),
  ],
  [
    'DP-4 HN-3 stop and start against a drained section and a kick',
    sectionAgainstLife({ steps: ['stop', 'start'], kick: true }),
  ],
  ['DP-5 a drained section against a handler that runs', drainAgainstHandler()],
  ['DP-8 BB-8 a queue that changes its thread, kicked before', moveAgainstKick({ before: true })],
  ['DP-8 HN-8 a queue that changes its thread against a kick', moveAgainstKick()],
  ['VQ-9 kicks suppressed by flags', kickAgainstServe()],
  ['VQ-9 kicks suppressed by event index', kickAgainstServe({ eventIdx: true })],
  ['AP-7 HN-9 begin and end of busy polling, flags', busyPolling()],
  ['AP-7 HN-9 begin and end of busy polling, event index', busyPolling({ eventIdx: true })],
  ['VQ-7 interrupts suppressed by flags', interruptAgainstCollect()],
  ['VQ-8 interrupts suppressed by event index', interruptAgainstCollect({ eventIdx: true })],
];

/** Larger ones: executions at random. */
export const large: readonly Shown[] = [
  ['NT-1 NT-2 many schedules', scheduleAgainstPoll({ producers: 3, rounds: 3, slots: 2 })],
  [
    'GS-2 many schedules, in a foreign loop',
    scheduleAgainstPoll({ producers: 3, rounds: 3, slots: 2, loop: 'turn' }),
  ],
  ['FD-5 four visitors', visitsAgainstClose({ visitors: 4 })],
  ['mail of four threads', mail({ senders: 4 })],
  ['the drain gate, three lanes', drain({ lanes: 3, requests: 3, sleeping: true })],
  ['BB-8 parking, two threads', parking({ lanes: 2, sections: 2 })],
  ['BB-23 three lanes, two of which exclude the third', overlappingRanges([LEFT, RIGHT, BOTH])],
  ['VQ-9 many kicks, flags', kickAgainstServe({ count: 16 })],
  ['VQ-9 many kicks, event index', kickAgainstServe({ count: 16, eventIdx: true })],
  ['AP-7 much busy polling, flags', busyPolling({ count: 16 })],
  ['AP-7 much busy polling, event index', busyPolling({ count: 16, eventIdx: true })],
  ['VQ-7 many interrupts, flags', interruptAgainstCollect({ count: 8 })],
  ['VQ-8 many interrupts, event index', interruptAgainstCollect({ count: 8, eventIdx: true })],
];
