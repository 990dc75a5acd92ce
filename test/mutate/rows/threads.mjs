/** Steps of IOThreads, and of which of them may poll. */

const THREAD = 'threads/io-thread.test.ts';
const SLEEPING = 'threads/wake-ups.test.ts';
const CONTEXT = 'threads/context.test.ts';
const SPINNERS = 'threads/spinners.test.ts';

export const threads = [
  // ---- IOThreads --------------------------------------------------------------------------------
  {
    name: 'thread/ready before it has its number',
    breaks: ['aio/io-thread', '        this.#threadNumber = message.thread;\n', ''],
    noticed: { [THREAD]: 'WT-4 start resolves when the thread has its number and serves' },
  },
  {
    name: 'thread/start does not wait for it',
    breaks: ['aio/io-thread', '      await this.#ready.promise;\n', ''],
    noticed: { [THREAD]: 'WT-4 start resolves when the thread has its number and serves' },
  },
  {
    name: 'thread/mail wakes nobody',
    breaks: [
      'aio/io-thread',
      'if (this.core.engine.mailSent(this.context) === 1) wakeContext(this.core, this.context);',
      'this.core.engine.mailSent(this.context);\n    void wakeContext;',
    ],
    noticed: { [THREAD]: 'WT-3 a service runs in the thread' },
  },
  {
    name: 'thread/mail is counted before it is posted',
    breaks: [
      'aio/io-thread',
      '    this.#port.post(message, transfer);\n' +
        '    if (this.core.engine.mailSent(this.context) === 1) wakeContext(this.core, this.context);',
      '    if (this.core.engine.mailSent(this.context) === 1) wakeContext(this.core, this.context);\n' +
        '    this.#port.post(message, transfer);',
    ],
    noticed: { [THREAD]: 'names the services it has when asked for another; refuses what' },
  },
  {
    name: 'thread/mail is not counted',
    breaks: [
      'aio/io-thread',
      'if (this.core.engine.mailSent(this.context) === 1) wakeContext(this.core, this.context);',
      'if (this.core.engine.notify(this.context) === 1) wakeContext(this.core, this.context);',
    ],
    noticed: { [THREAD]: 'WT-3 a service runs in the thread' },
  },
  {
    name: 'thread/it blocks while mail is on its way',
    breaks: [
      'aio/run-loop',
      'context.loopUsers === 0 && !mailPending() && !stopped()',
      'context.loopUsers === 0 && !stopped() && (mailPending() || true)',
    ],
    noticed: { [THREAD]: 'WT-3 a service runs in the thread' },
  },
  {
    name: 'thread/it blocks while something settles through the JavaScript loop',
    breaks: [
      'aio/run-loop',
      'context.loopUsers === 0 && !mailPending() && !stopped()',
      '!mailPending() && !stopped()',
    ],
    noticed: { [CONTEXT]: 'a run loop blocks, but not while something settles' },
  },
  {
    name: 'thread/what callbacks resolve waits for the next wake',
    breaks: ['aio/run-loop', '    await null; // what callbacks have resolved comes first\n', ''],
    noticed: { 'aio/last-look.test.ts': 'WT-4 what a callback resolves is done before' },
  },
  {
    name: 'thread/mail is read where it arrives',
    breaks: [
      'aio/io-thread-home',
      '    this.core.engine.mailReceived(this.context.address);\n    this.#mail.schedule();',
      '    this.core.engine.mailReceived(this.context.address);\n    this.#readMail();',
    ],
    noticed: { [THREAD]: 'WT-3 a service runs in the thread' },
  },
  {
    name: 'thread/stops with services unanswered',
    breaks: ['aio/io-thread-home', '      this.#busy === 0 &&\n', ''],
    noticed: { [THREAD]: 'WT-4 stop answers the services that were called before' },
  },
  {
    name: 'thread/stops with mail unread',
    breaks: [
      [
        'aio/io-thread-home',
        '      this.#inbox.length === 0 &&\n      !this.#mailOnItsWay()',
        '      !!this.#inbox',
      ],
    ],
    noticed: { [THREAD]: 'WT-4 stop answers the services that were called before' },
  },
  {
    name: 'thread/stop is said, and the word is not set',
    breaks: [
      'aio/io-thread',
      '      Atomics.store(this.core.i32, (this.context + CONTEXT_STOP) >>> 2, 1);\n',
      '      void CONTEXT_STOP;\n',
    ],
    noticed: { [THREAD]: 'WT-4 stop joins the Worker, and may be called again' },
  },
  {
    name: 'thread/the word is set, and nobody is told',
    breaks: ['aio/io-thread', "      this.#mail({ type: 'stop' });\n", ''],
    noticed: { [THREAD]: 'WT-4 stop wakes a thread that sleeps' },
  },
  {
    name: 'thread/stop does not wait for its end',
    breaks: [
      'aio/io-thread',
      'this.#cutOff = !(await within(this.#silent.promise, this.#patience));',
      'this.#cutOff = false;',
    ],
    noticed: { [THREAD]: 'WT-4 stop answers the services that were called before' },
  },
  {
    name: 'thread/stopped while it is in use',
    breaks: [
      'aio/io-thread',
      '    if (this.#users.size > 0) {\n',
      '    if (this.#users.size > 99) {\n',
    ],
    noticed: { [THREAD]: 'WT-5 stop is refused while somebody uses the thread' },
  },
  {
    name: 'thread/what it had not put away is not told',
    breaks: ['aio/io-thread', 'if (!dead && this.#complaint) throw this.#complaint;', ''],
    noticed: { [THREAD]: 'WT-4 stop tells what the thread had not put away' },
  },
  {
    name: 'thread/a wrong limit changes the right ones',
    breaks: [
      'aio/poll-params',
      'if (Number.isInteger(value) && value >= 0 && value <= WORD_MAX) continue;',
      'Atomics.store(core.u32, (address + fields[key][1]) >>> 2, value);\n' +
        '    if (Number.isInteger(value) && value >= 0 && value <= WORD_MAX) continue;',
    ],
    noticed: { 'aio/notify.test.ts': 'NT-10 WT-7 new limits notify; wrong ones change nothing' },
  },
  {
    name: 'thread/new limits do not reach its words',
    breaks: [
      'aio/io-thread',
      '    spinners.settle();\n    this.#writeParams();',
      '    spinners.settle();',
    ],
    noticed: { [SLEEPING]: 'NT-10 new limits wake the thread once' },
  },
  {
    name: 'thread/new pool limits are not told',
    breaks: ['aio/io-thread', "    this.#mail({ type: 'set-limits', limits });\n", ''],
    noticed: { [THREAD]: 'WT-7 limits change at run time' },
  },
  {
    name: 'thread/a Worker that dies leaves its calls open',
    breaks: ['aio/io-thread', '    this.#calls.rejectAll(error);\n', ''],
    noticed: {
      'threads/block-lanes.test.ts': 'a drain ends when the thread of a request has died',
    },
  },
  {
    name: 'thread/one that dies at the start is waited for',
    breaks: ['aio/io-thread', '    this.#ready.reject(cause);\n', ''],
    noticed: { [THREAD]: 'WT-4 a Worker that dies at the start rejects with its error' },
  },
  {
    name: 'spinners/all poll, however few cores there are',
    breaks: ['aio/spinners', 'let left = this.#cores - 1;', 'let left = this.#cores + 99;'],
    noticed: { [SPINNERS]: 'AP-6 as many poll as there are cores beside main' },
  },
  {
    name: 'spinners/main has no core',
    breaks: ['aio/spinners', 'let left = this.#cores - 1;', 'let left = this.#cores;'],
    noticed: { [SPINNERS]: 'AP-6 as many poll as there are cores beside main' },
  },
  {
    name: 'spinners/one that has stopped counts on',
    breaks: ['aio/spinners', 'if (this.#all.delete(spinner)) this.settle();', 'this.settle();'],
    noticed: { [SPINNERS]: 'AP-6 as many poll as there are cores beside main' },
  },
  {
    name: 'spinners/one that stops lets nobody poll again',
    breaks: [
      'aio/spinners',
      'if (this.#all.delete(spinner)) this.settle();',
      'this.#all.delete(spinner);',
    ],
    noticed: { [SPINNERS]: 'AP-6 as many poll as there are cores beside main' },
  },
];
