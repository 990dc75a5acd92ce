/** Steps of the thread pool and of deferred calls that are not the engines'. */

const POOL = 'threads/block-pool.test.ts';
const DEFER = 'aio/defer-call.test.ts';

export const threadPool = [
  // ---- The thread pool --------------------------------------------------------------------------
  {
    name: 'pool/more Workers than max',
    breaks: [
      'aio/thread-pool',
      ' && this.workers < this.#get(POOL_MAX)) this.#spawn();',
      ') this.#spawn();',
    ],
    noticed: { [POOL]: 'TP-1 two hundred requests, never more than four Workers' },
  },
  {
    name: 'pool/any thread submits',
    breaks: [
      'aio/thread-pool',
      'if (home === 0 || home === this.#core.thread) return;',
      'if (home >= 0) return;',
    ],
    noticed: { [POOL]: 'TP-1 only the thread of the context submits and cancels' },
  },
  {
    name: 'pool/limits wake nobody',
    breaks: [
      'aio/thread-pool',
      '    this.#wakeWorkers();\n    this.#spawnWanted();',
      '    this.#spawnWanted();',
    ],
    noticed: { [POOL]: 'TP-1 raised limits make Workers, lowered ones send them away' },
  },
  {
    name: 'pool/limits make nobody',
    breaks: [
      'aio/thread-pool',
      '    this.#wakeWorkers();\n    this.#spawnWanted();',
      '    this.#wakeWorkers();',
    ],
    noticed: { [POOL]: 'TP-1 raised limits make Workers, lowered ones send them away' },
  },
  {
    name: 'pool/a Worker that sleeps is not told',
    breaks: [
      'aio/thread-pool',
      'if (asleep) Atomics.notify(this.#core.i32, (this.address + POOL_WAKE) >>> 2);\n    else if',
      'if (asleep) void POOL_WAKE;\n    else if',
    ],
    noticed: { [POOL]: 'TP-1 a Worker that sleeps is woken by a request' },
  },
  {
    name: 'pool/what waits for a number waits for ever',
    breaks: [
      'aio/thread-pool',
      'while (this.#waiting.length > 0 && this.#pass(this.#waiting[0] as PoolRequest)) {',
      'while (this.#waiting.length > 999 && this.#pass(this.#waiting[0] as PoolRequest)) {',
    ],
    noticed: { [POOL]: 'TP-1 two hundred requests, never more than four Workers' },
  },
  {
    name: 'pool/cancel before a number calls nobody back',
    breaks: [
      'aio/thread-pool',
      '      this.#cancelled.push(request);\n      this.#bottomHalf.schedule();\n',
      '      this.#cancelled.push(request);\n',
    ],
    noticed: { [POOL]: 'TP-4 a cancelled request is called back though nothing' },
  },
  {
    name: 'pool/cancel calls nobody back',
    breaks: [
      'aio/thread-pool',
      '-ECANCELED)) return false;\n    this.#bottomHalf.schedule();',
      '-ECANCELED)) return false;',
    ],
    noticed: { [POOL]: 'TP-4 a cancelled request is called back though nothing' },
  },
  {
    name: 'pool/closed with requests outstanding',
    breaks: [
      'aio/thread-pool',
      '    if (this.#outstanding > 0) {\n',
      '    if (this.#outstanding > 9999) {\n',
    ],
    noticed: { [POOL]: 'TP-5 close refuses while requests are outstanding' },
  },
  {
    name: 'pool/close does not wait for its Workers',
    breaks: [
      'aio/thread-pool',
      'await Promise.all([...this.#workers.keys()].map((worker) => worker.gone));',
      'await null;',
    ],
    noticed: { [POOL]: 'TP-5 close refuses while requests are outstanding, and then waits' },
  },
  {
    name: 'pool/a start that fails is not told',
    breaks: [
      'aio/thread-pool',
      'await Promise.all([...this.#workers.keys()].map((worker) => worker.ready));',
      'await null;',
    ],
    noticed: { [POOL]: 'TP-7 a pool whose first Worker cannot start says why' },
  },
  {
    name: 'pool/what a dead Worker had is never called back',
    breaks: [
      'aio/thread-pool',
      'if (this.workers === 0 && this.#workers.size === 0 && this.#passed > 0) this.#failAll();',
      'void this.#failAll;',
    ],
    noticed: { [POOL]: 'a Worker that dies fails what was submitted' },
  },
  {
    name: 'pool/an idle Worker stays for ever',
    breaks: [
      'aio/pool-worker',
      "return answer !== 'timed-out' || this.#get(POOL_WORKERS) <= this.#get(POOL_MIN);",
      "return answer !== 'not-equal' || true;",
    ],
    noticed: { [POOL]: 'TP-1 an idle Worker leaves if there are more than min' },
  },
  {
    name: 'pool/no look after a Worker has counted itself down',
    breaks: [
      'aio/pool-worker',
      'const missed = this.#get(POOL_HEAD) !== this.#get(POOL_TAIL);',
      'const missed = false;',
    ],
    noticed: { [POOL]: 'TP-1 a request that comes between the last look and the leave' },
  },
  {
    name: 'pool/an operation that throws ends its Worker',
    breaks: [
      'aio/pool-worker',
      '    } catch {\n      result = -EIO;\n',
      '    } catch (error) {\n      throw error;\n',
    ],
    noticed: { [POOL]: 'TP-2 an operation that throws, or is not there' },
  },
  {
    name: 'pool/its context is not woken',
    breaks: [
      'aio/pool-worker',
      'wakeContext(this.#core, this.#get(POOL_CONTEXT));',
      'void wakeContext;',
    ],
    noticed: { [POOL]: 'TP-1 Workers are made as requests need them' },
  },
  {
    name: 'pool/a second user gets a pool of its own',
    breaks: ['aio/context-pool', 'pools.set(context, shared);', ''],
    noticed: { 'threads/block-file.test.ts': 'TP-1 two disks of one context share its pool' },
  },
  {
    name: 'pool/the first user closes it',
    breaks: ['aio/context-pool', '--shared.users > 0', '--shared.users > 99'],
    noticed: { 'threads/block-file.test.ts': 'TP-1 two disks of one context share its pool' },
  },
  {
    name: 'pool/a view that another thread has made old is no core memory',
    breaks: [
      'block/file-threads',
      '!this.#core.shows(vector.bytes)',
      'vector.bytes.buffer !== this.#core.memory.buffer',
    ],
    noticed: { 'threads/block-file.test.ts': 'takes a view that is older than a growth' },
  },
  {
    name: 'pool/a disk whose pool cannot start is opened all the same',
    breaks: [
      'block/file',
      "throw new BlockError('EAGAIN', 'open', { cause });",
      'return new SyncFileDriver(file);',
    ],
    noticed: { 'threads/block-file.test.ts': 'TP-7 a pool that cannot start fails the open' },
  },
  // ---- Deferred calls ---------------------------------------------------------------------------
  {
    name: 'defer/once per call, not per function and argument',
    breaks: ['aio/defer-call', 'if (known.call === call && known.opaque === opaque) return;', ''],
    noticed: { [DEFER]: 'TP-6 inside, once per function and argument' },
  },
  {
    name: 'defer/once per function',
    breaks: [
      'aio/defer-call',
      'if (known.call === call && known.opaque === opaque) return;',
      'if (known.call === call) return;',
    ],
    noticed: { [DEFER]: 'TP-6 inside, once per function and argument' },
  },
  {
    name: 'defer/the last asked for comes first',
    breaks: ['aio/defer-call', 'calls.push({ call, opaque });', 'calls.unshift({ call, opaque });'],
    noticed: { [DEFER]: 'TP-6 inside, once per function and argument' },
  },
  {
    name: 'defer/each end makes the calls',
    breaks: [
      'aio/defer-call',
      'if (--depth > 0 || calls.length === 0) return;',
      'depth--;\n  if (calls.length === 0) return;',
    ],
    noticed: { [DEFER]: 'TP-6 only the outermost end makes the calls' },
  },
  {
    name: 'defer/calls are made again by the next section',
    breaks: ['aio/defer-call', '  calls = [];\n  let failed', '  let failed'],
    noticed: { [DEFER]: 'TP-6 only the outermost end makes the calls' },
  },
  {
    name: 'defer/outside of a section it is lost',
    breaks: ['aio/defer-call', '    call(opaque);\n    return;', '    return;'],
    noticed: { [DEFER]: 'TP-6 outside of a section a call is made at once' },
  },
  {
    name: 'defer/an error leaves the section open',
    breaks: [
      'aio/defer-call',
      '    return section();\n  } finally {\n    deferCallEnd();\n  }',
      '    const result = section();\n    deferCallEnd();\n    return result;\n  } finally {\n  }',
    ],
    noticed: { [DEFER]: 'TP-6 an error inside a section loses no call' },
  },
  {
    name: 'defer/a call that throws keeps the others from being made',
    breaks: [
      'aio/defer-call',
      '      if (!failed) failure = error;\n      failed = true;',
      '      throw error;',
    ],
    noticed: { [DEFER]: 'TP-6 a call that throws keeps none of the others' },
  },
  {
    name: 'defer/an end without a begin',
    breaks: [
      'aio/defer-call',
      "if (depth === 0) throw new Error('deferCallEnd without deferCallBegin');",
      '',
    ],
    noticed: { [DEFER]: 'TP-6 an end without a begin is refused' },
  },
];
