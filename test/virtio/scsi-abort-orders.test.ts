/**
 * ABORT TASK against completion, in every order. A command waits in a disk whose driver does what it
 * is told; the steps below are done in each order that there can be, on a thread that takes a turn
 * only when it is told to. Whatever the order is, the command and the function are answered exactly
 * once, the function last, and after a reset nothing is written.
 */

import { describe, expect, it } from 'vitest';
import type { BlockRequest } from '#src/block/driver';
import { QUEUE_INUSE } from '#src/layout';
import { ProbeDriver } from './probe-driver.ts';
import { engines, ScsiRig, scsiLun, transfer10 } from './scsi-rig.ts';

const UNIT = scsiLun(0, 0);
const ABORT_TASK = 0;
const ABORTED = 2;
const COMPLETE = 0;
const ECANCELED = -125;

/** What the driver does when it is asked to cancel. */
type Cancels = 'at once' | 'never';

class ScriptedDisk extends ProbeDriver {
  readonly cancels: Cancels;

  constructor(cancels: Cancels) {
    super(1 << 20, 'loop');
    this.cancels = cancels;
  }

  cancel(request: BlockRequest): void {
    const index = this.held.indexOf(request);
    if (this.cancels === 'at once' && index >= 0) this.settle(index, ECANCELED);
  }
}

/**
 * `settle`: the disk has done what it was asked. `abort`: the function reaches the control queue.
 * `mail`, `poll`: the serving thread reads its messages, and does what it has left to do: of a
 * settled request that is the push. `main`: main's turn. `reset`: the driver gives up.
 */
type Step = 'settle' | 'abort' | 'mail' | 'poll' | 'main' | 'reset';

function* orders(steps: readonly Step[]): Generator<readonly Step[]> {
  if (steps.length === 0) yield [];
  const tried = new Set<Step>();
  for (const [i, step] of steps.entries()) {
    if (tried.has(step)) continue;
    tried.add(step);
    for (const rest of orders(steps.filter((_, other) => other !== i))) yield [step, ...rest];
  }
}

async function explore(rig: ScsiRig, disk: ScriptedDisk, order: readonly Step[]) {
  const guest = await rig.start();
  const thread = rig.near[0]!;
  const answers: string[] = [];
  const resets = order.includes('reset');
  let abortAsked = false;
  const command = guest.command(UNIT, transfer10(false, 0, 8), { dataIn: 4096, tag: 5 });
  command.then(
    ({ response }) => answers.push(response === ABORTED ? 'aborted' : `command ${response}`),
    () => answers.push('command dropped'),
  );
  while (disk.held.length === 0) thread.turn();
  // From here on nothing happens by itself.
  const relax = rig.relax.bind(rig);
  rig.relax = () => new Promise((resolve) => setImmediate(resolve));
  let after: Uint8Array | null = null;
  for (const step of order) {
    if (step === 'settle' && disk.held.length > 0) disk.settle(0);
    if (step === 'abort' && !after) {
      abortAsked = true;
      guest.taskManagement(ABORT_TASK, UNIT, 5).then(
        (response) => answers.push(response === COMPLETE ? 'answer' : `answer ${response}`),
        () => answers.push('answer dropped'),
      );
    }
    if (step === 'mail') thread.readMail();
    if (step === 'poll') thread.context.poll();
    if (step === 'main') rig.context.poll();
    if (step === 'reset') {
      rig.bus.writeStatus(0);
      after = rig.ram.read(0, 1 << 20);
    }
    guest.poll();
    await new Promise((resolve) => setImmediate(resolve));
  }
  rig.relax = relax;
  while (disk.held.length > 0) disk.settle(0);
  await rig.quiet();
  if (after) {
    expect(rig.bus.readStatus()).toBe(0);
    expect(Buffer.compare(rig.ram.read(0, 1 << 20), after)).toBe(0);
    guest.abandon();
  } else {
    guest.poll();
  }
  await rig.quiet();
  const { queue } = rig.device.queueConfigs[2]!;
  expect(Atomics.load(rig.core.u32, (queue + QUEUE_INUSE) >>> 2)).toBe(0);
  expect(answers.filter((one) => /command|aborted/.test(one))).toHaveLength(1);
  expect(answers.filter((one) => /answer/.test(one))).toHaveLength(abortAsked ? 1 : 0);
  if (!resets && abortAsked) expect(answers.at(-1)).toBe('answer');
  return answers.join(', ');
}

describe.each(engines)('ABORT TASK against completion, %s', (engine) => {
  for (const cancels of ['at once', 'never'] as const) {
    for (const last of ['main', 'reset'] as const) {
      it(`SC-6 SC-15 every order of settle, abort, push and ${last}; the disk cancels ${cancels}`, async () => {
        const outcomes = new Map<string, number>();
        const steps: Step[] = ['settle', 'abort', 'mail', 'poll', last];
        const rig = await ScsiRig.open({ engine, place: 'a near thread' });
        const disk = new ScriptedDisk(cancels);
        await rig.plug({ disk });
        for (const order of orders(steps)) {
          const outcome = await explore(rig, disk, order);
          outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
        }
        const seen = [...outcomes.keys()];
        expect([...outcomes.values()].reduce((sum, count) => sum + count)).toBe(120);
        // Orders that end differently were among them.
        if (last === 'main') {
          expect(seen).toContain('aborted, answer');
          expect(seen).toContain('command 0, answer');
        } else expect(seen).toContain('command dropped, answer dropped');
      }, 60_000);
    }
  }
});
