/** Coroutines, the thread pool, the drain gate. */

import { scheduleDuringWalk, scheduleFromInside, scheduleTwice } from '../programs/coroutines.ts';
import { drain } from '../programs/gate.ts';
import { cancelAgainstTake, completion, twoWorkers } from '../programs/pool.ts';
import { type BrokenCase, js, wasm } from './case.ts';

const ASLEEP = /asleep for ever/;

const coroutineCases: BrokenCase[] = [
  {
    name: 'a coroutine counts as scheduled until it has run',
    program: scheduleFromInside(),
    wasm: [wasm('coroutine', ['  store32(at, COROUTINE_SCHEDULED, COROUTINE_IDLE);', ''], '')],
    js: [
      js('coroutine', ['  store(words, address + COROUTINE_SCHEDULED, COROUTINE_IDLE);', ''], ''),
    ],
    fails: /already/,
  },
  {
    name: 'a coroutine may be scheduled again before it is unlinked',
    program: scheduleDuringWalk(),
    wasm: [
      wasm(
        'coroutine',
        [
          '  store<u32>(context, load32(at, COROUTINE_NEXT), CONTEXT_CO_READY);',
          '  store32(at, COROUTINE_SCHEDULED, COROUTINE_IDLE);',
        ],
        [
          '  store32(at, COROUTINE_SCHEDULED, COROUTINE_IDLE);',
          '  store<u32>(context, load32(at, COROUTINE_NEXT), CONTEXT_CO_READY);',
        ],
      ),
    ],
    js: [
      js(
        'coroutine',
        ['  words[ready] = load(words, address + COROUTINE_NEXT);', ''],
        [
          '  store(words, address + COROUTINE_SCHEDULED, COROUTINE_IDLE);',
          '  words[ready] = load(words, address + COROUTINE_NEXT);',
          '',
        ],
      ),
      js(
        'coroutine',
        [
          '  // Out of the list first: from here on anybody may schedule it, itself included (CO-13).',
          '  store(words, address + COROUTINE_SCHEDULED, COROUTINE_IDLE);',
          '',
        ],
        '',
      ),
    ],
    fails: /asleep for ever|entered/,
  },
  {
    name: 'of two threads that schedule a coroutine both succeed',
    program: scheduleTwice(),
    wasm: [
      wasm(
        'coroutine',
        'if (compareExchange32(at, COROUTINE_SCHEDULED, COROUTINE_IDLE, by) != COROUTINE_IDLE) return -1;',
        [
          'if (load32(at, COROUTINE_SCHEDULED) != COROUTINE_IDLE) return -1;',
          '  store32(at, COROUTINE_SCHEDULED, by);',
        ],
      ),
    ],
    js: [
      js(
        'coroutine',
        'if (compareExchange(words, scheduled, COROUTINE_IDLE, by) !== COROUTINE_IDLE) return -1;',
        [
          'if (load(words, scheduled) !== COROUTINE_IDLE) return -1;',
          '  store(words, scheduled, by);',
        ],
      ),
    ],
    fails: /entered|round for ever/,
  },
  {
    name: 'the head of a list is stored, not exchanged',
    program: scheduleFromInside(),
    wasm: [
      wasm('list', 'const seen = compareExchange32(list, 0, head, link);', [
        'store32(list, 0, link);',
        '    const seen = head;',
      ]),
    ],
    js: [
      js('list', 'if (compareExchange(words, list, head, number + 1) === head) return;', [
        'store(words, list, number + 1);',
        '    return;',
      ]),
    ],
    fails: ASLEEP,
  },
];

const poolCases: BrokenCase[] = [
  {
    name: 'M9a: the completion does not schedule itself before it calls back (historic bug 7)',
    program: completion({ noReschedule: true }),
    fails: ASLEEP,
  },
  {
    name: 'a Worker looks for work before it counts itself idle',
    program: completion({ idleLate: true }),
    fails: ASLEEP,
  },
  {
    name: 'a request is done before its result is there',
    program: completion(),
    wasm: [
      wasm(
        'pool',
        ['  store32(request, WORK_RESULT, result);', '  // From here'],
        '  // From here',
      ),
      wasm(
        'pool',
        ['  store32(request, WORK_STATE, WORK_DONE);', ''],
        [
          '  store32(request, WORK_STATE, WORK_DONE);',
          '  store32(request, WORK_RESULT, result);',
          '',
        ],
      ),
    ],
    js: [
      js(
        'pool',
        [
          '  store(words, request + WORK_RESULT, result);',
          '  store(words, request + WORK_STATE, WORK_DONE);',
          '',
        ],
        [
          '  store(words, request + WORK_STATE, WORK_DONE);',
          '  store(words, request + WORK_RESULT, result);',
          '',
        ],
      ),
    ],
    fails: /result 0 of request/,
  },
  {
    name: 'a Worker takes what was cancelled',
    program: cancelAgainstTake(),
    wasm: [
      wasm(
        'pool',
        'if (compareExchange32(state, 0, WORK_QUEUED, WORK_ACTIVE) == WORK_QUEUED) return number;',
        ['store32(state, 0, WORK_ACTIVE);', '    return number;'],
      ),
    ],
    js: [
      js(
        'pool',
        'if (compareExchange(words, state, WORK_QUEUED, WORK_ACTIVE) === WORK_QUEUED) return number;',
        ['store(words, state, WORK_ACTIVE);', '    return number;'],
      ),
    ],
    fails: /performed|asleep for ever|result|callbacks/,
  },
  {
    name: 'two Workers take the same request',
    program: twoWorkers(),
    wasm: [
      wasm(
        'pool',
        'if (compareExchange32(pool, POOL_HEAD, head, head + 1) != head) continue;',
        'store32(pool, POOL_HEAD, head + 1);',
      ),
      wasm(
        'pool',
        'if (compareExchange32(state, 0, WORK_QUEUED, WORK_ACTIVE) == WORK_QUEUED) return number;',
        'if (load32(state, 0) == WORK_QUEUED) return number;',
      ),
    ],
    js: [
      js(
        'pool',
        'if (compareExchange(words, pool + POOL_HEAD, head, (head + 1) | 0) !== head) continue;',
        'store(words, pool + POOL_HEAD, (head + 1) | 0);',
      ),
      js(
        'pool',
        'if (compareExchange(words, state, WORK_QUEUED, WORK_ACTIVE) === WORK_QUEUED) return number;',
        'if (load(words, state) === WORK_QUEUED) return number;',
      ),
    ],
    fails: /performed/,
  },
  {
    name: 'a request is in the ring before it counts as queued',
    program: completion(),
    wasm: [
      wasm('pool', ['  store32(request, WORK_STATE, WORK_QUEUED);', ''], ''),
      wasm('pool', '  // Pairs with a worker, which counts itself idle', [
        '  store32(request, WORK_STATE, WORK_QUEUED);',
        '  // Pairs with a worker, which counts itself idle',
      ]),
    ],
    js: [
      js('pool', ['  store(words, request + WORK_STATE, WORK_QUEUED);', ''], ''),
      js('pool', '  // A worker counts itself idle', [
        '  store(words, request + WORK_STATE, WORK_QUEUED);',
        '  // A worker counts itself idle',
      ]),
    ],
    fails: ASLEEP,
  },
];

const gateCases: BrokenCase[] = [
  {
    name: 'the gate is looked at before the request is counted',
    program: drain(),
    wasm: [
      wasm(
        'gate',
        ['add32(lane, LANE_IN_FLIGHT, count);', '  // Pairs'],
        [
          'const closed = load32(backend, BACKEND_QUIESCE);',
          '  add32(lane, LANE_IN_FLIGHT, count);',
          '  // Pairs',
        ],
      ),
      wasm(
        'gate',
        'if (load32(backend, BACKEND_QUIESCE) == 0) return 1;',
        'if (!closed) return 1;',
      ),
    ],
    js: [
      js(
        'gate',
        [
          'add(words, lane + LANE_IN_FLIGHT, count);',
          '  if (load(words, backend + BACKEND_QUIESCE) === 0) return 1;',
        ],
        [
          'const closed = load(words, backend + BACKEND_QUIESCE);',
          '  add(words, lane + LANE_IN_FLIGHT, count);',
          '  if (closed === 0) return 1;',
        ],
      ),
    ],
    fails: /drained section|slipped in/,
  },
  {
    name: 'a leave looks at the gate before it counts down',
    program: drain({ lanes: 1, requests: 1, sleeping: true }),
    wasm: [
      wasm(
        'gate',
        [
          'sub32(lane, LANE_IN_FLIGHT, count);',
          '  return u32(load32(backend, BACKEND_QUIESCE) != 0);',
        ],
        [
          'const closed = load32(backend, BACKEND_QUIESCE);',
          '  sub32(lane, LANE_IN_FLIGHT, count);',
          '  return u32(closed != 0);',
        ],
      ),
    ],
    js: [
      js(
        'gate',
        [
          'sub(words, lane + LANE_IN_FLIGHT, count);',
          '  return load(words, backend + BACKEND_QUIESCE) === 0 ? 0 : 1;',
        ],
        [
          'const closed = load(words, backend + BACKEND_QUIESCE);',
          '  sub(words, lane + LANE_IN_FLIGHT, count);',
          '  return closed === 0 ? 0 : 1;',
        ],
      ),
    ],
    fails: ASLEEP,
  },
];

export const workCases = [...coroutineCases, ...poolCases, ...gateCases];
