/** Bottom halves, notify, sleeping, polling, visits, mail. */

import {
  nestedPolls,
  scheduleAgainstCancel,
  scheduleAgainstDelete,
  scheduleAgainstPoll,
} from '../programs/bottom-halves.ts';
import {
  foreignPoll,
  mail,
  pollBetweenPrepareAndCheck,
  visitsAgainstClose,
  waitAgainstKick,
} from '../programs/waking.ts';
import { type BrokenCase, js, wasm } from './case.ts';

const twice = { producers: 1, rounds: 2 };
const ASLEEP = /asleep for ever/;

const notifyCases: BrokenCase[] = [
  {
    name: 'M1a: notified is not read again after notify_me += 2',
    program: scheduleAgainstPoll(twice),
    wasm: [wasm('wait', 'return u32(load32(context, CONTEXT_NOTIFIED) == 0);', 'return 1;')],
    js: [js('wait', 'return load(words, context + CONTEXT_NOTIFIED) === 0 ? 1 : 0;', 'return 1;')],
    fails: ASLEEP,
  },
  {
    name: 'M1b: notify_me is read before the work is published (historic bug 4)',
    program: scheduleAgainstPoll(twice),
    wasm: [
      wasm('aio', '  if (!(old & BH_PENDING)) push(', [
        '  const me = load32(context, CONTEXT_NOTIFY_ME);',
        '  if (!(old & BH_PENDING)) push(',
      ]),
      wasm(
        'aio',
        ['at, slot + 1);', '  return notify(context);'],
        ['at, slot + 1);', '  store32(context, CONTEXT_NOTIFIED, 1);', '  return u32(me != 0);'],
      ),
    ],
    js: [
      js('bottom-halves', '  if ((old & BH_PENDING) === 0) push(', [
        '  const me = load(words, context + 8);',
        '  if ((old & BH_PENDING) === 0) push(',
      ]),
      js('bottom-halves', '  return notify(words, context);', [
        '  store(words, context + 4, 1);',
        '  return me === 0 ? 0 : 1;',
      ]),
    ],
    fails: ASLEEP,
  },
  {
    name: 'M1c: notified is published after notify_me was read',
    program: scheduleAgainstPoll(twice),
    wasm: [
      wasm(
        'aio',
        [
          'store32(context, CONTEXT_NOTIFIED, 1);',
          '  return u32(load32(context, CONTEXT_NOTIFY_ME) != 0);',
        ],
        [
          'const me = load32(context, CONTEXT_NOTIFY_ME);',
          '  store32(context, CONTEXT_NOTIFIED, 1);',
          '  return u32(me != 0);',
        ],
      ),
    ],
    js: [
      js(
        'notify',
        [
          'store(words, context + CONTEXT_NOTIFIED, 1);',
          '  return load(words, context + CONTEXT_NOTIFY_ME) === 0 ? 0 : 1;',
        ],
        [
          'const me = load(words, context + CONTEXT_NOTIFY_ME);',
          '  store(words, context + CONTEXT_NOTIFIED, 1);',
          '  return me === 0 ? 0 : 1;',
        ],
      ),
    ],
    fails: ASLEEP,
  },
  {
    name: 'the wake word is read after notify_me += 2',
    program: scheduleAgainstPoll(twice, { wakeWordLate: true }),
    fails: ASLEEP,
  },
  {
    name: 'a waker notifies without counting the wake word up',
    program: scheduleAgainstPoll(twice, { wakeWithoutCount: true }),
    fails: ASLEEP,
  },
  {
    name: 'M2a: the timeout is computed before bit 0 is set (historic bug 4)',
    program: scheduleAgainstPoll({ ...twice, loop: 'turn' }, { timeoutBeforePrepare: true }),
    fails: ASLEEP,
  },
  {
    name: 'prepare leaves bit 0 alone',
    program: scheduleAgainstPoll({ ...twice, loop: 'turn' }),
    wasm: [wasm('aio', ['  or32(context, CONTEXT_NOTIFY_ME, 1);', ''], '')],
    js: [js('notify', ['  or(words, context + CONTEXT_NOTIFY_ME, 1);', ''], '')],
    fails: ASLEEP,
  },
  {
    name: 'the end of a blocking wait clears bit 0, too',
    program: pollBetweenPrepareAndCheck(),
    wasm: [
      wasm(
        'wait',
        'sub32(context, CONTEXT_NOTIFY_ME, 2);',
        'sub32(context, CONTEXT_NOTIFY_ME, load32(context, CONTEXT_NOTIFY_ME));',
      ),
    ],
    js: [
      js(
        'wait',
        'sub(words, context + CONTEXT_NOTIFY_ME, 2);',
        'sub(words, context + CONTEXT_NOTIFY_ME, load(words, context + CONTEXT_NOTIFY_ME));',
      ),
    ],
    fails: ASLEEP,
  },
];

const anyThread = {
  wasm: [wasm('wait', ['  if (home != 0 && home != thread) return 0;', ''], '')],
  js: [js('wait', ['  if (home !== 0 && home !== thread) return 0;', ''], '')],
};

const pollerCases: BrokenCase[] = [
  {
    name: 'M1e: a second thread may poll, without blocking (historic bug 3)',
    program: foreignPoll(),
    ...anyThread,
    fails: ASLEEP,
  },
  {
    name: 'M1g: a second thread may poll, blocking',
    program: foreignPoll({ blocking: true }),
    ...anyThread,
    fails: ASLEEP,
  },
  {
    name: 'M6a: the condition is read before the waiter counts itself',
    program: waitAgainstKick({ conditionFirst: true }),
    fails: ASLEEP,
  },
  {
    name: 'M6b: the kick looks for waiters before the condition is written',
    program: waitAgainstKick({ kickFirst: true }),
    fails: ASLEEP,
  },
  {
    name: 'a kick does not set notified',
    program: waitAgainstKick(),
    wasm: [
      wasm(
        'wait',
        'return notify(main) ? main : 0;',
        'return load32(main, CONTEXT_NOTIFY_ME) ? main : 0;',
      ),
    ],
    js: [
      js(
        'wait',
        'return notify(words, main) === 0 ? 0 : main | 0;',
        'return load(words, main + CONTEXT_NOTIFY_ME) === 0 ? 0 : main | 0;',
      ),
    ],
    fails: ASLEEP,
  },
  {
    name: 'a visitor looks and counts in two steps',
    program: visitsAgainstClose(),
    wasm: [
      wasm('wait', 'const seen = compareExchange32(context, CONTEXT_VISITS, visits, visits + 1);', [
        'add32(context, CONTEXT_VISITS, 1);',
        '    const seen = visits;',
      ]),
    ],
    js: [
      js('wait', 'if (compareExchange(words, at, visits, visits + 1) === visits) return 1;', [
        'add(words, at, 1);',
        '    return 1;',
      ]),
    ],
    fails: /freed/,
  },
  {
    name: 'closing looks for visitors and closes in two steps',
    program: visitsAgainstClose(),
    wasm: [
      wasm(
        'wait',
        'return u32(compareExchange32(context, CONTEXT_VISITS, 0, VISITS_CLOSED) == 0);',
        [
          'if (load32(context, CONTEXT_VISITS) != 0) return 0;',
          '  add32(context, CONTEXT_VISITS, VISITS_CLOSED);',
          '  return 1;',
        ],
      ),
    ],
    js: [
      js(
        'wait',
        'return compareExchange(words, context + CONTEXT_VISITS, 0, VISITS_CLOSED) === 0 ? 1 : 0;',
        [
          'if (load(words, context + CONTEXT_VISITS) !== 0) return 0;',
          '  add(words, context + CONTEXT_VISITS, VISITS_CLOSED);',
          '  return 1;',
        ],
      ),
    ],
    fails: /freed/,
  },
  {
    name: 'mail is counted after the notify',
    program: mail(),
    wasm: [
      wasm(
        'wait',
        ['add32(context, CONTEXT_MAIL_SENT, 1);', '  return notify(context);'],
        [
          'const told = notify(context);',
          '  add32(context, CONTEXT_MAIL_SENT, 1);',
          '  return told;',
        ],
      ),
    ],
    js: [
      js(
        'wait',
        ['add(words, context + CONTEXT_MAIL_SENT, 1);', '  return notify(words, context);'],
        [
          'const told = notify(words, context);',
          '  add(words, context + CONTEXT_MAIL_SENT, 1);',
          '  return told;',
        ],
      ),
    ],
    fails: ASLEEP,
  },
];

const bottomHalfCases: BrokenCase[] = [
  {
    name: 'M3a: flags are cleared after the callback',
    program: scheduleAgainstPoll(twice, { clearAfterCallback: true }),
    wasm: [
      wasm('aio', '((clearFlags(at) & BH_FLAGS_MASK)', '((load32(at, SLOT_FLAGS) & BH_FLAGS_MASK)'),
    ],
    js: [
      js(
        'bottom-halves',
        '(leave(words, address + SLOT_FLAGS) << 16)',
        '((load(words, address + SLOT_FLAGS) & BH_FLAGS_MASK) << 16)',
      ),
    ],
    fails: ASLEEP,
  },
  {
    name: 'M3b: PENDING is cleared before the slot is unlinked',
    program: scheduleAgainstPoll({ ...twice, slots: 2 }),
    wasm: [
      wasm(
        'aio',
        [
          '  const next = load32(at, SLOT_NEXT);',
          '  store<u32>(context, next, CONTEXT_READY_HEAD);',
        ],
        [
          '  const flags = clearFlags(at);',
          '  const next = load32(at, SLOT_NEXT);',
          '  store<u32>(context, next, CONTEXT_READY_HEAD);',
        ],
      ),
      wasm('aio', '((clearFlags(at) & BH_FLAGS_MASK)', '((flags & BH_FLAGS_MASK)'),
    ],
    js: [
      js(
        'bottom-halves',
        ['  const next = load(words, address + SLOT_NEXT);', ''],
        [
          '  const flags = leave(words, address + SLOT_FLAGS);',
          '  const next = load(words, address + SLOT_NEXT);',
          '',
        ],
      ),
      js('bottom-halves', '(leave(words, address + SLOT_FLAGS) << 16)', '(flags << 16)'),
    ],
    fails: ASLEEP,
  },
  {
    name: 'cancel stores the flags it has read',
    program: scheduleAgainstCancel(),
    wasm: [
      wasm(
        'aio',
        'const seen = compareExchange32(at, SLOT_FLAGS, old, old & ~(<u32>BH_SCHEDULED));',
        ['store32(at, SLOT_FLAGS, old & ~(<u32>BH_SCHEDULED));', '    const seen = old;'],
      ),
    ],
    js: [
      js(
        'bottom-halves',
        'if (compareExchange(words, address, old, (old & ~clear) | set) === old) {',
        ['store(words, address, (old & ~clear) | set);', '    {'],
      ),
    ],
    fails: /pending|lost|runs|round for ever/,
  },
  {
    name: 'a stale handle schedules the slot of another',
    program: scheduleAgainstDelete(),
    wasm: [
      wasm(
        'aio',
        'return flags >>> BH_GENERATION_SHIFT != (generation & GENERATION_MASK);',
        'return false;',
      ),
    ],
    js: [
      js(
        'bottom-halves',
        ['    if (generationOf(old) !== (generation & GENERATION_MASK)) return -1;', ''],
        '',
      ),
    ],
    fails: /ran \d times|pending|not empty|ready/,
  },
  {
    name: 'cancel clears PENDING, too',
    program: scheduleAgainstCancel(),
    wasm: [
      wasm('aio', 'old & ~(<u32>BH_SCHEDULED));', 'old & ~(<u32>(BH_SCHEDULED | BH_PENDING)));'),
    ],
    js: [
      js(
        'bottom-halves',
        'generation, BH_SCHEDULED, 0);',
        'generation, BH_SCHEDULED | BH_PENDING, 0);',
      ),
    ],
    fails: /round for ever|pending|not empty|ready|lost|runs/,
  },
  {
    name: 'the timeout overlooks what an outer poll has taken',
    program: nestedPolls(),
    wasm: [wasm('aio', 'pendingFrom(context, load<u32>(context, CONTEXT_READY_HEAD)),', '<u32>0,')],
    js: [
      js(
        'bottom-halves',
        'urgency(words, context, words[(context + CONTEXT_READY_HEAD) >>> 2]!);',
        '0 as number;',
      ),
    ],
    fails: ASLEEP,
  },
];

export const loopCases = [...notifyCases, ...pollerCases, ...bottomHalfCases];
