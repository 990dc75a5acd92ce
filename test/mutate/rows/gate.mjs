/** The drain gate, and the words that wake an event loop (design section 7; NT-1, NT-9, GS-2). */
const GATE = 'the gate counts in and out';

export const gate = [
  {
    name: 'gate/undo',
    suite: GATE,
    wasm: ['gate', 'return 1;\n  sub32(lane, LANE_IN_FLIGHT, count);', 'return 1;'],
    js: ['gate', 'return 1;\n  sub(words, lane + LANE_IN_FLIGHT, count);', 'return 1;'],
  },
  {
    name: 'gate/closed is open',
    suite: GATE,
    wasm: ['gate', 'if (load32(backend, BACKEND_QUIESCE) == 0) return 1;', 'return 1;'],
    js: ['gate', 'if (load(words, backend + BACKEND_QUIESCE) === 0) return 1;', 'return 1;'],
  },
  {
    name: 'gate/who enters is not counted',
    suite: GATE,
    wasm: ['gate', '  add32(lane, LANE_IN_FLIGHT, count);', ''],
    js: ['gate', '  add(words, lane + LANE_IN_FLIGHT, count);', ''],
  },
  {
    name: 'gate/who enters is counted once',
    suite: GATE,
    wasm: ['gate', '  add32(lane, LANE_IN_FLIGHT, count);', '  add32(lane, LANE_IN_FLIGHT, 1);'],
    js: [
      'gate',
      '  add(words, lane + LANE_IN_FLIGHT, count);',
      '  add(words, lane + LANE_IN_FLIGHT, 1);',
    ],
  },
  {
    name: 'gate/counted after the look at quiesce',
    steps: 'the gate: who enters counts first',
    wasm: [
      'gate',
      'add32(lane, LANE_IN_FLIGHT, count);\n',
      'const open = load32(backend, BACKEND_QUIESCE) == 0;\n  add32(lane, LANE_IN_FLIGHT, count);\n  if (open) return 1;\n',
    ],
    js: [
      'gate',
      'add(words, lane + LANE_IN_FLIGHT, count);\n',
      'const open = load(words, backend + BACKEND_QUIESCE) === 0;\n  add(words, lane + LANE_IN_FLIGHT, count);\n  if (open) return 1;\n',
    ],
  },
  {
    name: 'gate/counted down after the look at quiesce',
    steps: 'the gate: who leaves counts first',
    wasm: [
      'gate',
      '  sub32(lane, LANE_IN_FLIGHT, count);\n  return u32(load32(backend, BACKEND_QUIESCE) != 0);',
      '  const closed = u32(load32(backend, BACKEND_QUIESCE) != 0);\n  sub32(lane, LANE_IN_FLIGHT, count);\n  return closed;',
    ],
    js: [
      'gate',
      '  sub(words, lane + LANE_IN_FLIGHT, count);\n  return load(words, backend + BACKEND_QUIESCE) === 0 ? 0 : 1;',
      '  const closed = load(words, backend + BACKEND_QUIESCE) === 0 ? 0 : 1;\n  sub(words, lane + LANE_IN_FLIGHT, count);\n  return closed;',
    ],
  },
  {
    name: 'gate/count is read and written in two steps',
    steps: 'the gate: two lanes that come and go at once',
    wasm: [
      'gate',
      '  add32(lane, LANE_IN_FLIGHT, count);',
      '  const old = load32(lane, LANE_IN_FLIGHT);\n  sub32(lane, LANE_IN_FLIGHT, load32(lane, LANE_IN_FLIGHT) - old - count);',
    ],
    js: [
      'gate',
      '  add(words, lane + LANE_IN_FLIGHT, count);',
      '  const old = load(words, lane + LANE_IN_FLIGHT);\n  sub(words, lane + LANE_IN_FLIGHT, load(words, lane + LANE_IN_FLIGHT) - old - count);',
    ],
  },
  {
    name: 'gate/who leaves is not counted',
    suite: GATE,
    wasm: ['gate', '  sub32(lane, LANE_IN_FLIGHT, count);\n  return u32', '  return u32'],
    js: ['gate', '  sub(words, lane + LANE_IN_FLIGHT, count);\n  return load', '  return load'],
  },
  {
    name: 'gate/nobody is woken',
    suite: GATE,
    wasm: ['gate', 'return u32(load32(backend, BACKEND_QUIESCE) != 0);', 'return 0;'],
    js: ['gate', 'return load(words, backend + BACKEND_QUIESCE) === 0 ? 0 : 1;', 'return 0;'],
  },
  {
    name: 'gate/woken when it is open',
    suite: GATE,
    wasm: [
      'gate',
      'return u32(load32(backend, BACKEND_QUIESCE) != 0);',
      'return u32(load32(backend, BACKEND_QUIESCE) == 0);',
    ],
    js: [
      'gate',
      'return load(words, backend + BACKEND_QUIESCE) === 0 ? 0 : 1;',
      'return load(words, backend + BACKEND_QUIESCE) === 0 ? 1 : 0;',
    ],
  },
  {
    name: 'gate/woken only by the last',
    suite: GATE,
    wasm: [
      'gate',
      'sub32(lane, LANE_IN_FLIGHT, count);\n  return u32(',
      'if (sub32(lane, LANE_IN_FLIGHT, count) != count) return 0;\n  return u32(',
    ],
    js: [
      'gate',
      'sub(words, lane + LANE_IN_FLIGHT, count);\n  return load(',
      'if (sub(words, lane + LANE_IN_FLIGHT, count) !== count) return 0;\n  return load(',
    ],
  },
  {
    name: 'gate/close does not nest',
    suite: GATE,
    wasm: [
      'gate',
      'return add32(backend, BACKEND_QUIESCE, 1) + 1;',
      'store<u32>(backend, 1, BACKEND_QUIESCE);\n  return 1;',
    ],
    js: [
      'gate',
      'return add(words, backend + BACKEND_QUIESCE, 1) + 1;',
      'words[(backend + BACKEND_QUIESCE) >>> 2] = 1;\n  return 1;',
    ],
  },
  {
    name: 'gate/open opens all',
    suite: GATE,
    wasm: [
      'gate',
      'return sub32(backend, BACKEND_QUIESCE, 1) - 1;',
      'sub32(backend, BACKEND_QUIESCE, load32(backend, BACKEND_QUIESCE));\n  return 0;',
    ],
    js: [
      'gate',
      'return sub(words, backend + BACKEND_QUIESCE, 1) - 1;',
      'words[(backend + BACKEND_QUIESCE) >>> 2] = 0;\n  return 0;',
    ],
  },
  {
    name: 'wake/notified is not set',
    suite: 'NT-1 notify sets notified',
    wasm: ['aio', '  store32(context, CONTEXT_NOTIFIED, 1);\n', ''],
    js: ['notify', '  store(words, context + CONTEXT_NOTIFIED, 1);\n', ''],
  },
  {
    name: 'wake/notify_me is read before notified is set',
    steps: 'NT-1 notify sets notified before it asks who sleeps',
    wasm: [
      'aio',
      '  store32(context, CONTEXT_NOTIFIED, 1);\n  return u32(load32(context, CONTEXT_NOTIFY_ME) != 0);',
      '  const sleeps = u32(load32(context, CONTEXT_NOTIFY_ME) != 0);\n  store32(context, CONTEXT_NOTIFIED, 1);\n  return sleeps;',
    ],
    js: [
      'notify',
      '  store(words, context + CONTEXT_NOTIFIED, 1);\n  return load(words, context + CONTEXT_NOTIFY_ME) === 0 ? 0 : 1;',
      '  const sleeps = load(words, context + CONTEXT_NOTIFY_ME) === 0 ? 0 : 1;\n  store(words, context + CONTEXT_NOTIFIED, 1);\n  return sleeps;',
    ],
  },
  {
    name: 'wake/only a foreign loop is woken',
    suite: 'NT-1 notify sets notified',
    wasm: [
      'aio',
      'return u32(load32(context, CONTEXT_NOTIFY_ME) != 0);',
      'return load32(context, CONTEXT_NOTIFY_ME) & 1;',
    ],
    js: [
      'notify',
      'return load(words, context + CONTEXT_NOTIFY_ME) === 0 ? 0 : 1;',
      'return load(words, context + CONTEXT_NOTIFY_ME) & 1;',
    ],
  },
  {
    name: 'wake/nobody prepares',
    suite: 'NT-1 notify sets notified',
    wasm: ['aio', '  or32(context, CONTEXT_NOTIFY_ME, 1);', ''],
    js: ['notify', '  or(words, context + CONTEXT_NOTIFY_ME, 1);', ''],
  },
  {
    name: 'wake/prepare counts',
    suite: 'NT-1 notify sets notified',
    wasm: [
      'aio',
      'or32(context, CONTEXT_NOTIFY_ME, 1);',
      'store32(context, CONTEXT_NOTIFY_ME, load32(context, CONTEXT_NOTIFY_ME) + 1);',
    ],
    js: [
      'notify',
      'or(words, context + CONTEXT_NOTIFY_ME, 1);',
      'words[(context + CONTEXT_NOTIFY_ME) >>> 2]! += 1;',
    ],
  },
  {
    name: 'wake/check leaves notify_me',
    suite: 'NT-1 notify sets notified',
    wasm: ['aio', '  and32(context, CONTEXT_NOTIFY_ME, ~(<u32>1));\n', ''],
    js: ['notify', '  and(words, context + CONTEXT_NOTIFY_ME, ~1);\n', ''],
  },
  {
    name: 'wake/check forgets a blocking poll',
    suite: 'NT-1 notify sets notified',
    wasm: [
      'aio',
      'and32(context, CONTEXT_NOTIFY_ME, ~(<u32>1));',
      'and32(context, CONTEXT_NOTIFY_ME, 0);',
    ],
    js: [
      'notify',
      'and(words, context + CONTEXT_NOTIFY_ME, ~1);',
      'and(words, context + CONTEXT_NOTIFY_ME, 0);',
    ],
  },
  {
    name: 'wake/check without accept',
    suite: 'NT-1 notify sets notified',
    wasm: ['aio', '~(<u32>1));\n  accept(context);', '~(<u32>1));'],
    js: ['notify', '~1);\n  accept(words, context);', '~1);'],
  },
  {
    name: 'wake/check accepts before it lowers notify_me',
    steps: 'NT-2 GS-2 prepare is one step; check lowers notify_me',
    wasm: [
      'aio',
      'and32(context, CONTEXT_NOTIFY_ME, ~(<u32>1));\n  accept(context);',
      'accept(context);\n  and32(context, CONTEXT_NOTIFY_ME, ~(<u32>1));',
    ],
    js: [
      'notify',
      'and(words, context + CONTEXT_NOTIFY_ME, ~1);\n  accept(words, context);',
      'accept(words, context);\n  and(words, context + CONTEXT_NOTIFY_ME, ~1);',
    ],
  },
  {
    name: 'wake/accept clears nothing',
    suite: 'NT-1 notify sets notified',
    wasm: [
      'aio',
      'store32(context, CONTEXT_NOTIFIED, 0);',
      'store32(context, CONTEXT_NOTIFIED, 1);',
    ],
    js: [
      'notify',
      'store(words, context + CONTEXT_NOTIFIED, 0);',
      'store(words, context + CONTEXT_NOTIFIED, 1);',
    ],
  },
  {
    name: 'wake/notifier is not set',
    suite: 'NT-9 a notifier is a flag',
    wasm: ['aio', '  store32(notifier, NOTIFIER_FLAG, 1);\n', ''],
    js: ['notify', '  store(words, notifier + NOTIFIER_FLAG, 1);\n', ''],
  },
  {
    name: 'wake/notifier tells nobody',
    suite: 'NT-9 a notifier is a flag',
    wasm: ['aio', 'return watcher == 0 ? 0 : notify(watcher);', 'return 0;'],
    js: ['notify', 'return watcher === 0 ? 0 : notify(words, watcher);', 'return 0;'],
  },
  {
    name: 'wake/notifier without a watcher tells address 0',
    suite: 'NT-9 a notifier that nobody watches writes nothing else',
    wasm: ['aio', 'return watcher == 0 ? 0 : notify(watcher);', 'return notify(watcher);'],
    js: [
      'notify',
      'return watcher === 0 ? 0 : notify(words, watcher);',
      'return notify(words, watcher);',
    ],
  },
  {
    name: 'wake/watcher is read before the flag is set',
    steps: 'NT-9 a notifier is set before its watcher',
    wasm: [
      'aio',
      'store32(notifier, NOTIFIER_FLAG, 1);\n  const watcher = load32(notifier, NOTIFIER_WATCHER);',
      'const watcher = load32(notifier, NOTIFIER_WATCHER);\n  store32(notifier, NOTIFIER_FLAG, 1);',
    ],
    js: [
      'notify',
      'store(words, notifier + NOTIFIER_FLAG, 1);\n  const watcher = load(words, notifier + NOTIFIER_WATCHER) >>> 0;',
      'const watcher = load(words, notifier + NOTIFIER_WATCHER) >>> 0;\n  store(words, notifier + NOTIFIER_FLAG, 1);',
    ],
  },
  {
    name: 'wake/test-and-clear does not clear',
    suite: 'NT-9 a notifier is a flag',
    wasm: [
      'aio',
      'exchange32(notifier, NOTIFIER_FLAG, 0) != 0',
      'load32(notifier, NOTIFIER_FLAG) != 0',
    ],
    js: [
      'notify',
      'exchange(words, notifier + NOTIFIER_FLAG, 0) === 0',
      'load(words, notifier + NOTIFIER_FLAG) === 0',
    ],
  },
  {
    name: 'wake/test-and-clear in two steps',
    steps: 'NT-9 test-and-clear is one step',
    wasm: [
      'aio',
      'return u32(exchange32(notifier, NOTIFIER_FLAG, 0) != 0);',
      'const set = u32(load32(notifier, NOTIFIER_FLAG) != 0);\n  store32(notifier, NOTIFIER_FLAG, 0);\n  return set;',
    ],
    js: [
      'notify',
      'return exchange(words, notifier + NOTIFIER_FLAG, 0) === 0 ? 0 : 1;',
      'const set = load(words, notifier + NOTIFIER_FLAG) === 0 ? 0 : 1;\n  store(words, notifier + NOTIFIER_FLAG, 0);\n  return set;',
    ],
  },
];
