import { describe, expect, it } from 'vitest';
import { loadCoreModule } from '#src/adapter/load-module';
import { Core } from '#src/engine/core';
import { createQueue } from '#src/engine/queue-memory';
import { QUEUE_EPOCH, QUEUE_USED_IDX, WRITE_LOG_ENTRIES, WRITE_LOG_SIZE } from '#src/layout';
import { WriteLog, WriteLogReader } from '#src/virtio/write-log';

const RAM_BYTES = 1 << 20;

/** Both ends of a log, each over an instance of its own, as of two threads. */
async function setUp() {
  const module = await loadCoreModule(true);
  const core = await Core.open({ module, shared: true, ramBytes: RAM_BYTES });
  const other = await Core.attach(core.handle());
  const queue = createQueue(core, 8).address;
  const address = core.allocate(WRITE_LOG_SIZE);
  const told: [number, number][] = [];
  const published: number[] = [];
  const publish = core.engine.queuePublish;
  core.engine.queuePublish = (at, used) => {
    published.push(used);
    return publish(at, used);
  };
  const reader = new WriteLogReader(core, address, queue, (at, length) => told.push([at, length]));
  const log = new WriteLog(other, address, queue);
  const push = (used: number) => {
    core.u32[(queue + QUEUE_USED_IDX) >>> 2] = used;
    log.commit();
  };
  const epoch = (by: number) => Atomics.add(core.i32, (queue + QUEUE_EPOCH) >>> 2, by);
  return { core, log, reader, told, published, push, epoch };
}

describe('write log', () => {
  it('tells of writes before their buffers are published, neighbours as one', async () => {
    const { core, log, reader, told, published, push } = await setUp();
    core.engine.queuePublish = (_queue, used) => {
      published.push(used);
      expect(told).toHaveLength(2);
      return 1;
    };
    log.add(4096, 512);
    log.add(4608, 1);
    log.add(8192, 16);
    push(1);
    expect(reader.publish()).toBe(true);
    expect(told).toEqual([
      [4096, 513],
      [8192, 16],
    ]);
    expect(published).toEqual([1]);
  });

  it('keeps what is logged and not yet committed: its bytes may still come', async () => {
    const { log, reader, told, published, push } = await setUp();
    log.add(4096, 512);
    push(1);
    log.add(4608, 512); // follows the last entry, which main may have read
    reader.publish();
    expect([told, published]).toEqual([[[4096, 512]], [1]]);
    push(2);
    reader.publish();
    expect(told).toEqual([
      [4096, 512],
      [4608, 512],
    ]);
    expect(published).toEqual([1, 2]);
  });

  it('holds its number of entries, and tells of all of guest memory beyond', async () => {
    const { core, log, reader, told, push } = await setUp();
    for (let n = 0; n < WRITE_LOG_ENTRIES; n++) log.add(4096 + 32 * n, 16);
    push(1);
    reader.publish();
    expect(told).toHaveLength(WRITE_LOG_ENTRIES);
    told.length = 0;
    for (let n = 0; n < WRITE_LOG_ENTRIES + 1; n++) log.add(4096 + 32 * n, 16);
    reader.publish();
    expect(told).toEqual([]); // not committed
    push(2);
    reader.publish();
    expect(told).toHaveLength(WRITE_LOG_ENTRIES + 1);
    expect(told.at(-1)).toEqual([core.regionList[0]!.offset, RAM_BYTES]);
    told.length = 0;
    log.add(64, 16);
    push(3);
    reader.publish();
    expect(told).toEqual([[64, 16]]);
  });

  it('publishes nothing of a ring that was reset since, and tells of its writes', async () => {
    const { log, reader, told, published, push, epoch } = await setUp();
    log.add(4096, 512);
    push(7);
    epoch(2);
    expect(reader.publish()).toBe(false);
    expect([told, published]).toEqual([[[4096, 512]], []]);
    push(1);
    reader.publish();
    expect(published).toEqual([1]);
  });

  it('knows an epoch by its low half', async () => {
    const { reader, published, push, epoch } = await setUp();
    epoch(0xffff);
    push(3);
    reader.publish();
    epoch(1);
    reader.publish();
    push(4);
    reader.publish();
    expect(published).toEqual([3, 4]);
  });
});
