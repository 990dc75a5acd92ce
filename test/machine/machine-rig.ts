/** A machine without devices: its log, a disk that waits, and turns. */

import { onTestFinished } from 'vitest';
import { openCore } from '#src/adapter/node';
import { AioContext } from '#src/aio/context';
import { Machine, type MachineDisk, type MachineOptions } from '#src/machine/machine';

/** What a stop and a cont do, in order; filled by all that `log` was called for. */
export class MachineRig {
  readonly context: AioContext;
  readonly machine: Machine;
  readonly log: string[] = [];

  static async open(options: MachineOptions = {}): Promise<MachineRig> {
    const core = await openCore({ engine: 'js', ramBytes: 1 << 16 });
    const context = new AioContext(core, { sleeper: 'hook' });
    const rig = new MachineRig(context, new Machine(context, options));
    onTestFinished(() => {
      rig.machine.close();
      context.close();
    });
    return rig;
  }

  private constructor(context: AioContext, machine: Machine) {
    this.context = context;
    this.machine = machine;
    for (const name of ['STOP', 'RESUME', 'BLOCK_IO_ERROR', 'DEVICE_DELETED'] as const) {
      machine.events.on(name, () => this.log.push(name));
    }
  }

  handler(name: string, depth: number): () => void {
    return this.machine.addRunStateHandler(name, depth, (running, state) => {
      this.log.push(`${name} ${running ? 'on' : 'off'} ${state}`);
    });
  }

  cpu(name = 'cpu'): () => void {
    return this.machine.addCpu({
      pause: () => void this.log.push(`${name} paused`),
      resume: () => void this.log.push(`${name} resumed`),
    });
  }

  disk(name: string, more: Partial<MachineDisk> = {}): () => void {
    const say = (what: string) => this.log.push(`${name} ${what}`);
    return this.machine.addDrain({
      drainedBegin: () => void say('begin'),
      drainedEnd: () => void say('end'),
      idle: async () => void say('idle'),
      flush: async () => void say('flush'),
      ...more,
    });
  }

  /** The log since the last call. */
  take(): string[] {
    return this.log.splice(0);
  }

  /** As a disk's error does it. */
  fail(): void {
    this.machine.prepareStop();
    this.machine.events.emit('BLOCK_IO_ERROR', {
      device: 'drive0',
      'node-name': 'drive0',
      'qom-path': '/machine/peripheral/disk',
      operation: 'write',
      action: 'stop',
      nospace: false,
      reason: 'Input/output error',
    });
    this.machine.requestStop('io-error');
  }

  /** Turns until nothing is left to do, promises included. */
  async settle(): Promise<void> {
    for (let i = 0; i < 20; i++) {
      this.context.poll();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}
