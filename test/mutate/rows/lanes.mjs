/** Steps of a lane, of the gate's TypeScript, and of the wake of who drains. */

const ORDER = 'block/lane-order.test.ts';
const BOUNCE = 'block/lane-bounce.test.ts';
const PARTS = 'block/lane-parts.test.ts';
const CHECKS = 'block/lane-checks.test.ts';
const BACKEND = 'block/backend.test.ts';
const REMOTE = 'block/remote-lane.test.ts';

export const lanes = [
  {
    name: 'file/reads mark the time of the last access',
    breaks: [
      'block/open-file',
      'fs.openSync(filename, flags | O_NOATIME, MODE)',
      'fs.openSync(filename, flags, MODE)',
    ],
    noticed: { 'block/file.test.ts': 'reading leaves the time of the last access as it is' },
  },
  {
    name: "file/somebody else's file cannot be opened",
    breaks: ['block/open-file', 'errnoOfThrown(thrown) !== -EPERM', 'true'],
    noticed: { 'block/file.test.ts': 'is done without if the file is somebody else’s' },
  },
  {
    name: 'lane/out of the gate before the callback',
    breaks: [
      'block/lane',
      '    try {\n      request.done(request, result);\n    } finally {\n' +
        '      this.gate.leave(); // after the callback, so that a drain sees its effects (BB-2)\n    }',
      '    this.gate.leave();\n    request.done(request, result);',
    ],
    noticed: { [ORDER]: 'BB-2 callback first, then the count goes down' },
  },
  {
    name: 'lane/a callback that throws stays in the gate',
    breaks: [
      'block/lane',
      '    try {\n      request.done(request, result);\n    } finally {\n' +
        '      this.gate.leave(); // after the callback, so that a drain sees its effects (BB-2)\n    }',
      '    request.done(request, result);\n    this.gate.leave();',
    ],
    noticed: { [ORDER]: 'BB-2 an exception in the callback does not leave the request in flight' },
  },
  {
    name: 'lane/the last that leaves wakes nobody',
    breaks: [
      'block/lane-gate',
      'if (engine.gateLeave(this.#lane, this.#backend, 1) === 1) this.#wake();',
      'engine.gateLeave(this.#lane, this.#backend, 1);',
    ],
    noticed: { [ORDER]: 'BB-2 callback first, then the count goes down' },
  },
  {
    name: 'lane/who is refused wakes nobody',
    breaks: [
      'block/lane-gate',
      '    this.#wake(); // the drain may have seen us inside for a moment\n',
      '',
    ],
    noticed: { [ORDER]: 'who is refused wakes the drain' },
  },
  {
    name: 'lane/another thread that leaves wakes nobody',
    breaks: [
      'block/lane-service',
      'scheduleRemote(core, { context, slot, generation });',
      'void [scheduleRemote, context, slot, generation];',
    ],
    noticed: { [REMOTE]: 'BB-12 a drain waits for a lane of another thread' },
  },
  {
    name: 'lane/a nested poll in a callback finds nobody scheduled',
    breaks: [
      'block/lane',
      'if (!this.#settled.empty || !this.#slots.empty) this.#bottomHalf.schedule();',
      '',
    ],
    noticed: { [ORDER]: 'BB-2 a poll nested in a callback completes the others' },
  },
  {
    name: 'lane/settled, it goes on at once',
    breaks: [
      'block/lane',
      '    this.#settled.push(transfer);\n    this.#bottomHalf.schedule();\n  }\n\n  // ---- One',
      '    this.#carryOn(transfer);\n  }\n\n  // ---- One',
    ],
    noticed: { [ORDER]: 'BB-1 calls back from a later poll' },
  },
  {
    name: 'lane/settled, nobody is scheduled',
    breaks: [
      'block/lane',
      '    this.#settled.push(transfer);\n    this.#bottomHalf.schedule();',
      '    this.#settled.push(transfer);',
    ],
    noticed: { [ORDER]: 'BB-1 calls back from a later poll' },
  },
  {
    name: 'lane/a gate that opens tells nobody',
    breaks: [
      'block/lane',
      '    this.#opened = true;\n    this.#bottomHalf.schedule();',
      '    this.#opened = true;',
    ],
    noticed: { [ORDER]: 'closed: EAGAIN and nothing happens; onOpen tells when it is open' },
  },
  {
    name: 'lane/told that the gate is open when it is closed again',
    breaks: ['block/lane', 'if (this.gate.closes) return; // we are told again', ''],
    noticed: { [ORDER]: 'open and closed again before the poll' },
  },
  {
    name: 'lane/a batch does not heed the gate that closes',
    breaks: ['block/lane', 'held ? gate.closes : !gate.enter()', 'held ? false : !gate.enter()'],
    noticed: { [ORDER]: 'passes the gate once for a batch; a drain stops it' },
  },
  {
    name: 'lane/each of a batch passes the gate',
    breaks: [
      'block/lane-gate',
      'if (this.#plugged++ === 0) this.#held = this.enter();',
      'this.#plugged++;',
    ],
    noticed: { [ORDER]: 'passes the gate once for a batch; a drain stops it' },
  },
  {
    name: 'lane/what settles after its batch is not counted',
    breaks: [
      'block/lane',
      'else if (held) gate.join(); // it outlives the batch, so it is counted by itself',
      '',
    ],
    noticed: { [ORDER]: 'a request that settles later is counted beyond the end of the batch' },
  },
  {
    name: 'lane/closed with requests in flight',
    breaks: [
      'block/lane',
      'if (this.inFlight > 0) throw new Error(`lane',
      'if (this.inFlight > 99) throw new Error(`lane',
    ],
    noticed: { [ORDER]: 'a lane with requests in flight does not close' },
  },
  {
    name: 'lane/an abandoned request goes on',
    breaks: ['block/lane', 'if (request.abandoned) {', 'if (request.abandoned && this.#closed) {'],
    noticed: { [BOUNCE]: 'BL-17 an abandoned write does not go on to its next part' },
  },
  {
    name: 'lane/who comes takes the slot of who waits',
    breaks: [
      'block/slot-queue',
      'transfer.slot = this.#waiting.empty ? this.pool.take() : null;',
      'transfer.slot = this.pool.take();',
    ],
    noticed: { [BOUNCE]: 'a slot that is free again goes to who waits' },
  },
  {
    name: 'lane/guest memory that has grown is written where it was',
    breaks: [
      'block/lane',
      'if (transfer.inRam) transfer.request.vector.bytes = this.#core.ramU8;',
      '',
    ],
    noticed: { [PARTS]: 'the rest of a short read goes where guest RAM is now' },
  },
  {
    name: 'lane/a write without write cache is not durable',
    breaks: [
      'block/request-check',
      'return cached ? flags : flags | REQ_FUA;',
      'return cached ? flags : flags | (0 * REQ_FUA);',
    ],
    noticed: { [CHECKS]: 'BB-21 off: every write and write of zeroes has FUA' },
  },
  {
    name: 'lane/refused by range, it stays in the gate',
    breaks: [
      'block/lane',
      '      if (!held) gate.leave();\n      return verdict;',
      '      return verdict;',
    ],
    noticed: { [CHECKS]: 'BB-4 ' },
  },
  {
    name: 'lane/what settles through the loop lets its thread block',
    breaks: [
      'block/lane',
      "if (driver.settles === 'loop') context.addLoopUser();",
      "if (driver.settles === 'loop') context.setPollParams({});",
    ],
    noticed: {
      'threads/block-lanes.test.ts': 'a thread whose disk answers through the JavaScript loop',
    },
  },
  {
    name: 'drain/lanes of other threads are not told',
    breaks: [
      'block/lane-set',
      '    for (const lane of this.#local) lane.opened();\n' +
        '    for (const lane of this.#remotes) lane.gateMoved();\n',
      '    for (const lane of this.#local) lane.opened();\n',
    ],
    noticed: { [REMOTE]: 'a closed gate refuses another thread, which is told' },
  },
  {
    name: 'drain/the gate is open while it waits',
    breaks: [
      'block/backend-gate',
      'async idle(): Promise<void> {\n',
      'async idle(): Promise<void> {\n' +
        '    if (this.busy) return untilQuiet(this.context, () => this.drainedPoll());\n',
    ],
    noticed: { [BACKEND]: 'BB-12 idle holds the gate closed while it waits' },
  },
  {
    name: 'drain/it does not wait for other threads',
    breaks: ['block/lane-set', '    for (const lane of this.#remotes) sum += lane.inFlight;\n', ''],
    noticed: { [REMOTE]: 'BB-12 a drain waits for a lane of another thread' },
  },
  {
    name: 'drain/told while something is in flight',
    breaks: [
      'block/drain',
      'const quiet = waiters.filter((waiter) => !waiter.busy());',
      'const quiet = waiters;',
    ],
    noticed: { [BACKEND]: 'BB-12 idle waits for all lanes' },
  },
  {
    name: 'drain/only the last that waits is told',
    breaks: [
      'block/drain',
      'for (const waiter of quiet) waiter.resolve();',
      'quiet.pop()?.resolve();',
    ],
    noticed: { [BACKEND]: 'two that wait are both told' },
  },
];
