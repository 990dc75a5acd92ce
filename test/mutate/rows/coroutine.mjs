/** Coroutines that are scheduled (CO-1, CO-5, CO-13). */
const TWICE = 'CO-1 two schedule one coroutine at once';
const WAKES = 'CO-1 scheduling one schedules the bottom half';
const ORDER = 'CO-5 first scheduled, first entered';
const BEHIND = 'CO-5 what is taken while others are ready';

export const coroutine = [
  {
    name: 'co/a second schedule is not refused',
    suite: 'CO-1 one that is scheduled is refused',
    steps: TWICE,
    wasm: [
      'coroutine',
      'if (compareExchange32(at, COROUTINE_SCHEDULED, COROUTINE_IDLE, by) != COROUTINE_IDLE) return -1;',
      'store32(at, COROUTINE_SCHEDULED, by);',
    ],
    js: [
      'coroutine',
      'if (compareExchange(words, scheduled, COROUTINE_IDLE, by) !== COROUTINE_IDLE) return -1;',
      'store(words, scheduled, by);',
    ],
  },
  {
    name: 'co/scheduled is read and written in two steps',
    steps: TWICE,
    wasm: [
      'coroutine',
      'if (compareExchange32(at, COROUTINE_SCHEDULED, COROUTINE_IDLE, by) != COROUTINE_IDLE) return -1;',
      'if (load32(at, COROUTINE_SCHEDULED) != COROUTINE_IDLE) return -1;\n  store32(at, COROUTINE_SCHEDULED, by);',
    ],
    js: [
      'coroutine',
      'if (compareExchange(words, scheduled, COROUTINE_IDLE, by) !== COROUTINE_IDLE) return -1;',
      'if (load(words, scheduled) !== COROUTINE_IDLE) return -1;\n  store(words, scheduled, by);',
    ],
  },
  {
    name: 'co/who has scheduled it is not noted',
    suite: 'CO-1 one that is scheduled is refused',
    wasm: [
      'coroutine',
      'COROUTINE_SCHEDULED, COROUTINE_IDLE, by)',
      'COROUTINE_SCHEDULED, COROUTINE_IDLE, 1)',
    ],
    js: ['coroutine', 'scheduled, COROUTINE_IDLE, by)', 'scheduled, COROUTINE_IDLE, 1)'],
  },
  {
    name: 'co/the bottom half is scheduled before the push',
    steps: ['CO-1 home that polls meanwhile enters it', 'CO-1 it is in the list before'],
    wasm: [
      'coroutine',
      `  push(context + CONTEXT_CO_LIST, at, number + 1);
  // After the push: the bottom half that runs for this schedule finds the coroutine.
  const slot = load<u32>(context, CONTEXT_CO_SLOT);
  const generation = load<u32>(context, CONTEXT_CO_GENERATION);
  return max(bhEnqueue(context, slot, generation, BH_SCHEDULED), 0);`,
      `  const slot = load<u32>(context, CONTEXT_CO_SLOT);
  const generation = load<u32>(context, CONTEXT_CO_GENERATION);
  const wake = max(bhEnqueue(context, slot, generation, BH_SCHEDULED), 0);
  push(context + CONTEXT_CO_LIST, at, number + 1);
  return wake;`,
    ],
    js: [
      'coroutine',
      `  push(words, context + CONTEXT_CO_LIST, address, number);
  // Pushed, then scheduled: the run of the bottom half that this asks for comes upon it.
  const slot = words[(context + CONTEXT_CO_SLOT) >>> 2]!;
  const generation = words[(context + CONTEXT_CO_GENERATION) >>> 2]!;
  return Math.max(0, bhEnqueue(words, context, slot, generation, BH_SCHEDULED));`,
      `  const slot = words[(context + CONTEXT_CO_SLOT) >>> 2]!;
  const generation = words[(context + CONTEXT_CO_GENERATION) >>> 2]!;
  const wake = Math.max(0, bhEnqueue(words, context, slot, generation, BH_SCHEDULED));
  push(words, context + CONTEXT_CO_LIST, address, number);
  return wake;`,
    ],
  },
  {
    name: 'co/not put into the list',
    suite: WAKES,
    wasm: ['coroutine', '  push(context + CONTEXT_CO_LIST, at, number + 1);\n', ''],
    js: ['coroutine', '  push(words, context + CONTEXT_CO_LIST, address, number);\n', ''],
  },
  {
    name: 'co/no bottom half is scheduled',
    suite: WAKES,
    wasm: [
      'coroutine',
      'return max(bhEnqueue(context, slot, generation, BH_SCHEDULED), 0);',
      'return 0;',
    ],
    js: [
      'coroutine',
      'return Math.max(0, bhEnqueue(words, context, slot, generation, BH_SCHEDULED));',
      'return 0;',
    ],
  },
  {
    name: 'co/a stale bottom half looks like a refusal',
    suite: 'CO-1 a stale bottom half is no refusal',
    wasm: [
      'coroutine',
      'max(bhEnqueue(context, slot, generation, BH_SCHEDULED), 0)',
      'bhEnqueue(context, slot, generation, BH_SCHEDULED)',
    ],
    js: [
      'coroutine',
      'Math.max(0, bhEnqueue(words, context, slot, generation, BH_SCHEDULED))',
      'bhEnqueue(words, context, slot, generation, BH_SCHEDULED)',
    ],
  },
  {
    name: 'co/newest first',
    suite: ORDER,
    wasm: [
      'coroutine',
      'const oldest = turnRound(load<u32>(context, CONTEXT_COROUTINES), newest);',
      'const oldest = newest;',
    ],
    js: ['coroutine', 'const oldest = turnRound(words, places, newest);', 'const oldest = newest;'],
  },
  {
    name: 'co/the list is taken and left',
    suite: ORDER,
    wasm: [
      'coroutine',
      'exchange32(context, CONTEXT_CO_LIST, 0)',
      'load32(context, CONTEXT_CO_LIST)',
    ],
    js: [
      'coroutine',
      'exchange(words, context + CONTEXT_CO_LIST, 0)',
      'load(words, context + CONTEXT_CO_LIST)',
    ],
  },
  {
    name: 'co/the list is taken in two steps',
    steps: 'CO-5 CO-13 one that is scheduled while the list is taken',
    wasm: [
      'coroutine',
      'const newest = exchange32(context, CONTEXT_CO_LIST, 0);',
      'const newest = load32(context, CONTEXT_CO_LIST);\n  store32(context, CONTEXT_CO_LIST, 0);',
    ],
    js: [
      'coroutine',
      'const newest = exchange(words, context + CONTEXT_CO_LIST, 0);',
      'const newest = load(words, context + CONTEXT_CO_LIST);\n  store(words, context + CONTEXT_CO_LIST, 0);',
    ],
  },
  {
    name: 'co/a second list replaces the first',
    suite: BEHIND,
    wasm: ['coroutine', '  if (link == 0) {', '  if (true) {'],
    js: ['coroutine', '  if (words[ready] === 0) {', '  if (words[ready]! >= 0) {'],
  },
  {
    name: 'co/a second list comes behind the first of the ready ones',
    suite: BEHIND,
    wasm: ['coroutine', '  while (link != 0) {', '  for (let once = true; once; once = false) {'],
    js: ['coroutine', 'entry !== 0; entry = load(words, link)) {', 'entry !== 0; entry = 0) {'],
  },
  {
    name: 'co/scheduled again before it is unlinked',
    steps: 'CO-13 one leaves the ready list before',
    wasm: [
      'coroutine',
      `  store<u32>(context, load32(at, COROUTINE_NEXT), CONTEXT_CO_READY);
  store32(at, COROUTINE_SCHEDULED, COROUTINE_IDLE);`,
      `  store32(at, COROUTINE_SCHEDULED, COROUTINE_IDLE);
  store<u32>(context, load32(at, COROUTINE_NEXT), CONTEXT_CO_READY);`,
    ],
    js: [
      'coroutine',
      `  words[ready] = load(words, address + COROUTINE_NEXT);
  // Out of the list first: from here on anybody may schedule it, itself included (CO-13).
  store(words, address + COROUTINE_SCHEDULED, COROUTINE_IDLE);`,
      `  store(words, address + COROUTINE_SCHEDULED, COROUTINE_IDLE);
  words[ready] = load(words, address + COROUTINE_NEXT);`,
    ],
  },
  {
    name: 'co/one that is entered stays scheduled',
    suite: 'CO-13 it may be scheduled again from inside',
    wasm: ['coroutine', '  store32(at, COROUTINE_SCHEDULED, COROUTINE_IDLE);\n', ''],
    js: ['coroutine', '  store(words, address + COROUTINE_SCHEDULED, COROUTINE_IDLE);\n', ''],
  },
  {
    name: 'co/ready ones may be scheduled again when they are taken',
    suite: 'CO-13 it may be scheduled again from inside',
    wasm: [
      'coroutine',
      '  const oldest = turnRound(',
      '  store32(placeOf(context, newest - 1), COROUTINE_SCHEDULED, COROUTINE_IDLE);\n  const oldest = turnRound(',
    ],
    js: [
      'coroutine',
      '  const oldest = turnRound(',
      '  store(words, places + (newest - 1) * COROUTINE_SIZE, COROUTINE_IDLE);\n  const oldest = turnRound(',
    ],
  },
];
