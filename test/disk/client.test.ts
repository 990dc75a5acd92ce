/** Clients of a disk and their handles. Here the client lives on main's thread, in a core of its own. */
import { MessageChannel } from 'node:worker_threads';
import { describe, expect, it, vi } from 'vitest';
import { openCore } from '#src/adapter/node';
import { spinners } from '#src/aio/spinners';
import { OptionError } from '#src/block/error';
import { DiskClient } from '#src/disk/client';
import { DiskClientSync } from '#src/disk/client-sync';
import type { Disk } from '#src/disk/disk';
import type { DiskHandle } from '#src/disk/handle';
import type { DiskOptions } from '#src/disk/options';
import { GuestRing } from '#src/guest/ring';
import {
  engines,
  exercise,
  failure,
  faultDisk,
  faultOf,
  MIB,
  memoryDisk,
  pattern,
  until,
} from './rig.ts';

const HOLD = { action: 'delay', op: 'read' } as const;

/** As it arrives in another thread; vitest's own clone does not know a Module. */
async function posted(handle: DiskHandle): Promise<DiskHandle> {
  const { port1, port2 } = new MessageChannel();
  const arrived = new Promise<DiskHandle>((resolve) => {
    port2.on('message', resolve);
  });
  port1.postMessage(handle);
  const copy = await arrived;
  port1.close();
  return copy;
}

describe.each(engines)('Clients of a disk, %s engine', (engine) => {
  const options: DiskOptions = { engine, iothreads: 0, shared: true, queues: 3 };

  it('a client reads and writes beside the disk and another client', async () => {
    await using disk = await memoryDisk(options, 4 * MIB);
    await using first = await DiskClient.open(await posted(await disk.connect()));
    await using second = await DiskClient.open(await disk.connect());
    expect([first.size, first.blockSize, first.readOnly]).toEqual([4 * MIB, 512, false]);
    await Promise.all([
      exercise(disk, 1, { from: 0, to: MIB, rounds: 5 }),
      exercise(first, 2, { from: MIB, to: 2 * MIB, rounds: 5 }),
      exercise(second, 3, { from: 2 * MIB, to: 3 * MIB, rounds: 5 }),
    ]);
    expect(disk.stats().clients).toBe(2);
    expect(disk.stats().queues.every(({ requests }) => requests > 0)).toBe(true);
    const back = new Uint8Array(512);
    await disk.write(pattern(512, 7), 3 * MIB);
    await first.read(back, 3 * MIB);
    expect(back).toEqual(pattern(512, 7));
  });

  it.each([
    ['alloc', -1],
    ['alloc', 0.5],
    ['poll-max-ns', -1],
    ['poll-max-ns', 2 ** 32],
    ['poll-min-ns', 1],
  ])('connect refuses %s %s, and nothing is left of it', async (option, value) => {
    await using disk = await memoryDisk(options);
    const refused = await failure(disk.connect({ [option]: value }));
    expect(refused).toBeInstanceOf(OptionError);
    expect((refused as OptionError).option).toBe(option);
    spinners.settle();
    await using client = await DiskClient.open(await disk.connect({ 'poll-max-ns': 1 }));
    await client.flush();
  });

  it('a client that polls is counted among those that do until it closes', async () => {
    const { cores } = spinners;
    let allowed = true;
    const other = { wanted: () => 1, allow: (polling: boolean) => (allowed = polling) };
    await using disk = await memoryDisk(options);
    spinners.cores = 2;
    try {
      const client = await DiskClient.open(await disk.connect({ 'poll-max-ns': 1000 }));
      spinners.add(other);
      expect(allowed).toBe(false);
      await client.close();
      spinners.settle();
      expect(allowed).toBe(true);
    } finally {
      spinners.remove(other);
      spinners.cores = cores;
    }
  });

  it('a handle is good for one client', async () => {
    await using disk = await memoryDisk(options);
    const handle = await disk.connect();
    await using client = await DiskClient.open(handle);
    const error = await failure(DiskClient.open(handle));
    expect(error).toMatchObject({ name: 'DiskError', code: 'EBUSY' });
    expect((error as Error).message).toMatch(/used already/);
    await exercise(client, 1, { rounds: 2 });
  });

  it('of two that open one handle at once, one is the client', async () => {
    await using disk = await memoryDisk(options);
    const handle = await disk.connect();
    const both = await Promise.allSettled([DiskClient.open(handle), DiskClient.open(handle)]);
    expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    for (const one of both) if (one.status === 'fulfilled') await one.value.close();
  });

  it('claims no more queues than there are, and a closed one anew', async () => {
    await using disk = await memoryDisk(options);
    const handles = [await disk.connect(), await disk.connect()];
    expect(await failure(disk.connect())).toMatchObject({ code: 'EBUSY' });
    const client = await DiskClient.open(handles[0]!);
    await client.write(pattern(512, 4), 0);
    await client.close();
    expect(await failure(client.read(new Uint8Array(512), 0))).toMatchObject({ code: 'ESHUTDOWN' });
    for (let turn = 0; turn < 5; turn++) {
      await using next = await DiskClient.open(await disk.connect());
      await exercise(next, turn, { rounds: 2 });
    }
    expect(await failure(DiskClient.open(handles[0]!))).toMatchObject({ code: 'ESTALE' });
  });

  it('gives back all that its clients had', async () => {
    await using disk = await memoryDisk(options);
    const once = async () => {
      await using client = await DiskClient.open(await disk.connect({ alloc: 4096 }));
      await client.read(client.alloc(4096), 0);
    };
    await once();
    await once();
    const before = disk.core.allocatedBytes;
    for (let turn = 0; turn < 50; turn++) await once();
    expect(disk.core.allocatedBytes).toBe(before);
  });

  it('what finishes while it looks is found, though nobody interrupts for it', async () => {
    await using disk = await faultDisk([HOLD], options);
    await using client = await DiskClient.open(await disk.connect());
    const read = client.read(new Uint8Array(512), 0);
    await until(() => faultOf(disk).held === 1);
    const { setInterrupts } = GuestRing.prototype;
    const spy = vi.spyOn(GuestRing.prototype, 'setInterrupts');
    spy.mockImplementation(function (this: GuestRing, on, after) {
      // Between the last look and the request for interrupts the device finishes one more.
      if (on && faultOf(disk).release() === 1) disk.backend.context.poll();
      return setInterrupts.call(this, on, after);
    });
    try {
      await Promise.all([client.flush(), read]);
    } finally {
      spy.mockRestore();
    }
  });

  it("a client's close waits for its requests", async () => {
    await using disk = await faultDisk([HOLD], options);
    const client = await DiskClient.open(await disk.connect());
    const read = client.read(new Uint8Array(512), 0);
    await until(() => faultOf(disk).held === 1);
    let closed = false;
    const closing = client.close().then(() => {
      closed = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(closed).toBe(false);
    faultOf(disk).release();
    await Promise.all([read, closing]);
  });

  it('has buffers of its own that are used without a copy', async () => {
    await using disk = await memoryDisk({ ...options, 'slot-size': 4096 });
    await using client = await DiskClient.open(await disk.connect({ alloc: 65_536 }));
    const buffer = client.alloc(65_536);
    buffer.set(pattern(65_536, 5));
    await client.write(buffer, 0);
    expect(disk.stats().requests).toBe(1);
    const back = new Uint8Array(65_536);
    await disk.read(back, 0);
    expect(Buffer.compare(back, buffer)).toBe(0);
    expect(() => client.alloc(1)).toThrow(/no room/);
    const second = await DiskClient.open(await disk.connect());
    expect(() => second.alloc(1)).toThrow(/no room/);
    await second.close();
  });

  it('a queue is taken back from a client that still has requests under way', async () => {
    await using disk = await faultDisk([{ ...HOLD, count: 2 }], options);
    const handle = await disk.connect();
    const lost = await DiskClient.open(handle);
    const buffer = new Uint8Array(512).fill(0x11);
    const reads = [failure(lost.read(buffer, 0)), failure(lost.read(new Uint8Array(512), 4096))];
    await until(() => faultOf(disk).held === 2);
    let free = false;
    const reclaimed = disk.reclaim(handle).then(() => {
      free = true;
    });
    for (const error of await Promise.all(reads)) {
      expect(error).toMatchObject({ name: 'DiskError', code: 'ESTALE' });
    }
    expect(free).toBe(false); // the requests are in flight still
    faultOf(disk).release();
    await reclaimed;
    expect(buffer).toEqual(new Uint8Array(512).fill(0x11));
    expect(await failure(lost.read(buffer, 0))).toMatchObject({ code: 'ESTALE' });
    await disk.reclaim(handle); // once more is no mistake
    const other = await DiskClient.open(await disk.connect());
    await using next = await DiskClient.open(await disk.connect());
    await lost.close(); // says nothing to whom has its queue now
    await Promise.all([
      exercise(other, 3, { to: MIB / 2, rounds: 3 }),
      exercise(next, 4, { from: MIB / 2, rounds: 3 }),
    ]);
    await other.close();
  });

  it('an offer may be taken back before it is used', async () => {
    await using disk = await memoryDisk(options);
    const handle = await disk.connect();
    await disk.reclaim(handle);
    expect(await failure(DiskClient.open(handle))).toMatchObject({ code: 'ESTALE' });
    await disk.connect();
    await disk.connect();
  });

  it('closing the disk cuts clients off', async () => {
    const disk = await faultDisk([HOLD], options);
    const client = await DiskClient.open(await disk.connect());
    const offered = await disk.connect();
    const read = failure(client.read(new Uint8Array(512), 0));
    await until(() => faultOf(disk).held === 1);
    const closing = disk.close();
    expect(await read).toMatchObject({ name: 'DiskError', code: 'ESHUTDOWN' });
    faultOf(disk).release();
    await closing;
    expect(await failure(client.flush())).toMatchObject({ code: 'ESHUTDOWN' });
    expect(await failure(DiskClient.open(offered))).toMatchObject({ code: 'ESHUTDOWN' });
    await client.close();
    expect(await failure(disk.connect())).toMatchObject({ code: 'ESHUTDOWN' });
  });

  it('a synchronous client is refused where it would wait for itself', async () => {
    await using disk = await memoryDisk(options);
    const handle = await disk.connect();
    const error = await failure(DiskClientSync.open(handle));
    expect(error).toMatchObject({ name: 'DiskError', code: 'EDEADLK' });
    await using client = await DiskClient.open(handle); // the handle is not used up
    await exercise(client, 2, { rounds: 2 });
  });

  it('a synchronous client is refused where the thread may not wait', async () => {
    await using disk = await memoryDisk(options);
    const handle = { ...(await disk.connect()), server: 'another thread' };
    const wait = vi.spyOn(Atomics, 'wait').mockImplementation(() => {
      throw new TypeError('Atomics.wait cannot be called in this context');
    });
    try {
      const error = await failure(DiskClientSync.open(handle));
      expect(error).toMatchObject({ name: 'DiskError', code: 'ENOTSUP' });
    } finally {
      wait.mockRestore();
    }
    await (await DiskClient.open(handle)).close();
  });

  it('there are no clients where the memory is not shared', async () => {
    await using disk = await memoryDisk({ engine, iothreads: 0 });
    expect(await failure(disk.connect())).toMatchObject({ code: 'ENOTSUP' });
  });

  it('what is wrong for the disk is wrong for its clients', async () => {
    await using disk: Disk = await memoryDisk({ ...options, readonly: true });
    await using client = await DiskClient.open(await disk.connect());
    expect(await failure(client.read(new Uint8Array(512), 256))).toMatchObject({
      option: 'offset',
    });
    expect(await failure(client.write(new Uint8Array(512), 0))).toMatchObject({ code: 'EPERM' });
    await client.read(new Uint8Array(512), 512);
  });

  it('a core that is not its own gets all back, except what a client may still look at', async () => {
    const core = await openCore({ engine, shared: true, ramBytes: 4 * MIB });
    const small = { core, iothreads: 0, queues: 2, 'slot-size': 4096, 'alloc-bytes': 3 * MIB };
    const once = async (close: boolean) => {
      const disk = await memoryDisk(small);
      const client = await DiskClient.open(await disk.connect({ alloc: 4096 }));
      await client.write(new Uint8Array(512), 0);
      if (close) await client.close();
      await disk.close();
    };
    await once(true);
    const before = core.allocatedBytes;
    await once(true);
    expect(core.allocatedBytes).toBe(before);
    await once(false);
    expect(await failure(memoryDisk(small))).toMatchObject({ option: 'core' });
  });
});
