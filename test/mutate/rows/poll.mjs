/** Handlers, busy polling, and attaching a notifier (NT-9, FD-3, AP-1, AP-3, AP-10, HN-8). */
const READY = 'NT-9 the ready handlers in order';
const RANGE = 'NT-9 places before `from`';
const FREED = 'FD-3 a place that was freed is passed over';
const RING = 'AP-1 busy polling finds buffers in a ring';
const SET = 'AP-3 what is not in the polled set';

export const poll = [
  {
    name: 'handler/the flag stays',
    suite: READY,
    wasm: [
      'poll',
      'if (exchange32(notifier, NOTIFIER_FLAG, 0) != 0) return place;',
      'return place;',
    ],
    js: [
      'poll',
      'if (exchange(v.i32, notifier + NOTIFIER_FLAG, 0) !== 0) return (at - first) / WORDS;',
      'return (at - first) / WORDS;',
    ],
  },
  {
    name: 'handler/a flag that another has cleared counts',
    steps: 'NT-9 a flag that two test and clear',
    wasm: [
      'poll',
      'if (exchange32(notifier, NOTIFIER_FLAG, 0) != 0) return place;',
      'exchange32(notifier, NOTIFIER_FLAG, 0);\n    return place;',
    ],
    js: [
      'poll',
      'if (exchange(v.i32, notifier + NOTIFIER_FLAG, 0) !== 0) return (at - first) / WORDS;',
      'exchange(v.i32, notifier + NOTIFIER_FLAG, 0);\n    return (at - first) / WORDS;',
    ],
  },
  {
    name: 'handler/a flag is cleared unseen',
    steps: 'NT-9 a flag set while it is looked at',
    wasm: [
      'poll',
      'if (notifier == 0 || load32(notifier, NOTIFIER_FLAG) == 0) continue;',
      'if (notifier == 0 || load32(notifier, NOTIFIER_FLAG) == 0) {\n      if (notifier != 0) exchange32(notifier, NOTIFIER_FLAG, 0);\n      continue;\n    }',
    ],
    js: [
      'poll',
      'if (notifier === 0 || load(v.i32, notifier + NOTIFIER_FLAG) === 0) continue;',
      'if (notifier === 0 || load(v.i32, notifier + NOTIFIER_FLAG) === 0) {\n      if (notifier !== 0) exchange(v.i32, notifier + NOTIFIER_FLAG, 0);\n      continue;\n    }',
    ],
  },
  {
    name: 'handler/a free place is looked at',
    suite: FREED,
    wasm: ['poll', 'if (notifier == 0 || load32', 'if (load32'],
    js: ['poll', 'if (notifier === 0 || load', 'if (load'],
  },
  {
    name: 'handler/always from the first',
    suite: RANGE,
    wasm: [
      'poll',
      'for (let place = from; place < end; ++place)',
      'for (let place: u32 = 0; place < end; ++place)',
    ],
    js: ['poll', 'let at = first + from * WORDS;', 'let at = first;'],
  },
  {
    name: 'handler/a free place is pending',
    suite: FREED,
    wasm: ['poll', 'if (notifier != 0 && load32', 'if (load32'],
    js: ['poll', 'if (notifier !== 0 && load', 'if (load'],
  },
  {
    name: 'handler/nothing is pending',
    suite: READY,
    wasm: [
      'poll',
      'load32(notifier, NOTIFIER_FLAG) != 0) return 1;',
      'load32(notifier, NOTIFIER_FLAG) != 0) return 0;',
    ],
    js: [
      'poll',
      'load(v.i32, notifier + NOTIFIER_FLAG) !== 0) return 1;',
      'load(v.i32, notifier + NOTIFIER_FLAG) !== 0) return 0;',
    ],
  },
  {
    name: 'spin/a free place is looked at',
    suite: FREED,
    wasm: ['poll', '  if (notifier == 0) return false;\n', ''],
    js: ['poll', '  if (notifier === 0) return false;\n', ''],
  },
  {
    name: 'spin/notified is not looked at',
    suite: 'AP-10 whatever was notified ends busy polling',
    wasm: ['poll', '    if (load32(context, CONTEXT_NOTIFIED) != 0) return SPIN_NOTIFIED;\n', ''],
    js: [
      'poll',
      '    if (load(v.i32, context + CONTEXT_NOTIFIED) !== 0) return SPIN_NOTIFIED;\n',
      '',
    ],
  },
  {
    name: 'spin/notified is looked at once only',
    steps: 'AP-1 AP-10 busy polling finds what comes',
    wasm: [
      'poll',
      '  for (; rounds != 0; --rounds) {\n    if (load32(context, CONTEXT_NOTIFIED) != 0) return SPIN_NOTIFIED;',
      '  if (rounds != 0 && load32(context, CONTEXT_NOTIFIED) != 0) return SPIN_NOTIFIED;\n  for (; rounds != 0; --rounds) {',
    ],
    js: [
      'poll',
      '  for (let left = rounds >>> 0; left > 0; left--) {\n    if (load(v.i32, context + CONTEXT_NOTIFIED) !== 0) return SPIN_NOTIFIED;',
      '  if (rounds !== 0 && load(v.i32, context + CONTEXT_NOTIFIED) !== 0) return SPIN_NOTIFIED;\n  for (let left = rounds >>> 0; left > 0; left--) {',
    ],
  },
  {
    name: 'spin/handlers come before notified',
    suite: 'AP-10 whatever was notified ends busy polling',
    wasm: [
      'poll',
      '    if (load32(context, CONTEXT_NOTIFIED) != 0) return SPIN_NOTIFIED;\n    for (let at = first; at < end; at += HANDLER_SIZE) {\n      if (load<u32>(at, HANDLER_FLAGS) & HANDLER_F_POLLED && hasWork(at)) {\n        return (at - first) / HANDLER_SIZE;\n      }\n    }',
      '    for (let at = first; at < end; at += HANDLER_SIZE) {\n      if (load<u32>(at, HANDLER_FLAGS) & HANDLER_F_POLLED && hasWork(at)) {\n        return (at - first) / HANDLER_SIZE;\n      }\n    }\n    if (load32(context, CONTEXT_NOTIFIED) != 0) return SPIN_NOTIFIED;',
    ],
    js: [
      'poll',
      '    if (load(v.i32, context + CONTEXT_NOTIFIED) !== 0) return SPIN_NOTIFIED;\n    for (let at',
      '    for (let at = first; at < end; at += WORDS) {\n      if ((u32[at + FLAGS]! & POLLED) === 0) continue;\n      if (hasWork(v, u32[at + NOTIFIER]!, u32[at + QUEUE]!)) return 0;\n    }\n    if (load(v.i32, context + CONTEXT_NOTIFIED) !== 0) return SPIN_NOTIFIED;\n    for (let at',
    ],
  },
  {
    name: 'spin/whoever is not polled is looked at',
    suite: SET,
    wasm: ['poll', 'load<u32>(at, HANDLER_FLAGS) & HANDLER_F_POLLED && hasWork(at)', 'hasWork(at)'],
    js: ['poll', '      if ((u32[at + FLAGS]! & POLLED) === 0) continue;\n', ''],
  },
  {
    name: 'spin/any flag of a handler is polled',
    suite: SET,
    wasm: [
      'poll',
      'load<u32>(at, HANDLER_FLAGS) & HANDLER_F_POLLED && hasWork(at)',
      'load<u32>(at, HANDLER_FLAGS) != 0 && hasWork(at)',
    ],
    js: ['poll', '(u32[at + FLAGS]! & POLLED) === 0', 'u32[at + FLAGS]! === 0'],
  },
  {
    name: 'spin/rings are not looked at',
    suite: RING,
    steps: 'AP-1 AP-10 busy polling finds what comes',
    wasm: ['poll', '  if (queue != 0 && queueEmpty(queue) == 0) return true;\n', ''],
    js: ['poll', '  if (queue !== 0 && queueEmpty(v, queue) === 0) return true;\n', ''],
  },
  {
    name: 'spin/a ring hides the flag',
    suite: 'AP-1 a ring that is not ready, or broken',
    steps: 'AP-1 AP-10 busy polling finds what comes',
    wasm: [
      'poll',
      'if (queue != 0 && queueEmpty(queue) == 0) return true;',
      'if (queue != 0) return queueEmpty(queue) == 0;',
    ],
    js: [
      'poll',
      'if (queue !== 0 && queueEmpty(v, queue) === 0) return true;',
      'if (queue !== 0) return queueEmpty(v, queue) === 0;',
    ],
  },
  {
    name: 'spin/flags are not looked at',
    suite: 'AP-1 busy polling finds a flag',
    wasm: ['poll', '  return load32(notifier, NOTIFIER_FLAG) != 0;', '  return false;'],
    js: ['poll', '  return load(v.i32, notifier + NOTIFIER_FLAG) !== 0;', '  return false;'],
  },
  {
    name: 'spin/the flag is cleared',
    suite: 'AP-1 busy polling finds a flag',
    wasm: [
      'poll',
      '  return load32(notifier, NOTIFIER_FLAG) != 0;',
      '  return exchange32(notifier, NOTIFIER_FLAG, 0) != 0;',
    ],
    js: [
      'poll',
      '  return load(v.i32, notifier + NOTIFIER_FLAG) !== 0;',
      '  return exchange(v.i32, notifier + NOTIFIER_FLAG, 0) !== 0;',
    ],
  },
  {
    name: 'spin/one round, however many',
    steps: 'AP-1 AP-10 busy polling finds what comes',
    wasm: [
      'poll',
      'for (; rounds != 0; --rounds) {',
      'for (rounds = u32(rounds != 0); rounds != 0; --rounds) {',
    ],
    js: ['poll', 'let left = rounds >>> 0;', 'let left = Math.min(1, rounds >>> 0);'],
  },
  {
    name: 'spin/a round more than asked for',
    suite: 'AP-4 no round, no look',
    wasm: ['poll', 'for (; rounds != 0; --rounds) {', 'for (++rounds; rounds != 0; --rounds) {'],
    js: ['poll', 'let left = rounds >>> 0;', 'let left = (rounds >>> 0) + 1;'],
  },
  {
    name: 'spin/places beyond those in use',
    suite: RANGE,
    wasm: [
      'poll',
      'first + load<u32>(context, CONTEXT_HANDLER_END) * HANDLER_SIZE;',
      'first + (load<u32>(context, CONTEXT_HANDLER_END) + 1) * HANDLER_SIZE;',
    ],
    js: [
      'poll',
      'v.u32[(context + CONTEXT_HANDLER_END) >>> 2]! * WORDS;',
      '(v.u32[(context + CONTEXT_HANDLER_END) >>> 2]! + 1) * WORDS;',
    ],
  },
  {
    name: 'watch/nobody is watched for',
    suite: 'NT-9 HN-8 a notifier tells whom it was given',
    wasm: ['aio', '  store32(notifier, NOTIFIER_WATCHER, context);\n', ''],
    js: ['notify', '  store(words, notifier + NOTIFIER_WATCHER, context);\n', ''],
  },
  {
    name: 'watch/not in an atomic step',
    steps: 'HN-8 to watch a notifier is one step',
    wasm: [
      'aio',
      'store32(notifier, NOTIFIER_WATCHER, context);',
      'store<u32>(notifier, context, NOTIFIER_WATCHER);',
    ],
    js: [
      'notify',
      'store(words, notifier + NOTIFIER_WATCHER, context);',
      'words[(notifier + NOTIFIER_WATCHER) >>> 2] = context;',
    ],
  },
];
