/** The thread pool: whose a request is, and the ring (TP-1, TP-2, TP-4). */
const OLDEST = 'TP-1 a worker takes the oldest request';
const TWO = 'TP-1 two workers: each request is taken once';
const BACK = 'TP-1 the head never goes back';
const OLD_HEAD = 'TP-1 a worker that sees an old head';
const WHOLE = 'TP-1 a request is whole before';
const WAITS = 'TP-1 a worker that finds nothing and waits';
const WOKEN = 'TP-1 a waiting worker is woken';
const DONE = 'TP-2 done: result and state';
const RESULT = 'TP-2 whoever sees a request done';
const POLLS = 'TP-2 TP-3 the owner that polls meanwhile';
const REAPS = 'TP-3 the owner reaps from where it likes';
const CANCEL = 'TP-4 only a queued request is cancelled';
const NEVER_BOTH = 'TP-4 a request is the owner’s or a worker’s';
const STILL = 'TP-4 one whose number is still in the ring';
const OVER = 'TP-4 requests cancelled and submitted again';
const PASSED = 'TP-4 a number that a worker has passed over';

export const pool = [
  {
    name: 'pool/not queued',
    suite: OLDEST,
    wasm: ['pool', '  store32(request, WORK_STATE, WORK_QUEUED);\n', ''],
    js: ['pool', '  store(words, request + WORK_STATE, WORK_QUEUED);\n', ''],
  },
  {
    name: 'pool/queued after it is in the ring',
    steps: WHOLE,
    wasm: [
      'pool',
      `    store32(pool, POOL_TAIL, tail + 1);
  }`,
      `    store32(request, WORK_STATE, WORK_FREE);
    store32(pool, POOL_TAIL, tail + 1);
    store32(request, WORK_STATE, WORK_QUEUED);
  }`,
    ],
    js: [
      'pool',
      `    store(words, pool + POOL_TAIL, tail + 1);
  }`,
      `    store(words, request + WORK_STATE, WORK_FREE);
    store(words, pool + POOL_TAIL, tail + 1);
    store(words, request + WORK_STATE, WORK_QUEUED);
  }`,
    ],
  },
  {
    name: 'pool/queued after the look at the ring',
    steps: STILL,
    wasm: [
      'pool',
      `  store32(request, WORK_STATE, WORK_QUEUED);
  const tail = load32(pool, POOL_TAIL);
  const entry = load<u32>(request, WORK_ENTRY);
  const head = load32(pool, POOL_HEAD);`,
      `  const tail = load32(pool, POOL_TAIL);
  const entry = load<u32>(request, WORK_ENTRY);
  const head = load32(pool, POOL_HEAD);
  store32(request, WORK_STATE, WORK_QUEUED);`,
    ],
    js: [
      'pool',
      `  const head = load(words, pool + POOL_HEAD);
  if ((entry`,
      `  const at = requestAt(words, pool, number) + WORK_STATE;
  store(words, at, WORK_FREE);
  const head = load(words, pool + POOL_HEAD);
  store(words, at, WORK_QUEUED);
  if ((entry`,
    ],
  },
  {
    name: 'pool/the number comes after the tail',
    steps: WHOLE,
    wasm: [
      'pool',
      '    store32(entryAt(pool, tail), 0, number);\n    store32(pool, POOL_TAIL, tail + 1);',
      '    store32(pool, POOL_TAIL, tail + 1);\n    store32(entryAt(pool, tail), 0, number);',
    ],
    js: [
      'pool',
      '    store(words, entryAt(words, pool, tail), number);\n    store(words, pool + POOL_TAIL, tail + 1);',
      '    store(words, pool + POOL_TAIL, tail + 1);\n    store(words, entryAt(words, pool, tail), number);',
    ],
  },
  {
    name: 'pool/a number is put into the ring twice',
    suite: OVER,
    wasm: [
      'pool',
      'if (entry - head >= tail - head || load32(entryAt(pool, entry), 0) != number) {',
      'if (entry - head >= 0) {',
    ],
    js: ['pool', 'if (!isInRing(words, pool, tail, number)) {', 'if (tail === (tail | 0)) {'],
  },
  {
    name: 'pool/where its number was is not noted',
    suite: OVER,
    wasm: ['pool', '    store<u32>(request, tail, WORK_ENTRY);\n', ''],
    js: ['pool', '    words[(request + WORK_ENTRY) >>> 2] = tail;\n', ''],
  },
  {
    name: 'pool/what a worker has passed over counts as in the ring',
    suite: PASSED,
    wasm: ['pool', 'if (entry - head >= tail - head || load32', 'if (load32'],
    js: ['pool', '  if ((entry - head) >>> 0 >= (tail - head) >>> 0) return false;\n', ''],
  },
  {
    name: 'pool/an old place is believed',
    suite: 'TP-4 an entry that is old enough to look new',
    wasm: [
      'pool',
      'if (entry - head >= tail - head || load32(entryAt(pool, entry), 0) != number) {',
      'if (entry - head >= tail - head) {',
    ],
    js: ['pool', 'return load(words, entryAt(words, pool, entry)) === number;', 'return true;'],
  },
  {
    name: 'pool/nobody is woken',
    suite: WOKEN,
    wasm: ['pool', 'POOL_WAKE, 1);\n  return 1;', 'POOL_WAKE, 1);\n  return 0;'],
    js: ['pool', 'POOL_WAKE, 1);\n  return 1;', 'POOL_WAKE, 1);\n  return 0;'],
  },
  {
    name: 'pool/the wake word stays',
    suite: WOKEN,
    steps: WAITS,
    wasm: ['pool', '  add32(pool, POOL_WAKE, 1);\n', ''],
    js: ['pool', '  add(words, pool + POOL_WAKE, 1);\n', ''],
  },
  {
    name: 'pool/woken though none waits',
    suite: WOKEN,
    wasm: ['pool', '  if (load32(pool, POOL_IDLE) == 0) return 0;\n', ''],
    js: ['pool', '  if (load(words, pool + POOL_IDLE) === 0) return 0;\n', ''],
  },
  {
    name: 'pool/who waits is asked before the request is there',
    steps: WAITS,
    wasm: [
      'pool',
      `    store32(pool, POOL_TAIL, tail + 1);
  }
  // Pairs with a worker, which counts itself idle, reads POOL_WAKE and then looks for work.
  if (load32(pool, POOL_IDLE) == 0) return 0;`,
      `    const idle = load32(pool, POOL_IDLE);
    store32(pool, POOL_TAIL, tail + 1);
    if (idle == 0) return 0;
  }`,
    ],
    js: [
      'pool',
      `    store(words, pool + POOL_TAIL, tail + 1);
  }
  // A worker counts itself idle, reads the wake word, and looks once more before it waits.
  if (load(words, pool + POOL_IDLE) === 0) return 0;`,
      `    const idle = load(words, pool + POOL_IDLE);
    store(words, pool + POOL_TAIL, tail + 1);
    if (idle === 0) return 0;
  }`,
    ],
  },
  {
    name: 'pool/tail is read before head',
    steps: OLD_HEAD,
    wasm: [
      'pool',
      `    const head = load32(pool, POOL_HEAD);
    if (head == load32(pool, POOL_TAIL)) return -1;`,
      `    const tail = load32(pool, POOL_TAIL);
    const head = load32(pool, POOL_HEAD);
    if (head == tail) return -1;`,
    ],
    js: [
      'pool',
      `    const head = load(words, pool + POOL_HEAD);
    if (load(words, pool + POOL_TAIL) === head) return -1;`,
      `    const tail = load(words, pool + POOL_TAIL);
    const head = load(words, pool + POOL_HEAD);
    if (tail === head) return -1;`,
    ],
  },
  {
    name: 'pool/an empty ring is not noticed',
    suite: OLDEST,
    wasm: [
      'pool',
      '    if (head == load32(pool, POOL_TAIL)) return -1;\n',
      '    if (head > 8) return -1;\n',
    ],
    js: [
      'pool',
      '    if (load(words, pool + POOL_TAIL) === head) return -1;\n',
      '    if (head > 8) return -1;\n',
    ],
  },
  {
    name: 'pool/two workers take one place',
    steps: BACK,
    wasm: [
      'pool',
      'if (compareExchange32(pool, POOL_HEAD, head, head + 1) != head) continue;',
      'store32(pool, POOL_HEAD, head + 1);',
    ],
    js: [
      'pool',
      'if (compareExchange(words, pool + POOL_HEAD, head, (head + 1) | 0) !== head) continue;',
      'store(words, pool + POOL_HEAD, head + 1);',
    ],
  },
  {
    name: 'pool/who fails to take a place takes it all the same',
    steps: TWO,
    wasm: [
      'pool',
      'if (compareExchange32(pool, POOL_HEAD, head, head + 1) != head) continue;',
      'if (compareExchange32(pool, POOL_HEAD, head, head + 1) != head) return number;',
    ],
    js: [
      'pool',
      'if (compareExchange(words, pool + POOL_HEAD, head, (head + 1) | 0) !== head) continue;',
      'if (compareExchange(words, pool + POOL_HEAD, head, (head + 1) | 0) !== head) return number;',
    ],
  },
  {
    name: 'pool/a cancelled request is taken',
    suite: CANCEL,
    steps: NEVER_BOTH,
    wasm: [
      'pool',
      'if (compareExchange32(state, 0, WORK_QUEUED, WORK_ACTIVE) == WORK_QUEUED) return number;',
      'store32(state, 0, WORK_ACTIVE);\n    return number;',
    ],
    js: [
      'pool',
      'if (compareExchange(words, state, WORK_QUEUED, WORK_ACTIVE) === WORK_QUEUED) return number;',
      'store(words, state, WORK_ACTIVE);\n    return number;',
    ],
  },
  {
    name: 'pool/a request is taken in two steps',
    steps: NEVER_BOTH,
    wasm: [
      'pool',
      'if (compareExchange32(state, 0, WORK_QUEUED, WORK_ACTIVE) == WORK_QUEUED) return number;',
      'if (load32(state, 0) != WORK_QUEUED) continue;\n    store32(state, 0, WORK_ACTIVE);\n    return number;',
    ],
    js: [
      'pool',
      'if (compareExchange(words, state, WORK_QUEUED, WORK_ACTIVE) === WORK_QUEUED) return number;',
      'if (load(words, state) !== WORK_QUEUED) continue;\n    store(words, state, WORK_ACTIVE);\n    return number;',
    ],
  },
  {
    name: 'pool/a cancelled request ends the search',
    suite: CANCEL,
    wasm: [
      'pool',
      'if (compareExchange32(state, 0, WORK_QUEUED, WORK_ACTIVE) == WORK_QUEUED) return number;',
      'return compareExchange32(state, 0, WORK_QUEUED, WORK_ACTIVE) == WORK_QUEUED ? number : -1;',
    ],
    js: [
      'pool',
      'if (compareExchange(words, state, WORK_QUEUED, WORK_ACTIVE) === WORK_QUEUED) return number;',
      'return compareExchange(words, state, WORK_QUEUED, WORK_ACTIVE) === WORK_QUEUED ? number : -1;',
    ],
  },
  {
    name: 'pool/done before its result',
    steps: RESULT,
    wasm: [
      'pool',
      `  store32(request, WORK_RESULT, result);
  // From here on the request is the owner's.
  store32(request, WORK_STATE, WORK_DONE);`,
      `  store32(request, WORK_STATE, WORK_DONE);
  store32(request, WORK_RESULT, result);`,
    ],
    js: [
      'pool',
      `  store(words, request + WORK_RESULT, result);
  store(words, request + WORK_STATE, WORK_DONE);`,
      `  store(words, request + WORK_STATE, WORK_DONE);
  store(words, request + WORK_RESULT, result);`,
    ],
  },
  {
    name: 'pool/the owner is told before it is done',
    steps: POLLS,
    wasm: [
      'pool',
      '  store32(request, WORK_STATE, WORK_DONE);\n  const context = load<u32>(pool, POOL_CONTEXT);',
      '  const context = load<u32>(pool, POOL_CONTEXT);\n  bhEnqueue(context, load<u32>(pool, POOL_SLOT), load<u32>(pool, POOL_GENERATION), BH_SCHEDULED);\n  store32(request, WORK_STATE, WORK_DONE);\n  if (number != u32.MAX_VALUE) return 0;',
    ],
    js: [
      'pool',
      '  store(words, request + WORK_STATE, WORK_DONE);\n  const context = words[(pool + POOL_CONTEXT) >>> 2]! >>> 0;',
      '  const context = words[(pool + POOL_CONTEXT) >>> 2]! >>> 0;\n  bhEnqueue(words, context, words[(pool + POOL_SLOT) >>> 2]!, words[(pool + POOL_GENERATION) >>> 2]!, BH_SCHEDULED);\n  store(words, request + WORK_STATE, WORK_DONE);\n  if (number >= 0) return 0;',
    ],
  },
  {
    name: 'pool/the owner is not told',
    suite: DONE,
    wasm: [
      'pool',
      'return max(bhEnqueue(context, slot, generation, BH_SCHEDULED), 0);',
      'return 0;',
    ],
    js: [
      'pool',
      'return Math.max(0, bhEnqueue(words, context, slot, generation, BH_SCHEDULED));',
      'return 0;',
    ],
  },
  {
    name: 'pool/a bottom half that is gone wakes somebody',
    suite: 'TP-2 done where the bottom half is gone',
    wasm: [
      'pool',
      'max(bhEnqueue(context, slot, generation, BH_SCHEDULED), 0)',
      'u32(bhEnqueue(context, slot, generation, BH_SCHEDULED) != 0)',
    ],
    js: [
      'pool',
      'Math.max(0, bhEnqueue(words, context, slot, generation, BH_SCHEDULED))',
      'Math.abs(bhEnqueue(words, context, slot, generation, BH_SCHEDULED))',
    ],
  },
  {
    name: 'pool/an active request is cancelled',
    suite: CANCEL,
    steps: NEVER_BOTH,
    wasm: [
      'pool',
      'if (compareExchange32(state, 0, WORK_QUEUED, WORK_DONE) != WORK_QUEUED) return 0;',
      'store32(state, 0, WORK_DONE);',
    ],
    js: [
      'pool',
      'if (compareExchange(words, state, WORK_QUEUED, WORK_DONE) !== WORK_QUEUED) return 0;',
      'store(words, state, WORK_DONE);',
    ],
  },
  {
    name: 'pool/a request is cancelled in two steps',
    steps: NEVER_BOTH,
    wasm: [
      'pool',
      'if (compareExchange32(state, 0, WORK_QUEUED, WORK_DONE) != WORK_QUEUED) return 0;',
      'if (load32(state, 0) != WORK_QUEUED) return 0;\n  store32(state, 0, WORK_DONE);',
    ],
    js: [
      'pool',
      'if (compareExchange(words, state, WORK_QUEUED, WORK_DONE) !== WORK_QUEUED) return 0;',
      'if (load(words, state) !== WORK_QUEUED) return 0;\n  store(words, state, WORK_DONE);',
    ],
  },
  {
    name: 'pool/a cancelled request has no result',
    suite: CANCEL,
    wasm: ['pool', '  store32(request, WORK_RESULT, result);\n  return 1;', '  return 1;'],
    js: ['pool', '  store(words, request + WORK_RESULT, result);\n  return 1;', '  return 1;'],
  },
  {
    name: 'pool/always reaped from the first',
    suite: REAPS,
    wasm: [
      'pool',
      'for (let number = from; number < capacity; ++number)',
      'for (let number: u32 = 0; number < capacity; ++number)',
    ],
    js: ['pool', 'let number = from; number < capacity', 'let number = 0; number < capacity'],
  },
  {
    name: 'pool/what is not done is reaped',
    suite: REAPS,
    wasm: [
      'pool',
      'if (load32(request, WORK_STATE) != WORK_DONE) continue;',
      'if (load32(request, WORK_STATE) < <u32>WORK_ACTIVE) continue;',
    ],
    js: [
      'pool',
      'if (load(words, state) !== WORK_DONE) continue;',
      'if (load(words, state) < WORK_ACTIVE) continue;',
    ],
  },
  {
    name: 'pool/a reaped request is not free',
    suite: REAPS,
    wasm: ['pool', '    store32(request, WORK_STATE, WORK_FREE);\n', ''],
    js: ['pool', '    store(words, state, WORK_FREE);\n', ''],
  },
];
