/** The machine by itself: the order of stop and cont, transitions that meet, events. */
import { describe, expect, it, vi } from 'vitest';
import { openCore } from '#src/adapter/node';
import { AioContext } from '#src/aio/context';
import { Machine } from '#src/machine/machine';
import type { StoppedState } from '#src/machine/run-state';
import { MachineRig } from './machine-rig.ts';

describe('Machine: stop and cont', () => {
  it('VM-1 stop: state, CPUs, handlers from the deepest and last, STOP, drain all, flush all', async () => {
    const rig = await MachineRig.open();
    rig.handler('disk', 2);
    rig.handler('pci', 1);
    rig.handler('restart', 1);
    rig.handler('hba', 0);
    rig.cpu();
    rig.disk('a');
    rig.disk('b');
    await rig.machine.stop();
    expect(rig.take()).toEqual([
      'cpu paused',
      ...['disk off paused', 'restart off paused', 'pci off paused', 'hba off paused'],
      'STOP',
      ...['a begin', 'b begin', 'a idle', 'b idle', 'a end', 'b end'],
      ...['a flush', 'b flush'],
    ]);
    await rig.machine.cont();
    expect(rig.take()).toEqual([
      'RESUME',
      ...['hba on running', 'pci on running', 'restart on running', 'disk on running'],
      'cpu resumed',
    ]);
  });

  it('VM-1 a stop has begun when it returns: nothing that is called after it finds the machine running', async () => {
    const rig = await MachineRig.open();
    rig.cpu();
    rig.handler('device', 1);
    const stopped = rig.machine.stop();
    expect(rig.machine.running).toBe(false);
    expect(rig.take()).toEqual(['cpu paused', 'device off paused']);
    await stopped;
    expect(rig.take()).toEqual(['STOP']);
  });

  it('VM-1 a handler that takes its time is waited for, on both ways', async () => {
    const rig = await MachineRig.open();
    rig.handler('pci', 1);
    rig.machine.addRunStateHandler('slow', 2, async (running) => {
      rig.log.push(`slow begins ${running}`);
      await new Promise((resolve) => setImmediate(resolve));
      rig.log.push(`slow ends ${running}`);
    });
    rig.handler('deep', 3);
    await rig.machine.stop();
    expect(rig.take()).toEqual([
      'deep off paused',
      'slow begins false',
      'slow ends false',
      'pci off paused',
      'STOP',
    ]);
    await rig.machine.cont();
    expect(rig.take()).toEqual([
      'RESUME',
      'pci on running',
      'slow begins true',
      'slow ends true',
      'deep on running',
    ]);
  });

  it('VM-1 a CPU that takes its time executes nothing when the devices are told', async () => {
    const rig = await MachineRig.open();
    rig.machine.addCpu({
      pause: async () => {
        await new Promise((resolve) => setImmediate(resolve));
        rig.log.push('cpu paused');
      },
      resume: () => void rig.log.push('cpu resumed'),
    });
    rig.handler('device', 1);
    await rig.machine.stop();
    expect(rig.take()).toEqual(['cpu paused', 'device off paused', 'STOP']);
    await rig.machine.cont();
    expect(rig.take()).toEqual(['RESUME', 'device on running', 'cpu resumed']);
  });

  it('BB-13 all disks are closed before one is waited for, and open again when all are idle', async () => {
    const rig = await MachineRig.open();
    let settle = () => {};
    rig.disk('a', { idle: () => new Promise((resolve) => (settle = resolve)) });
    rig.disk('b');
    const drained = rig.machine.drainAll();
    await rig.settle();
    expect(rig.take()).toEqual(['a begin', 'b begin', 'b idle']);
    settle();
    await drained;
    expect(rig.take()).toEqual(['a end', 'b end']);
  });

  it('a stop of a machine that has stopped keeps its state, and drains and flushes once more', async () => {
    const rig = await MachineRig.open();
    rig.handler('device', 1);
    rig.disk('a');
    await rig.machine.stop('save-vm');
    rig.take();
    await rig.machine.stop();
    expect(rig.machine.state).toBe('save-vm');
    expect(rig.take()).toEqual(['a begin', 'a idle', 'a end', 'a flush']);
  });

  it('a cont of a machine that runs does nothing', async () => {
    const rig = await MachineRig.open();
    rig.handler('device', 1);
    await rig.machine.cont();
    expect(rig.take()).toEqual([]);
  });

  it('transitions that meet come one after the other: stop, cont, stop', async () => {
    const rig = await MachineRig.open();
    let settle = () => {};
    rig.disk('a', { idle: () => new Promise((resolve) => (settle = resolve)) });
    rig.handler('device', 1);
    const first = rig.machine.stop();
    const second = rig.machine.cont();
    const third = rig.machine.stop('save-vm');
    await rig.settle();
    expect(rig.take()).toEqual(['device off paused', 'STOP', 'a begin']);
    settle();
    await second;
    await rig.settle();
    settle();
    await Promise.all([first, third]);
    expect(rig.take()).toEqual([
      ...['a end', 'a flush', 'RESUME', 'device on running'],
      ...['device off save-vm', 'STOP', 'a begin', 'a end', 'a flush'],
    ]);
    expect(rig.machine.state).toBe('save-vm');
  });

  it('a stop while a stop is going on is one stop', async () => {
    const rig = await MachineRig.open();
    rig.handler('device', 1);
    await Promise.all([rig.machine.stop(), rig.machine.stop('io-error'), rig.machine.stop()]);
    expect(rig.take()).toEqual(['device off paused', 'STOP']);
    expect(rig.machine.state).toBe('paused');
  });

  it('a stop from inside a handler of cont comes after it', async () => {
    const rig = await MachineRig.open();
    await rig.machine.stop();
    let stopped: Promise<void> | undefined;
    rig.machine.addRunStateHandler('stopper', 1, (running) => {
      if (running) stopped = rig.machine.stop();
    });
    rig.handler('deep', 2);
    rig.take();
    await rig.machine.cont();
    await stopped;
    expect(rig.take()).toEqual(['RESUME', 'deep on running', 'deep off paused', 'STOP']);
  });

  it('a handler, a CPU or a flush that throws stops nothing else, and is what stop rejects with', async () => {
    const rig = await MachineRig.open();
    rig.handler('pci', 1);
    rig.machine.addRunStateHandler('bad', 2, (running) => {
      throw new Error(`bad ${running}`);
    });
    rig.machine.addRunStateHandler('worse', 2, async (running) => {
      throw new Error(`worse ${running}`);
    });
    rig.cpu();
    rig.disk('a', { flush: () => Promise.reject(new Error('no flush')) });
    rig.disk('b');
    await expect(rig.machine.stop()).rejects.toThrow('worse false');
    expect(rig.machine.state).toBe('paused');
    expect(rig.take()).toEqual([
      ...['cpu paused', 'pci off paused', 'STOP'],
      ...['a begin', 'b begin', 'a idle', 'b idle', 'a end', 'b end', 'b flush'],
    ]);
    await expect(rig.machine.stop()).rejects.toThrow('no flush');
    rig.take();
    await expect(rig.machine.cont()).rejects.toThrow('bad true');
    expect(rig.machine.running).toBe(true);
    expect(rig.take()).toEqual(['RESUME', 'pci on running', 'cpu resumed']);
  });

  it('HN-16 a handler that was removed is not called, not even in the stop that is going on', async () => {
    const rig = await MachineRig.open();
    const remove = rig.handler('gone', 1);
    rig.machine.addRunStateHandler('remover', 2, (running) => {
      if (!running) remove();
    });
    await rig.machine.stop();
    await rig.machine.cont();
    expect(rig.take()).toEqual(['STOP', 'RESUME']);
  });

  it('BB-13 the end of a drained section is told to a disk that has left meanwhile, too', async () => {
    const rig = await MachineRig.open();
    let settle = () => {};
    const remove = rig.disk('a', { idle: () => new Promise((resolve) => (settle = resolve)) });
    rig.disk('b');
    const stopped = rig.machine.stop();
    await rig.settle();
    remove();
    settle();
    await stopped;
    const all = ['STOP', 'a begin', 'b begin', 'b idle', 'a end', 'b end', 'b flush'];
    expect(rig.take()).toEqual(all);
  });

  it('refuses states that are none, and depths', async () => {
    const { machine } = await MachineRig.open();
    expect(() => machine.stop('running' as StoppedState)).toThrow(RangeError);
    expect(() => machine.stop('asleep' as StoppedState)).toThrow("stopped as 'asleep'");
    for (const state of ['io-error', 'restore-vm', 'internal-error'] as const) {
      await machine.stop(state);
      expect(machine.state).toBe(state);
      await machine.cont();
    }
    for (const depth of [-1, 0.5, Number.NaN]) {
      expect(() => machine.addRunStateHandler('x', depth, () => {})).toThrow('depth');
    }
  });
});

describe('Machine: stops that errors ask for', () => {
  it('VM-4 any number of errors are one stop, in the next turn of the context', async () => {
    const rig = await MachineRig.open();
    rig.handler('device', 1);
    for (let i = 0; i < 3; i++) rig.fail();
    await Promise.resolve();
    expect(rig.machine.running).toBe(true);
    await rig.settle();
    const errors = ['BLOCK_IO_ERROR', 'BLOCK_IO_ERROR', 'BLOCK_IO_ERROR'];
    expect(rig.take()).toEqual([...errors, 'device off io-error', 'STOP']);
    expect(rig.machine.state).toBe('io-error');
    rig.fail(); // what was in flight
    await rig.settle();
    await rig.machine.cont();
    await rig.settle();
    expect(rig.take()).toEqual(['BLOCK_IO_ERROR', 'RESUME', 'device on running']);
  });

  it.each(['told of the error', 'the error has been told'])(
    'BB-19 a cont when %s is not lost: STOP, then RESUME',
    async (when) => {
      const rig = await MachineRig.open();
      rig.handler('device', 1);
      let continued: Promise<void> | undefined;
      const cont = () => {
        continued = rig.machine.cont();
      };
      if (when === 'told of the error') rig.machine.events.on('BLOCK_IO_ERROR', cont);
      rig.fail();
      if (!continued) cont();
      await rig.settle();
      await continued;
      expect(rig.take()).toEqual([
        ...['BLOCK_IO_ERROR', 'device off io-error', 'STOP', 'RESUME', 'device on running'],
      ]);
    },
  );

  it('a stop that somebody else asked for takes the place of an error that came after it', async () => {
    const rig = await MachineRig.open();
    await rig.machine.stop();
    rig.take();
    // In the line: cont, stop. The error happens while the cont is going on.
    rig.machine.addRunStateHandler('device', 1, (running) => {
      if (running) rig.fail();
    });
    const continued = rig.machine.cont();
    await Promise.all([continued, rig.machine.stop(), rig.settle()]);
    await rig.settle();
    expect(rig.take()).toEqual(['RESUME', 'BLOCK_IO_ERROR', 'STOP']);
    const once = rig.machine.cont(); // fails again: this time nobody else stops it
    await rig.settle();
    await once;
    expect(rig.take()).toEqual(['RESUME', 'BLOCK_IO_ERROR', 'STOP']);
    expect(rig.machine.state).toBe('io-error');
  });

  it('an error while the machine has stopped asks for nothing: the cont that follows tries again', async () => {
    const rig = await MachineRig.open();
    let settle = () => {};
    rig.disk('a', { idle: () => new Promise((resolve) => (settle = resolve)) });
    const stopped = rig.machine.stop();
    const continued = rig.machine.cont();
    await rig.settle();
    rig.fail(); // from what is drained
    settle();
    await Promise.all([stopped, continued]);
    await rig.settle();
    expect(rig.take()).toEqual(['STOP', 'a begin', 'BLOCK_IO_ERROR', 'a end', 'a flush', 'RESUME']);
    expect(rig.machine.running).toBe(true);
  });

  it('VM-4 a stop is over when what other threads have said has arrived: a cont after it is not undone', async () => {
    const rig = await MachineRig.open();
    let arrive = () => {};
    const remove = rig.machine.addFence(() => new Promise((resolve) => (arrive = resolve)));
    rig.disk('a');
    const stopped = rig.machine.stop();
    const continued = rig.machine.cont();
    await rig.settle();
    expect(rig.take()).toEqual(['STOP', 'a begin', 'a idle', 'a end']);
    rig.fail(); // of what was drained; late
    arrive();
    await Promise.all([stopped, continued, rig.settle()]);
    await rig.settle();
    expect(rig.take()).toEqual(['BLOCK_IO_ERROR', 'a flush', 'RESUME']);
    remove();
    await rig.machine.stop();
  });

  it('says what a stop by an error could not do, and has stopped', async () => {
    const warn = vi
      .spyOn(console as unknown as { warn(): void }, 'warn')
      .mockImplementation(() => {});
    const rig = await MachineRig.open();
    rig.disk('a', { flush: () => Promise.reject(new Error('flush failed (EIO)')) });
    rig.fail();
    await rig.settle();
    expect(rig.machine.state).toBe('io-error');
    expect(warn.mock.calls).toEqual([['vblk: machine stopped by an error: flush failed (EIO)']]);
    warn.mockRestore();
  });

  it('old errors are forgotten before anybody hears that the machine goes on', async () => {
    const rig = await MachineRig.open();
    rig.disk('a', { resetIostatus: () => void rig.log.push('a reset') });
    await rig.machine.stop();
    rig.take();
    await rig.machine.cont();
    expect(rig.take()).toEqual(['a reset', 'RESUME']);
  });
});

describe('MachineEvents', () => {
  it('have the names and fields of QMP, with the time', async () => {
    const { machine } = await MachineRig.open({ now: () => 1_700_000_000_123.5 });
    const seen: unknown[] = [];
    machine.events.on('STOP', (event) => seen.push(event));
    machine.events.on('DEVICE_DELETED', (event) => seen.push(event));
    await machine.stop();
    machine.events.emit('DEVICE_DELETED', { device: 'disk', path: machine.devicePath('disk') });
    const timestamp = { seconds: 1_700_000_000, microseconds: 123_500 };
    expect(seen).toEqual([
      { event: 'STOP', data: {}, timestamp },
      {
        event: 'DEVICE_DELETED',
        data: { device: 'disk', path: '/machine/peripheral/disk' },
        timestamp,
      },
    ]);
    expect(machine.devicePath(undefined)).toBe('/machine/peripheral-anon/device[0]');
    expect(machine.devicePath(undefined)).toBe('/machine/peripheral-anon/device[1]');
  });

  it('the same function twice is called twice, and each is ended by itself', async () => {
    const { machine } = await MachineRig.open();
    let calls = 0;
    const listener = () => calls++;
    const [first] = [machine.events.on('STOP', listener), machine.events.on('STOP', listener)];
    await machine.stop();
    first();
    first();
    await machine.cont();
    await machine.stop();
    expect(calls).toBe(3);
  });

  it('what a listener throws comes up by itself and disturbs nobody', async () => {
    const rig = await MachineRig.open();
    const thrown: unknown[] = [];
    const later = vi.spyOn(globalThis, 'queueMicrotask').mockImplementation((task) => {
      try {
        task();
      } catch (error) {
        thrown.push(error);
      }
    });
    rig.machine.events.on('STOP', () => {
      throw new Error('a listener');
    });
    rig.machine.events.on('STOP', () => rig.log.push('after it'));
    await rig.machine.stop();
    later.mockRestore();
    expect(rig.take()).toEqual(['STOP', 'after it']);
    expect(thrown).toEqual([new Error('a listener')]);
  });
});

describe('Machine: life', () => {
  it('gives its bottom half back; an error that wanted it to stop wants nothing any more', async () => {
    const rig = await MachineRig.open();
    rig.fail();
    rig.machine.close();
    rig.machine.close();
    rig.fail();
    await rig.settle();
    expect(rig.machine.running).toBe(true);
    const core = await openCore({ engine: 'js', ramBytes: 1 << 16 });
    const context = new AioContext(core, { sleeper: 'hook', slots: 1 });
    const machine = new Machine(context);
    expect(() => new Machine(context)).toThrow(RangeError);
    machine.close();
    context.poll();
    new Machine(context).close();
    context.close();
  });
});
