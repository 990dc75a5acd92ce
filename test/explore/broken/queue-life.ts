/** Start, stop, drained sections and moves of queues (MC M8, M11). */

import {
  drainAgainstHandler,
  moveAgainstKick,
  resetAgainstServe,
  sectionAgainstLife,
  startAgainstKick,
  stopAgainstKick,
} from '../programs/queue-life.ts';
import type { BrokenCase } from './case.ts';

const TOUCHES = /the guest's memory/;
const LOST = /0 of 1 requests were served/;
const LEFT = /1 handlers instead of 0/;

const stopCases: BrokenCase[] = [
  {
    name: 'DP-14: a queue runs before all is there that its handler needs',
    program: startAgainstKick({ runsEarly: true }),
    fails: TOUCHES,
  },
  {
    name: 'a stop does not wait until the handler is out of its call',
    program: stopAgainstKick({ stopsBlindly: true }),
    fails: TOUCHES,
  },
  {
    name: 'a handler asks whether the queue runs before it says that it serves, at a stop',
    program: stopAgainstKick({ asksFirst: true }),
    fails: TOUCHES,
  },
  {
    // What was kicked for while the queue was stopped, and found no handler that may serve it.
    name: 'M8a: a start behind a stop looks at no kick that came in between',
    program: stopAgainstKick({ noSelfKick: true, noTestAndClear: true }),
    fails: LOST,
  },
  {
    // Detach looks at the notifier, but the queue serves no more; the kick of attach is for that.
    name: 'M8b: only detach looks for kicks, and the queue is stopped by then',
    program: stopAgainstKick({ noSelfKick: true }),
    fails: LOST,
  },
  {
    name: 'a reset does not wait until the handler is out of its call',
    program: resetAgainstServe({ stopsBlindly: true }),
    fails: TOUCHES,
  },
  {
    name: 'a handler asks whether the queue runs before it says that it serves, at a reset',
    program: resetAgainstServe({ asksFirst: true }),
    fails: TOUCHES,
  },
];

const sectionCases: BrokenCase[] = [
  {
    name: 'M11: a start inside a drained section attaches (historic bug 9)',
    program: sectionAgainstLife({}, { attachesInSection: true }),
    fails: /attached in a drained section/,
  },
  {
    name: 'M11: a stop detaches, and counts as started until later (historic bug 9)',
    program: sectionAgainstLife({}, { stoppedLate: true }),
    fails: LEFT,
  },
  {
    name: 'M11: the end of a drained section attaches what is stopped',
    program: sectionAgainstLife({}, { attachesAnyway: true }),
    fails: LEFT,
  },
  {
    name: 'DP-5: a handler that still runs in a drained section does not ask the gate',
    program: drainAgainstHandler({ passesGate: true }),
    fails: /a request in a section/,
  },
  {
    name: 'DP-5: what such a handler has popped is in no list',
    program: drainAgainstHandler({ forgetsParked: true }),
    fails: LOST,
  },
];

const moveCases: BrokenCase[] = [
  {
    name: 'a thread serves a queue on that it has handed over',
    program: moveAgainstKick({}, { servesAsleep: true }),
    fails: /two threads serve/,
  },
  {
    name: 'what waits stays with the thread that had the queue',
    program: moveAgainstKick({ before: true }, { leavesParked: true }),
    fails: LOST,
  },
];

export const queueLifeCases = [...stopCases, ...sectionCases, ...moveCases];
