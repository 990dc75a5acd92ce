/** Errors of the host under each policy, on main and on IOThreads: events, stops, and retries. */
import { describe, expect, it } from 'vitest';
import { BlockBackend } from '#src/block/backend';
import { readPolicies } from '#src/block/backend-errors';
import { reasonOf } from '#src/block/error-options';
import type { FaultRule } from '#src/block/fault';
import { QUEUE_INUSE } from '#src/layout';
import { Machine } from '#src/machine/machine';
import { EIO, ENOSPC, VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_OK } from '#src/spec';
import { Machine as Bus, HOLD } from '../device/machine.ts';
import { Random } from '../device/random.ts';
import { MAIN_AND_THREADS, range, StopRig } from './stop-rig.ts';

const OK = VIRTIO_BLK_S_OK;
const IOERR = VIRTIO_BLK_S_IOERR;
const FULL: readonly FaultRule[] = [{ op: 'write', action: 'fail', errno: 'ENOSPC' }];
const BROKEN: readonly FaultRule[] = [{ action: 'fail', errno: 'EIO' }];
/** Not flushes: the machine flushes when it stops. */
const BAD_DATA: readonly FaultRule[] = [{ op: ['read', 'write'], action: 'fail', errno: 'EIO' }];

const stopped = (rig: StopRig) => () => rig.machine.state === 'io-error';
const statuses = (rig: StopRig) => [...rig.ended.entries()].sort(([a], [b]) => a - b);

describe.each(MAIN_AND_THREADS)('errors of the host; engine %s', (engine) => {
  it('VM-4 BL-15 BL-16 three failing requests are one STOP; cont tries all again, each ends once', async () => {
    const rig = await StopRig.open({ engine, queues: 2, backend: { werror: 'stop' } });
    rig.rules(BAD_DATA);
    rig.write(1, 0);
    rig.write(11, 0);
    rig.write(21, 1);
    await rig.until(stopped(rig));
    await rig.settle();
    await rig.machine.drainAll();
    expect(rig.take().filter((name) => name !== 'write stop')).toEqual(['STOP']);
    expect(rig.ended.size).toBe(0);
    rig.rules([]);
    await rig.machine.cont();
    await rig.until(() => rig.ended.size === 3);
    await rig.settle();
    expect(statuses(rig)).toEqual([1, 11, 21].map((id) => [id, OK]));
    for (const id of [1, 11, 21]) expect(await rig.image(id, 1)).toEqual([id]);
    expect(rig.take()).toEqual(['RESUME']);
    expect([rig.word(QUEUE_INUSE, 0), rig.word(QUEUE_INUSE, 1)]).toEqual([0, 0]);
  });

  it('BL-15 the members of a merged request fail, wait and end each by itself', async () => {
    const rig = await StopRig.open({ engine, backend: { werror: 'stop' } });
    rig.rules([{ op: 'write', action: 'fail', errno: 'EIO', count: 1 }]);
    rig.writeAll([1, 2, 3]);
    await rig.until(stopped(rig));
    await rig.settle();
    const log = rig.take();
    expect(log[0]).toBe('write stop'); // what IOThreads tell of may come after STOP
    expect(log.sort()).toEqual(['STOP', 'write stop', 'write stop', 'write stop']);
    await rig.machine.cont();
    await rig.until(() => rig.ended.size === 3);
    expect(statuses(rig)).toEqual([1, 2, 3].map((id) => [id, OK]));
    expect(await rig.image(1, 3)).toEqual([1, 2, 3]);
  });

  it('BL-16 it fails again, the machine stops again: a hundred times, then all end once', async () => {
    const rig = await StopRig.open({
      engine,
      queues: 2,
      backend: { werror: 'stop', rerror: 'stop' },
    });
    const random = new Random(16);
    rig.rules(BAD_DATA);
    for (const id of range(1, 8)) rig.write(id, id & 1);
    for (const id of range(101, 4)) rig.read(id, id & 1);
    for (let round = 0; round < 100; round++) {
      await rig.until(stopped(rig));
      expect(rig.ended.size).toBe(0);
      const log = rig.take();
      expect(log.filter((name) => name === 'STOP')).toEqual(['STOP']);
      if (random.below(4) === 0) await rig.settle();
      await rig.machine.cont();
      expect(rig.log.filter((name) => name === 'RESUME')).toEqual(['RESUME']);
    }
    await rig.until(stopped(rig));
    rig.rules([]);
    await rig.machine.cont();
    await rig.until(() => rig.ended.size === 12);
    await rig.settle();
    expect([...rig.ended.values()]).toEqual(new Array(12).fill(OK));
    expect(await rig.image(1, 8)).toEqual(range(1, 8));
    expect(rig.machine.state).toBe('running');
  });

  it('BL-16 historic bug 18 cont while other requests are served: failed ones go back to their own queue', async () => {
    const rig = await StopRig.open({ engine, queues: 2, backend: { werror: 'stop' } });
    for (let round = 0; round < 30; round++) {
      const first = 1 + round * 10;
      rig.rules([{ op: 'write', action: 'fail', errno: 'EIO', count: 1 + (round % 3) }]);
      for (const id of range(first, 6)) rig.write(id, id & 1);
      await rig.until(stopped(rig));
      for (const id of range(first + 6, 4)) rig.write(id, id & 1); // waits in the rings
      const continued = rig.machine.cont();
      for (const queue of [0, 1]) rig.slot.device.kick(queue);
      await continued;
      await rig.until(() => rig.ended.size === (round + 1) * 10 || stopped(rig)());
      if (stopped(rig)()) await rig.machine.cont();
      await rig.until(() => rig.ended.size === (round + 1) * 10);
    }
    expect([...rig.ended.values()]).toEqual(new Array(300).fill(OK));
    expect(await rig.image(1, 300)).toEqual(range(1, 300).map((id) => id & 0xff));
  });

  it('BL-16 a request that fails while the machine stops waits for cont, and asks for no second STOP', async () => {
    const rig = await StopRig.open({ engine, backend: { werror: 'stop' }, mayDelay: true });
    rig.rules([{ op: 'write', action: 'delay', errno: 'EIO' }]);
    for (const id of [1, 11, 21]) rig.write(id);
    await rig.settle();
    while ((await rig.bus.held(rig.disk)) < 3) await rig.settle();
    const stop = rig.machine.stop();
    const cont = rig.machine.cont(); // at once after it
    await rig.settle();
    rig.rules([]);
    await rig.bus.release(rig.disk);
    await stop;
    await cont;
    await rig.until(() => rig.ended.size === 3);
    await rig.settle();
    expect(rig.take().filter((name) => name !== 'write stop')).toEqual(['STOP', 'RESUME']);
    expect(statuses(rig)).toEqual([1, 11, 21].map((id) => [id, OK]));
    expect(rig.machine.state).toBe('running');
  });

  it('BB-19 enospc stops when the host is out of space, and reports what else goes wrong', async () => {
    const rig = await StopRig.open({ engine });
    rig.rules(BAD_DATA);
    rig.write(1);
    rig.read(2);
    await rig.until(() => rig.ended.size === 2);
    expect(statuses(rig)).toEqual([
      [1, IOERR],
      [2, IOERR],
    ]);
    expect(rig.take().sort()).toEqual(['read report', 'write report']);
    rig.rules(FULL);
    rig.write(3);
    await rig.until(stopped(rig));
    expect(rig.take()).toEqual(['write stop', 'STOP']);
    expect([rig.ended.size, rig.slot.backend.iostatus]).toEqual([2, 'nospace']);
    rig.rules([]);
    await rig.machine.cont();
    await rig.until(() => rig.ended.size === 3);
    expect(rig.ended.get(3)).toBe(OK);
  });

  it('BB-19 ignore tells the guest that all is well, and whoever listens that it is not', async () => {
    const rig = await StopRig.open({ engine, backend: { werror: 'ignore', rerror: 'report' } });
    rig.rules(BROKEN);
    rig.write(1);
    rig.read(2);
    await rig.until(() => rig.ended.size === 2);
    expect(statuses(rig)).toEqual([
      [1, OK],
      [2, IOERR],
    ]);
    await rig.settle();
    expect(rig.take().sort()).toEqual(['read report', 'write ignore']);
    expect([rig.machine.running, rig.slot.backend.iostatus]).toEqual([true, null]);
  });

  it('BB-19 rerror is for reads alone', async () => {
    const rig = await StopRig.open({ engine, backend: { werror: 'report', rerror: 'stop' } });
    rig.rules(BAD_DATA);
    rig.write(1);
    await rig.until(() => rig.ended.size === 1);
    expect(rig.machine.running).toBe(true);
    rig.read(2);
    await rig.until(stopped(rig));
    rig.rules([]);
    await rig.machine.cont();
    await rig.until(() => rig.ended.size === 2);
    expect(statuses(rig)).toEqual([
      [1, IOERR],
      [2, OK],
    ]);
  });

  it('BL-17 a reset while the machine is stopped drops what has failed; cont tries nothing again', async () => {
    const rig = await StopRig.open({ engine, backend: { werror: 'stop' } });
    rig.rules(BAD_DATA);
    rig.write(1);
    await rig.until(stopped(rig));
    await rig.guest.reset();
    expect(rig.word(QUEUE_INUSE)).toBe(0);
    rig.rules([]);
    await rig.machine.cont();
    await rig.settle();
    expect(await rig.image(1, 1)).toEqual([0]);
    rig.guest = await rig.bus.start();
    rig.write(2);
    await rig.until(() => rig.ended.size === 1);
    expect([rig.ended.get(2), rig.machine.running]).toEqual([OK, true]);
  });

  it('BL-16 unplug while requests wait for cont', async () => {
    const rig = await StopRig.open({ engine, queues: 2, backend: { werror: 'stop' } });
    rig.rules(BAD_DATA);
    rig.write(1, 0);
    rig.write(2, 1);
    await rig.until(stopped(rig));
    await rig.slot.device.close();
    rig.rules([]);
    await rig.machine.cont();
    await rig.settle();
    expect(await rig.image(1, 2)).toEqual([0, 0]);
    const log = rig.take().filter((name) => name !== 'write stop');
    expect(log).toEqual(['STOP', 'DEVICE_DELETED', 'RESUME']);
  });

  it('L12 a request that the disk could never do is the guest’s mistake: no policy, no event', async () => {
    const policies = { werror: 'stop', rerror: 'stop' } as const;
    const rig = await StopRig.open({ engine, backend: { ...policies, readOnly: true } });
    rig.write(1); // read-only
    rig.read(1 << 20); // beyond the end
    await rig.until(() => rig.ended.size === 2);
    await rig.settle();
    expect([...rig.ended.values()]).toEqual([IOERR, IOERR]);
    expect([rig.take(), rig.machine.running]).toEqual([[], true]);
  });
});

describe('BB-19 and BB-20 by themselves', () => {
  it('BB-19 order: iostatus, then BLOCK_IO_ERROR, then STOP; a cont of who hears of it is not lost', async () => {
    const rig = await StopRig.open({ backend: { werror: 'stop' } });
    rig.rules([{ op: 'write', action: 'fail', errno: 'EIO', count: 1 }]);
    const seen: unknown[] = [];
    rig.machine.events.on('BLOCK_IO_ERROR', ({ data }) => {
      seen.push(rig.slot.backend.iostatus, rig.machine.state, data);
      void rig.machine.cont();
    });
    rig.write(1);
    await rig.until(() => rig.ended.size === 1);
    expect(seen).toEqual([
      'failed',
      'running',
      {
        device: 'drive',
        'node-name': expect.any(String),
        'qom-path': '/machine/peripheral-anon/device[0]',
        operation: 'write',
        action: 'stop',
        nospace: false,
        reason: 'Input/output error',
      },
    ]);
    expect(rig.take()).toEqual(['write stop', 'STOP', 'RESUME']);
    expect([rig.ended.get(1), rig.machine.state]).toEqual([OK, 'running']);
  });

  it('BB-20 iostatus is that of the first error, and ok again after cont', async () => {
    const rig = await StopRig.open({ backend: { werror: 'stop' } });
    const { backend } = rig.slot;
    expect(backend.iostatus).toBe('ok');
    rig.rules([
      { op: 'write', action: 'fail', errno: 'ENOSPC', count: 1 },
      { op: 'write', action: 'fail', errno: 'EIO' },
    ]);
    rig.write(1);
    rig.write(11);
    await rig.until(stopped(rig));
    expect(rig.take()).toEqual(['write stop', 'write stop', 'STOP']);
    expect(backend.iostatus).toBe('nospace');
    rig.rules([]);
    await rig.machine.cont();
    expect(backend.iostatus).toBe('ok');
  });

  it('BB-20 without a device, or a policy that can stop, there is no iostatus', async () => {
    const bus = await Bus.open();
    const machine = new Machine(bus.context);
    const spec = { driver: 'memory', options: { size: 1 << 16 } };
    const open = (options: object) => BlockBackend.open(bus.core, bus.context, spec, options);
    const [bare, reporting] = [await open({ machine }), await open({ machine, werror: 'report' })];
    expect(bare.iostatus).toBe(null);
    bare.enableIostatus();
    reporting.enableIostatus();
    expect([bare.iostatus, reporting.iostatus]).toEqual(['ok', null]);
    await bare.close();
    await reporting.close();
    machine.close();
    await bus.close();
  });

  it('BB-19 requests of the host are rejected, whatever the policy: no event, no stop', async () => {
    const rig = await StopRig.open({ backend: { werror: 'stop', rerror: 'ignore' } });
    rig.rules(BROKEN);
    const { io } = rig.slot.backend;
    await expect(io.write(0, new Uint8Array(512))).rejects.toThrow('EIO');
    await expect(io.read(0, new Uint8Array(512))).rejects.toThrow('EIO');
    await rig.settle();
    expect([rig.take(), rig.machine.running]).toEqual([[], true]);
  });

  it('a flush that fails is a write to the policy, and is tried again', async () => {
    const rig = await StopRig.open({ backend: { werror: 'stop' } });
    rig.write(1);
    await rig.until(() => rig.ended.size === 1);
    rig.rules([{ op: 'flush', action: 'fail', errno: 'EIO', count: 1 }]);
    let flushed = false;
    const flush = rig.guest.flush().then(() => {
      flushed = true;
    });
    await rig.until(stopped(rig));
    expect([rig.take(), flushed]).toEqual([['write stop', 'STOP'], false]);
    await rig.machine.cont();
    await flush;
  });

  it('a stop of the machine makes durable what was written: each disk is flushed', async () => {
    const rig = await StopRig.open({ mayDelay: true });
    rig.write(1);
    await rig.until(() => rig.ended.size === 1);
    rig.rules([{ op: 'flush', action: 'delay' }, ...HOLD]);
    let over = false;
    const stop = rig.machine.stop().then(() => {
      over = true;
    });
    while (rig.disk.held === 0) await rig.settle();
    expect(over).toBe(false);
    rig.disk.release();
    await stop;
    rig.rules([]);
  });
});

describe('werror and rerror', () => {
  it('defaults: enospc and report with a machine, report without', async () => {
    const bus = await Bus.open();
    const machine = new Machine(bus.context);
    expect(readPolicies({ machine })).toEqual({ werror: 3, rerror: 0 });
    expect(readPolicies({})).toEqual({ werror: 0, rerror: 0 });
    expect(readPolicies({ machine, werror: 'stop', rerror: 'ignore' })).toEqual({
      werror: 2,
      rerror: 1,
    });
    expect(readPolicies({ werror: 'ignore', rerror: 'report' })).toEqual({ werror: 1, rerror: 0 });
    machine.close();
    await bus.close();
  });

  it.each(['werror', 'rerror'] as const)(
    '%s: stop needs a machine, and words are words',
    (option) => {
      for (const policy of ['stop', 'enospc'] as const) {
        expect(() => readPolicies({ [option]: policy })).toThrow(
          `${option}: '${policy}' is not allowed; allowed: report, ignore; with a machine also stop, enospc`,
        );
      }
      const nonsense = { [option]: 'panic' } as object;
      expect(() => readPolicies(nonsense)).toThrow(`${option}: 'panic' is not allowed`);
    },
  );

  it('says errors in words', () => {
    expect([reasonOf(ENOSPC), reasonOf(EIO), reasonOf(17)]).toEqual([
      'No space left on device',
      'Input/output error',
      'EEXIST',
    ]);
  });
});
