/** Which thread serves which queue, and what a device on threads asks for. */

import { describe, expect, it, vi } from 'vitest';
import { openCore } from '#src/adapter/node';
import { AioContext } from '#src/aio/context';
import { BlockBackend } from '#src/block/backend';
import { BlockError, type OptionError } from '#src/block/error';
import { MemoryDriver } from '#src/block/memory';
import { VirtioBlk, type VirtioBlkOptions } from '#src/virtio/virtio-blk';
import type { VqMapping } from '#src/virtio/vq-mapping';
import { threadsOfQueues } from '#src/virtio/vq-mapping';
import { Bench, OK, pattern, settled } from './blk-bench.ts';
import { NearThread } from './near-thread.ts';
import { ProbeDriver } from './probe-driver.ts';

const SIZE = 1 << 20;

async function parts(count: number) {
  const core = await openCore({ engine: 'js', ramBytes: 1 << 16, shared: true });
  const context = new AioContext(core, { sleeper: 'hook' });
  const backend = BlockBackend.attach(core, context, new ProbeDriver(SIZE));
  const threads: NearThread[] = [];
  for (let i = 0; i < count; i++) threads.push(await NearThread.open(core, `io${i}`));
  const realize = (options: VirtioBlkOptions) =>
    settled(VirtioBlk.realize(core, context, backend, options), [context, ...threads]);
  return { core, context, backend, threads, realize };
}

async function refusal(made: Promise<unknown>): Promise<OptionError> {
  return made.then(
    () => Promise.reject(new Error('it was taken')),
    (error) => error as OptionError,
  );
}

describe('DP-8 iothread-vq-mapping', () => {
  const three = () => parts(3);

  it('DP-8 eight queues go round three threads', async () => {
    const { threads } = await three();
    const mapping = threads.map((iothread) => ({ iothread }));
    const found = threadsOfQueues({ 'iothread-vq-mapping': mapping }, 8);
    expect(found.map((thread) => threads.indexOf(thread as NearThread))).toEqual([
      0, 1, 2, 0, 1, 2, 0, 1,
    ]);
  });

  it('DP-8 queues by name', async () => {
    const { threads } = await three();
    const [a, b] = threads as [NearThread, NearThread];
    const mapping = [
      { iothread: a, vqs: [3, 0] },
      { iothread: b, vqs: [1, 2] },
    ];
    expect(threadsOfQueues({ 'iothread-vq-mapping': mapping }, 4)).toEqual([a, b, b, a]);
    expect(threadsOfQueues({ iothread: a }, 2)).toEqual([a, a]);
    expect(threadsOfQueues({}, 2)).toEqual([null, null]);
  });

  type Make = (a: NearThread, b: NearThread) => unknown;
  const wrong: [title: string, make: Make, message: string][] = [
    ['no list', () => 'io0', 'lists of { iothread, vqs? }'],
    ['an empty list', () => [], 'not empty'],
    ['something else than a thread', () => [{ iothread: 'io0' }], 'IOThreads that were started'],
    ['a thread twice', (a) => [{ iothread: a }, { iothread: a }], "iothread 'io0' twice"],
    [
      'vqs for one only',
      (a, b) => [{ iothread: a, vqs: [0, 1] }, { iothread: b }],
      "iothread 'io1' without vqs",
    ],
    ['vqs that are no list', (a) => [{ iothread: a, vqs: 1 }], "vqs 1 for iothread 'io0'"],
    ['a queue that is not there', (a) => [{ iothread: a, vqs: [0, 2] }], 'queue 2 for'],
    ['a queue below zero', (a) => [{ iothread: a, vqs: [0, -1] }], 'queue -1 for'],
    [
      'a queue twice',
      (a, b) => [
        { iothread: a, vqs: [0, 1] },
        { iothread: b, vqs: [1] },
      ],
      "iothread 'io0' has it already",
    ],
    ['a queue that nobody has', (a) => [{ iothread: a, vqs: [1] }], 'no iothread for queue 0'],
  ];

  it.each(wrong)('DP-8 BL-21 %s is refused, and nothing is left', async (_title, make, message) => {
    const { core, backend, threads, realize } = await parts(2);
    const before = core.allocatedBytes;
    const mapping = make(threads[0]!, threads[1]!) as VqMapping[];
    const error = await refusal(realize({ 'num-queues': 2, 'iothread-vq-mapping': mapping }));
    expect(error).toMatchObject({ name: 'OptionError', option: 'iothread-vq-mapping' });
    expect(error.message).toContain(message);
    expect([core.allocatedBytes, backend.onResize.size]).toEqual([before, 0]);
  });

  it('BL-21 iothread and mapping, or iothread without ioeventfd, are refused', async () => {
    const { threads, realize } = await parts(1);
    const [iothread] = threads as [NearThread];
    const both = await refusal(realize({ iothread, 'iothread-vq-mapping': [{ iothread }] }));
    expect(both.message).toMatch(/^iothread: .*none beside iothread-vq-mapping/);
    const off = await refusal(realize({ iothread, ioeventfd: false }));
    expect(off.message).toMatch(/^ioeventfd: false .*queues on IOThreads need it/);
    const onGuestWrite = () => {};
    const tell = await refusal(realize({ iothread, onGuestWrite, guestNotifier: 'client' }));
    expect(tell.message).toMatch(/^onGuestWrite: /);
  });

  it('DP-8 the constructor, which cannot wait for threads, names realize', async () => {
    const { core, context, backend, threads } = await parts(1);
    const make = () => new VirtioBlk(core, context, backend, { iothread: threads[0]! });
    expect(make).toThrow('VirtioBlk.realize');
  });

  it('BB-3 DP-8 a disk that serves its own thread only is refused by name, and nothing is left', async () => {
    const { core, context, threads } = await parts(1);
    const driver = Object.assign(new ProbeDriver(SIZE), { share: null });
    const backend = BlockBackend.attach(core, context, driver);
    const before = [core.allocatedBytes, context.bottomHalves];
    const made = VirtioBlk.realize(core, context, backend, { iothread: threads[0]! });
    const error = await refusal(settled(made, threads));
    expect(error.message).toMatch(/iothread: 'io0'.*'probe' driver, which serves its own thread/);
    for (let i = 0; i < 3; i++) context.poll();
    expect(threads[0]!.users).toEqual([]);
    expect(context.bottomHalves).toBeLessThanOrEqual((before[1] as number) + 1); // the backend's own
    expect(core.allocatedBytes).toBe(before[0]);
  });

  it('BL-21 BL-22 a thread that is full: all that was made is undone, a hundred times', async () => {
    const { core, context, backend, threads, realize } = await parts(2);
    const [a, b] = threads as [NearThread, NearThread];
    const mapping = threads.map((iothread) => ({ iothread }));
    const options = { 'num-queues': 4, 'iothread-vq-mapping': mapping };
    await realize(options).then((blk) => settled(blk.close(), [context, ...threads]));
    for (let i = 0; i < 3; i++) for (const one of [context, a, b]) one.turn();
    const state = () => [core.allocatedBytes, ...[context, a.context, b.context].map(halves)];
    const halves = (one: AioContext) => `${one.bottomHalves} ${one.handlers}`;
    const before = state();
    b.before = (service) => {
      if (service === 'create-queues') throw new RangeError('all bottom halves in use');
    };
    for (let i = 0; i < 100; i++) await expect(realize(options)).rejects.toThrow('in use');
    for (let i = 0; i < 3; i++) for (const one of [context, a, b]) one.turn();
    expect(state()).toEqual(before);
    expect([a.users, b.users, a.listeners, b.listeners]).toEqual([[], [], 0, 0]);
    expect(backend.onResize.size).toBe(0);
  });
});

describe('BL-20 num-queues auto', () => {
  it.each([
    [1, 1],
    [4, 4],
    [3000, 1024],
  ])('BL-20 %i vCPUs come to %i queues', async (vcpus, queues) => {
    const core = await openCore({ engine: 'js', ramBytes: 1 << 16 });
    const context = new AioContext(core, { sleeper: 'hook', slots: 4096 });
    const backend = BlockBackend.attach(core, context, new MemoryDriver(core, SIZE));
    const options = { 'num-queues': 'auto', vcpus, 'queue-size': 4 } as const;
    const blk = new VirtioBlk(core, context, backend, options);
    expect(blk.queues).toHaveLength(queues);
    await blk.close();
  });

  it('BL-20 an MMIO device says nothing of vCPUs and has one', async () => {
    const bench = await Bench.open({ engine: 'js', blk: { 'num-queues': 'auto' } });
    expect(bench.blk.queues).toHaveLength(1);
  });

  it.each([
    [{ 'num-queues': 'many' }, /num-queues: 'many'.*auto/],
    [{ vcpus: 0 }, /vcpus: 0/],
  ])('BL-20 %j is refused', async (blk, message) => {
    await expect(Bench.open({ engine: 'js', blk: blk as VirtioBlkOptions })).rejects.toThrow(
      message,
    );
  });
});

describe('threads held by a device', () => {
  it('WT-5 BL-22 from realize to close', async () => {
    const { context, threads, realize } = await parts(1);
    const blk = await realize({ iothread: threads[0]!, 'num-queues': 3 });
    expect(threads[0]!.users).toContain('virtio-blk');
    await settled(blk.close(), [context, ...threads]);
    expect([threads[0]!.users, threads[0]!.context.handlers]).toEqual([[], []]);
    threads[0]!.close(); // refused while anything of the device is there
  });

  it('a disk that fails to close on the thread leaves nothing else behind', async () => {
    const { core, context, threads, realize } = await parts(1);
    const [thread] = threads as [NearThread];
    const before = core.allocatedBytes;
    const blk = await realize({ iothread: thread });
    vi.spyOn(ProbeDriver.prototype, 'close').mockImplementationOnce(() => {
      throw new BlockError('EIO', 'close');
    });
    await expect(settled(blk.close(), [context, thread])).rejects.toThrow(BlockError);
    expect([core.allocatedBytes, thread.users, thread.context.handlers]).toEqual([before, [], []]);
    thread.close();
  });

  it('BB-3 DP-8 queues of main and of a thread share a disk', async () => {
    const bench = await Bench.open({ engine: 'wasm', threads: 2, blk: { 'num-queues': 2 } });
    bench.start();
    const write = bench.write(7, pattern(512), 0);
    bench.run(0);
    const read = bench.read(7, 512, 1);
    bench.run(1);
    expect([bench.status(write), bench.status(read)]).toEqual([OK, OK]);
    expect(bench.data(read, 512)).toEqual(pattern(512));
    expect(bench.backend.stats()).toMatchObject({ read: { operations: 1 } });
  });
});
