/** Steps of stop and cont, and of the error policies. */

const STATE = 'machine/run-state.test.ts';
const DEVICE = 'machine/stop-cont.test.ts';
const ERRORS = 'machine/io-errors.test.ts';

const ORDER =
  'VM-1 stop: state, CPUs, handlers from the deepest and last, STOP, drain all, flush all';
const DEVICE_ORDER = 'VM-1 VM-2 host notifiers go off after those behind the device';
const ONE_STOP = 'VM-4 any number of errors are one stop, in the next turn of the context';

export const machine = [
  // ---- Order ------------------------------------------------------------------------------------
  {
    name: 'machine/handlers in the same order on both ways',
    breaks: [
      'machine/machine',
      '[...this.#handlers].reverse(), false',
      '[...this.#handlers], false',
    ],
    noticed: { [STATE]: ORDER },
  },
  {
    name: 'machine/handlers by order of registration alone',
    breaks: ['machine/machine', 'other.depth > depth', 'false'],
    noticed: { [STATE]: ORDER },
  },
  {
    name: 'machine/STOP before the handlers',
    breaks: [
      'machine/machine',
      '      this.#state = state;\n',
      "      this.#state = state;\n      this.events.emit('STOP', {});\n",
    ],
    noticed: { [STATE]: ORDER },
  },
  {
    name: 'machine/RESUME after the handlers',
    breaks: [
      'machine/machine',
      "    this.events.emit('RESUME', {});\n    this.#state = 'running';\n    await this.#tell(errors, [...this.#handlers], true);",
      "    this.#state = 'running';\n    await this.#tell(errors, [...this.#handlers], true);\n    this.events.emit('RESUME', {});",
    ],
    noticed: { [STATE]: ORDER },
  },
  {
    name: 'machine/disks are drained one after the other',
    breaks: [
      'machine/machine',
      'for (const disk of disks) disk.drainedBegin();\n',
      'for (const disk of disks) {\n      disk.drainedBegin();\n      await attempt(errors, () => disk.idle());\n    }\n',
    ],
    noticed: { [STATE]: 'BB-13 all disks are closed before one is waited for' },
  },
  {
    name: 'machine/a stop does not flush',
    breaks: [
      'machine/machine',
      'attempt(errors, heard)));\n    await this.#flushAll(errors);\n',
      'attempt(errors, heard)));\n',
    ],
    noticed: { [STATE]: ORDER, [ERRORS]: 'a stop of the machine makes durable what was written' },
  },
  {
    name: 'machine/a slow handler is not waited for',
    breaks: [
      'machine/machine',
      'const later = attempt(errors, () => handler(running, state));\n      if (later) await later;',
      'void attempt(errors, () => handler(running, state));',
    ],
    noticed: { [STATE]: 'VM-1 a handler that takes its time is waited for, on both ways' },
  },
  {
    name: 'machine/one handler that throws ends the stop',
    breaks: [
      'machine/machine',
      '  } catch (error) {\n    errors.push(error);\n  }',
      '  } catch (error) {\n    errors.push(error);\n    throw error;\n  }',
    ],
    noticed: { [STATE]: 'a handler, a CPU or a flush that throws stops nothing else' },
  },
  {
    name: 'machine/a handler removed meanwhile is called',
    breaks: ['machine/machine', '      if (!this.#handlers.includes(registered)) continue;\n', ''],
    noticed: { [STATE]: 'HN-16 a handler that was removed is not called' },
  },
  {
    name: 'machine/transitions at the same time',
    breaks: [
      'machine/machine',
      'this.#inLine++ === 0 ? step() : this.#line.then(step)',
      'this.#inLine++ >= 0 ? step() : this.#line.then(step)',
    ],
    noticed: { [STATE]: 'transitions that meet come one after the other: stop, cont, stop' },
  },
  // ---- Stops that errors ask for ----------------------------------------------------------------
  {
    name: 'machine/each error is a stop',
    breaks: ['machine/machine', '!this.running || this.#request ||', '!this.running ||'],
    noticed: { [STATE]: ONE_STOP },
  },
  {
    name: 'machine/an error of what is drained stops the machine that goes on',
    breaks: ['machine/machine', '!this.running || this.#request ||', 'this.#request ||'],
    noticed: { [STATE]: 'an error while the machine has stopped asks for nothing' },
  },
  {
    name: 'machine/an error stops at once',
    breaks: ['machine/machine', '    this.#requested.schedule();', '    this.#request.release();'],
    noticed: { [STATE]: ONE_STOP },
  },
  {
    name: 'machine/a stop that came first leaves the request',
    breaks: [
      'machine/machine',
      '      this.#request?.drop();\n      this.#request = null;\n      for',
      '      for',
    ],
    noticed: { [STATE]: 'a stop that somebody else asked for takes the place of an error' },
  },
  {
    name: 'machine/the stop takes its place when it is requested',
    breaks: ['block/backend-errors', '      machine.prepareStop();\n', ''],
    noticed: { [ERRORS]: 'BB-19 order: iostatus, then BLOCK_IO_ERROR, then STOP' },
  },
  {
    name: 'machine/what threads have said is not waited for',
    breaks: [
      'machine/machine',
      '    await Promise.all([...this.#fences].map((heard) => attempt(errors, heard)));\n',
      '',
    ],
    noticed: { [STATE]: 'VM-4 a stop is over when what other threads have said has arrived' },
  },
  // ---- Devices ----------------------------------------------------------------------------------
  {
    name: 'machine/a device does not stop',
    breaks: [
      'virtio/device-machine',
      '      device.vmStateChanged(running);\n    }),',
      '      void running;\n    }),',
    ],
    noticed: { [DEVICE]: 'VM-2 HN-1 a kick while the machine is stopped is served after cont' },
  },
  {
    name: 'machine/a device plugged in while it is stopped is served',
    breaks: ['virtio/device-machine', '  device.vmStateChanged(machine.running);\n', ''],
    noticed: {
      [DEVICE]: 'a device that is plugged in while the machine is stopped is served from',
    },
  },
  {
    name: 'machine/run state handlers stay at unplug',
    breaks: [
      'virtio/device-machine',
      '    for (const step of remove) step();\n',
      '    void remove;\n',
    ],
    noticed: { [DEVICE]: 'HN-16 after unplug neither stop nor cont reaches the device' },
  },
  {
    name: 'historic bug 18/failed requests are not tried again',
    breaks: ['virtio/device-machine', 'if (running) queues.restartFailed();', 'void running;'],
    noticed: { [ERRORS]: 'BL-16 historic bug 18 cont while other requests are served' },
  },
  {
    name: 'machine/restart before the queues begin',
    breaks: [
      'virtio/device-machine',
      'machine.addRunStateHandler(restart, DEPTH_BUS_DEVICE,',
      'machine.addRunStateHandler(restart, DEPTH_BUS_DEVICE - 1,',
    ],
    noticed: { [DEVICE]: DEVICE_ORDER },
  },
  {
    name: 'machine/answers of a stopped device raise no interrupt',
    breaks: [
      'virtio/device',
      'if (this.#mayAnswer(index)) this.transport?.interruptQueue(index);',
      'if (this.queueLive(index)) this.transport?.interruptQueue(index);',
    ],
    noticed: { [DEVICE]: 'VM-3 what was taken before the stop is answered before STOP is over' },
  },
  {
    name: 'machine/a disk does not join',
    breaks: ['block/backend', 'this.machine?.addDrain(this) ?? (() => {})', '() => {}'],
    noticed: { [DEVICE]: 'VM-3 what was taken before the stop is answered before STOP is over' },
  },
  {
    name: 'machine/a disk that is closed forgets what the host has asked for',
    breaks: ['block/backend', ' || (this.#host?.io.busy ?? false);', ';'],
    noticed: {
      ['block/backend.test.ts']: 'VM-1 a request of the host that waits at a closed gate',
    },
  },
  {
    name: 'machine/a disk is closed though something was asked for while it waited',
    breaks: ['block/backend', '    if (this.#asked) return false;\n', ''],
    noticed: { ['block/backend.test.ts']: 'what is asked for while a disk waits for its turn' },
  },
  {
    name: 'machine/a disk that leaves while it is drained stays closed',
    breaks: [
      'machine/machine',
      'for (const disk of disks) disk.drainedEnd();',
      'for (const disk of disks) if (this.#disks.has(disk)) disk.drainedEnd();',
    ],
    noticed: { ['machine/run-state.test.ts']: 'BB-13 the end of a drained section is told' },
  },
  {
    name: 'machine/a disk that is to be closed refuses to be flushed',
    breaks: [
      'block/backend',
      'const lane = this.lanes.open(this.context);',
      'const lane = this.openLane(this.context);',
    ],
    noticed: { ['block/backend.test.ts']: 'VM-1 a disk that waits for its turn to be closed' },
  },
  {
    name: 'machine/iostatus is that of the last error',
    breaks: ['block/backend-errors', "if (this.#status === 'ok') this.#status", 'this.#status'],
    noticed: { [ERRORS]: 'BB-20 iostatus is that of the first error, and ok again after cont' },
  },
  {
    name: 'machine/iostatus stays after cont',
    breaks: [
      'machine/machine',
      '    for (const disk of this.#disks) disk.resetIostatus?.();\n',
      '',
    ],
    noticed: { [ERRORS]: 'BB-20 iostatus is that of the first error, and ok again after cont' },
  },
];
