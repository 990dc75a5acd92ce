/** Bottom halves: PENDING, SCHEDULED, generations, and the order of their steps (BH-1 to BH-11). */
const ONCE = 'BH-1 schedule sets the flags';
const FREED = 'BH-6 a deleted slot';

export const bottomHalves = [
  {
    name: 'bh/PENDING not heeded',
    suite: 'BH-3 a slot that is pending is not linked',
    wasm: ['aio', 'if (!(old & BH_PENDING)) push', 'push'],
    js: ['bottom-halves', 'if ((old & BH_PENDING) === 0) push', 'push'],
  },
  {
    name: 'bh/PENDING not set',
    suite: ONCE,
    wasm: ['aio', '(old & keep) | flags | BH_PENDING);', '(old & keep) | flags);'],
    js: ['bottom-halves', 'clear, flags | BH_PENDING);', 'clear, flags);'],
  },
  {
    name: 'bh/no notify when it is pending already',
    suite: ONCE,
    wasm: [
      'aio',
      'if (!(old & BH_PENDING)) push(context + CONTEXT_BH_LIST, at, slot + 1);',
      'if (old & BH_PENDING) return 0;\n  push(context + CONTEXT_BH_LIST, at, slot + 1);',
    ],
    js: [
      'bottom-halves',
      'if ((old & BH_PENDING) === 0) push(words, context + CONTEXT_BH_LIST, address, slot);',
      'if ((old & BH_PENDING) !== 0) return 0;\n  push(words, context + CONTEXT_BH_LIST, address, slot);',
    ],
  },
  {
    name: 'bh/notify before it is in the list',
    steps: 'BH-1 a slot is in the list before anybody is told',
    wasm: [
      'aio',
      '  if (!(old & BH_PENDING)) push(context + CONTEXT_BH_LIST, at, slot + 1);\n  return notify(context);',
      '  const wake = notify(context);\n  if (!(old & BH_PENDING)) push(context + CONTEXT_BH_LIST, at, slot + 1);\n  return wake;',
    ],
    js: [
      'bottom-halves',
      `  if ((old & BH_PENDING) === 0) push(words, context + CONTEXT_BH_LIST, address, slot);
  // The slot may be gone by now: its callback may have run and deleted it (BH-1).
  return notify(words, context);`,
      `  const wake = notify(words, context);
  if ((old & BH_PENDING) === 0) push(words, context + CONTEXT_BH_LIST, address, slot);
  return wake;`,
    ],
  },
  {
    name: 'bh/a stale schedule is accepted',
    suite: FREED,
    wasm: ['aio', 'if (isStale(old, generation)) return -1;', ''],
    js: [
      'bottom-halves',
      'if (generationOf(old) !== (generation & GENERATION_MASK)) return -1;',
      '',
    ],
  },
  {
    name: 'bh/a generation of 32 bits',
    suite: 'BH-6 BH-7 a generation is told from its 24 low bits',
    wasm: ['aio', '!= (generation & GENERATION_MASK)', '!= generation'],
    js: ['bottom-halves', '!== (generation & GENERATION_MASK)', '!== generation'],
  },
  {
    name: 'bh/an idle mark is not taken away',
    suite: 'BH-11 idle is told',
    wasm: [
      'aio',
      'flags & BH_SCHEDULED && !(flags & BH_IDLE) ? ~(<u32>BH_IDLE) : u32.MAX_VALUE',
      'u32.MAX_VALUE',
    ],
    js: [
      'bottom-halves',
      '(flags & (BH_SCHEDULED | BH_IDLE)) === BH_SCHEDULED ? BH_IDLE : 0;',
      '0;',
    ],
  },
  {
    name: 'bh/another thread’s flags are lost',
    steps: [
      'BH-1 BH-3 two threads schedule',
      'BH-5 BH-6 a cancel loses neither',
      'BH-1 BH-2 home polls',
    ],
    wasm: [
      'aio',
      'const seen = compareExchange32(at, SLOT_FLAGS, old, (old & keep) | flags | BH_PENDING);\n    if (seen == old) break;\n    old = seen;',
      'store32(at, SLOT_FLAGS, (old & keep) | flags | BH_PENDING);\n    break;',
    ],
    js: [
      'bottom-halves',
      'if (compareExchange(words, address, old, (old & ~clear) | set) === old) {\n      return',
      'store(words, address, (old & ~clear) | set);\n    if (set >= 0) {\n      return',
    ],
  },
  {
    name: 'bh/a failed push is not tried again',
    steps: 'BH-1 BH-3 two threads schedule',
    wasm: ['list', '    if (seen == head) return;\n    head = seen;', '    return;'],
    js: [
      'list',
      'if (compareExchange(words, list, head, number + 1) === head) return;',
      'compareExchange(words, list, head, number + 1);\n    return;',
    ],
  },
  {
    name: 'bh/a push that asks nobody',
    steps: 'BH-1 BH-3 two threads schedule',
    wasm: [
      'list',
      'const seen = compareExchange32(list, 0, head, link);\n    if (seen == head) return;\n    head = seen;',
      'store32(list, 0, link);\n    return;',
    ],
    js: [
      'list',
      'if (compareExchange(words, list, head, number + 1) === head) return;',
      'store(words, list, number + 1);\n    return;',
    ],
  },
  {
    name: 'bh/the link is written once',
    steps: 'BH-1 BH-3 two threads schedule',
    wasm: [
      'list',
      '  let head = load32(list, 0);\n  while (true) {\n    store32(at, SLOT_NEXT, head);',
      '  let head = load32(list, 0);\n  store32(at, SLOT_NEXT, head);\n  while (true) {',
    ],
    js: [
      'list',
      '  for (;;) {\n    const head = load(words, list);\n    store(words, address + SLOT_NEXT, head);',
      '  store(words, address + SLOT_NEXT, load(words, list));\n  for (;;) {\n    const head = load(words, list);',
    ],
  },
  {
    name: 'bh/cancel clears PENDING',
    suite: 'BH-5 cancel clears SCHEDULED',
    wasm: ['aio', 'old & ~(<u32>BH_SCHEDULED));', 'old & ~(<u32>(BH_SCHEDULED | BH_PENDING)));'],
    js: [
      'bottom-halves',
      'generation, BH_SCHEDULED, 0);',
      'generation, BH_SCHEDULED | BH_PENDING, 0);',
    ],
  },
  {
    name: 'bh/cancel does nothing',
    suite: 'BH-5 cancel clears SCHEDULED',
    wasm: ['aio', 'old & ~(<u32>BH_SCHEDULED));', 'old);'],
    js: ['bottom-halves', 'generation, BH_SCHEDULED, 0);', 'generation, 0, 0);'],
  },
  {
    name: 'bh/a stale cancel is accepted',
    suite: 'BH-6 BH-7 a generation has 24 bits',
    wasm: ['aio', 'while (!isStale(old, generation)) {', 'while (true) {'],
    js: [
      'bottom-halves',
      'SLOT_FLAGS, generation, BH_SCHEDULED, 0);',
      'SLOT_FLAGS, words[(slotAt(words, context, slot) + SLOT_FLAGS) >>> 2]! >>> 8, BH_SCHEDULED, 0);',
    ],
  },
  {
    name: 'bh/cancel loses flags of others',
    steps: ['BH-5 BH-6 a cancel loses neither', 'BH-6 a slot that is freed and made anew'],
    wasm: [
      'aio',
      'const seen = compareExchange32(at, SLOT_FLAGS, old, old & ~(<u32>BH_SCHEDULED));\n    if (seen == old) return;\n    old = seen;',
      'store32(at, SLOT_FLAGS, old & ~(<u32>BH_SCHEDULED));\n    return;',
    ],
    js: [
      'bottom-halves',
      'if (compareExchange(words, address, old, (old & ~clear) | set) === old) {\n      return',
      'if (set === 0) store(words, address, old & ~clear);\n    if (set === 0 || compareExchange(words, address, old, (old & ~clear) | set) === old) {\n      return',
    ],
  },
  {
    name: 'bh/newest first',
    suite: 'BH-10 oldest first',
    wasm: [
      'list',
      '  for (let link = newest; link != 0; ) {',
      '  oldest = newest;\n  for (let link: u32 = 0; link != 0; ) {',
    ],
    js: [
      'list',
      '  while (entry !== 0) {\n    const link',
      '  oldest = entry;\n  entry = 0;\n  while (entry !== 0) {\n    const link',
    ],
  },
  {
    name: 'bh/the list is taken in two steps',
    steps: 'BH-4 BH-10 what is scheduled while the list is taken',
    wasm: [
      'aio',
      'const newest = exchange32(context, CONTEXT_BH_LIST, 0);',
      'const newest = load32(context, CONTEXT_BH_LIST);\n  store32(context, CONTEXT_BH_LIST, 0);',
    ],
    js: [
      'bottom-halves',
      'const newest = exchange(words, context + CONTEXT_BH_LIST, 0);',
      'const newest = load(words, context + CONTEXT_BH_LIST);\n  store(words, context + CONTEXT_BH_LIST, 0);',
    ],
  },
  {
    name: 'bh/the list is taken and left',
    suite: 'BH-3 ten schedules before a run',
    wasm: ['aio', 'exchange32(context, CONTEXT_BH_LIST, 0);', 'load32(context, CONTEXT_BH_LIST);'],
    js: [
      'bottom-halves',
      'exchange(words, context + CONTEXT_BH_LIST, 0);',
      'load(words, context + CONTEXT_BH_LIST);',
    ],
  },
  {
    name: 'bh/a second list replaces the first',
    suite: 'BH-10 oldest first',
    wasm: [
      'aio',
      'if (tail == 0) store<u32>(context, oldest, CONTEXT_READY_HEAD);',
      'if (true) store<u32>(context, oldest, CONTEXT_READY_HEAD);',
    ],
    js: ['bottom-halves', 'if (tail === 0) words[', 'if (tail >= 0) words['],
  },
  {
    name: 'bh/tail not moved',
    suite: 'BH-10 oldest first, over three takes',
    wasm: [
      'aio',
      '  store<u32>(context, newest, CONTEXT_READY_TAIL);',
      '  if (tail == 0) store<u32>(context, newest, CONTEXT_READY_TAIL);',
    ],
    js: [
      'bottom-halves',
      '  words[(context + CONTEXT_READY_TAIL) >>> 2] = newest;',
      '  if (tail === 0) words[(context + CONTEXT_READY_TAIL) >>> 2] = newest;',
    ],
  },
  {
    name: 'bh/tail stays when the queue is empty',
    suite: 'BH-2 a slot leaves the list before its flags',
    wasm: ['aio', 'if (next == 0) store<u32>(context, 0, CONTEXT_READY_TAIL);', ''],
    js: ['bottom-halves', 'if (next === 0) words[(context + CONTEXT_READY_TAIL) >>> 2] = 0;', ''],
  },
  {
    name: 'bh/flags cleared before it is unlinked',
    steps: 'BH-2 a slot leaves the ready queue before its flags',
    wasm: [
      'aio',
      `  const next = load32(at, SLOT_NEXT);
  store<u32>(context, next, CONTEXT_READY_HEAD);
  if (next == 0) store<u32>(context, 0, CONTEXT_READY_TAIL);
  return <i32>((link - 1) | ((clearFlags(at) & BH_FLAGS_MASK) << 16));`,
      `  const flags = clearFlags(at);
  const next = load32(at, SLOT_NEXT);
  store<u32>(context, next, CONTEXT_READY_HEAD);
  if (next == 0) store<u32>(context, 0, CONTEXT_READY_TAIL);
  return <i32>((link - 1) | ((flags & BH_FLAGS_MASK) << 16));`,
    ],
    js: [
      'bottom-halves',
      `  const next = load(words, address + SLOT_NEXT);
  words[(context + CONTEXT_READY_HEAD) >>> 2] = next;
  if (next === 0) words[(context + CONTEXT_READY_TAIL) >>> 2] = 0;
  // Out of the queue first, then no longer pending: a schedule from here on is a new run (BH-2).
  return entry - 1 + (leave(words, address + SLOT_FLAGS) << 16);`,
      `  const flags = leave(words, address + SLOT_FLAGS);
  const next = load(words, address + SLOT_NEXT);
  words[(context + CONTEXT_READY_HEAD) >>> 2] = next;
  if (next === 0) words[(context + CONTEXT_READY_TAIL) >>> 2] = 0;
  return entry - 1 + (flags << 16);`,
    ],
  },
  {
    name: 'bh/PENDING stays after the run',
    suite: 'BH-2 a slot leaves the list before its flags',
    wasm: [
      'aio',
      '~(<u32>(BH_PENDING | BH_SCHEDULED | BH_IDLE));',
      '~(<u32>(BH_SCHEDULED | BH_IDLE));',
    ],
    js: ['bottom-halves', '~(BH_PENDING | BH_SCHEDULED | BH_IDLE);', '~(BH_SCHEDULED | BH_IDLE);'],
  },
  {
    name: 'bh/SCHEDULED stays after the run',
    suite: 'BH-2 a slot leaves the list before its flags',
    wasm: [
      'aio',
      '~(<u32>(BH_PENDING | BH_SCHEDULED | BH_IDLE));',
      '~(<u32>(BH_PENDING | BH_IDLE));',
    ],
    js: ['bottom-halves', '~(BH_PENDING | BH_SCHEDULED | BH_IDLE);', '~(BH_PENDING | BH_IDLE);'],
  },
  {
    name: 'bh/IDLE stays after the run',
    suite: 'BH-11 idle is told',
    wasm: [
      'aio',
      '~(<u32>(BH_PENDING | BH_SCHEDULED | BH_IDLE));',
      '~(<u32>(BH_PENDING | BH_SCHEDULED));',
    ],
    js: [
      'bottom-halves',
      '~(BH_PENDING | BH_SCHEDULED | BH_IDLE);',
      '~(BH_PENDING | BH_SCHEDULED);',
    ],
  },
  {
    name: 'bh/generation not counted',
    suite: FREED,
    wasm: [
      'aio',
      '((old >>> BH_GENERATION_SHIFT) + 1) << BH_GENERATION_SHIFT',
      '(old >>> BH_GENERATION_SHIFT) << BH_GENERATION_SHIFT',
    ],
    js: [
      'bottom-halves',
      '(generationOf(old) + 1) << BH_GENERATION_SHIFT',
      'generationOf(old) << BH_GENERATION_SHIFT',
    ],
  },
  {
    name: 'bh/a oneshot slot is not freed',
    suite: 'BH-7 a oneshot slot',
    wasm: ['aio', '(old & (BH_DELETED | BH_ONESHOT)) != 0;', '(old & BH_DELETED) != 0;'],
    js: ['bottom-halves', '(old & (BH_DELETED | BH_ONESHOT)) !== 0;', '(old & BH_DELETED) !== 0;'],
  },
  {
    name: 'bh/a deleted slot is not freed',
    suite: FREED,
    wasm: ['aio', '(old & (BH_DELETED | BH_ONESHOT)) != 0;', '(old & BH_ONESHOT) != 0;'],
    js: ['bottom-halves', '(old & (BH_DELETED | BH_ONESHOT)) !== 0;', '(old & BH_ONESHOT) !== 0;'],
  },
  {
    name: 'bh/a deletion is lost while the slot is taken',
    steps: 'BH-6 a slot deleted while it is taken',
    wasm: [
      'aio',
      '    if (seen == old) return old;\n    old = seen;',
      '    if (seen != old) store32(at, SLOT_FLAGS, next);\n    return old;',
    ],
    js: [
      'bottom-halves',
      'if (compareExchange(words, address, old, next) === old) return old & BH_FLAGS_MASK;',
      'store(words, address, next);\n    return old & BH_FLAGS_MASK;',
    ],
  },
  {
    name: 'bh/idle ones count in full',
    suite: 'BH-9 TM-1 what is ready',
    wasm: ['aio', 'if (!(flags & BH_IDLE)) return 2;', 'return 2;'],
    js: ['bottom-halves', 'if ((flags & BH_IDLE) === 0) return 2;', 'return 2;'],
  },
  {
    name: 'bh/idle ones do not count',
    suite: 'BH-9 TM-1 what is ready',
    wasm: ['aio', '      result = 1;\n', ''],
    js: ['bottom-halves', '      found = 1;\n', ''],
  },
  {
    name: 'bh/deleted ones count',
    suite: FREED,
    wasm: ['aio', '(flags & (BH_SCHEDULED | BH_DELETED)) == BH_SCHEDULED', 'flags & BH_SCHEDULED'],
    js: [
      'bottom-halves',
      '(flags & (BH_SCHEDULED | BH_DELETED)) === BH_SCHEDULED) {',
      '(flags & BH_SCHEDULED) !== 0) {',
    ],
  },
  {
    name: 'bh/cancelled ones count',
    suite: 'BH-5 cancel clears SCHEDULED',
    wasm: [
      'aio',
      'if ((flags & (BH_SCHEDULED | BH_DELETED)) == BH_SCHEDULED) {',
      'if (!(flags & BH_DELETED)) {',
    ],
    js: [
      'bottom-halves',
      'if ((flags & (BH_SCHEDULED | BH_DELETED)) === BH_SCHEDULED) {',
      'if ((flags & BH_DELETED) === 0) {',
    ],
  },
  {
    name: 'bh/what is ready does not count',
    suite: 'BH-9 TM-1 what is ready',
    wasm: ['aio', 'pendingFrom(context, load<u32>(context, CONTEXT_READY_HEAD)),', '<u32>0,'],
    js: [
      'bottom-halves',
      'const ready = urgency(words, context, words[(context + CONTEXT_READY_HEAD) >>> 2]!);',
      'const ready: number = 0;',
    ],
  },
  {
    name: 'bh/what is in the list does not count',
    suite: 'BH-9 one to run at once is found',
    wasm: ['aio', 'pendingFrom(context, load32(context, CONTEXT_BH_LIST)),', '<u32>0,'],
    js: ['bottom-halves', 'urgency(words, context, load(words, context + CONTEXT_BH_LIST))', '0'],
  },
];
