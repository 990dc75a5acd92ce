/** A real device on PCI and its machine: what a stop does, what a cont does, and in which order. */
import { describe, expect, it } from 'vitest';
import { BlockBackend } from '#src/block/backend';
import { QUEUE_INUSE, QUEUE_RUNNING } from '#src/layout';
import { Machine, type RunStateHandler } from '#src/machine/machine';
import { VIRTIO_BLK_S_OK } from '#src/spec';
import { VirtioBlk } from '#src/virtio/virtio-blk';
import { Machine as Bus, HOLD } from '../device/machine.ts';
import { MAIN_AND_THREADS, range, SECTOR, StopRig } from './stop-rig.ts';

const OK = VIRTIO_BLK_S_OK;

describe.each(MAIN_AND_THREADS)('a machine with a disk; engine %s', (engine) => {
  it('VM-2 HN-1 a kick while the machine is stopped is served after cont, not before', async () => {
    const rig = await StopRig.open({ engine, queues: 2 });
    rig.write(1, 0);
    await rig.until(() => rig.ended.size === 1);
    await rig.machine.stop();
    rig.write(2, 0);
    rig.write(3, 1);
    await rig.settle();
    expect(rig.ended.size).toBe(1);
    expect([rig.word(QUEUE_INUSE, 0), rig.word(QUEUE_INUSE, 1)]).toEqual([0, 0]);
    expect(await rig.image(1, 3)).toEqual([1, 0, 0]);
    await rig.machine.cont();
    await rig.until(() => rig.ended.size === 3);
    expect([...rig.ended.values()]).toEqual([OK, OK, OK]);
    expect(await rig.image(1, 3)).toEqual([1, 2, 3]);
    expect(rig.take()).toEqual(['STOP', 'RESUME']);
  });

  it('VM-3 while it is stopped the image stays as it is, whatever the guest publishes', async () => {
    const rig = await StopRig.open({ engine, queues: 2 });
    for (const id of range(1, 40)) rig.write(id, id & 1);
    await rig.machine.stop();
    const before = await rig.checksum();
    for (let round = 0; round < 4; round++) {
      for (const id of range(50 + round * 10, 10)) rig.write(id, id & 1);
      rig.slot.device.kick(0);
      await rig.settle();
      expect(await rig.checksum()).toBe(before);
    }
    await rig.machine.cont();
    await rig.until(() => rig.ended.size === 80);
    expect(await rig.image(50, 40)).toEqual(range(50, 40));
    expect(await rig.checksum()).not.toBe(before);
  });

  it('VM-3 what was taken before the stop is answered before STOP is over, with its interrupt', async () => {
    const rig = await StopRig.open({ engine, mayDelay: true });
    rig.rules(HOLD);
    for (const id of range(1, 4)) rig.write(id);
    const interrupts = rig.slot.interrupts.length;
    while ((await rig.bus.held(rig.disk)) === 0) await rig.settle();
    let stopped = false;
    const stop = rig.machine.stop().then(() => {
      stopped = true;
    });
    await rig.settle();
    expect([stopped, rig.machine.running, rig.ended.size]).toEqual([false, false, 0]);
    rig.rules([]);
    await rig.bus.release(rig.disk);
    await stop;
    await rig.until(() => rig.ended.size === 4);
    expect(rig.slot.interrupts.length).toBeGreaterThan(interrupts);
    expect(rig.word(QUEUE_INUSE)).toBe(0);
    expect(rig.machine.state).toBe('paused');
  });

  it('VM-2 the driver may start while the machine is stopped: it is served from cont on', async () => {
    const rig = await StopRig.open({ engine });
    await rig.guest.reset();
    await rig.machine.stop();
    rig.guest = await rig.bus.start();
    rig.write(1);
    await rig.settle();
    expect([rig.slot.device.started, rig.word(QUEUE_RUNNING), rig.ended.size]).toEqual([
      true,
      0,
      0,
    ]);
    await rig.machine.cont();
    await rig.until(() => rig.ended.size === 1);
    expect(await rig.image(1, 1)).toEqual([1]);
  });

  it('VM-2 cont starts nothing that the driver has not', async () => {
    const rig = await StopRig.open({ engine });
    await rig.machine.stop();
    await rig.guest.reset();
    await rig.machine.cont();
    expect([rig.slot.device.status, rig.word(QUEUE_RUNNING)]).toEqual([0, 0]);
    rig.guest = await rig.bus.start();
    rig.write(1);
    await rig.until(() => rig.ended.size === 1);
  });

  it('HN-16 after unplug neither stop nor cont reaches the device; DEVICE_DELETED has told of it', async () => {
    const rig = await StopRig.open({ engine, device: { id: 'disk0' } });
    const deleted: unknown[] = [];
    rig.machine.events.on('DEVICE_DELETED', ({ data }) => deleted.push(data));
    const told: string[] = [];
    const { device } = rig.slot;
    const original = device.vmStateChanged.bind(device);
    device.vmStateChanged = (running) => {
      told.push(`running ${running}`);
      original(running);
    };
    await rig.machine.stop();
    expect(told).toEqual(['running false']);
    expect(deleted).toEqual([]);
    await device.close();
    expect(deleted).toEqual([{ device: 'disk0', path: '/machine/peripheral/disk0' }]);
    await rig.machine.cont();
    await rig.machine.stop();
    await rig.machine.cont();
    expect(told).toEqual(['running false']);
    expect(rig.take()).toEqual(['STOP', 'DEVICE_DELETED', 'RESUME', 'STOP', 'RESUME']);
  });

  it('VM-3 stop and cont a hundred times under load: each request ends once, each byte is there', async () => {
    const rig = await StopRig.open({ engine, queues: 2 });
    for (let cycle = 0; cycle < 100; cycle++) {
      for (const id of range(1 + cycle * 4, 4)) rig.write(id, id & 1);
      if (cycle % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
      await rig.machine.stop();
      await rig.machine.cont();
    }
    await rig.until(() => rig.ended.size === 400);
    expect([...rig.ended.values()].every((status) => status === OK)).toBe(true);
    expect(await rig.image(1, 400)).toEqual(range(1, 400).map((id) => id & 0xff));
    expect(rig.take()).toEqual(range(0, 100).flatMap(() => ['STOP', 'RESUME']));
    expect([rig.word(QUEUE_INUSE, 0), rig.word(QUEUE_INUSE, 1)]).toEqual([0, 0]);
  });
});

describe('the order of a device on PCI', () => {
  /** Each run state handler, with the queue's word before and after it. */
  async function traced(engine: 'wasm' | 'wasm, IOThread') {
    const trace: string[] = [];
    let rig: StopRig | undefined;
    const running = () => rig?.word(QUEUE_RUNNING);
    const prepare = (machine: Machine) => {
      const add = machine.addRunStateHandler.bind(machine);
      machine.addRunStateHandler = (name, depth, handler) => {
        const tracing: RunStateHandler = async (on, state) => {
          const before = running();
          await handler(on, state);
          trace.push(`${name} ${on ? 'on' : 'off'} ${before}->${running()}`);
        };
        return add(name, depth, tracing);
      };
      machine.addRunStateHandler('hba', 0, () => {});
      machine.addRunStateHandler('disk', 2, () => {});
    };
    rig = await StopRig.open({ engine, prepare });
    return { rig, trace };
  }

  it.each(['wasm', 'wasm, IOThread'] as const)(
    'VM-1 VM-2 host notifiers go off after those behind the device and on before them; restart comes last; engine %s',
    async (engine) => {
      const { rig, trace } = await traced(engine);
      const status = rig.slot.device.status;
      await rig.machine.stop();
      expect(trace.splice(0)).toEqual([
        ...['disk off 1->1', 'virtio-blk restart off 1->1', 'virtio off 1->0', 'hba off 0->0'],
      ]);
      expect(rig.slot.device.status).toBe(status);
      await rig.machine.cont();
      expect(trace).toEqual([
        ...['hba on 0->0', 'virtio on 0->1', 'virtio-blk restart on 1->1', 'disk on 1->1'],
      ]);
    },
  );

  it('HN-1 the machine stops and goes on: nobody listens for kicks in between, and each is served once', async () => {
    const rig = await StopRig.open({ queues: 2, device: { kick: 'poll' } });
    const listening = () => rig.bus.context.handlers.filter((name) => /kick/.test(name)).length;
    expect(listening()).toBe(2);
    for (const round of range(0, 20)) {
      await rig.machine.stop();
      expect(listening()).toBe(0);
      rig.write(1 + 2 * round, 0);
      rig.write(2 + 2 * round, 1);
      await rig.settle();
      expect(rig.ended.size).toBe(2 * round);
      await rig.machine.cont();
      expect(listening()).toBe(2);
      await rig.until(() => rig.ended.size === 2 * round + 2);
    }
    expect(await rig.image(1, 40)).toEqual(range(1, 40));
  });

  it('VM-2 BL-14 on cont the device has its status before it is served', async () => {
    const rig = await StopRig.open();
    const seen: string[] = [];
    const { backend, device } = rig.slot;
    rig.machine.addRunStateHandler('before', 0, (running) => {
      if (running) seen.push(`before: served ${device.serving}, status ${device.status}`);
    });
    rig.machine.addRunStateHandler('after', 2, (running) => {
      if (running) seen.push(`after: served ${device.serving}, cache ${backend.writeCache}`);
    });
    await rig.machine.stop();
    await rig.machine.cont();
    expect(seen).toEqual(['before: served false, status 15', 'after: served true, cache true']);
  });
});

describe('what joins a machine', () => {
  it('a device that is plugged in while the machine is stopped is served from cont on', async () => {
    const bus = await Bus.open();
    const machine = new Machine(bus.context);
    await machine.stop();
    const slot = await bus.add({ backend: { machine } });
    const guest = await slot.start();
    let written = false;
    const write = guest.write(0, new Uint8Array(SECTOR).fill(1)).then(() => {
      written = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect([slot.device.serving, written]).toEqual([false, false]);
    await machine.cont();
    await write;
    machine.close();
    await bus.close();
  });

  it('all disks of a machine are stopped: none executes a request while another is drained', async () => {
    const rig = await StopRig.open({ mayDelay: true });
    const other = await rig.bus.add({ backend: { machine: rig.machine } });
    const guest = await other.start();
    rig.rules(HOLD);
    rig.write(1);
    const stop = rig.machine.stop();
    let written = false;
    const write = guest.write(0, new Uint8Array(SECTOR).fill(1)).then(() => {
      written = true;
    });
    await rig.settle();
    expect(written).toBe(false);
    rig.rules([]);
    await rig.bus.release(rig.disk);
    await stop;
    await rig.machine.cont();
    await write;
  });

  it('a device takes the machine of its backend; another one is refused, and so is a bad id', async () => {
    const bus = await Bus.open();
    const { core, context } = bus;
    const machines = [new Machine(context), new Machine(context)] as const;
    const spec = { driver: 'memory', options: { size: 1 << 16 } };
    const backend = await BlockBackend.open(core, context, spec, { machine: machines[0] });
    expect(() => new VirtioBlk(core, context, backend, { machine: machines[1] })).toThrow(
      "machine: an object is not allowed; allowed: the backend's machine",
    );
    expect(() => new VirtioBlk(core, context, backend, { id: '1x' })).toThrow("id: '1x'");
    const alone = await BlockBackend.open(core, context, spec);
    const bare = await BlockBackend.open(core, context, spec);
    const devices = [
      new VirtioBlk(core, context, backend, { id: 'a.b-c_1' }),
      new VirtioBlk(core, context, alone, { machine: machines[1] }),
      new VirtioBlk(core, context, bare),
    ];
    expect(devices.map(({ path }) => path)).toEqual([
      '/machine/peripheral/a.b-c_1',
      '/machine/peripheral-anon/device[0]',
      '',
    ]);
    expect(devices.map(({ settings }) => settings.machine)).toEqual([...machines, null]);
    for (const device of devices) await device.close();
    await backend.close();
    await alone.close();
    await bare.close();
    for (const machine of machines) machine.close();
    await bus.close();
  });
});
