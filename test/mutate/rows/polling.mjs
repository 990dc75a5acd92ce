/** Steps of adaptive polling. */

const MODE = 'aio/poll-mode.test.ts';

export const polling = [
  {
    name: 'polling/leaves poll mode after the last look',
    breaks: [
      'aio/poll-mode',
      '      this.#end(entry);\n' +
        '      if (!entry.deleted && this.#table.isPolled(entry) && this.#look(entry)) found = true;\n',
      '      if (!entry.deleted && this.#table.isPolled(entry) && this.#look(entry)) found = true;\n' +
        '      this.#end(entry);\n',
    ],
    noticed: { [MODE]: 'AP-7 the end, then one more look' },
  },
  {
    name: 'polling/no last look',
    breaks: [
      'aio/poll-mode',
      'if (!entry.deleted && this.#table.isPolled(entry) && this.#look(entry)) found = true;\n    }\n    return found;\n  }\n\n  #begin',
      '}\n    return found;\n  }\n\n  #begin',
    ],
    noticed: { [MODE]: 'AP-7 the end, then one more look' },
  },
  {
    name: 'polling/goes to sleep in poll mode',
    breaks: [
      'aio/rest',
      'if (!found && sleep) found = timeout === 0 || this.notified || polling.stop();',
      'if (!found && sleep) found = timeout === 0 || this.notified;',
    ],
    noticed: { [MODE]: 'AP-7 the end, then one more look' },
  },
  {
    name: 'polling/leaves poll mode though a timer is due',
    breaks: [
      'aio/rest',
      'if (!found && sleep) found = timeout === 0 || this.notified || polling.stop();',
      'if (!found && sleep) found = polling.stop() || timeout === 0 || this.notified;',
    ],
    noticed: { 'aio/last-look.test.ts': 'AP-7 a timer that comes due while it polls' },
  },
  {
    name: 'polling/begin is not called',
    breaks: ['aio/poll-mode', '    entry.poll?.begin?.();\n', ''],
    noticed: { [MODE]: 'AP-3 a handler is polled from its first activity on' },
  },
  {
    name: 'polling/a handler joins without begin',
    breaks: [
      'aio/poll-mode',
      'if (this.on && !this.#table.has(entry, HANDLER_F_BEGUN)) this.#begin(entry);',
      '',
    ],
    noticed: { [MODE]: 'AP-3 a handler is polled from its first activity on' },
  },
  {
    name: 'polling/a handler is polled from the start',
    breaks: [
      'aio/handlers',
      '    this.setWord(entry, HANDLER_FLAGS, 0);\n    if (',
      '    this.setWord(entry, HANDLER_FLAGS, HANDLER_F_POLLED);\n    if (',
    ],
    noticed: { [MODE]: 'AP-3 a handler is polled from its first activity on' },
  },
  {
    name: 'polling/end is called twice',
    breaks: [
      'aio/poll-mode',
      '    this.#table.clear(entry, HANDLER_F_BEGUN);\n    entry.poll?.end?.();',
      '    entry.poll?.end?.();',
    ],
    noticed: { [MODE]: 'AP-8 a nested poll that ends poll mode' },
  },
  {
    name: 'polling/the last look that a nested poll could not take is forgotten',
    breaks: [
      'aio/poll-mode',
      'if (begun && !this.#table.has(entry, HANDLER_F_BEGUN)) this.#look(entry);',
      'void begun;',
    ],
    noticed: { [MODE]: 'AP-8 a nested poll that ends poll mode' },
  },
  {
    name: 'polling/served, it is not polled again',
    breaks: ['aio/poll-mode', '        this.#join(entry);\n', ''],
    noticed: { [MODE]: 'historic bug 8: a handler that is found always' },
  },
  {
    name: 'polling/a handler without io_poll does not turn it off',
    breaks: [
      'aio/poll-mode',
      'if (max === 0 || this.#words.get(CONTEXT_POLL_DISABLE) !== 0) return 0;',
      'if (max === 0) return 0;',
    ],
    noticed: { [MODE]: 'AP-2 one handler without io_poll turns polling off' },
  },
  {
    name: 'polling/what settles through the loop does not turn it off',
    breaks: [
      'aio/context',
      '    this.#loopUsers += 1;\n    this.#words.add(CONTEXT_POLL_DISABLE);',
      '    this.#loopUsers += 1;',
    ],
    noticed: { [MODE]: 'AP-2 what settles through the JavaScript loop counts as one' },
  },
  {
    name: 'polling/io_poll without ready counts',
    breaks: ['aio/handlers', 'handler.poll?.ready ? handler.poll : null', 'handler.poll ?? null'],
    noticed: { [MODE]: 'AP-1 without ready it counts as no io_poll' },
  },
  {
    name: 'polling/a limit that was lowered does not bound the window',
    breaks: ['aio/poll-mode', 'return Math.min(longest, max);', 'return longest;'],
    noticed: { 'aio/last-look.test.ts': 'AP-4 a limit that was lowered bounds the window' },
  },
  {
    name: 'polling/the window is that of the last',
    breaks: [
      'aio/poll-mode',
      'longest = Math.max(longest, this.#table.word(entry, HANDLER_POLL_NS));',
      'longest = this.#table.word(entry, HANDLER_POLL_NS);',
    ],
    noticed: { 'aio/last-look.test.ts': 'AP-4 a limit that was lowered bounds the window' },
  },
  {
    name: 'polling/a timer does not end the window',
    breaks: [
      'aio/poll-mode',
      'const window = timeout < 0 ? longest : Math.min(timeout, longest);',
      'const window = longest;',
    ],
    noticed: { [MODE]: 'AP-4 the window is the longest of the polled handlers' },
  },
  {
    name: 'polling/no window, and still a look',
    breaks: ['aio/poll-mode', '    if (window === 0) return false;\n', ''],
    noticed: { [MODE]: 'AP-4 no window, no look' },
  },
  {
    name: 'polling/grows when polling has caught it',
    breaks: ['aio/poll-params', 'if (blocked <= now) return now; // polling catches it', ''],
    noticed: { 'aio/last-look.test.ts': 'AP-5 an event that came within the time' },
  },
  {
    name: 'polling/grows without end',
    breaks: [
      'aio/poll-params',
      'Math.min(maxNs, now === 0 ? FIRST_NS : now * (grow || 2))',
      '(now === 0 ? FIRST_NS : now * (grow || 2))',
    ],
    noticed: { [MODE]: 'AP-5 grows to the limit, and falls to nothing' },
  },
  {
    name: 'polling/does not shrink',
    breaks: [
      'aio/poll-params',
      'if (blocked > maxNs) return shrink === 0 ? 0 : Math.floor(now / shrink);',
      '',
    ],
    noticed: { [MODE]: 'AP-5 grows to the limit, and falls to nothing' },
  },
  {
    name: 'polling/the time of the handler counts',
    breaks: [
      ['aio/rest', 'if (found || sleep) polling.stopClock();', ''],
      [
        'aio/poll-mode',
        '    if (this.#blocked < 0 || !entry.poll) return;',
        '    this.stopClock();\n    if (this.#blocked < 0 || !entry.poll) return;',
      ],
    ],
    noticed: { [MODE]: 'AP-5 the time until the event counts, not the time of the handler' },
  },
  {
    name: 'polling/a turn in between counts as looking',
    breaks: ['aio/rest', '    this.#polling.resetClock();\n', ''],
    noticed: { [MODE]: 'AP-5 a turn of a foreign loop in between is no time of looking' },
  },
  {
    name: 'polling/an idle handler stays polled',
    breaks: ['aio/poll-mode', 'if (now < entry.idleAt) continue;', 'if (now >= 0) continue;'],
    noticed: { [MODE]: 'AP-9 nothing for 7 s' },
  },
  {
    name: 'polling/an event does not begin the 7 s anew',
    breaks: ['aio/poll-mode', '    entry.idleAt = 0;\n', ''],
    noticed: { [MODE]: 'AP-9 an event begins the 7 s anew' },
  },
  {
    name: 'polling/what lands between the last poll and the end of an idle one is lost',
    breaks: [
      'aio/poll-mode',
      '      if (!entry.deleted && this.#look(entry)) found = true;\n    }\n    return found;\n  }\n\n  // ---- Dispatch',
      '    }\n    return found;\n  }\n\n  // ---- Dispatch',
    ],
    noticed: { [MODE]: 'AP-9 what lands between the last poll and the end is served' },
  },
  {
    name: 'polling/a notify does not end the window',
    breaks: [
      'aio/poll-mode',
      'if (idle || place !== SPIN_NOTHING) return true;',
      'if (idle || place >= 0) return true;',
    ],
    noticed: { [MODE]: 'AP-10 a notify ends the window with the look that finds it' },
  },
  {
    name: 'polling/a clock that stands still holds the window open',
    breaks: [
      'aio/poll-mode',
      'for (let left = Math.ceil(window / ROUNDS_NS); left > 0; left--) {',
      'for (;;) {',
    ],
    noticed: { [MODE]: 'a clock that stands still does not hold the window open' },
  },
  {
    name: 'polling/only the first that has work is served',
    breaks: [
      'aio/poll-mode',
      'if (entry && this.#table.isPolled(entry) && this.#look(entry)) found = true;',
      'if (!found && entry && this.#table.isPolled(entry) && this.#look(entry)) found = true;',
    ],
    noticed: { [MODE]: 'every handler that has work is served, not only the first' },
  },
];
