/** Disks on v86 that other threads serve: what each step towards the guest is there for. */
const THREADS = 'adapter/v86-threads.test.ts';
const LOG = 'virtio/write-log.test.ts';

export const v86 = [
  {
    name: 'v86/historic bug 28: a wake of another thread is not looked for at the poll point',
    breaks: [
      'adapter/v86-core',
      'this.#wanted || (this.core.shared && this.context.wanted)',
      'this.#wanted',
    ],
    noticed: { [THREADS]: 'GS-7 historic bug 28: a completion at any step' },
  },
  {
    name: 'v86/a guest that halts is not woken',
    breaks: ['adapter/v86-core', 'else this.#sleeper.wake();', ''],
    noticed: { [THREADS]: 'GS-7 a completion reaches a guest that halts' },
  },
  {
    name: 'write-log/used buffers are published before the writes are told of',
    breaks: [
      'virtio/write-log',
      'if (!this.#read() && used === this.#used) return false;',
      'queueMicrotask(() => this.#read());',
    ],
    noticed: { [LOG]: 'tells of writes before their buffers are published' },
  },
  {
    name: 'write-log/main reads what is not committed',
    breaks: [
      'virtio/write-log',
      'this.#tail = (this.#tail + 1) >>> 0;',
      'this.#tail = (this.#tail + 1) >>> 0;\n    this.#store(WRITE_LOG_TAIL, this.#tail);',
    ],
    noticed: { [LOG]: 'holds its number of entries' },
  },
  {
    name: 'write-log/an entry that main may have read grows',
    breaks: ['virtio/write-log', 'this.#end = NOWHERE;\n  };', '};'],
    noticed: { [LOG]: 'keeps what is logged and not yet committed' },
  },
  {
    name: 'write-log/one entry too many',
    breaks: ['virtio/write-log', '| 0) === WRITE_LOG_ENTRIES', '| 0) > WRITE_LOG_ENTRIES'],
    noticed: { [LOG]: 'holds its number of entries' },
  },
  {
    name: 'write-log/lost entries are forgotten',
    breaks: ['virtio/write-log', 'this.#lost += 1;', ''],
    noticed: { [LOG]: 'holds its number of entries' },
  },
  {
    name: 'write-log/an index of before a reset is published',
    breaks: ['virtio/write-log', 'if (used >>> 16 !== (epoch & 0xffff)) return false;', ''],
    noticed: { [LOG]: 'publishes nothing of a ring that was reset' },
  },
];
