/** Steps of a context: waking, sleeping, handlers and notifiers. */

const NOTIFY = 'aio/notify.test.ts';
const LOOP = 'aio/foreign-loop.test.ts';
const HANDLERS = 'aio/handlers.test.ts';

export const events = [
  // ---- Waking ---------------------------------------------------------------------------------
  {
    name: 'wake/told before the word is counted up',
    breaks: [
      'aio/wake',
      '  Atomics.add(i32, (address + CONTEXT_WAKE) >>> 2, 1);\n' +
        '  Atomics.notify(i32, (address + CONTEXT_WAKE) >>> 2);',
      '  Atomics.notify(i32, (address + CONTEXT_WAKE) >>> 2);\n' +
        '  Atomics.add(i32, (address + CONTEXT_WAKE) >>> 2, 1);',
    ],
    noticed: { 'aio/last-look.test.ts': 'NT-1 the word is counted up before' },
  },
  {
    name: 'wake/the word is not counted up',
    breaks: ['aio/wake', '  Atomics.add(i32, (address + CONTEXT_WAKE) >>> 2, 1);\n', ''],
    noticed: { [NOTIFY]: 'historic bug 3: a poll elsewhere does not take the wake' },
  },
  {
    name: 'wake/a core of the same thread is not known',
    breaks: ['aio/wake', '(core.shared ? core : core.memory)', 'core'],
    noticed: { [NOTIFY]: 'a context of another core of this thread is woken, too' },
  },
  {
    name: 'wake/a notify wakes nobody',
    breaks: [
      'aio/wake',
      'if (core.engine.notify(address) === 1) wakeContext(core, address);',
      'core.engine.notify(address);',
    ],
    noticed: { [NOTIFY]: 'NT-10 WT-7 new limits notify' },
  },
  {
    name: 'wake/new limits notify nobody',
    breaks: ['aio/poll-params', '  notifyContext(core, address);\n', '  void notifyContext;\n'],
    noticed: { [NOTIFY]: 'NT-10 WT-7 new limits notify' },
  },
  {
    name: 'sleep/a hook is told of each wake',
    breaks: ['aio/sleeper', '    if (this.#told) return;\n', ''],
    noticed: { [LOOP]: 'a hook is told once of any number of wakes between two turns' },
  },
  {
    name: 'sleep/a hook is told once and never again',
    breaks: [
      'aio/sleeper',
      '  begin(): void {\n    this.#told = false;\n  }',
      '  begin(): void {}',
    ],
    noticed: { [LOOP]: 'a hook is told once of any number of wakes between two turns' },
  },
  {
    name: 'sleep/milliseconds are rounded down',
    breaks: ['aio/sleeper', 'Math.ceil(ns / 1e6)', 'Math.floor(ns / 1e6)'],
    noticed: { [LOOP]: 'GS-1 prepare: bit 0 before the timeout is read' },
  },
  {
    name: 'sleep/a second waitAsync while one is outstanding',
    breaks: [
      'aio/word-sleeper',
      'if (this.#outstanding || this.#closed) return;',
      'if (this.#closed) return;',
    ],
    noticed: { [LOOP]: 'at most one waitAsync is outstanding, and none is left behind' },
  },
  {
    name: 'sleep/a waiter is left behind',
    breaks: [
      'aio/word-sleeper',
      'if (this.#outstanding) Atomics.notify(this.#core.i32, (this.#address + CONTEXT_WAKE) >>> 2);',
      '',
    ],
    noticed: { [LOOP]: 'at most one waitAsync is outstanding, and none is left behind' },
  },
  // ---- Handlers and notifiers -----------------------------------------------------------------
  {
    name: 'handler/a removed one keeps its place',
    breaks: ['aio/handlers', '    this.setWord(entry, HANDLER_NOTIFIER, 0);\n', ''],
    noticed: { [HANDLERS]: 'FD-2 removed inside a nested poll' },
  },
  {
    name: 'handler/one that was replaced in this walk is called in it',
    breaks: ['aio/handlers', 'if (entry.born >= walk) {', 'if (entry.born > walk) {'],
    noticed: { [HANDLERS]: 'FD-1 replacing makes a new handler' },
  },
  {
    name: 'handler/the event of a new one is lost',
    breaks: [
      'aio/handlers',
      '        entry.notifier.set(); // put back: it is for the next poll\n',
      '',
    ],
    noticed: { [HANDLERS]: 'FD-1 replacing makes a new handler' },
  },
  {
    name: 'handler/one that has gone is served again',
    breaks: [
      'aio/handlers',
      'if (!entry || !this.has(entry, HANDLER_F_READY)) continue;\n' +
        '      this.clear(entry, HANDLER_F_READY);',
      'if (!entry || !this.has(entry, HANDLER_F_READY)) continue;',
    ],
    noticed: { 'aio/last-look.test.ts': 'FD-4 what polling has found is served once' },
  },
  {
    name: 'handler/ready stays counted when one is removed',
    breaks: [
      'aio/handlers',
      '    if (this.has(entry, HANDLER_F_READY)) this.#words.add(CONTEXT_POLL_READY, -1);\n',
      '',
    ],
    noticed: { 'aio/poll-mode.test.ts': 'FD-2 one that is removed after polling has found it' },
  },
  {
    name: 'handler/removed, it stays counted as one without io_poll',
    breaks: ['aio/handlers', 'if (!entry.poll) this.#words.add(CONTEXT_POLL_DISABLE, -1);', ''],
    noticed: { 'aio/poll-mode.test.ts': 'AP-2 one handler without io_poll turns polling off' },
  },
  {
    name: 'handler/found both ways, it is marked as well',
    breaks: [
      'aio/handlers',
      'if (entry.notifier.isSet || this.has(entry, HANDLER_F_READY)) return;',
      'if (this.has(entry, HANDLER_F_READY)) return;',
    ],
    noticed: { 'aio/last-look.test.ts': 'AP-1 an event that polling finds as well' },
  },
  {
    name: 'handler/nobody watches the notifier',
    breaks: [
      [
        'aio/handlers',
        '    if (!entry.poll) this.#words.add(CONTEXT_POLL_DISABLE, 1);\n    this.#setEnd();\n' +
          '    notifier.watch(this.#words.address, unwatch);\n',
        '    if (!entry.poll) this.#words.add(CONTEXT_POLL_DISABLE, 1);\n    this.#setEnd();\n',
      ],
    ],
    noticed: { 'aio/context.test.ts': 'lives in the JavaScript loop' },
  },
  {
    name: 'handler/a notifier that is closed keeps its handler',
    breaks: ['aio/event-notifier', '    this.#unwatch?.();\n', ''],
    noticed: { [HANDLERS]: 'a notifier that is closed takes its handler with it' },
  },
  {
    name: 'notifier/its watcher is not woken',
    breaks: [
      'aio/event-notifier',
      'if (watcher !== 0) wakeContext(this.#core, watcher);',
      'void wakeContext;',
    ],
    noticed: { 'aio/context.test.ts': 'lives in the JavaScript loop' },
  },
];
