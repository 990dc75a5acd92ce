/** Steps of the throttle: buckets that threads share, turns, drained sections. */

const THROTTLE = 'block/throttle.test.ts';
const SHARE = 'BB-28 share one set of buckets';
const RATE = 'lets 100 a second through, after a tenth of that at once';

export const throttle = [
  {
    name: 'throttle/a drained section lets nobody go (BB-28)',
    breaks: [
      'block/throttle',
      '    this.#drained = true;\n    this.#serve(this.#reads);\n    this.#serve(this.#writes);',
      '    this.#drained = true;',
    ],
    noticed: {
      [THROTTLE]: 'BB-28 a drained section lets all of them go at once, and nothing waits in it',
    },
  },
  {
    name: 'throttle/limits do not stand aside in a drained section (BB-28)',
    breaks: ['block/throttle', 'return this.#drained || at <=', 'return at <='],
    noticed: {
      [THROTTLE]: 'BB-28 a drained section lets all of them go at once, and nothing waits in it',
    },
  },
  {
    name: 'throttle/limits stay aside after the section',
    breaks: ['block/throttle', '    this.#drained = false;\n  }', '  }'],
    noticed: {
      [THROTTLE]: 'BB-28 a drained section lets all of them go at once, and nothing waits in it',
    },
  },
  {
    name: 'throttle/a new request overtakes those that wait',
    breaks: ['block/throttle', 'if (waiting.requests.length === 0) {\n      turn', '{\n      turn'],
    noticed: {
      [THROTTLE]:
        'BB-28 a new one does not overtake one whose time has come and who has not been served',
    },
  },
  {
    name: 'throttle/nobody wakes the next one',
    breaks: [
      'block/throttle',
      '        this.#arm(waiting, next.turn);\n        return;',
      '        return;',
    ],
    noticed: { [THROTTLE]: RATE },
  },
  {
    name: 'throttle/a request that waits is not counted: one thread takes all turns',
    breaks: [
      'block/throttle-buckets',
      '      account(f64, direction, bytes);\n      return wait;',
      '      if (wait === 0) account(f64, direction, bytes);\n      return wait;',
    ],
    noticed: { [THROTTLE]: SHARE },
  },
  {
    name: 'throttle/each thread has a time of its own',
    breaks: [
      'block/throttle-buckets',
      'if (now + this.#offset < before || this.#offset === Number.NEGATIVE_INFINITY) {',
      'if (this.#offset === Number.NEGATIVE_INFINITY) {',
    ],
    noticed: {
      [THROTTLE]: 'BB-28 a thread whose clock stood still for a while catches up with the others',
    },
  },
  {
    name: 'throttle/new limits are for new requests',
    breaks: ['block/throttle', ' && turn.changes === this.#buckets.changes', ''],
    noticed: { [THROTTLE]: 'limits change while it runs, for those that wait, too' },
  },
  {
    name: 'throttle/other threads are told of new limits by nobody',
    breaks: ['block/throttle', '.mod(Math.min(at, look))', '.mod(at + look * 0)'],
    noticed: {
      [THROTTLE]: 'limits that main changes count on the other thread, for what waits there, too',
    },
  },
  {
    name: 'throttle/a view from before the memory grew',
    breaks: ['block/throttle', '    request.vector.bytes = bytes();\n', ''],
    noticed: {
      [THROTTLE]: 'a view of core memory is taken anew: memory may grow while a request waits',
    },
  },
  {
    name: 'throttle/a flush waits',
    breaks: ['block/throttle', 'if (op === OP_FLUSH) return this.file.submit(request);', ''],
    noticed: { [THROTTLE]: 'a flush never waits' },
  },
  {
    name: 'throttle/waits by the time of day while the machine runs',
    breaks: [
      'block/throttle',
      "clocks.virtual.enabled ? 'virtual'",
      "clocks.virtual.enabled ? 'realtime'",
    ],
    noticed: {
      [THROTTLE]:
        'BB-28 waits by the virtual clock while it runs: a machine that stands still lets none go',
    },
  },
];
