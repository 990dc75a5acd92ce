/** A virtio-blk device saved and loaded: registers, rings, requests that wait (VM-5 to VM-8, BL-19). */

import { describe, expect, it } from 'vitest';
import { OP_WRITE } from '#src/block/driver';
import { MemoryDriver } from '#src/block/memory';
import { BROKEN_AVAIL_IDX, BROKEN_HEADERS, QUEUE_USED_IDX } from '#src/layout';
import { MachineState } from '#src/machine/machine-state';
import { blkState } from '#src/virtio/blk-state';
import { ProbeDriver } from '../virtio/probe-driver.ts';
import { engines, pairs, refusal, transports, twinOf } from './saved-rig.ts';
import { StateRig, type StateRigOptions } from './state-rig.ts';

const EIO = 5;
const [IN, OUT] = [0, 1];
const OK = 0;
const UNANSWERED = 0xa5;

const twin = (rig: StateRig, options: StateRigOptions) => twinOf(rig, StateRig.open(options));

/** A machine that an error has stopped: two requests wait, one has not been seen. */
async function failed(options: StateRigOptions): Promise<StateRig> {
  const rig = await StateRig.open({ backend: { werror: 'stop', rerror: 'stop' }, ...options });
  const disk = rig.disk as ProbeDriver;
  rig.start();
  rig.ask(0, OUT, 1, 0x11);
  rig.kick();
  expect(rig.collect()).toEqual([0]);
  disk.answer = ({ op }) => (op === OP_WRITE ? -EIO : undefined);
  rig.ask(3, OUT, 2, 0x22);
  rig.ask(6, OUT, 9, 0x33);
  rig.kick();
  await rig.stop();
  disk.answer = () => undefined;
  rig.ask(9, OUT, 4, 0x44);
  rig.kick();
  expect(rig.collect()).toEqual([]);
  return rig;
}

describe.each(pairs)('saved with %s, loaded with %s', (from, to) => {
  it('VM-6 BL-19 two requests wait and one is unseen: all are answered, each once', async () => {
    const one = await failed({ engine: from, transport: 'pci' });
    expect(one.place0).toEqual([3, 2]);
    const bytes = await one.save();
    const two = await twin(one, { engine: to, transport: 'pci' });
    await two.load(bytes);
    expect(two.place0).toEqual([3, 2]);
    await two.turns();
    expect([3, 6, 9].map((head) => two.status(head))).toEqual(Array(3).fill(UNANSWERED));
    await two.cont();
    await two.turns();
    expect(two.collect()).toEqual([3, 6, 9]);
    expect([3, 6, 9].map((head) => two.status(head))).toEqual([OK, OK, OK]);
    const { bytes: disk } = two.disk as ProbeDriver;
    expect([1, 2, 9, 4].map((sector) => disk[sector * 512])).toEqual([0x11, 0x22, 0x33, 0x44]);
    expect(two.interrupts).toContain('high');
    two.ask(0, IN, 9);
    two.kick();
    expect([two.collect(), two.data(0)[0], two.place0]).toEqual([[0], 0x33, [5, 0]]);
  });

  it.each(transports)(
    'VM-5 %s: saved, loaded and saved again is the same, byte for byte',
    async (transport) => {
      const options = { transport, blk: { 'num-queues': 2 } };
      const one = await failed({ engine: from, ...options });
      latch(one);
      const bytes = await one.save();
      const two = await twin(one, { engine: to, ...options });
      await two.load(bytes);
      expect(Buffer.compare(await two.save(), bytes)).toBe(0);
      // And once more into the machine that it came from, whatever it does meanwhile.
      await one.load(bytes);
      expect(Buffer.compare(await one.save(), bytes)).toBe(0);
    },
  );

  it('VM-5 a device that no driver has touched, and one whose driver has only begun', async () => {
    for (const steps of [0, 1, 2, 3]) {
      const one = await StateRig.open({ engine: from, transport: 'pci' });
      if (steps > 0) one.blk.writeStatus(3);
      if (steps > 1) one.blk.writeDriverFeatures(1, 1);
      if (steps > 2) one.blk.writeStatus(11);
      await one.stop();
      const bytes = await one.save();
      const two = await twin(one, { engine: to, transport: 'pci' });
      two.start();
      await two.load(bytes);
      expect(two.blk.status).toBe(one.blk.status);
      expect(two.blk.driverFeatures(1)).toBe(one.blk.driverFeatures(1));
      expect(Buffer.compare(await two.save(), bytes)).toBe(0);
    }
  });
});

/** What a driver latches between two steps of its work. */
function latch({ blk, pci, mmio }: StateRig): void {
  blk.configChanged();
  if (pci) {
    pci.configWrite(0x10, 4, 0xc000);
    pci.configWrite(0x3c, 1, 11);
    pci.barWrite(4, 0, 4, 1); // device feature select
    pci.barWrite(4, 8, 4, 1); // driver feature select
    pci.barWrite(4, 22, 2, 1); // queue select
    pci.barWrite(4, 16, 2, 1); // vector of the configuration
    pci.barWrite(4, 26, 2, 0); // vector of the queue
    for (let at = 0; at < 48; at += 4) pci.barWrite(1, at, 4, 0x1000 + at * 3);
    blk.configChanged();
  }
  for (const offset of [0x14, 0x24, 0x30]) mmio?.write(offset, 4, 1);
  mmio?.write(0x28, 4, 4096);
  mmio?.write(0x3c, 4, 8192);
}

describe.each(engines)('queues that threads serve, %s', (engine) => {
  const written: string[] = [];
  const onGuestWrite = (address: number, length: number) =>
    void written.push(`${address} ${length}`);

  it.each([
    ['threads', 'threads', {}],
    ['threads', 'main', {}],
    ['main', 'threads', {}],
    // used.idx is held back until the device has heard what was written (QUEUE_F_HELD).
    ['threads, held', 'threads, held', { onGuestWrite }],
  ] as const)('BL-19 DP-11 from %s to %s: what waits and what is unseen', async (from, to, blk) => {
    const options = (where: string): StateRigOptions => ({
      engine,
      transport: 'pci',
      threads: where.startsWith('threads') ? 2 : 0,
      blk: { 'num-queues': 2, ...blk },
    });
    const one = await failed(options(from));
    one.ask(0, IN, 1, 0, 1);
    const bytes = await one.save();
    expect(one.words.getUint16(one.ring(0).used + 2, true)).toBe(1);
    const two = await twin(one, options(to));
    await two.load(bytes);
    expect(Buffer.compare(await two.save(), bytes)).toBe(0);
    await two.cont();
    await two.turns();
    expect([two.collect(0), two.collect(1)]).toEqual([[3, 6, 9], [0]]);
    expect(two.data(0, 1)[0]).toBe(0x11);
    two.ask(0, IN, 9);
    two.kick();
    await two.turns();
    expect([two.collect(), two.data(0)[0]]).toEqual([[0], 0x33]);
  });
});

describe('what is saved', () => {
  it('VM-5 interrupt status and line: what the driver has not acknowledged is there again', async () => {
    const one = await StateRig.open({ transport: 'pci' });
    one.start().ask(0, IN, 0);
    one.kick();
    expect(one.interrupts).toEqual(['high']);
    await one.stop();
    const two = await twin(one, { transport: 'pci' });
    await two.load(await one.save());
    expect(two.interrupts).toEqual(['high']);
    expect(two.pci!.configRead(6, 2) & 8).toBe(8);
    expect([two.pci!.barRead(4, 0x1000, 1), two.interrupts]).toEqual([1, ['high', 'low']]);
  });

  it('VM-5 MSI-X: the table, who uses which vector, and what is pending behind a mask', async () => {
    const one = await StateRig.open({ transport: 'pci msi' });
    const { pci } = one;
    const at = msixAt(one);
    pci!.configWrite(at + 2, 2, 0x8000);
    pci!.configWrite(4, 2, 7);
    pci!.barWrite(1, 16, 4, 0xfee00000);
    pci!.barWrite(1, 24, 4, 77); // and masked, as it is after reset
    one.start();
    pci!.barWrite(4, 22, 2, 0);
    pci!.barWrite(4, 26, 2, 1);
    one.ask(0, IN, 0);
    one.kick();
    expect(one.interrupts).toEqual([]);
    await one.stop();
    const two = await twin(one, { transport: 'pci msi' });
    await two.load(await one.save());
    expect([two.interrupts, two.blk.queues[0]!.vector]).toEqual([[], 1]);
    two.pci!.barWrite(1, 28, 4, 0);
    expect(two.interrupts).toEqual(['msi 4276092928 77']);
    await two.cont();
    two.ask(3, IN, 0);
    two.kick();
    expect(two.interrupts).toHaveLength(2);
  });

  it('VM-5 BARs and command: the function answers where it answered', async () => {
    const one = await StateRig.open({ transport: 'pci' });
    one.pci!.configWrite(0x20, 4, 0xfeb00000);
    one.pci!.configWrite(4, 2, 6);
    await one.stop();
    let told = 0;
    const barsChanged = () => void told++;
    const two = await twin(one, { transport: 'pci', pci: { barsChanged } });
    told = 0;
    await two.load(await one.save());
    expect(two.pci!.barAddress(4)).toBe(0xfeb00000);
    expect([two.pci!.barAddress(0), told > 0]).toEqual([null, true]);
  });

  it('VM-5 the write cache as the driver has set it, not as it began', async () => {
    const one = await StateRig.open();
    one.start();
    one.blk.writeConfig(32, 1, 0);
    await one.stop();
    const two = await twin(one, {});
    two.backend.writeCache = true;
    await two.load(await one.save());
    await two.cont();
    expect([two.backend.writeCache, two.blk.readConfig(32, 1)]).toEqual([false, 0]);
  });

  it('VM-5 a broken device stays broken, keeps its place, and works after a reset', async () => {
    const one = await StateRig.open();
    one.start().ask(0, IN, 0);
    one.kick();
    one.words.setUint16(one.ring(0).avail + 2, 999, true);
    one.kick();
    expect(one.blk.brokenReason).toBe(BROKEN_AVAIL_IDX);
    await one.stop();
    const bytes = await one.save();
    const two = await twin(one, { engine: 'js' });
    await two.load(bytes);
    expect([two.blk.brokenReason, two.blk.status]).toEqual([BROKEN_AVAIL_IDX, 15 | 64]);
    expect(Buffer.compare(await two.save(), bytes)).toBe(0);
    await two.cont();
    two.words.setUint16(two.ring(0).avail + 2, 2, true);
    two.kick();
    expect(two.collect()).toEqual([0]); // that of before
    two.blk.writeStatus(0);
    two.ram.fill(0);
    two.drivers = [{ published: 0, seen: 0 }];
    two.start().ask(0, IN, 0);
    two.kick();
    expect(two.collect()).toEqual([0]);
  });

  it('VM-5 a legacy driver that never said DRIVER_OK is served again', async () => {
    const legacy: StateRigOptions = { transport: 'mmio legacy' };
    const one = await StateRig.open(legacy);
    one.blk.writeStatus(3);
    const ring = one.ring(0);
    Object.assign(one.blk.queues[0]!, {
      desc: { lo: ring.desc, hi: 0 },
      avail: { lo: ring.avail, hi: 0 },
      used: { lo: ring.used, hi: 0 },
    });
    one.blk.enableQueue(0);
    one.ask(0, IN, 0);
    one.kick();
    expect([one.collect(), one.blk.status, one.blk.started]).toEqual([[0], 3, true]);
    await one.stop();
    const two = await twin(one, legacy);
    await two.load(await one.save());
    await two.cont();
    two.ask(3, IN, 0);
    two.kick();
    expect(two.collect()).toEqual([3]);
  });

  it('VM-5 the generation goes on: a driver that reads across the load sees it change', async () => {
    const one = await StateRig.open();
    one.start();
    for (let i = 0; i < 300; i++) {
      one.blk.configChanged();
      void one.blk.configGeneration;
    }
    await one.stop();
    const two = await twin(one, {});
    await two.load(await one.save());
    expect(two.blk.configGeneration).toBe(one.blk.configGeneration);
  });

  it('a memory disk with its contents, and its holes', async () => {
    const make = (limit = 0): StateRigOptions => ({
      disk: (core) => new MemoryDriver(core, 3 * 65536 + 512, limit),
    });
    const one = await StateRig.open(make());
    one.start().ask(0, OUT, 128 * 3, 0x5a);
    one.ask(3, OUT, 129, 0x6b);
    one.kick();
    await one.stop();
    const bytes = await one.save();
    expect(bytes.length).toBeLessThan(65536 + 4096);
    const two = await twin(one, { engine: 'js', ...make() });
    await two.cont();
    two.blk.writeStatus(0);
    two.drivers = [{ published: 0, seen: 0 }];
    two.ram.fill(0);
    two.start().ask(0, OUT, 0, 0x99); // what was written since is gone afterwards
    two.kick();
    expect([two.status(0), (two.disk as MemoryDriver).clusters]).toEqual([OK, 2]);
    await two.stop();
    two.takeGuest(one);
    await two.load(bytes);
    expect((two.disk as MemoryDriver).clusters).toBe((one.disk as MemoryDriver).clusters);
    expect(Buffer.compare(await two.save(), bytes)).toBe(0);
    await two.cont();
    const seen = [0, 129, 384].map((sector, i) => {
      two.ask(6 + 3 * (i % 2), IN, sector);
      two.kick();
      return two.data(6 + 3 * (i % 2))[0];
    });
    expect(seen).toEqual([0, 0x6b, 0x5a]);
    const small = await twin(one, make(65536));
    expect((await refusal(small.load(bytes))).message).toMatch(/no memory for cluster/);
  });
});

function msixAt({ pci }: StateRig): number {
  let at = pci!.configRead(0x34, 1);
  while (pci!.configRead(at, 1) !== 0x11) at = pci!.configRead(at + 1, 1);
  return at;
}

describe('what is refused', () => {
  it('VM-8 a machine that runs is neither saved nor loaded', async () => {
    const rig = await StateRig.open();
    rig.start();
    expect((await refusal(rig.save())).message).toMatch(/call stop first/);
    await rig.stop();
    const bytes = await rig.save();
    await rig.cont();
    expect((await refusal(rig.load(bytes))).code).toBe('EBUSY');
    expect(rig.machine.running).toBe(true);
    expect(rig.blk.status).toBe(15);
  });

  it('VM-8 a disk that cannot be drained: nothing is saved, and its error is told', async () => {
    const rig = await StateRig.open();
    await rig.stop();
    const cause = new Error('the disk has gone');
    const remove = rig.machine.addDrain({
      drainedBegin: () => {},
      drainedEnd: () => {},
      idle: () => Promise.reject(cause),
      flush: async () => {},
    });
    const error = await refusal(rig.save());
    expect([error.code, error.cause]).toEqual(['EBUSY', cause]);
    expect(error.message).toBe('a disk cannot be drained: the disk has gone');
    remove();
    expect((await rig.save()).length).toBeGreaterThan(0);
  });

  it('VM-8 a request in flight: the device is not saved', async () => {
    const rig = await StateRig.open({ disk: new ProbeDriver(32768, 'loop') });
    const parts = new MachineState();
    parts.add('disk', blkState(rig.blk, null));
    rig.start().ask(0, IN, 0);
    rig.kick();
    rig.blk.vmStateChanged(false);
    expect(() => parts.save()).toThrow('the device has requests in flight');
    (rig.disk as ProbeDriver).settleAll();
    rig.turn();
    expect(parts.save()).toBeInstanceOf(Uint8Array);
    rig.blk.vmStateChanged(true);
    expect(() => parts.save()).toThrow('the device takes requests: stop the machine first');
  });

  const others: [string, StateRigOptions, RegExp][] = [
    ['features', { blk: { discard: false } }, /features offered, bits 0 to 31: the state was/],
    ['number of queues', { blk: { 'num-queues': 2 } }, /num-queues|features offered/],
    [
      'queue size',
      { num: 32 },
      /queue-size of queue 0: the state was saved with 16, here it is 32/,
    ],
    [
      'capacity',
      { capacity: 128 },
      /capacity: the state was saved with 64 sectors, here it is 128/,
    ],
    ['transport', { transport: 'pci modern' }, /mode: the state was saved with transitional/],
    ['vectors', { transport: 'pci msi' }, /PCI configuration space, byte/],
  ];

  it.each(others)(
    'a device of other %s, by name, and nothing has changed',
    async (_, options, why) => {
      const one = await StateRig.open({ transport: 'pci' });
      one.start();
      await one.stop();
      const bytes = await one.save();
      const two = await StateRig.open({ transport: 'pci', ...options });
      two.start();
      await two.stop();
      const before = await two.save();
      const error = await refusal(two.load(bytes));
      expect([error.code, error.section]).toEqual(['EMISMATCH', 'disk']);
      expect(error.message).toMatch(why);
      expect(Buffer.compare(await two.save(), before)).toBe(0);
    },
  );

  it('a number of queues that differs alone is named', async () => {
    const one = await StateRig.open({ blk: { 'num-queues': 2 } });
    await one.stop();
    const two = await StateRig.open({ blk: { 'num-queues': 3 } });
    await two.stop();
    expect((await refusal(two.load(await one.save()))).message).toMatch(/num-queues: .* 2, .* 3/);
  });

  it('VM-6 guest memory that is not the one of then: refused, and the device is as after reset', async () => {
    const one = await failed({});
    const bytes = await one.save();
    const used = one.ring(0).used + 2;
    for (const [index, why] of [
      [1, null],
      [2, /1 requests in flight, of which 2 were saved/],
      [0, /3 requests in flight/],
      [40, /too far from the used ring/],
    ] as const) {
      const two = await twin(one, {});
      two.words.setUint16(used, index, true);
      if (!why) await two.load(bytes);
      else {
        const error = await refusal(two.load(bytes));
        expect([error.code, why.test(error.message)]).toEqual(['EINVAL', true]);
        expect([two.blk.status, two.blk.started, two.queueWord(QUEUE_USED_IDX)]).toEqual([
          0,
          false,
          0,
        ]);
      }
    }
  });

  it('VM-6 a ring whose driver is too far ahead, or a request it has spoilt, breaks the device', async () => {
    const one = await failed({});
    const bytes = await one.save();
    const spoil: [(two: StateRig) => void, number][] = [
      [(two) => two.words.setUint16(two.ring(0).avail + 2, 3 + 17, true), BROKEN_AVAIL_IDX],
      [(two) => two.words.setUint16(two.ring(0).desc + 5 * 16 + 12, 0, true), BROKEN_HEADERS],
    ];
    for (const [act, reason] of spoil) {
      const two = await twin(one, {});
      act(two);
      await two.load(bytes);
      expect([two.blk.brokenReason, two.blk.status & 64]).toEqual([reason, 64]);
      await two.cont();
      two.kick();
      expect(two.collect()).toEqual([]);
    }
  });
});
