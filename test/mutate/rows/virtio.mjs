/**
 * Queues, their notifiers and the words that they share with main (HN, DP, VC-3): what each step of
 * src/virtio is there for. The historic bugs have rows of their own.
 */
export const virtio = [
  {
    name: 'queues/attach kicks nobody',
    breaks: [
      'virtio/host-notifier',
      'this.#queue.onServed = (blocked) => this.#served(blocked);\n    this.#notifier.set();',
      'this.#queue.onServed = (blocked) => this.#served(blocked);',
    ],
    noticed: { 'virtio/host-notifiers.test.ts': 'HN-3 what was published' },
  },
  {
    name: 'queues/a failed attach leaves the others attached',
    breaks: ['virtio/queue-service', 'while (done > 0) undo(list[--done]!);', 'undo;'],
    noticed: { 'virtio/host-notifiers.test.ts': 'HN-4 HN-14 no room' },
  },
  {
    name: 'queues/a failed attach on main leaves the others attached',
    breaks: ['virtio/local-queues', 'this.detach(queues);\n      const [client]', 'const [client]'],
    noticed: { 'virtio/host-notifiers.test.ts': 'HN-4 HN-14 no room' },
  },
  {
    name: 'queues/the doorbell serves inline though somebody listens',
    breaks: [
      'virtio/local-queues',
      'if (host?.attached) one.host?.set();',
      'if (host?.attached) queue.kick();',
    ],
    noticed: { 'virtio/host-notifiers.test.ts': 'HN-6 a doorbell only sets' },
  },
  {
    name: 'queues/grabs are not counted',
    breaks: ['virtio/queue-set', 'this.#grabs--;', 'this.#grabs = 0;'],
    noticed: { 'virtio/host-notifiers.test.ts': 'HN-7 grabs are counted' },
  },
  {
    name: 'queues/polling goes on before a closed gate',
    breaks: ['virtio/host-notifier', 'this.#blocked = blocked;', ''],
    noticed: { 'virtio/host-notifiers.test.ts': 'HN-9 a closed gate' },
  },
  {
    name: 'queues/kicks are not asked for when polling is given up',
    breaks: ['virtio/host-notifier', 'if (blocked) this.#queue.setNotification(true);', ''],
    noticed: { 'virtio/host-notifiers.test.ts': 'HN-9 a closed gate' },
  },
  {
    name: 'queues/queues that are not set up are listened for',
    breaks: ['virtio/queue-device', 'return enabled && !draining;', 'return enabled || !draining;'],
    noticed: { 'virtio/host-notifiers.test.ts': 'HN-16 queues that are not set up' },
  },
  {
    name: 'queues/a detach that fails ends the walk',
    breaks: ['virtio/queue-service', 'errors.push(error);', 'errors.push(error);\n      break;'],
    noticed: { 'virtio/host-notifiers.test.ts': 'HN-16 a detach that fails' },
  },
  {
    name: 'queues/requests are taken before the start',
    breaks: [
      'virtio/queue-serving',
      'return Atomics.load(this.#words, this.#running) === 1;',
      'return Atomics.load(this.#words, this.#running) < 2;',
    ],
    noticed: { 'virtio/remote-queues.test.ts': 'DP-14 a handler that runs' },
  },
  {
    name: 'queues/the end of an epoch is not looked for',
    breaks: [
      'virtio/queue-serving',
      'return Atomics.load(this.#words, this.#epochAt) === this.#epoch;',
      'return Atomics.load(this.#words, this.#epochAt) >= this.#epoch;',
    ],
    noticed: { 'virtio/remote-queues.test.ts': 'VC-3 BL-17 what settles between' },
  },
  {
    name: 'queues/main does not begin a new epoch',
    breaks: [
      'virtio/queue-serving',
      'Atomics.add(i32, (queue + QUEUE_EPOCH) >>> 2, 1);\n  }\n  for',
      '}\n  for',
    ],
    noticed: { 'virtio/remote-queues.test.ts': 'VC-3 home is told' },
  },
  {
    name: 'queues/the ring stays ready after a reset',
    breaks: [
      'virtio/queue-serving',
      'Atomics.store(i32, (queue + QUEUE_READY) >>> 2, 0);',
      'QUEUE_READY;',
    ],
    noticed: { 'virtio/remote-queues.test.ts': 'VC-3 home is told' },
  },
  {
    name: 'queues/the word is cleared by an inner leave',
    breaks: ['virtio/queue-serving', 'if (--this.#depth > 0) return;', 'this.#depth--;'],
    noticed: { 'virtio/remote-queues.test.ts': 'VC-3 home is told' },
  },
  {
    name: 'queues/news of an old epoch breaks the device',
    breaks: [
      [
        'virtio/remote-queues',
        'return one && this.#word(one, QUEUE_EPOCH) === epoch ? one : undefined;',
        'return epoch < 0 ? undefined : one;',
      ],
      [
        'virtio/remote-queues',
        'const broken = this.#word(one, QUEUE_BROKEN);\n    if (broken !== 0) listener',
        'const broken = epoch || 1;\n    if (broken !== 0) listener',
      ],
    ],
    noticed: { 'virtio/remote-queues.test.ts': 'DP-9 news of a queue' },
  },
  {
    name: 'queues/a reset waits for a thread that has nothing',
    breaks: [
      'virtio/remote-queues',
      '!this.#left && this.#word(one, QUEUE_INUSE) !== 0',
      '!this.#left && QUEUE_INUSE > 0',
    ],
    noticed: { 'virtio/remote-queues.test.ts': 'VC-3 with nothing in flight' },
  },
  {
    name: 'queues/a new epoch is not adopted',
    breaks: [
      'virtio/ring-queue',
      'if (this.#requests.submitted > 0) return false; // main waits for them',
      'return false;',
    ],
    noticed: { 'virtio/remote-queues.test.ts': 'VC-3 with nothing in flight' },
  },
  {
    name: 'queues/deferred calls are made one by one',
    breaks: ['virtio/ring-queue', 'deferCallBegin();', ''],
    noticed: { 'virtio/remote-queues.test.ts': 'TP-6 what a driver defers' },
  },
  {
    name: 'queues/status and data of an abandoned request are written',
    breaks: [
      'virtio/blk-submitter',
      'if (abandoned || this.#records.isStale(tag)) return false;',
      'if (this.#records === null) return abandoned;',
    ],
    noticed: { 'virtio/blk-queue.test.ts': 'BL-17 VC-3 status reads 0 only' },
  },
  {
    name: 'queues/the epoch is read before the word says that home is inside',
    breaks: [
      [
        'virtio/queue-serving',
        '    if (this.#depth++ === 0) Atomics.store(this.#words, this.#serving, 1);\n' +
          '    return Atomics.load(this.#words, this.#epochAt) === this.#epoch;',
        '    const epoch = Atomics.load(this.#words, this.#epochAt);\n' +
          '    if (this.#depth++ === 0) Atomics.store(this.#words, this.#serving, 1);\n' +
          '    return epoch === this.#epoch;',
      ],
    ],
    noticed: { 'virtio/serving-order.test.ts': 'VC-3 home says that it is inside before' },
  },
  {
    name: 'queues/main does not wait until home is outside',
    breaks: [
      'virtio/queue-serving',
      'if (!left(queue)) awaitServed(i32, (queue + QUEUE_SERVING) >>> 2);',
      'void [left, awaitServed, QUEUE_SERVING];',
    ],
    noticed: { 'virtio/serving-order.test.ts': 'VC-3 main waits until home is outside' },
  },
  {
    name: 'queues/what home popped in between belongs to the new epoch',
    breaks: [
      'virtio/queue-serving',
      'awaitServed(i32, (queue + QUEUE_SERVING) >>> 2);\n    Atomics.add(i32, (queue + QUEUE_EPOCH) >>> 2, 1);',
      'awaitServed(i32, (queue + QUEUE_SERVING) >>> 2);',
    ],
    noticed: { 'virtio/serving-order.test.ts': 'VC-3 an epoch that home takes while main waits' },
  },
  {
    name: 'queues/no second look after a serving that turned kicks on',
    breaks: [
      'virtio/ring-queue',
      'if (!emptied || more === 0) return emptied;',
      'if (!emptied || more >= 0) return emptied;',
    ],
    noticed: { 'virtio/blk-queue.test.ts': 'VQ-10 a request published between the last pop' },
  },
  {
    name: 'queues/notifications that somebody else has off are turned on',
    breaks: [
      'virtio/ring-queue',
      'const ours = this.#records.u32[(queue + QUEUE_NOTIFICATION) >>> 2] === 1;',
      'const ours = QUEUE_NOTIFICATION > 0;',
    ],
    noticed: { 'virtio/blk-queue.test.ts': 'VQ-10 notifications that were off at entry stay off' },
  },
  {
    name: 'queues/a kick until the thread has answered comes one way only',
    breaks: [
      'virtio/remote-queues',
      'if (!watched) scheduleRemote(this.#options.core, kick);',
      'if (watched) scheduleRemote(this.#options.core, kick);',
    ],
    noticed: { 'virtio/host-notifiers.test.ts': 'HN-4 until the thread has answered' },
  },
  {
    name: 'queues/each queue is attached by a message of its own',
    breaks: [
      'virtio/queue-set',
      'this.#each(fresh, (group, own) => group.attach(own));',
      'this.#each(fresh, (group, own) => {\n' +
        '      for (const one of own) group.attach([one]);\n    });',
    ],
    noticed: { 'virtio/host-notifiers.test.ts': 'HN-5 one message for all queues' },
  },
  {
    name: 'queues/polling begins with kicks on',
    breaks: ['virtio/host-notifier', '        begin: () => queue.setNotification(false),\n', ''],
    noticed: { 'virtio/host-notifiers.test.ts': 'HN-9 begin: kicks off' },
  },
  {
    name: 'queues/polling ends with kicks off',
    breaks: ['virtio/host-notifier', '        end: () => queue.setNotification(true),\n', ''],
    noticed: { 'virtio/host-notifiers.test.ts': 'HN-9 begin: kicks off' },
  },
  {
    name: 'queues/running before what serving needs',
    breaks: ['virtio/queue-set', 'setRunning(this.#core, this.#words(indexes), true);\n', '\n'],
    noticed: { 'virtio/remote-queues.test.ts': 'DP-14 a handler that runs' },
  },
];
