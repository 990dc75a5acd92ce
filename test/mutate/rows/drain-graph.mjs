/** Steps of drained sections, of the graph of disks, and of what a lane does besides. */

const DRAIN = 'block/drain.test.ts';
const GRAPH = 'block/graph.test.ts';
const MEDIUM = 'block/medium.test.ts';
const BLOCKS = 'block/read-modify-write.test.ts';
const FLUSH = 'block/flush-cancel.test.ts';

export const drainGraph = [
  {
    name: 'graph/the driver is told before the parents',
    breaks: [
      'block/node',
      '    for (const parent of [...this.parents]) parent.childDrainedBegin();\n    this.#tellBegin();',
      '    this.#tellBegin();\n    for (const parent of [...this.parents]) parent.childDrainedBegin();',
    ],
    noticed: { [DRAIN]: 'BB-5 gates and devices of all parents first' },
  },
  {
    name: 'graph/the parents are told of the end before the driver',
    breaks: [
      'block/node',
      '    this.#tellEnd();\n    for (const parent of [...this.parents]) parent.childDrainedEnd();',
      '    for (const parent of [...this.parents]) parent.childDrainedEnd();\n    this.#tellEnd();',
    ],
    noticed: { [DRAIN]: 'BB-5 a section of a node below' },
  },
  {
    name: 'graph/drivers below are not told',
    breaks: ['block/node', '    for (const child of this.children) child.#tellBegin();\n', ''],
    noticed: { [DRAIN]: 'BB-5 gates and devices of all parents first' },
  },
  {
    name: 'graph/drivers of other threads are not told',
    breaks: ['block/backend-gate', '    this.lanes.gateClosed();\n', ''],
    noticed: { [DRAIN]: 'BB-28 and so does the driver of another thread' },
  },
  {
    name: 'graph/who comes to a drained node is not told',
    breaks: [
      'block/node',
      'if (this.#quiesce > 0) parent.childDrainedBegin(); // told at once (BB-7)',
      '',
    ],
    noticed: { [DRAIN]: 'BB-7 a backend that comes to a drained node' },
  },
  {
    name: 'graph/a device that comes into a section is not told',
    breaks: ['block/backend-gate', '    if (this.quiesced) ops?.drainedBegin?.();\n', ''],
    noticed: { [DRAIN]: 'BB-7 nested three deep, a device at depth two' },
  },
  {
    name: 'graph/each nested section is told to the device',
    breaks: [
      'block/backend-gate',
      'if (this.core.engine.gateClose(this.address) > 1) return;',
      'this.core.engine.gateClose(this.address);',
    ],
    noticed: { [DRAIN]: 'BB-7 nested three deep, a device at depth two' },
  },
  {
    name: 'graph/other backends of the node are not waited for',
    breaks: ['block/backend-gate', '(this.busy || (this.root?.busy ?? false));', 'this.busy;'],
    noticed: { [DRAIN]: 'BB-5 a section waits for the requests of every backend on the node' },
  },
  {
    name: 'graph/a busy device is not waited for',
    breaks: [
      'block/backend-gate',
      'this.inFlight > 0 || (this.#devOps?.drainedPoll?.() ?? false)',
      'this.inFlight > 0',
    ],
    noticed: { [DRAIN]: 'BB-5 a section waits for a device that says it is busy' },
  },
  {
    name: 'graph/drain_all waits for each before the next is closed',
    breaks: [
      'block/drain',
      '  for (const one of list) one.drainedBegin();\n',
      '  for (const one of list) {\n    one.drainedBegin();\n    await one.idle();\n  }\n',
    ],
    noticed: { [DRAIN]: 'BB-13 all gates close before anybody is waited for' },
  },
  {
    name: 'historic bug 13/a parked request comes back through a closed gate',
    breaks: ['block/lane', 'if (this.gate.closes) return; // we are told again', ''],
    noticed: { 'block/lane-order.test.ts': 'historic bug 13 open and closed again' },
  },
  {
    name: 'historic bug 14/who leaves wakes main only if it does not sleep yet',
    breaks: [
      'block/lane-gate',
      'if (engine.gateLeave(this.#lane, this.#backend, 1) === 1) this.#wake();',
      'engine.gateLeave(this.#lane, this.#backend, 1);',
    ],
    noticed: { [DRAIN]: 'historic bug 14, L9: whoever leaves last wakes main' },
  },
  {
    name: 'historic bug 21/changes of the graph run into one another',
    breaks: [
      'block/exclusive',
      'const result = before ? before.then(step) : step();',
      'const result = step();\n  void before;',
    ],
    noticed: { [MEDIUM]: 'historic bug 21, BB-18' },
  },
  {
    name: 'graph/a part waits at the gate that waits for it',
    breaks: ['block/lane', 'if (request.part) gate.enterPart();\n    else if', 'if'],
    noticed: { [DRAIN]: 'BB-10 the second half of a request passes' },
  },
  {
    name: 'graph/who asks for a drain is waited for',
    breaks: ['block/backend-gate', '    Atomics.sub(this.core.i32, at, holding);\n', ''],
    noticed: { [DRAIN]: 'BB-11 a drain asked for on another thread' },
  },
  {
    name: 'graph/nobody is asked about a change of context',
    breaks: [
      'block/graph',
      "if (why) throw new GraphError('EPERM', one.name, why);",
      'void [GraphError, why];',
    ],
    noticed: { [GRAPH]: 'BB-14 a second parent that refuses is named' },
  },
  {
    name: 'graph/nobody is asked again inside the section',
    breaks: [
      'block/graph',
      'const { nodes, users } = agree(asker, thread);',
      'const { nodes, users } = connected(asker);',
    ],
    noticed: { [GRAPH]: 'BB-14 who begins to refuse while the section is awaited' },
  },
  {
    name: 'graph/a disk is replaced under requests',
    breaks: [
      'block/drain',
      'while (list.some((one) => one.drainedPoll())) {',
      'while (list.length < 0) {',
    ],
    noticed: { [MEDIUM]: 'BB-18 waits for what is in flight' },
  },
  {
    name: 'graph/a disk goes without a flush',
    breaks: ['block/graph', 'if (old && !old.driver.readOnly) await flushDriver(old.driver);', ''],
    noticed: { [MEDIUM]: 'BB-18 flushes the disk, takes it out' },
  },
  {
    name: 'graph/a thread that cannot open the disk leaves the others with it',
    breaks: ['block/lane-set', '    await this.abort();\n', ''],
    noticed: { [MEDIUM]: 'BB-18 if the second thread cannot open it' },
  },
  {
    name: 'rmw/nobody waits for a block',
    breaks: [
      'block/range-locks',
      'if (Atomics.compareExchange(i32, lock, 0, this.#owner) === 0) continue;',
      'if (word >= 0) continue;',
    ],
    noticed: { [BLOCKS]: 'BB-23 two writes into one block' },
  },
  {
    name: 'rmw/who unlocks wakes nobody',
    breaks: ['block/range-locks', '    wakeWaiters(this.#core, this.#at, 0);\n', ''],
    noticed: { [BLOCKS]: 'BB-23 across threads: who unlocks wakes the lane that waits' },
  },
  {
    name: 'rmw/a lock outlives an error',
    breaks: [
      'block/read-modify-write',
      'if (this.#locked) front.locks.unlock(...this.#blocks());',
      'if (this.#locked && result >= 0) front.locks.unlock(...this.#blocks());',
    ],
    noticed: { [BLOCKS]: 'a block that cannot be read is not written' },
  },
  {
    name: 'flush/a write does not count',
    breaks: ['block/lane', 'else noteWrite(this.gate.words(), backend);', ''],
    noticed: { [FLUSH]: 'BB-24 one after a write reaches the driver' },
  },
  {
    name: 'flush/a write of the short way does not count',
    breaks: [
      'block/lane',
      'else batch.results.fill(LONG_WAY, 0, batch.count);\n    if (op === OP_WRITE) noteWrite(this.gate.words(), this.backend.address);',
      'else batch.results.fill(LONG_WAY, 0, batch.count);',
    ],
    noticed: { [FLUSH]: 'BB-24 a write of the short way counts' },
  },
  {
    name: 'flush/one under way covers what comes after it',
    breaks: [
      'block/flush-generation',
      'if (before !== Atomics.load(words, (backend + BACKEND_FLUSHES_ENDED) >>> 2)) return false;',
      'void BACKEND_FLUSHES_ENDED;',
    ],
    noticed: { [FLUSH]: 'BB-24 a second flush while one is under way' },
  },
  {
    name: 'flush/one that failed has covered',
    breaks: [
      'block/flush-generation',
      'if (!covered) Atomics.store',
      'if (covered && !covered) Atomics.store',
    ],
    noticed: { [FLUSH]: 'BB-24 a flush that failed has covered nothing' },
  },
  {
    name: 'cancel/another part is begun',
    breaks: ['block/lane', 'if (result === MORE && request.canceled) result = -ECANCELED;', ''],
    noticed: { [FLUSH]: 'BB-25 no further part is begun' },
  },
  {
    name: 'cancel/the driver is asked twice',
    breaks: [
      'block/lane',
      'if (!transfer.busy || request.canceled) return;',
      'if (!transfer.busy) return;',
    ],
    noticed: { [FLUSH]: 'BB-25 the driver is asked; done runs once' },
  },
  {
    name: 'cancel/one at the gate is left there',
    breaks: [
      'block/host-io',
      'if (lane.onOpen.delete(attempt)) finish(request, -ECANCELED);\n        else request.cancel();',
      'request.cancel();',
    ],
    noticed: { [FLUSH]: 'BB-25 a signal: before, at the gate, and in flight' },
  },
];
