/** Command queues of a virtio-scsi host that change threads while commands wait. */

import { describe, expect, it } from 'vitest';
import { OP_WRITE } from '#src/block/driver';
import { COMMANDS, GOOD, ScsiStateRig, TEST_READY, write } from '../machine/scsi-state-rig.ts';

const EIO = 5;
const ABORT_TASK = 0;
const [COMPLETE, ABORTED] = [0, 2];
const data = (byte: number) => new Uint8Array(512).fill(byte);

/** A machine that an error has stopped, two commands waiting; by then a thread serves the queue. */
async function moved(): Promise<ScsiStateRig> {
  const rig = await ScsiStateRig.open({ threads: 1 });
  await rig.settle(rig.scsi.changeMapping({}));
  await rig.begin();
  rig.probe().answer = ({ op }) => (op === OP_WRITE ? -EIO : undefined);
  rig.ask(3, write(2), { out: data(2) });
  rig.ask(6, write(9), { out: data(9) });
  rig.kick(COMMANDS);
  await rig.turns();
  await rig.stop();
  rig.probe().answer = () => undefined;
  const move = rig.scsi.changeMapping({ iothread: rig.threads[0]! });
  await rig.settle(move);
  return rig;
}

describe('commands that wait while their queue moves', () => {
  it('SC-11 take no unit attention again', async () => {
    const rig = await moved();
    rig.unitAt(0).words.setAttention(0x2a09);
    await rig.cont();
    await rig.turns();
    expect(rig.collect(COMMANDS)).toEqual([3, 6]);
    expect([rig.answer(3), rig.answer(6)]).toEqual([GOOD, GOOD]);
    rig.ask(0, TEST_READY);
    rig.kick(COMMANDS);
    await rig.turns();
    expect([rig.answer(0), rig.sense(0)[1]]).toEqual([[0, 2], 0x2a]);
  });

  it('BG-18 have the CDB that they were popped with', async () => {
    const rig = await moved();
    rig.scsi.writeConfig(24, 4, 6);
    await rig.cont();
    await rig.turns();
    expect([rig.answer(3), rig.answer(6)]).toEqual([GOOD, GOOD]);
    expect([2, 9].map((sector) => rig.probe().bytes[sector * 512])).toEqual([2, 9]);
  });

  it('SC-14 SC-15 are aborted where they are, before that is answered', async () => {
    const rig = await moved();
    rig.askTmf(0, ABORT_TASK, { tag: 206 });
    await rig.cont();
    await rig.turns();
    expect(rig.tmfAnswer(0)).toBe(COMPLETE);
    expect([rig.answer(3), rig.answer(6)]).toEqual([GOOD, [ABORTED, 0]]);
    expect([2, 9].map((sector) => rig.probe().bytes[sector * 512])).toEqual([2, 0]);
  });
});
