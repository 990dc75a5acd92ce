/** Steps of coroutines and their locks that are not the engines'. */

const TEST = 'aio/coroutine.test.ts';
const CONTEXTS = 'aio/coroutine-contexts.test.ts';

export const coroutines = [
  {
    name: 'co/a scheduled one is entered',
    breaks: [
      'aio/coroutine',
      'if (state !== COROUTINE_IDLE) throw scheduledTwice(this.name, state);',
      'void state;',
    ],
    noticed: { [TEST]: 'CO-1 one that is scheduled or asleep is not entered' },
  },
  {
    name: 'co/a second schedule is let pass',
    breaks: ['aio/coroutine', 'if (answer < 0) throw', 'if (answer < -99) throw'],
    noticed: { [TEST]: 'CO-1 a second schedule is refused by name' },
  },
  {
    name: 'co/one that runs is entered again',
    breaks: [
      'aio/coroutine',
      '    if (this.#running) {\n',
      '    if (this.#running && this.#ended) {\n',
    ],
    noticed: { [TEST]: 'CO-1 one that runs is not entered again' },
  },
  {
    name: 'co/a yield outside of a coroutine',
    breaks: [
      'aio/coroutine',
      "if (!current) throw new CoroutineError('ENOCALLER', 'a yield with no one to yield to');",
      '',
    ],
    noticed: { [TEST]: 'CO-1 a yield outside of a coroutine is refused' },
  },
  {
    name: 'co/one that has ended is entered',
    breaks: ['aio/coroutine', 'if (this.#ended) throw', 'if (this.#ended && !this.name) throw'],
    noticed: { [TEST]: 'CO-1 a yield outside of a coroutine is refused, and so is entering' },
  },
  {
    name: 'co/a sleeper does not count as scheduled',
    breaks: [
      'aio/coroutine',
      'Atomics.compareExchange(words, at, COROUTINE_IDLE, COROUTINE_BY_SLEEP)',
      'Atomics.compareExchange(words, at, COROUTINE_BY_SLEEP, COROUTINE_IDLE)',
    ],
    noticed: { [TEST]: 'CO-1 one that is scheduled or asleep is not entered' },
  },
  {
    name: 'co/woken by another, it runs at once',
    breaks: ['aio/coroutine', '    else if (current) current.#wakeups.push(this);\n', ''],
    noticed: { [TEST]: 'CO-2 one woken by another runs after that one yields' },
  },
  {
    name: 'co/woken from elsewhere, it runs there',
    breaks: [
      'aio/coroutine',
      '    if (currentContext() !== this.#context) this.schedule();\n    else if',
      '    if (!currentContext) this.schedule();\n    else if',
    ],
    noticed: { [TEST]: 'CO-2 woken outside of its context, it runs in its context' },
  },
  {
    name: 'co/woken by no coroutine, it is scheduled',
    breaks: ['aio/coroutine', '    else this.enter();\n', '    else this.schedule();\n'],
    noticed: { [TEST]: 'CO-2 woken in its context by what is no coroutine, it runs at once' },
  },
  {
    name: 'co/older wake-ups come first',
    breaks: [
      'aio/coroutine',
      'pending.unshift(...next.#wakeups.splice(0));',
      'pending.push(...next.#wakeups.splice(0));',
    ],
    noticed: { [TEST]: 'CO-3 wake-ups run depth first, before older ones' },
  },
  {
    name: 'co/those it woke are entered in the context of the first',
    breaks: [
      'aio/coroutine',
      'next.#run(next === this ? context : next.#context);',
      'next.#run(context);',
    ],
    noticed: { [CONTEXTS]: 'CO-4 one that it woke is entered in its own context' },
  },
  {
    name: 'co/enter does not make the context its own',
    breaks: ['aio/coroutine', '    this.#adopt(context);\n', '    void context;\n'],
    noticed: { [CONTEXTS]: 'CO-4 entered in another context, it is in that one' },
  },
  {
    name: 'co/a move schedules at once, not by way of the old context',
    breaks: [
      'aio/coroutine',
      'from.scheduleOneshot(',
      '((_: string, move: () => void) => move())(',
    ],
    noticed: { [TEST]: 'CO-6 a move goes by way of the old context' },
  },
  {
    name: 'co/moves to another thread',
    breaks: [
      'aio/coroutine',
      'if (target.core.thread !== from.core.thread) {',
      'if (target.core.thread < 0) {',
    ],
    noticed: { [TEST]: 'CO-6 no coroutine moves to another thread' },
  },
  {
    name: 'co/a schedule from elsewhere does not visit',
    breaks: [
      'aio/coroutine',
      'if (engine.visitBegin(context) === 0) return;',
      'engine.visitBegin(context);',
    ],
    noticed: { [CONTEXTS]: 'CO-7 a schedule that comes late' },
  },
  {
    name: 'co/a schedule from elsewhere wakes nobody',
    breaks: ['aio/coroutine', 'if (answer === 1) wakeContext(core, context);', 'void wakeContext;'],
    noticed: { [TEST]: 'CO-7 is entered once for each schedule from another thread' },
  },
  {
    name: 'co/a lock held at the end is not told',
    breaks: ['aio/coroutine', 'if (this.locksHeld === 0) return;', 'if (this.#ended) return;'],
    noticed: { [TEST]: 'CO-8 one that ends with a lock held is told' },
  },
  {
    name: 'co/the mutex goes to whoever came last',
    breaks: ['aio/co-mutex', 'this.#waiting.shift() ?? null', 'this.#waiting.pop() ?? null'],
    noticed: { [TEST]: 'CO-9 a mutex is handed to the one that has waited longest' },
  },
  {
    name: 'co/the mutex is free while its next holder is woken',
    breaks: [
      'aio/co-mutex',
      '    this.#holder = this.#waiting.shift() ?? null;\n    this.#holder?.wake();',
      '    this.#holder = null;\n    this.#waiting.shift()?.wake();',
    ],
    noticed: { [TEST]: 'CO-9 a mutex is handed to the one that has waited longest' },
  },
  {
    name: 'co/whoever wakes one that waits for a mutex lets it in',
    breaks: [
      'aio/co-mutex',
      'while ((this.#holder as Coroutine | null) !== self) yield* coYield();',
      'yield* coYield();',
    ],
    noticed: { [TEST]: 'CO-9 one that waits for a mutex is not let in by anybody' },
  },
  {
    name: 'co/anybody unlocks',
    breaks: [
      'aio/co-mutex',
      'if (!self || this.#holder !== self) {',
      'if (!self || !this.#holder) {',
    ],
    noticed: { [TEST]: 'CO-9 only the holder unlocks, once' },
  },
  {
    name: 'co/any wake-up ends the wait',
    breaks: [
      'aio/co-queue',
      'while (!this.#woken.delete(self)) yield* coYield();',
      'yield* coYield();\n    this.#woken.delete(self);',
    ],
    noticed: { [TEST]: 'CO-10 a wake-up by somebody else does not end the wait' },
  },
  {
    name: 'co/woken, it goes on without the mutex',
    breaks: ['aio/co-queue', 'if (mutex) yield* mutex.lock();', ''],
    noticed: { [TEST]: 'CO-10 a waiter lets go of the mutex only when it stands in the queue' },
  },
  {
    name: 'co/the mutex is kept around the wake-up',
    breaks: [
      'aio/co-queue',
      '    mutex.unlock();\n    const woken = this.enterNext();\n    yield* mutex.lock();\n',
      '    const woken = this.enterNext();\n',
    ],
    noticed: { [CONTEXTS]: 'CO-10 who wakes another from under the mutex' },
  },
  {
    name: 'co/a promise carries it on in a microtask',
    breaks: [
      'aio/coroutine',
      'if (state === COROUTINE_IDLE) this.schedule();',
      'if (state === COROUTINE_IDLE) this.enter();',
    ],
    noticed: { [TEST]: 'CO-12 a promise carries it on in its own context' },
  },
  {
    name: 'co/a promise schedules one that is scheduled already',
    breaks: [
      'aio/coroutine',
      'if (state === COROUTINE_IDLE) this.schedule();',
      'if (state >= COROUTINE_IDLE) this.schedule();',
    ],
    noticed: { [TEST]: 'CO-12 a promise may settle while somebody else has it scheduled' },
  },
  {
    name: 'co/whoever wakes one that waits for a promise ends the wait',
    breaks: [
      'aio/coroutine',
      "while (!outcome) yield* coYield(); // whoever else wakes it does not end the wait\n    if ('error' in outcome)",
      "yield* coYield();\n    outcome ??= { value: undefined as T };\n    if ('error' in outcome)",
    ],
    noticed: { [CONTEXTS]: 'CO-12 one that waits for a promise is not carried on by anybody else' },
  },
  {
    name: 'co/the list is walked without being taken',
    breaks: ['aio/coroutine-places', '    engine.coTake(address);\n', ''],
    noticed: { [TEST]: 'CO-5 scheduled ones are entered in the order of scheduling' },
  },
  {
    name: 'co/what is scheduled during the walk is walked, too',
    breaks: [
      'aio/coroutine-places',
      '        this.#places[number]?.enterIn(this.#context);',
      '        this.#places[number]?.enterIn(this.#context);\n        engine.coTake(address);',
    ],
    noticed: { [TEST]: 'CO-13 it may schedule itself, and one scheduled during the walk waits' },
  },
  {
    name: 'co/an error ends the walk',
    breaks: [
      'aio/coroutine-places',
      '        if (!failed) failure = error;\n        failed = true;',
      '        throw error;',
    ],
    noticed: { [TEST]: 'an error in one loses none of the others' },
  },
];
