/** Sleeping, polling, visits, waiters, mail (NT-2, NT-3, NT-5, NT-12, FD-5, WT-1). */
const SLEEPER = 'NT-2 a sleeper raises notify_me before it looks';
const VISIT = 'FD-5 a visit and a closing at once';
const KICK = 'WT-1 a kick tells main if somebody waits';

export const wait = [
  {
    name: 'sleep/notified is read before notify_me is raised',
    steps: SLEEPER,
    wasm: [
      'wait',
      `  add32(context, CONTEXT_NOTIFY_ME, 2);
  return u32(load32(context, CONTEXT_NOTIFIED) == 0);`,
      `  const notified = load32(context, CONTEXT_NOTIFIED);
  add32(context, CONTEXT_NOTIFY_ME, 2);
  return u32(notified == 0);`,
    ],
    js: [
      'wait',
      `  add(words, context + CONTEXT_NOTIFY_ME, 2);
  return load(words, context + CONTEXT_NOTIFIED) === 0 ? 1 : 0;`,
      `  const notified = load(words, context + CONTEXT_NOTIFIED);
  add(words, context + CONTEXT_NOTIFY_ME, 2);
  return notified === 0 ? 1 : 0;`,
    ],
  },
  {
    name: 'sleep/notified is not read again',
    suite: 'NT-2 what was notified before keeps it awake',
    steps: SLEEPER,
    wasm: ['wait', 'return u32(load32(context, CONTEXT_NOTIFIED) == 0);', 'return 1;'],
    js: ['wait', 'return load(words, context + CONTEXT_NOTIFIED) === 0 ? 1 : 0;', 'return 1;'],
  },
  {
    name: 'sleep/notify_me is not raised',
    suite: 'NT-2 a blocking poll raises notify_me by 2',
    wasm: ['wait', '  add32(context, CONTEXT_NOTIFY_ME, 2);\n', ''],
    js: ['wait', '  add(words, context + CONTEXT_NOTIFY_ME, 2);\n', ''],
  },
  {
    name: 'sleep/notify_me is set, not counted',
    suite: 'NT-3 a blocking poll in a foreign loop',
    wasm: [
      'wait',
      'add32(context, CONTEXT_NOTIFY_ME, 2);',
      'store<u32>(context, 2, CONTEXT_NOTIFY_ME);',
    ],
    js: [
      'wait',
      'add(words, context + CONTEXT_NOTIFY_ME, 2);',
      'words[(context + CONTEXT_NOTIFY_ME) >>> 2] = 2;',
    ],
  },
  {
    name: 'sleep/notify_me is raised in two steps',
    steps: 'NT-3 two that sleep, or prepare, at once',
    wasm: [
      'wait',
      'add32(context, CONTEXT_NOTIFY_ME, 2);',
      'const old = load32(context, CONTEXT_NOTIFY_ME);\n  load32(context, CONTEXT_NOTIFIED);\n  store<u32>(context, old + 2, CONTEXT_NOTIFY_ME);',
    ],
    js: [
      'wait',
      'add(words, context + CONTEXT_NOTIFY_ME, 2);',
      'const old = load(words, context + CONTEXT_NOTIFY_ME);\n  load(words, context + CONTEXT_NOTIFIED);\n  words[(context + CONTEXT_NOTIFY_ME) >>> 2] = old + 2;',
    ],
  },
  {
    name: 'sleep/awake, and notify_me stays',
    suite: 'NT-2 a blocking poll raises notify_me by 2',
    wasm: ['wait', '  sub32(context, CONTEXT_NOTIFY_ME, 2);\n', ''],
    js: ['wait', '  sub(words, context + CONTEXT_NOTIFY_ME, 2);\n', ''],
  },
  {
    name: 'sleep/awake, and all of notify_me is gone',
    suite: 'NT-3 a blocking poll in a foreign loop',
    wasm: [
      'wait',
      'sub32(context, CONTEXT_NOTIFY_ME, 2);',
      'store<u32>(context, 0, CONTEXT_NOTIFY_ME);',
    ],
    js: [
      'wait',
      'sub(words, context + CONTEXT_NOTIFY_ME, 2);',
      'words[(context + CONTEXT_NOTIFY_ME) >>> 2] = 0;',
    ],
  },
  {
    name: 'sleep/awake without accept',
    suite: 'NT-2 what was notified before keeps it awake',
    wasm: ['wait', '  accept(context);\n', ''],
    js: ['wait', '  accept(words, context);\n', ''],
  },
  {
    name: 'sleep/accepts before it lowers notify_me',
    steps: 'NT-2 it lowers notify_me, then accepts',
    wasm: [
      'wait',
      '  sub32(context, CONTEXT_NOTIFY_ME, 2);\n  accept(context);',
      '  accept(context);\n  sub32(context, CONTEXT_NOTIFY_ME, 2);',
    ],
    js: [
      'wait',
      '  sub(words, context + CONTEXT_NOTIFY_ME, 2);\n  accept(words, context);',
      '  accept(words, context);\n  sub(words, context + CONTEXT_NOTIFY_ME, 2);',
    ],
  },
  {
    name: 'home/a foreign poll is let in',
    suite: 'NT-5 a poll is for the home thread',
    wasm: ['wait', '  if (home != 0 && home != thread) return 0;\n', ''],
    js: ['wait', '  if (home !== 0 && home !== thread) return 0;\n', ''],
  },
  {
    name: 'home/a context without a home lets nobody in',
    suite: 'NT-12 with no home any thread polls',
    wasm: ['wait', 'if (home != 0 && home != thread)', 'if (home != thread)'],
    js: ['wait', 'if (home !== 0 && home !== thread)', 'if (home !== thread)'],
  },
  {
    name: 'home/thread 0 polls anything',
    suite: 'NT-5 a poll is for the home thread',
    wasm: ['wait', 'home != 0 && home != thread', 'home != 0 && thread != 0 && home != thread'],
    js: ['wait', 'home !== 0 && home !== thread', 'home !== 0 && thread !== 0 && home !== thread'],
  },
  {
    name: 'home/polls are not counted',
    suite: 'NT-5 a poll is for the home thread',
    wasm: ['wait', 'load<u32>(context, CONTEXT_DEPTH) + 1', '<u32>1'],
    js: [
      'wait',
      'words[(context + CONTEXT_DEPTH) >>> 2]! += 1;',
      'words[(context + CONTEXT_DEPTH) >>> 2] = 1;',
    ],
  },
  {
    name: 'home/the end of a poll is not kept',
    suite: 'NT-5 a poll is for the home thread',
    wasm: ['wait', '  store<u32>(context, depth, CONTEXT_DEPTH);\n', ''],
    js: ['wait', '  words[at]! -= 1;\n  return words[at]!;', '  return words[at]! - 1;'],
  },
  {
    name: 'visit/a closed context lets visitors in',
    suite: 'FD-5 a context closes when nobody visits it',
    steps: VISIT,
    wasm: ['wait', 'while (visits < <u32>VISITS_CLOSED)', 'while (visits <= <u32>VISITS_CLOSED)'],
    js: ['wait', 'if (visits >= VISITS_CLOSED) return 0;', ''],
  },
  {
    name: 'visit/not counted',
    suite: 'FD-5 a context closes when nobody visits it',
    wasm: ['wait', 'CONTEXT_VISITS, visits, visits + 1)', 'CONTEXT_VISITS, visits, visits)'],
    js: [
      'wait',
      'compareExchange(words, at, visits, visits + 1)',
      'compareExchange(words, at, visits, visits)',
    ],
  },
  {
    name: 'visit/who comes in asks first and counts then',
    steps: [VISIT, 'FD-5 visitors that come and go at once'],
    wasm: [
      'wait',
      'const seen = compareExchange32(context, CONTEXT_VISITS, visits, visits + 1);\n    if (seen == visits) return 1;\n    visits = seen;',
      'load32(context, CONTEXT_VISITS);\n    store<u32>(context, visits + 1, CONTEXT_VISITS);\n    return 1;',
    ],
    js: [
      'wait',
      'if (compareExchange(words, at, visits, visits + 1) === visits) return 1;',
      'load(words, at);\n    words[at >>> 2] = visits + 1;\n    return 1;',
    ],
  },
  {
    name: 'visit/a failed count is not tried again',
    steps: 'FD-5 visitors that come and go at once',
    wasm: [
      'wait',
      '    if (seen == visits) return 1;\n    visits = seen;',
      '    return u32(seen == visits);',
    ],
    js: [
      'wait',
      'if (compareExchange(words, at, visits, visits + 1) === visits) return 1;',
      'return compareExchange(words, at, visits, visits + 1) === visits ? 1 : 0;',
    ],
  },
  {
    name: 'visit/who leaves stays counted',
    suite: 'FD-5 a context closes when nobody visits it',
    wasm: ['wait', '  sub32(context, CONTEXT_VISITS, 1);\n', ''],
    js: ['wait', '  sub(words, context + CONTEXT_VISITS, 1);\n', ''],
  },
  {
    name: 'visit/who leaves reads and writes in two steps',
    steps: 'FD-5 visitors that come and go at once',
    wasm: [
      'wait',
      'sub32(context, CONTEXT_VISITS, 1);',
      'const old = load32(context, CONTEXT_VISITS);\n  load32(context, CONTEXT_VISITS);\n  store<u32>(context, old - 1, CONTEXT_VISITS);',
    ],
    js: [
      'wait',
      'sub(words, context + CONTEXT_VISITS, 1);',
      'const old = load(words, context + CONTEXT_VISITS);\n  load(words, context + CONTEXT_VISITS);\n  words[(context + CONTEXT_VISITS) >>> 2] = old - 1;',
    ],
  },
  {
    name: 'visit/closed with a visitor inside',
    suite: 'FD-5 a context closes when nobody visits it',
    wasm: [
      'wait',
      'return u32(compareExchange32(context, CONTEXT_VISITS, 0, VISITS_CLOSED) == 0);',
      'add32(context, CONTEXT_VISITS, VISITS_CLOSED);\n  return 1;',
    ],
    js: [
      'wait',
      'return compareExchange(words, context + CONTEXT_VISITS, 0, VISITS_CLOSED) === 0 ? 1 : 0;',
      'add(words, context + CONTEXT_VISITS, VISITS_CLOSED);\n  return 1;',
    ],
  },
  {
    name: 'visit/looks, and then closes',
    steps: VISIT,
    wasm: [
      'wait',
      'return u32(compareExchange32(context, CONTEXT_VISITS, 0, VISITS_CLOSED) == 0);',
      'if (load32(context, CONTEXT_VISITS) != 0) return 0;\n  add32(context, CONTEXT_VISITS, VISITS_CLOSED);\n  return 1;',
    ],
    js: [
      'wait',
      'return compareExchange(words, context + CONTEXT_VISITS, 0, VISITS_CLOSED) === 0 ? 1 : 0;',
      'if (load(words, context + CONTEXT_VISITS) !== 0) return 0;\n  add(words, context + CONTEXT_VISITS, VISITS_CLOSED);\n  return 1;',
    ],
  },
  {
    name: 'kick/told though nobody waits',
    suite: KICK,
    wasm: ['wait', '  if (load32(header, CORE_HEADER_WAITERS) == 0) return 0;\n', ''],
    js: ['wait', '  if (load(words, header + CORE_HEADER_WAITERS) === 0) return 0;\n', ''],
  },
  {
    name: 'kick/only one waiter is told',
    suite: KICK,
    wasm: [
      'wait',
      'load32(header, CORE_HEADER_WAITERS) == 0',
      'load32(header, CORE_HEADER_WAITERS) != 1',
    ],
    js: [
      'wait',
      'load(words, header + CORE_HEADER_WAITERS) === 0',
      'load(words, header + CORE_HEADER_WAITERS) !== 1',
    ],
  },
  {
    name: 'kick/address 0 is told',
    suite: 'WT-1 a core whose main has no context',
    wasm: ['wait', '  if (main == 0) return 0;\n', ''],
    js: ['wait', '  if (main === 0) return 0;\n', ''],
  },
  {
    name: 'kick/nobody is woken',
    suite: KICK,
    steps: 'WT-1 a kick asks who waits',
    wasm: ['wait', 'return notify(main) ? main : 0;', 'notify(main);\n  return 0;'],
    js: [
      'wait',
      'return notify(words, main) === 0 ? 0 : main | 0;',
      'notify(words, main);\n  return 0;',
    ],
  },
  {
    name: 'kick/woken though awake',
    suite: KICK,
    wasm: ['wait', 'return notify(main) ? main : 0;', 'notify(main);\n  return main;'],
    js: [
      'wait',
      'return notify(words, main) === 0 ? 0 : main | 0;',
      'notify(words, main);\n  return main;',
    ],
  },
  {
    name: 'mail/home is told before it is counted',
    steps: 'mail is counted before home is told',
    wasm: [
      'wait',
      '  add32(context, CONTEXT_MAIL_SENT, 1);\n  return notify(context);',
      '  const wake = notify(context);\n  add32(context, CONTEXT_MAIL_SENT, 1);\n  return wake;',
    ],
    js: [
      'wait',
      '  add(words, context + CONTEXT_MAIL_SENT, 1);\n  return notify(words, context);',
      '  const wake = notify(words, context);\n  add(words, context + CONTEXT_MAIL_SENT, 1);\n  return wake;',
    ],
  },
  {
    name: 'mail/is not counted',
    suite: 'is counted when sent, and tells home',
    wasm: ['wait', '  add32(context, CONTEXT_MAIL_SENT, 1);\n', ''],
    js: ['wait', '  add(words, context + CONTEXT_MAIL_SENT, 1);\n', ''],
  },
  {
    name: 'mail/is counted in two steps',
    steps: 'mail that two send at once is all counted',
    wasm: [
      'wait',
      'add32(context, CONTEXT_MAIL_SENT, 1);',
      'const old = load32(context, CONTEXT_MAIL_SENT);\n  load32(context, CONTEXT_NOTIFIED);\n  store<u32>(context, old + 1, CONTEXT_MAIL_SENT);',
    ],
    js: [
      'wait',
      'add(words, context + CONTEXT_MAIL_SENT, 1);',
      'const old = load(words, context + CONTEXT_MAIL_SENT);\n  load(words, context + CONTEXT_NOTIFIED);\n  words[(context + CONTEXT_MAIL_SENT) >>> 2] = old + 1;',
    ],
  },
  {
    name: 'mail/home is not told',
    suite: 'is counted when sent, and tells home',
    wasm: [
      'wait',
      'CONTEXT_MAIL_SENT, 1);\n  return notify(context);',
      'CONTEXT_MAIL_SENT, 1);\n  return 0;',
    ],
    js: [
      'wait',
      'CONTEXT_MAIL_SENT, 1);\n  return notify(words, context);',
      'CONTEXT_MAIL_SENT, 1);\n  return 0;',
    ],
  },
  {
    name: 'mail/what comes before it is counted is missing for ever',
    suite: 'may come before it is counted',
    wasm: ['wait', 'return left < 0 ? 0 : left;', 'return left;'],
    js: [
      'wait',
      'Math.max(0, (load(words, context + CONTEXT_MAIL_SENT) - received) | 0)',
      '(load(words, context + CONTEXT_MAIL_SENT) - received) | 0',
    ],
  },
  {
    name: 'mail/receiving does not count',
    suite: 'says how many are still on their way',
    wasm: [
      'wait',
      'add32(context, CONTEXT_MAIL_RECEIVED, 1) + 1;',
      'load32(context, CONTEXT_MAIL_RECEIVED) + 1;',
    ],
    js: [
      'wait',
      'add(words, context + CONTEXT_MAIL_RECEIVED, 1) + 1;',
      'load(words, context + CONTEXT_MAIL_RECEIVED) + 1;',
    ],
  },
];
