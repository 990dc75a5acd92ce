/** Steps of waiting, of timers, and of a context's end. */

const NOTIFY = 'aio/notify.test.ts';
const HANDLERS = 'aio/handlers.test.ts';
const LIFE = 'aio/context-life.test.ts';
const WAIT = 'aio/wait.test.ts';
const TIMERS = 'aio/timers.test.ts';

export const timers = [
  // ---- Visits and the end -----------------------------------------------------------------------
  {
    name: 'close/with a visitor inside',
    breaks: [
      'aio/context',
      "if (this.core.engine.visitClose(this.address) === 0) throw this.#busy('has a visitor inside');",
      'this.core.engine.visitClose(this.address);',
    ],
    noticed: { [HANDLERS]: 'FD-5 a context is not closed while another thread is inside' },
  },
  // ---- Waiting ----------------------------------------------------------------------------------
  {
    name: 'wait/counted after the condition is read',
    breaks: [
      [
        'aio/wait',
        '  Atomics.add(core.u32, waiters, 1);\n  let held = false;\n  try {\n    while (condition()) {\n',
        '  let held = false;\n  try {\n    while (condition()) {\n' +
          '      if (!held) Atomics.add(core.u32, waiters, 1);\n',
      ],
      [
        'aio/wait',
        '    Atomics.sub(core.u32, waiters, 1);',
        '    if (held) Atomics.sub(core.u32, waiters, 1);',
      ],
    ],
    noticed: { [WAIT]: 'WT-1 waiters are counted before the condition is read' },
  },
  {
    name: 'wait/stays counted',
    breaks: ['aio/wait', '    Atomics.sub(core.u32, waiters, 1);\n', ''],
    noticed: { [WAIT]: 'WT-1 waiters are counted before the condition is read' },
  },
  {
    name: 'wait/a kick wakes nobody',
    breaks: ['aio/wait', 'if (main !== 0) wakeContext(core, main);', 'void main;'],
    noticed: { [WAIT]: 'WT-1 WT-2 whoever ends the condition, wherever the waiter is' },
  },
  {
    name: 'wait/any thread waits',
    breaks: [
      'aio/wait',
      '  if (!isMain(core)) {\n    const message',
      "  if (name === '') {\n    const message",
    ],
    noticed: { [WAIT]: 'NT-6 two threads that wait for each other are refused' },
  },
  {
    name: 'wait/a second context of main waits for turns of its own',
    breaks: [
      'aio/wait',
      'await (mains.get(core) as AioContext).nextTurn();',
      'await context.nextTurn();',
    ],
    noticed: { [WAIT]: 'WT-1 a second context of main waits through the first' },
  },
  // ---- Timers -----------------------------------------------------------------------------------
  {
    name: 'timer/a new first one wakes nobody',
    breaks: ['aio/timer', 'if (this.#timers[0] === timer) this.#becameHead();', ''],
    noticed: { 'aio/context.test.ts': 'TM-2 timers run by expiry' },
  },
  {
    name: 'timer/a clock that is enabled wakes nobody',
    breaks: [
      'aio/timer',
      '  clockEnabled(): void {\n    this.#becameHead();\n  }',
      '  clockEnabled(): void {}',
    ],
    noticed: { [NOTIFY]: 'NT-11 a timer that becomes the first and a clock that is enabled' },
  },
  {
    name: 'timer/a clock that is off has a deadline',
    breaks: [
      'aio/timer',
      'return this.clock.enabled ? (this.#timers[0]?.expire ?? -1) : -1;',
      'return this.#timers[0]?.expire ?? -1;',
    ],
    noticed: { [TIMERS]: 'TM-5 a disabled clock has no deadline' },
  },
  {
    name: 'timer/the newest of equals is first',
    breaks: ['aio/timer', 'other.expire > expire', 'other.expire >= expire'],
    noticed: { 'aio/context.test.ts': 'TM-2 timers run by expiry, first in first out' },
  },
  {
    name: 'timer/a callback finds itself armed',
    breaks: [
      'aio/timer',
      '      this.disarm(timer);\n      progress = true;\n      this.clock.call(timer.callback);',
      '      progress = true;\n      this.clock.call(timer.callback);\n      this.disarm(timer);',
    ],
    noticed: { 'aio/context.test.ts': 'TM-3 TM-4 a callback may arm and disarm timers' },
  },
  {
    name: 'timer/the test clock jumps over deadlines',
    breaks: [
      'aio/clock',
      'clock.advance(Math.min(end, ...later) - clock.now());',
      'clock.advance(end - clock.now());',
    ],
    noticed: { [TIMERS]: 'TM-7 the test clock stops at each deadline' },
  },
  {
    name: 'timer/a clock is disabled from inside its own timer',
    breaks: ['aio/clock', 'if (!on && this.#running > 0) {', 'if (!on && this.#running > 9) {'],
    noticed: { [TIMERS]: 'TM-5 a disabled clock has no deadline' },
  },
  {
    name: 'close/armed timers are left',
    breaks: ['aio/context', '      ...this.#timers.armed,\n', ''],
    noticed: { [LIFE]: 'BH-15 closing with an armed timer, a scheduled coroutine' },
  },
  {
    name: 'close/a making that fails leaves its home behind',
    breaks: [
      'aio/context',
      'if (mine) this.#vanish(); // else',
      'if (mine && error === 0) this.#vanish(); // else',
    ],
    noticed: { [LIFE]: 'BH-15 whatever step of the making fails, nothing is left' },
  },
];
