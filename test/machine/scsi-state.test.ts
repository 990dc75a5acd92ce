/** A virtio-scsi host saved and loaded: its bus, commands that wait, events missed (VM-9). */

import { describe, expect, it } from 'vitest';
import { OP_FLUSH, OP_READ, OP_WRITE } from '#src/block/driver';
import { MemoryDriver } from '#src/block/memory';
import { BROKEN_CONFIG, LUN_F_LOCKED, LUN_F_TRAY_OPEN } from '#src/layout';
import { MachineState } from '#src/machine/machine-state';
import { StateReader } from '#src/machine/state-reader';
import { StateWriter } from '#src/machine/state-writer';
import { scsiState } from '#src/virtio/scsi-state';
import { ProbeDriver } from '../virtio/probe-driver.ts';
import { engines, pairs, refusal, transports, twinOf } from './saved-rig.ts';
import {
  COMMANDS,
  CONTROL,
  EVENTS,
  GOOD,
  read,
  ScsiStateRig,
  type ScsiStateRigOptions,
  TEST_READY,
  UNANSWERED,
  type UnitOptions,
  write,
} from './scsi-state-rig.ts';

const EIO = 5;
const [ABORTED, COMPLETE, SUCCEEDED, FAILURE] = [2, 0, 10, 9];
const [ABORT_TASK, QUERY_TASK] = [0, 6];
const CHECK = [0, 2];
const MISSED = 0x8000_0000;
const filled = (byte: number) => new Uint8Array(512).fill(byte);

const twin = (rig: ScsiStateRig, options: ScsiStateRigOptions) =>
  twinOf(rig, ScsiStateRig.open(options));

/** A machine that an error has stopped: two commands wait, one has not been seen. */
async function failed(options: ScsiStateRigOptions): Promise<ScsiStateRig> {
  const rig = await ScsiStateRig.open(options);
  await rig.begin();
  rig.probe().answer = ({ op }) => (op === OP_WRITE ? -EIO : undefined);
  rig.ask(3, write(2), { out: filled(0x22) });
  rig.ask(6, write(9), { out: filled(0x33) });
  rig.kick(COMMANDS);
  await rig.turns();
  await rig.stop();
  rig.probe().answer = () => undefined;
  rig.ask(9, write(4), { out: filled(0x44) });
  expect(rig.collect(COMMANDS)).toEqual([]);
  return rig;
}

const waiting = (rig: ScsiStateRig) => [3, 6, 9].map((head) => rig.answer(head));

describe.each(pairs)('a host saved with %s, loaded with %s', (from, to) => {
  it('VM-9 SC-7 commands that wait are tried again, each answered once', async () => {
    const one = await failed({ engine: from, transport: 'pci' });
    const bytes = await one.save();
    const two = await twin(one, { engine: to, transport: 'pci' });
    await two.load(bytes);
    await two.turns();
    expect(waiting(two)).toEqual([UNANSWERED, UNANSWERED, UNANSWERED]);
    expect(two.probe().calls.filter(({ op }) => op === 'write')).toEqual([]);
    await two.cont();
    await two.turns();
    expect(two.collect(COMMANDS)).toEqual([3, 6, 9]);
    expect(waiting(two)).toEqual([GOOD, GOOD, GOOD]);
    const { bytes: disk } = two.probe();
    expect([2, 9, 4].map((sector) => disk[sector * 512])).toEqual([0x22, 0x33, 0x44]);
    expect(two.interrupts).toContain('high');
    two.ask(0, read(9));
    two.kick(COMMANDS);
    expect([two.collect(COMMANDS), two.answer(0), two.data(0)[0]]).toEqual([[0], GOOD, 0x33]);
  });

  it.each(transports)(
    'VM-9 %s: saved, loaded and saved again is the same, byte for byte',
    async (transport) => {
      const units: UnitOptions[] = [
        { 'scsi-id': 0, lun: 0 },
        { 'scsi-id': 7, lun: 300, type: 'cd' },
      ];
      const options = { transport, units, scsi: { num_queues: 2 } };
      const one = await failed({ engine: from, ...options });
      one.scsi.bus.setAttention(0x3f0e);
      const bytes = await one.save();
      const two = await twin(one, { engine: to, ...options, units: [...units].reverse() });
      await two.load(bytes);
      expect(Buffer.compare(await two.save(), bytes)).toBe(0);
      // And once more into the machine that it came from, whatever it does meanwhile.
      await one.load(bytes);
      expect(Buffer.compare(await one.save(), bytes)).toBe(0);
    },
  );

  it('VM-9 a host that no driver has touched, without disks', async () => {
    const one = await ScsiStateRig.open({ engine: from, units: [] });
    await one.stop();
    const bytes = await one.save();
    const two = await twin(one, { engine: to, units: [] });
    two.start();
    await two.load(bytes);
    expect([two.scsi.status, two.scsi.started]).toEqual([0, false]);
    expect(Buffer.compare(await two.save(), bytes)).toBe(0);
  });
});

describe.each(engines)('command queues that threads serve, %s', (engine) => {
  const onGuestWrite = () => {};

  it.each([
    ['threads', 'threads', {}],
    ['threads', 'main', {}],
    ['main', 'threads', {}],
    // used.idx is held back until the host has heard what was written (QUEUE_F_HELD).
    ['threads, held', 'threads, held', { onGuestWrite }],
  ] as const)('VM-9 SC-1 from %s to %s: each queue has its own back', async (from, to, scsi) => {
    const options = (where: string): ScsiStateRigOptions => ({
      engine,
      threads: where.startsWith('threads') ? 2 : 0,
      scsi: { num_queues: 2, ...scsi },
    });
    const one = await ScsiStateRig.open(options(from));
    await one.begin();
    one.probe().answer = ({ op }) => (op === OP_WRITE ? -EIO : undefined);
    for (const queue of [COMMANDS, COMMANDS + 1]) {
      one.ask(3, write(queue), { queue, out: filled(queue) });
      one.kick(queue);
    }
    await one.turns();
    await one.stop();
    const bytes = await one.save();
    const two = await twin(one, options(to));
    await two.load(bytes);
    expect(Buffer.compare(await two.save(), bytes)).toBe(0);
    const adopted = two.threads.map(({ called }) => called.filter((name) => /adopt/.test(name)));
    expect(adopted.map(({ length }) => length)).toEqual(two.threads.map(() => 1));
    await two.cont();
    await two.turns();
    for (const queue of [COMMANDS, COMMANDS + 1]) {
      expect([two.collect(queue), two.answer(3, queue)]).toEqual([[3], GOOD]);
      expect(two.probe().bytes[queue * 512]).toBe(queue);
    }
    two.ask(0, read(COMMANDS));
    two.kick(COMMANDS);
    await two.turns();
    expect([two.collect(COMMANDS), two.data(0)[0]]).toEqual([[0], COMMANDS]);
  });
});

describe('what a state of a host has', () => {
  it('VM-9 SC-11 unit attentions, which the commands that wait do not take', async () => {
    const units: UnitOptions[] = [{ 'scsi-id': 0 }, { 'scsi-id': 1 }];
    const one = await failed({ units });
    one.unitAt(0).words.setAttention(0x2a09);
    one.scsi.bus.setAttention(0x3f0e);
    const two = await twin(one, { units });
    await two.load(await one.save());
    await two.cont();
    await two.turns();
    // The one that had not been seen is new: it is told of what has happened.
    expect(two.collect(COMMANDS)).toContain(9);
    expect(waiting(two)).toEqual([GOOD, GOOD, CHECK]);
    expect(two.sense(9).slice(1)).toEqual([0x2a, 9]);
    two.ask(0, TEST_READY, { target: 1 });
    two.kick(COMMANDS);
    expect([two.answer(0), two.sense(0).slice(1)]).toEqual([CHECK, [0x3f, 0x0e]]);
  });

  it('VM-9 SC-11 no attention, where a reset would have left one', async () => {
    const one = await ScsiStateRig.open();
    await one.begin();
    await one.stop();
    const two = await twin(one, {});
    await two.load(await one.save());
    await two.cont();
    two.ask(3, TEST_READY);
    two.kick(COMMANDS);
    expect(two.answer(3)).toEqual(GOOD);
  });

  it('VM-9 SC-18 an event that was missed is told once there is a buffer', async () => {
    const one = await ScsiStateRig.open();
    await one.begin();
    await one.plug({ 'scsi-id': 5 });
    await one.stop();
    const units: UnitOptions[] = [{ 'scsi-id': 0 }, { 'scsi-id': 5 }];
    for (const early of [true, false]) {
      const two = await twin(one, { units });
      if (early) two.giveEvent(0);
      await two.load(await one.save());
      await two.cont();
      if (!early) {
        expect(two.collect(EVENTS)).toEqual([]);
        two.giveEvent(0);
        two.kick(EVENTS);
      }
      expect([two.collect(EVENTS), two.event(0)]).toEqual([[0], [MISSED, 0]]);
    }
  });

  it('VM-9 SC-18 buffers for events stay buffers, and nothing was missed', async () => {
    const one = await ScsiStateRig.open();
    await one.begin();
    one.giveEvent(0);
    one.kick(EVENTS);
    await one.stop();
    const two = await twin(one, {});
    await two.load(await one.save());
    await two.cont();
    expect(two.collect(EVENTS)).toEqual([]);
    await two.plug({ 'scsi-id': 5 });
    expect([two.collect(EVENTS), two.event(0)]).toEqual([[0], [1, 1]]);
  });

  it('VM-9 SC-21 the sizes that a driver has chosen, for commands to come', async () => {
    const one = await ScsiStateRig.open();
    await one.begin();
    one.scsi.writeConfig(20, 4, 64);
    one.scsi.writeConfig(24, 4, 48);
    one.sizes = { sense: 64, cdb: 48 };
    await one.stop();
    const two = await twin(one, {});
    await two.load(await one.save());
    expect([two.scsi.readConfig(20, 4), two.scsi.readConfig(24, 4)]).toEqual([64, 48]);
    await two.cont();
    two.ask(3, write(3), { out: filled(7) });
    two.kick(COMMANDS);
    expect([two.answer(3), two.probe().bytes[3 * 512]]).toEqual([GOOD, 7]);
  });

  it('VM-9 BG-18 BG-15 a command is what it was when it was popped', async () => {
    const one = await failed({});
    // The driver chooses other sizes, and writes over the header of what the device has taken.
    one.scsi.writeConfig(20, 4, 0);
    one.scsi.writeConfig(24, 4, 200);
    one.ram.fill(0xee, one.place(3, COMMANDS), one.place(3, COMMANDS) + 51);
    one.ram.set(write(20), one.place(6, COMMANDS) + 19);
    const two = await twin(one, {});
    await two.load(await one.save());
    expect(two.scsi.brokenReason).toBe(0);
    two.probe().answer = ({ op }) => (op === OP_WRITE ? -EIO : undefined);
    await two.cont();
    await two.turns();
    await two.stop(); // and once more
    const three = await twin(two, {});
    await three.load(await two.save());
    three.scsi.writeConfig(20, 4, 96);
    three.scsi.writeConfig(24, 4, 32);
    await three.cont();
    await three.turns();
    // To the one that had not been seen the sizes apply: it has data in both directions.
    expect(three.collect(COMMANDS)).toEqual([9, 3, 6]);
    expect(three.answer(9)[0]).toBe(FAILURE);
    expect([three.answer(3), three.answer(6)]).toEqual([GOOD, GOOD]);
    const { bytes } = three.probe();
    expect([2, 9, 20].map((sector) => bytes[sector * 512])).toEqual([0x22, 0x33, 0]);
  });

  it('VM-9 BG-18 the sense of a command that waited is as long as its driver asked', async () => {
    const one = await ScsiStateRig.open();
    await one.begin();
    one.scsi.writeConfig(20, 4, 5);
    one.sizes = { sense: 5, cdb: 32 };
    one.probe().answer = ({ op }) => (op === OP_READ ? -EIO : undefined);
    one.ask(3, read(2));
    one.kick(COMMANDS);
    await one.turns();
    await one.stop();
    one.scsi.writeConfig(20, 4, 96);
    const two = await twin(one, { units: [{ backend: { rerror: 'report' } }] });
    two.probe().answer = ({ op }) => (op === OP_READ ? -EIO : undefined);
    await two.load(await one.save());
    await two.cont();
    await two.turns();
    expect([two.collect(COMMANDS), two.answer(3)]).toEqual([[3], CHECK]);
    expect(two.sense(3)[0]).toBe(5);
  });

  it('VM-9 SD-9 the block size and the write cache as MODE SELECT has left them', async () => {
    const one = await ScsiStateRig.open();
    await one.begin();
    // Header and descriptor of MODE SELECT (6): blocks of 1024 bytes.
    const out = Uint8Array.of(0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 4, 0);
    one.ask(3, [0x15, 0x10, 0, 0, 12, 0], { out });
    one.kick(COMMANDS);
    expect(one.answer(3)).toEqual(GOOD);
    one.unitAt(0).backend.writeCache = false;
    await one.stop();
    const two = await twin(one, {});
    await two.load(await one.save());
    expect([two.unitAt(0).words.blockSize, two.unitAt(0).backend.writeCache]).toEqual([
      1024,
      false,
    ]);
    await two.cont();
    two.ask(3, [0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], { in: 8 });
    two.kick(COMMANDS);
    expect([...two.data(3).subarray(0, 8)]).toEqual([0, 0, 0, 31, 0, 0, 4, 0]);
  });

  it('VM-9 SC-7 a SYNCHRONIZE CACHE that has failed is done', async () => {
    const one = await ScsiStateRig.open();
    await one.begin();
    one.ask(0, write(1), { out: filled(1) });
    one.kick(COMMANDS);
    let errors = 1;
    one.probe().answer = ({ op }) => (op === OP_FLUSH && errors-- > 0 ? -EIO : undefined);
    one.ask(3, [0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    one.kick(COMMANDS);
    await one.turns();
    expect(one.collect(COMMANDS)).toEqual([0]);
    await one.stop();
    const two = await twin(one, {});
    await two.load(await one.save());
    await two.cont();
    await two.turns();
    expect([two.collect(COMMANDS), two.answer(3)]).toEqual([[3], GOOD]);
  });

  it('VM-9 SD-11 a tray that is open, and one that is locked', async () => {
    const units: UnitOptions[] = [
      { 'scsi-id': 0, type: 'cd' },
      { 'scsi-id': 1, type: 'cd' },
    ];
    const one = await ScsiStateRig.open({ units });
    await one.begin();
    one.ask(3, [0x1b, 0, 0, 0, 2, 0]);
    one.ask(6, [0x1e, 0, 0, 0, 1, 0], { target: 1 });
    one.kick(COMMANDS);
    await one.stop();
    const two = await twin(one, { units });
    await two.load(await one.save());
    expect(two.unitAt(0).words.flags).toBe(LUN_F_TRAY_OPEN);
    expect(two.unitAt(1).words.flags).toBe(LUN_F_LOCKED);
    await two.cont();
    two.ask(9, TEST_READY);
    two.kick(COMMANDS);
    expect([two.answer(9), two.sense(9)[1]]).toEqual([CHECK, 0x3a]);
  });

  it('VM-9 a broken host stays broken, and works after a reset', async () => {
    const one = await failed({});
    one.scsi.writeConfig(24, 4, 256);
    expect(one.scsi.brokenReason).toBe(BROKEN_CONFIG);
    const bytes = await one.save();
    const two = await twin(one, { engine: 'js' });
    await two.load(bytes);
    expect([two.scsi.brokenReason, two.scsi.status]).toEqual([BROKEN_CONFIG, 15 | 64]);
    expect(Buffer.compare(await two.save(), bytes)).toBe(0);
    await two.cont();
    two.kick(COMMANDS);
    expect(two.collect(COMMANDS)).toEqual([]);
    two.scsi.writeStatus(0);
    two.ram.fill(0);
    two.drivers = two.drivers.map(() => ({ published: 0, seen: 0 }));
    await two.begin();
    two.ask(3, read(0));
    two.kick(COMMANDS);
    expect([two.collect(COMMANDS), two.answer(3)]).toEqual([[3], GOOD]);
  });

  it('memory disks with their contents', async () => {
    const disk = (core: ScsiStateRig['core']) => new MemoryDriver(core, 1 << 17);
    const units: UnitOptions[] = [
      { 'scsi-id': 0, disk },
      { 'scsi-id': 1, disk },
    ];
    const one = await ScsiStateRig.open({ units });
    await one.begin();
    one.ask(3, write(5), { out: filled(0x5a) });
    one.ask(6, write(200), { target: 1, out: filled(0x6b) });
    one.kick(COMMANDS);
    await one.stop();
    const two = await twin(one, { engine: 'js', units });
    await two.load(await one.save());
    await two.cont();
    two.ask(3, read(5));
    two.ask(6, read(200), { target: 1 });
    two.kick(COMMANDS);
    expect([two.data(3)[0], two.data(6)[0]]).toEqual([0x5a, 0x6b]);
  });
});

describe('commands that were loaded and not begun', () => {
  it('VM-9 SC-14 SC-15 are there for task management, which is served first', async () => {
    const one = await failed({});
    one.askTmf(0, QUERY_TASK, { tag: 206 });
    one.askTmf(3, ABORT_TASK, { tag: 203 });
    one.askTmf(6, QUERY_TASK, { tag: 203 });
    const two = await twin(one, {});
    await two.load(await one.save());
    await two.cont();
    await two.turns();
    expect([0, 3, 6].map((head) => two.tmfAnswer(head))).toEqual([SUCCEEDED, COMPLETE, COMPLETE]);
    expect(two.collect(COMMANDS)).toEqual([3, 6, 9]);
    expect(waiting(two)).toEqual([[ABORTED, 0], GOOD, GOOD]);
    expect([2, 9].map((sector) => two.probe().bytes[sector * 512])).toEqual([0, 0x33]);
  });

  it('VM-9 SC-17 are aborted with their disk, in a machine that is stopped', async () => {
    const one = await failed({});
    const two = await twin(one, {});
    await two.load(await one.save());
    await two.settle(two.scsi.unplug(two.unitAt(0)));
    expect(two.collect(COMMANDS)).toEqual([3, 6]);
    expect(waiting(two)).toEqual([[ABORTED, 0], [ABORTED, 0], UNANSWERED]);
    expect(two.probe().calls.filter(({ op }) => op === 'write')).toEqual([]);
  });

  it('VM-9 SC-16 end with a reset', async () => {
    const one = await failed({});
    const two = await twin(one, {});
    await two.load(await one.save());
    two.scsi.writeStatus(0);
    await two.cont();
    await two.turns();
    expect([two.scsi.status, two.collect(COMMANDS)]).toEqual([0, []]);
    expect(two.probe().calls.filter(({ op }) => op === 'write')).toEqual([]);
  });
});

describe('what is refused of a host', () => {
  it('VM-8 one that runs, or has requests in flight', async () => {
    const rig = await ScsiStateRig.open({ units: [{ disk: new ProbeDriver(32768, 'loop') }] });
    const parts = new MachineState();
    parts.add('host', scsiState(rig.scsi, null));
    rig.start();
    rig.ask(0, TEST_READY);
    rig.kick(COMMANDS);
    rig.ask(3, read(0));
    rig.kick(COMMANDS);
    expect(() => parts.save()).toThrow('the device takes requests: stop the machine first');
    rig.scsi.vmStateChanged(false);
    expect(() => parts.save()).toThrow('the device has requests in flight');
    rig.probe().settleAll();
    rig.turn();
    expect(parts.save()).toBeInstanceOf(Uint8Array);
  });

  it('VM-8 VM-9 one that carries out a task management function', async () => {
    const rig = await ScsiStateRig.open({ threads: 1 });
    await rig.begin();
    const parts = new MachineState();
    parts.add('host', scsiState(rig.scsi, null));
    rig.askTmf(0, QUERY_TASK, { tag: 1 });
    rig.scsi.kick(CONTROL);
    rig.scsi.vmStateChanged(false);
    expect(() => parts.save()).toThrow('is carrying out a task management function');
    await rig.turns();
    expect(rig.tmfAnswer(0)).toBe(COMPLETE);
    expect(parts.save()).toBeInstanceOf(Uint8Array);
  });

  it('VM-9 one whose disks come or go', async () => {
    const rig = await ScsiStateRig.open({ threads: 1 });
    await rig.stop();
    const bytes = await rig.save();
    const parts = new MachineState();
    parts.add('host', scsiState(rig.scsi, null));
    const state = await parts.save();
    const backend = rig.backends[0]!;
    const leaving = rig.scsi.unplug(rig.unitAt(0));
    await Promise.resolve();
    expect(() => parts.save()).toThrow('has a disk that comes or goes');
    await expect(async () => parts.load(state)()).rejects.toThrow('was plugged in or out');
    await rig.settle(leaving);
    expect((await refusal(rig.load(bytes))).message).toContain('with hd 0:0, here it is none');
    expect(backend.quiesced).toBe(false);
  });

  it('VM-9 drained disks are enough, and what it may do goes on afterwards', async () => {
    const rig = await ScsiStateRig.open();
    await rig.begin();
    const parts = new MachineState();
    parts.add('host', scsiState(rig.scsi, null));
    rig.backends[0]!.drainedBegin();
    expect(parts.save()).toBeInstanceOf(Uint8Array);
    expect(rig.scsi.serving).toBe(true);
    rig.backends[0]!.drainedEnd();
    rig.ask(0, read(0));
    rig.kick(COMMANDS);
    expect([rig.collect(COMMANDS), rig.answer(0)]).toEqual([[0], GOOD]);
  });

  it('VM-9 while a state is made no command is taken, whether it needs a disk or not', async () => {
    const rig = await ScsiStateRig.open();
    await rig.begin();
    const parts = new MachineState();
    parts.add('host', scsiState(rig.scsi, null));
    rig.backends[0]!.drainedBegin();
    rig.ask(3, read(0));
    rig.kick(COMMANDS);
    const saving = parts.save();
    rig.ask(6, TEST_READY);
    rig.kick(COMMANDS);
    expect(rig.collect(COMMANDS)).toEqual([]);
    await saving;
    rig.kick(COMMANDS);
    expect(rig.collect(COMMANDS)).toEqual([6]);
    rig.backends[0]!.drainedEnd();
    await rig.turns();
    expect(rig.collect(COMMANDS)).toEqual([3]);
  });

  const others: [string, readonly UnitOptions[], RegExp][] = [
    ['fewer units', [], /units: the state was saved with hd 0:0, here it is none/],
    [
      'more units',
      [{ 'scsi-id': 0 }, { 'scsi-id': 1, lun: 2, type: 'cd' }],
      /saved with hd 0:0, here it is hd 0:0, cd 1:2/,
    ],
    ['target', [{ 'scsi-id': 4 }], /saved with hd 0:0, here it is hd 4:0/],
    ['LUN', [{ 'scsi-id': 0, lun: 1 }], /saved with hd 0:0, here it is hd 0:1/],
    ['kind', [{ type: 'cd' }], /saved with hd 0:0, here it is cd 0:0/],
    [
      'block size',
      [{ logical_block_size: 1024 }],
      /hd 0:0, logical_block_size: the state was saved with 512, here it is 1024/,
    ],
    [
      'capacity',
      [{ capacity: 128 }],
      /hd 0:0, capacity: the state was saved with 32768 bytes, here it is 65536 bytes/,
    ],
  ];

  it.each(others)(
    'VM-9 a host with other %s, by name, and nothing has changed',
    async (_, units, why) => {
      const one = await ScsiStateRig.open();
      await one.begin();
      await one.stop();
      const bytes = await one.save();
      const two = await ScsiStateRig.open({ units });
      await two.begin();
      await two.stop();
      const before = await two.save();
      const error = await refusal(two.load(bytes));
      expect([error.code, error.section]).toEqual(['EMISMATCH', 'host']);
      expect(error.message).toMatch(why);
      expect(Buffer.compare(await two.save(), before)).toBe(0);
    },
  );

  it('VM-9 blocks of a size that the disk here does not have', async () => {
    const options = (alignment: number): ScsiStateRigOptions => {
      const disk = new ProbeDriver(32768, 'inline', alignment);
      return { units: [{ disk, backend: { logicalBlockSize: 2048 } }] };
    };
    const one = await ScsiStateRig.open(options(512));
    one.unitAt(0).words.blockSize = 1024;
    await one.stop();
    const bytes = await one.save();
    const same = await twin(one, options(1024));
    await same.load(bytes);
    expect(same.unitAt(0).words.blockSize).toBe(1024);
    const error = await refusal((await twin(one, options(2048))).load(bytes));
    expect([error.code, error.field]).toEqual(['EINVAL', 'hd 0:0, block size']);
    one.unitAt(0).words.blockSize = 2048; // its own is always one
    await same.load(await one.save());
  });

  it('VM-9 requests that wait in a queue whose requests never do', async () => {
    const one = await ScsiStateRig.open();
    await one.begin();
    one.askTmf(0, QUERY_TASK, { tag: 1 });
    one.kick(CONTROL);
    await one.stop();
    const handler = scsiState(one.scsi, null);
    const writer = new StateWriter();
    await handler.save(writer);
    // The places of three queues end it, each without requests: | next u16 | count u16 |.
    const at = writer.bytes.length - 12;
    expect([...writer.bytes.subarray(at, at + 4)]).toEqual([1, 0, 0, 0]);
    const crafted = new StateWriter().raw(writer.bytes.subarray(0, at)).u16(1).u16(1).u16(0);
    crafted
      .raw(new Uint8Array(51))
      .u8(32)
      .u16(96)
      .raw(writer.bytes.subarray(at + 4));
    one.words.setUint16(one.ring(CONTROL).used + 2, 0, true);
    expect(() => handler.load(new StateReader(crafted.bytes), 1)).toThrow(
      'queue 0, requests in flight: 1 is larger than 0',
    );
  });

  it('VM-9 a CD that is in here, and was not', async () => {
    const units: UnitOptions[] = [{ type: 'cd' }];
    const one = await ScsiStateRig.open({ units });
    const two = await ScsiStateRig.open({ units });
    await one.stop();
    await two.stop();
    const full = await two.save();
    await one.settle(one.backends[0]!.removeMedium());
    const empty = await one.save();
    expect((await refusal(two.load(empty))).message).toContain('no medium, here it is 32768 bytes');
    expect((await refusal(one.load(full))).message).toContain('32768 bytes, here it is no medium');
    await one.load(empty);
    expect(Buffer.compare(await one.save(), empty)).toBe(0);
  });

  it('VM-9 guest memory that is not the one of then: the host is as after reset', async () => {
    const one = await failed({});
    const two = await twin(one, {});
    two.words.setUint16(two.ring(COMMANDS).used + 2, 0, true);
    const error = await refusal(two.load(await one.save()));
    expect(error.message).toMatch(/queue 2 has 3 requests in flight, of which 2 were saved/);
    expect([two.scsi.status, two.scsi.started, two.unitAt(0).words.saved().attention]).toEqual([
      0,
      false,
      0x2900,
    ]);
  });
});
