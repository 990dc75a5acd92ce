/**
 * The historic bugs that the event loop and the threads know of, each brought back: what undoes its
 * fix, and the test that has its number in the title.
 */

const historic = (number) => (what, breaks, noticed) => ({
  name: `historic bug ${number}/${what}`,
  breaks,
  noticed,
});

export const historicEngineBugs = [
  {
    name: 'historic bug 2/a schedule of what is scheduled wakes nobody',
    noticed: { 'aio/notify.test.ts': 'historic bug 2: nobody takes a poll of another thread' },
    wasm: [
      'aio',
      '  return notify(context);\n}\n\n/** Clears SCHEDULED',
      '  return old & BH_PENDING ? 0 : notify(context);\n}\n\n/** Clears SCHEDULED',
    ],
    js: [
      'bottom-halves',
      '  return notify(words, context);',
      '  return (old & BH_PENDING) !== 0 ? 0 : notify(words, context);',
    ],
  },
  {
    name: 'historic bug 4/notify_me is read before the work is said to be there',
    noticed: { 'aio/foreign-loop.test.ts': 'historic bug 4: whoever schedules at any point' },
    wasm: [
      'aio',
      'or32(context, CONTEXT_NOTIFY_ME, 1);',
      'store32(context, CONTEXT_NOTIFY_ME, 0);',
    ],
    js: [
      'notify',
      'or(words, context + CONTEXT_NOTIFY_ME, 1);',
      'or(words, context + CONTEXT_NOTIFY_ME, 0);',
    ],
  },
  {
    name: 'historic bug 23/avail.idx is read in two halves',
    steps: 'historic bug 23: an avail.idx that goes from 0x00ff to 0x0100 is never torn',
    wasm: [
      'split',
      'const idx = load16(load<u32>(queue, QUEUE_AVAIL), VIRTQ_AVAIL_IDX);',
      'const ring = load<u32>(queue, QUEUE_AVAIL);\n' +
        '  const low = load16(ring, VIRTQ_AVAIL_IDX) & 0xff;\n' +
        '  const idx = low | (load16(ring, VIRTQ_AVAIL_IDX) & 0xff00);',
    ],
    js: [
      'queue',
      'return load16(v.ram16, get(v, queue, QUEUE_AVAIL) + VIRTQ_AVAIL_IDX);',
      'const at = get(v, queue, QUEUE_AVAIL) + VIRTQ_AVAIL_IDX;\n' +
        '  const low = load16(v.ram16, at) & 0xff;\n' +
        '  return low | (load16(v.ram16, at) & 0xff00);',
    ],
  },
];

export const historicBugs = [
  historic(1)(
    'scheduled is cleared after the callback',
    [
      'aio/slots',
      'entry.callback();',
      'entry.callback();\n      engine.bhCancel(address, slot, this.#flags(slot) >>> BH_GENERATION_SHIFT);',
    ],
    { 'threads/context.test.ts': 'historic bug 1: ping-pong of one bottom half each' },
  ),
  historic(2)(
    'a sleeper is not woken while somebody dispatches',
    [
      'aio/context',
      'if (this.#closed) return;\n    Atomics.add',
      'if (this.#closed || this.#words.get(CONTEXT_DEPTH) > 0) return;\n    Atomics.add',
    ],
    { 'aio/notify.test.ts': 'historic bug 2: nobody takes a poll of another thread' },
  ),
  historic(3)(
    'a poll that does not block accepts',
    [
      'aio/context',
      'else if (this.#polling.on) this.#polling.collect();',
      'else this.core.engine.accept(this.address);',
    ],
    { 'aio/notify.test.ts': 'historic bug 3: a poll elsewhere does not take the wake' },
  ),
  historic(4)(
    'bit 0 is set after the look for work',
    [
      [
        'aio/rest',
        '    this.#core.engine.prepare(this.#words.address);\n    this.#polling.stop();',
        '    this.#polling.stop();',
      ],
      [
        'aio/rest',
        '    this.#words.add(CONTEXT_SLEEPS);\n    this.#sleeper.sleep(timeout);',
        '    this.#words.add(CONTEXT_SLEEPS);\n' +
          '    this.#core.engine.prepare(this.#words.address);\n' +
          '    this.#sleeper.sleep(timeout);',
      ],
    ],
    { 'aio/foreign-loop.test.ts': 'historic bug 4: whoever schedules at any point' },
  ),
  historic(5)(
    'the scheduler counts as gone before the push',
    [
      'aio/bottom-half',
      '  const result = engine.bhEnqueue(context, slot, generation, BH_SCHEDULED);\n' +
        '  if (result === 1) wakeContext(core, context);\n' +
        '  engine.visitEnd(context);\n',
      '  engine.visitEnd(context);\n' +
        '  const result = engine.bhEnqueue(context, slot, generation, BH_SCHEDULED);\n' +
        '  if (result === 1) wakeContext(core, context);\n',
    ],
    { 'aio/handlers.test.ts': 'historic bug 5: the bottom half that runs between push and notify' },
  ),
  historic(6)(
    'the next one is taken before the callback',
    [
      'aio/slots',
      'for (let taken = engine.bhNext(address); taken >= 0; taken = engine.bhNext(address)) {',
      'let next = engine.bhNext(address);\n' +
        '    for (let taken = next; taken >= 0; taken = next) {\n' +
        '      next = engine.bhNext(address);',
    ],
    { 'aio/bottom-half.test.ts': 'historic bug 6: one bottom half deletes the next' },
  ),
  historic(7)(
    'a callback runs while the bottom half is not scheduled',
    [
      'aio/thread-pool',
      '      this.#bottomHalf.schedule();\n      this.#end(ended.request, ended.result);',
      '      this.#end(ended.request, ended.result);',
    ],
    { 'threads/block-pool.test.ts': 'historic bug 7: a callback that polls until another' },
  ),
  historic(8)(
    'a handler that is served stays in the polled set',
    ['aio/poll-mode', '    this.#table.clear(entry, HANDLER_F_POLLED);\n    try {', '    try {'],
    { 'aio/poll-mode.test.ts': 'historic bug 8: a handler that is found always' },
  ),
  historic(10)(
    'detach forgets the kick that is in the notifier',
    [
      'virtio/host-notifier',
      'if (this.#notifier.testAndClear()) this.#queue.kick();',
      'this.#notifier.testAndClear();',
    ],
    { 'virtio/host-notifiers.test.ts': 'historic bug 10 a kick right before the notifier' },
  ),
  historic(11)(
    'the kick of a thread that serves itself waits for its loop',
    ['virtio/device-queue', "(ioeventfd && kick === 'poll')", 'ioeventfd'],
    { 'virtio/host-notifiers.test.ts': 'historic bug 11 a guest that spins after its kick' },
  ),
  historic(12)(
    'attach does not ask for kicks',
    [
      [
        'virtio/queue-service',
        '  for (const { queue } of places) queue.setNotification(true);\n',
        '',
      ],
      [
        'virtio/local-queues',
        '    for (const one of queues) this.#get(one).queue.setNotification(true); // HN-8\n',
        '',
      ],
    ],
    { 'virtio/host-notifiers.test.ts': 'historic bug 12 attach asks for kicks again' },
  ),
  historic(12)(
    'a handler that is attached again counts as polled and begun',
    [
      ['aio/handlers', '    this.setWord(entry, HANDLER_FLAGS, 0);\n    if (', '    if ('],
      [
        'aio/handlers',
        '    this.setWord(entry, HANDLER_FLAGS, 0);\n    this.#entries[entry.place] = undefined;',
        '    this.#entries[entry.place] = undefined;',
      ],
    ],
    { 'aio/poll-mode.test.ts': 'historic bug 12: detached in poll mode and attached again' },
  ),
  historic(19)(
    'a new handler notifies nobody',
    [
      'aio/context',
      '    this.#handlers.set(notifier, full, () => this.setHandler(notifier, null));\n    this.notify();',
      '    this.#handlers.set(notifier, full, () => this.setHandler(notifier, null));',
    ],
    { 'aio/notify.test.ts': 'historic bug 19: a handler added while the loop sleeps' },
  ),
  historic(20)(
    'the interrupt that is in the notifier stays there at detach',
    ['virtio/queue-set', '    this.#each(indexes, (group, own) => group.deliver(own));\n', ''],
    { 'virtio/host-notifiers.test.ts': 'historic bug 20 a completion right before the driver' },
  ),
  historic(20)(
    'the interrupt that waits for the next turn is left behind',
    ['virtio/queue-service', '    host.detach();\n    queue.flush();', '    host.detach();'],
    { 'virtio/host-notifiers.test.ts': 'historic bug 20 an interrupt that waits for a turn' },
  ),
  historic(26)(
    'a coroutine is entered in the context of the poller',
    [
      [
        'aio/coroutine-places',
        "import type { AioContext } from './context.ts';",
        "import { type AioContext, currentContext } from './context.ts';",
      ],
      [
        'aio/coroutine-places',
        'enterIn(this.#context);',
        'enterIn(currentContext() as AioContext);',
      ],
      ['aio/context', '    current = this;', '    current ??= this;'],
    ],
    { 'aio/coroutine.test.ts': 'historic bug 26: a coroutine is entered in its context' },
  ),
  historic(27)(
    'a disk that moves fails for want of a pool',
    ['block/file', 'if (!thread.warn) {', 'if (!thread.warn || cause) {'],
    { 'threads/block-file.test.ts': 'historic bug 27: a disk that moves to a thread' },
  ),
  historic(28)(
    'whether a timer is due is asked once, before the sleep',
    [
      'aio/context',
      'return this.#rest.notified || this.timeout() === 0;',
      'return this.#rest.notified;',
    ],
    { 'aio/foreign-loop.test.ts': 'historic bug 28: a timer that comes due between the look' },
  ),
  historic(29)(
    'attach takes away the kick that came before it',
    [
      ['virtio/host-notifier', '    this.#notifier.set();', '    this.#notifier.testAndClear();'],
      [
        'virtio/remote-queues',
        '    one.host!.set();\n    if (!watched) scheduleRemote(this.#options.core, kick);',
        '    one.host!.set();\n    if (watched) scheduleRemote(this.#options.core, kick);',
      ],
    ],
    { 'threads/virtio-queues.test.ts': 'historic bug 29 four machines read the boot sector' },
  ),
];
