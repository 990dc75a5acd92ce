/** Steps of a context: bottom halves, its polls and turns. */

const NOTIFY = 'aio/notify.test.ts';
const LOOP = 'aio/foreign-loop.test.ts';
const HALVES = 'aio/bottom-half.test.ts';
const WAIT = 'aio/wait.test.ts';

export const contexts = [
  // ---- Bottom halves --------------------------------------------------------------------------
  {
    name: 'bh/what is scheduled during a poll runs in it',
    breaks: [
      'aio/slots',
      '      entry.callback();',
      '      entry.callback();\n      engine.bhTake(address);',
    ],
    noticed: { [HALVES]: 'BH-4 what a callback schedules runs in the next poll' },
  },
  {
    name: 'bh/an idle one is progress',
    breaks: ['aio/slots', 'if (!(flags & BH_IDLE)) progress = true;', 'progress = true;'],
    noticed: { [HALVES]: 'BH-11 an idle bottom half runs and is no progress' },
  },
  {
    name: 'bh/a deleted one runs',
    breaks: [
      'aio/slots',
      'if ((flags & (BH_SCHEDULED | BH_DELETED)) !== BH_SCHEDULED) continue;',
      'if ((flags & BH_SCHEDULED) !== BH_SCHEDULED) continue;',
    ],
    noticed: { [HALVES]: 'BH-6 a deleted bottom half does not run' },
  },
  {
    name: 'bh/a cancelled one runs',
    breaks: [
      'aio/slots',
      'if ((flags & (BH_SCHEDULED | BH_DELETED)) !== BH_SCHEDULED) continue;',
      'if ((flags & BH_DELETED) !== 0) continue;',
    ],
    noticed: { [HALVES]: 'BH-5 cancel forgets the run but not the place' },
  },
  {
    name: 'bh/a oneshot keeps its slot',
    breaks: [
      'aio/slots',
      'if (flags & (BH_DELETED | BH_ONESHOT)) this.#release(slot);',
      'if (flags & BH_DELETED) this.#release(slot);',
    ],
    noticed: { [HALVES]: 'BH-7 a oneshot runs once and leaves nothing' },
  },
  {
    name: 'bh/the slot is given back after the callback',
    breaks: [
      [
        'aio/slots',
        '      if (flags & (BH_DELETED | BH_ONESHOT)) this.#release(slot);\n',
        '      if (flags & BH_DELETED) this.#release(slot);\n',
      ],
      [
        'aio/slots',
        '      entry.callback();',
        '      entry.callback();\n      if (flags & BH_ONESHOT) this.#slots[slot] = undefined;',
      ],
    ],
    noticed: { [HALVES]: 'BH-7 a oneshot runs once and leaves nothing' },
  },
  {
    name: 'bh/a callback runs without its guard',
    breaks: ['aio/slots', 'guard ? () => guard.run(callback) : callback', 'callback'],
    noticed: { [HALVES]: 'BH-13 a callback that touches its own device is refused' },
  },
  {
    name: 'bh/the guard is let go, not restored',
    breaks: ['aio/reentrancy-guard', 'this.engaged = before;', 'this.engaged = false;'],
    noticed: { [HALVES]: 'BH-13 one inside another of the same device runs' },
  },
  {
    name: 'bh/a schedule from here wakes nobody',
    breaks: [
      'aio/bottom-half',
      'if (scheduleHandle(this.#engine, this.handle, flags)) this.#wake();',
      'scheduleHandle(this.#engine, this.handle, flags);',
    ],
    noticed: { [HALVES]: 'BH-1 schedule publishes the work, then notifies' },
  },
  {
    name: 'bh/a schedule from elsewhere wakes nobody',
    breaks: [
      'aio/bottom-half',
      '  if (result === 1) wakeContext(core, context);\n',
      '  void wakeContext;\n',
    ],
    noticed: { [LOOP]: 'GS-2 historic bug 4: whoever schedules at any point' },
  },
  {
    name: 'bh/a closed context is scheduled in',
    breaks: [
      'aio/bottom-half',
      'if (engine.visitBegin(context) === 0) return false;',
      'engine.visitBegin(context);',
    ],
    noticed: { 'aio/last-look.test.ts': 'FD-5 a schedule that comes late' },
  },
  {
    name: 'bh/closed with live ones',
    breaks: ['aio/context', '      ...this.#slots.live,\n', ''],
    noticed: { [HALVES]: 'refuses more bottom halves than it has slots, and closes only when' },
  },
  // ---- Polls and turns ------------------------------------------------------------------------
  {
    name: 'poll/handlers before bottom halves',
    breaks: [
      'aio/context',
      '      let progress = this.#slots.run();\n' +
        '      if (this.#handlers.run(this.#polling)) progress = true;\n',
      '      let progress = this.#handlers.run(this.#polling);\n' +
        '      if (this.#slots.run()) progress = true;\n',
    ],
    noticed: { [NOTIFY]: 'NT-2 the order of a blocking poll' },
  },
  {
    name: 'poll/timers before handlers',
    breaks: [
      'aio/context',
      '      if (this.#handlers.run(this.#polling)) progress = true;\n' +
        '      if (this.#timers.run()) progress = true;\n',
      '      if (this.#timers.run()) progress = true;\n' +
        '      if (this.#handlers.run(this.#polling)) progress = true;\n',
    ],
    noticed: { [NOTIFY]: 'NT-2 the order of a blocking poll' },
  },
  {
    name: 'poll/notified is not read again before the sleep',
    breaks: [
      'aio/rest',
      'if (engine.waitEnter(address) === 1 && timeout !== 0) {',
      'engine.waitEnter(address);\n    if (timeout !== 0) {',
    ],
    noticed: { [NOTIFY]: 'NT-2 what is notified between the look and notify_me' },
  },
  {
    name: 'poll/the word is read after notify_me is up',
    breaks: [
      ['aio/rest', '    const seen = this.#words.load(CONTEXT_WAKE) | 0;\n', ''],
      [
        'aio/rest',
        'blockOnWord(this.#core, address, seen, timeout);',
        'const seen = this.#words.load(CONTEXT_WAKE) | 0;\n' +
          '      blockOnWord(this.#core, address, seen, timeout);',
      ],
    ],
    noticed: { 'aio/last-look.test.ts': 'NT-2 who counts the word up after the last look' },
  },
  {
    name: 'poll/awake, it does not lower notify_me',
    breaks: ['aio/rest', '    engine.waitLeave(address);', '    engine.accept(address);'],
    noticed: { [NOTIFY]: 'NT-2 the order of a blocking poll' },
  },
  {
    name: 'poll/a foreign thread is let in',
    breaks: [
      'aio/context',
      'if (core.engine.pollBegin(address, core.thread) === 0) {',
      'core.engine.pollBegin(address, core.thread);\n    if (this.#closed) {',
    ],
    noticed: { [NOTIFY]: 'NT-5 NT-12 a foreign poll is refused by name' },
  },
  {
    name: 'poll/a block that has a home gets another',
    breaks: [
      'aio/context-block',
      'if (home !== 0) throw foreignPoll(core, address, name);',
      'if (home < 0) throw foreignPoll(core, address, name);',
    ],
    noticed: { [NOTIFY]: 'NT-5 NT-12 a foreign poll is refused by name' },
  },
  {
    name: 'poll/the context of a callback is the outermost',
    breaks: ['aio/context', '    current = this;', '    current ??= this;'],
    noticed: { [WAIT]: 'WT-3 a callback runs in its context, also inside another one' },
  },
  {
    name: 'turn/no check',
    breaks: [
      'aio/context',
      '      this.core.engine.check(this.address);\n      return this.#dispatch();',
      '      return this.#dispatch();',
    ],
    noticed: { 'aio/context.test.ts': 'NT-1 GS-2 notify sets notified' },
  },
  {
    name: 'turn/a turn inside a turn is one of its own',
    breaks: [
      'aio/context',
      'if (this.#words.get(CONTEXT_DEPTH) > 0) return this.poll();',
      'if (this.#words.get(CONTEXT_DEPTH) > 9) return this.poll();',
    ],
    noticed: { 'aio/last-look.test.ts': 'GS-3 a turn inside a turn is a nested poll' },
  },
  {
    name: 'turn/no prepare',
    breaks: [
      'aio/context',
      '      if (!this.#closed) this.#rest.prepare(this.#wake);\n      this.#turned();',
      '      this.#turned();',
    ],
    noticed: { [LOOP]: 'GS-2 historic bug 4: whoever schedules at any point' },
  },
  {
    name: 'turn/who waits for it is not told',
    breaks: ['aio/context', 'for (const resolve of waiters) resolve();', 'void waiters;'],
    noticed: { [LOOP]: 'nextTurn resolves after the next turn' },
  },
  {
    name: 'prepare/the timeout comes before bit 0',
    breaks: [
      [
        'aio/rest',
        '    this.#core.engine.prepare(this.#words.address);\n    this.#polling.stop();',
        '    const timeout = this.timeout();\n' +
          '    this.#core.engine.prepare(this.#words.address);\n    this.#polling.stop();',
      ],
      [
        'aio/rest',
        '    const timeout = this.timeout();\n    if (timeout === 0 ||',
        '    if (timeout === 0 ||',
      ],
    ],
    noticed: { [LOOP]: 'GS-1 prepare: bit 0 before the timeout is read' },
  },
  {
    name: 'prepare/poll mode goes on in a foreign loop',
    breaks: [
      'aio/rest',
      '    this.#polling.stop(); // what its last look finds makes the timeout 0 (GS-5)\n',
      '',
    ],
    noticed: { 'aio/poll-mode.test.ts': 'GS-5 a foreign loop has no poll mode' },
  },
  {
    name: 'prepare/other threads are not listened to',
    breaks: ['aio/rest', '    this.#sleeper.listen();\n', ''],
    noticed: { [LOOP]: 'a sleeping hook hears of another thread through the JavaScript loop' },
  },
  {
    name: 'prepare/listens after the look for work',
    breaks: [
      ['aio/rest', '    this.#sleeper.listen();\n', ''],
      [
        'aio/rest',
        '    this.#words.add(CONTEXT_SLEEPS);\n    this.#sleeper.sleep(timeout);',
        '    this.#words.add(CONTEXT_SLEEPS);\n    this.#sleeper.listen();\n' +
          '    this.#sleeper.sleep(timeout);',
      ],
    ],
    noticed: { 'aio/last-look.test.ts': 'GS-2 who wakes right after the last look' },
  },
  {
    name: 'prepare/an event whose notify was accepted is slept on',
    breaks: [
      'aio/rest',
      'if (timeout === 0 || this.notified || this.#event) {',
      'if (timeout === 0 || this.notified) {',
    ],
    noticed: { 'aio/last-look.test.ts': 'GS-1 an event whose notify was accepted' },
  },
  {
    name: 'prepare/an idle bottom half is forgotten',
    breaks: [
      'aio/rest',
      'return timers < 0 ? IDLE_NS : Math.min(IDLE_NS, timers);',
      'return timers;',
    ],
    noticed: { [HALVES]: 'BH-12 an idle one waits 10 ms at most' },
  },
  {
    name: 'poll/a notify hides the handlers',
    breaks: ['aio/rest', 'if (found && polling.on) polling.collect();', ''],
    noticed: { 'aio/poll-mode.test.ts': 'AP-10 a context that is notified all the time' },
  },
  {
    name: 'prepare/a notify is slept on',
    breaks: [
      'aio/rest',
      'if (timeout === 0 || this.notified || this.#event) {',
      'if (timeout === 0 || this.#event) {',
    ],
    noticed: { [LOOP]: 'GS-1 a notify while the thread saw to itself' },
  },
];
