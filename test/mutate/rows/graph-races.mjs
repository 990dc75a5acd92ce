/** Steps of changes of the graph that meet each other, lanes that come and go, dying threads. */

const RACES = 'block/graph-races.test.ts';
const BLOCKS = 'block/read-modify-write.test.ts';
const FAILURES = 'block/overlay-failures.test.ts';

export const graphRaces = [
  {
    name: 'races/threads are counted after the gate has opened',
    breaks: ['block/graph', '    if (next) await countUsers(next);', '    void countUsers;'],
    noticed: { [RACES]: 'are counted before the gate opens over a disk' },
  },
  {
    name: 'races/only the disk on top hears of threads',
    breaks: [
      'block/graph',
      'if (![...nodes].some(({ driver }) => driver.several)) return;',
      'return;',
    ],
    noticed: { [RACES]: 'are told to a disk below a filter that takes no interest' },
  },
  {
    name: 'races/a disk takes its own place and is closed',
    breaks: ['block/graph', '  if (next === old) return;\n', ''],
    noticed: { [RACES]: 'the disk that is in already is no change' },
  },
  {
    name: 'races/a lane closes over a disk that is prepared',
    breaks: ['block/remote-lane', '    await this.#changesEnded();\n', ''],
    noticed: { [RACES]: 'BB-18 a lane that closes meanwhile leaves neither disk nor memory' },
  },
  {
    name: 'races/a change does not wait for a lane that opens',
    breaks: [
      'block/lane-set',
      'await Promise.allSettled([...this.#remotes].map((lane) => lane.ready));',
      '',
    ],
    noticed: { [RACES]: 'BB-18 waits for a lane whose thread has not opened the disk yet' },
  },
  {
    name: 'races/requests held open return to a lane that is gone',
    breaks: ['block/backend-gate', 'if (this.lanes.has(lane)) Atomics', 'Atomics'],
    noticed: { [RACES]: 'BB-11 while main drains for it' },
  },
  {
    name: 'races/who counts ends a section of a backend that has closed',
    breaks: ['block/backend-root', '    this.gone = true;\n', ''],
    noticed: { [RACES]: 'is left alone by who counted the threads' },
  },
  {
    name: 'races/a dead thread keeps its blocks locked',
    breaks: [
      'block/remote-lane',
      '    this.#dead = true;\n    this.#owner.ranges?.abandon(this.address);\n',
      '    this.#dead = true;\n',
    ],
    noticed: { [BLOCKS]: 'BB-23 a thread that dies leaves no block locked' },
  },
  {
    name: 'overlay/a cluster stays busy when there is no memory to copy it',
    breaks: ['block/overlay-buffers', 'return true; // nobody', 'throw new Error(); // nobody'],
    noticed: { [FAILURES]: 'fails a write that copies, and takes the next one' },
  },
  {
    name: 'overlay/the graph does not hear of another base',
    breaks: ['block/overlay-jobs', '  BlockNode.childrenChanged(overlay);\n', ''],
    noticed: { [FAILURES]: 'has it in the graph' },
  },
];
