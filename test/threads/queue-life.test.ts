/** Restarts and moves of queues that real IOThreads serve, under load. */
import { describe, expect, it } from 'vitest';
import { QUEUE_INUSE } from '#src/layout';
import { VIRTIO_BLK_S_OK } from '#src/spec';
import type { MappingOptions } from '#src/virtio/vq-mapping';
import { turns } from '../device/machine.ts';
import { Random } from '../device/random.ts';
import { range, StopRig } from '../machine/stop-rig.ts';

const QUEUES = 4;
const engine = 'wasm, two IOThreads';

function open(): Promise<StopRig> {
  return StopRig.open({ engine, queues: QUEUES, backend: { werror: 'stop' } });
}

/** Every way to spread the queues over main and two threads that a move may come across. */
function mappings(rig: StopRig): MappingOptions[] {
  const [one, two] = rig.bus.threads as [never, never];
  return [
    {},
    { iothread: one },
    { iothread: two },
    { 'iothread-vq-mapping': [{ iothread: one }, { iothread: two }] },
    {
      'iothread-vq-mapping': [
        { iothread: two, vqs: [0] },
        { iothread: one, vqs: [1, 2, 3] },
      ],
    },
  ];
}

/** Writes and reads back on each queue until `stop`; how many pairs. */
async function load(rig: StopRig, queue: number, stopped: () => boolean): Promise<number> {
  const random = new Random(queue + 1);
  const blk = rig.guest;
  let pairs = 0;
  for (; !stopped(); pairs++) {
    const sector = 500 + queue * 100 + random.below(90);
    const out = random.bytes(2048);
    const write = await blk.request({ type: 1, sector, out, queue });
    const read = await blk.request({ type: 0, sector, in: 2048, queue });
    if (write.status !== VIRTIO_BLK_S_OK || read.status !== VIRTIO_BLK_S_OK) {
      throw new Error(`queue ${queue}: statuses ${write.status}, ${read.status}`);
    }
    if (Buffer.compare(read.data, out) !== 0) throw new Error(`queue ${queue}: other bytes`);
    // Main answers before a turn is over: the others would never get theirs.
    await new Promise((resolve) => setImmediate(resolve));
  }
  return pairs;
}

describe('queues of two IOThreads', () => {
  it('BL-16 historic bug 18 a hundred rounds of errors on four queues: each request completes once, in its queue', async () => {
    const rig = await open();
    const random = new Random(16);
    let stops = 0;
    for (let round = 0; round < 100; round++) {
      const ids = range(1 + (round % 2) * 100, 24);
      for (const id of ids) rig.ended.delete(id);
      rig.rules([
        { op: 'write', action: 'fail', skip: random.below(8), count: 1 + random.below(9) },
      ]);
      for (const id of ids) rig.write(id, id % QUEUES);
      const all = () => ids.every((id) => rig.ended.has(id));
      while (!all()) {
        await turns();
        if (rig.machine.running) continue;
        stops++;
        await rig.machine.cont();
      }
      expect(ids.map((id) => rig.ended.get(id))).toEqual(ids.map(() => VIRTIO_BLK_S_OK));
      expect(range(0, QUEUES).map((queue) => rig.word(QUEUE_INUSE, queue))).toEqual([0, 0, 0, 0]);
    }
    expect(stops).toBeGreaterThanOrEqual(100);
    const ids = range(1, 24);
    rig.rules([]);
    expect(await rig.image(1, 24)).toEqual(ids);
  }, 60_000);

  it('moves between main and two threads under load: every byte is right, and nothing is left', async () => {
    const rig = await open();
    const ways = mappings(rig);
    const random = new Random(5);
    let over = false;
    const workers = range(0, QUEUES).map((queue) => load(rig, queue, () => over));
    const failed = Promise.race(workers);
    for (let move = 0; move < 60; move++) {
      await Promise.race([
        rig.slot.device.changeMapping(ways[random.below(ways.length)]!),
        failed.then(() => {}),
      ]);
      if (move % 3 === 0) await turns();
    }
    over = true;
    const pairs = await Promise.all(workers);
    expect(pairs.every((count) => count > 10)).toBe(true);
    expect(range(0, QUEUES).map((queue) => rig.word(QUEUE_INUSE, queue))).toEqual([0, 0, 0, 0]);
    expect(rig.slot.backend.inFlight).toBe(0);
    const { read, write } = rig.slot.backend.stats();
    const sum = pairs.reduce((all, count) => all + count, 0);
    expect([read.operations, write.operations]).toEqual([sum, sum]); // of all lanes there ever were
  }, 60_000);

  it('BL-16 moves while the machine is stopped by errors: what failed goes along, and completes once', async () => {
    const rig = await open();
    const ways = mappings(rig);
    for (let round = 0; round < 25; round++) {
      const ids = range(1, 16);
      for (const id of ids) rig.ended.delete(id);
      rig.rules([{ op: 'write', action: 'fail', count: 1 + (round % 7) }]);
      for (const id of ids) rig.write(id, id % QUEUES);
      await rig.until(() => !rig.machine.running);
      await rig.slot.device.changeMapping(ways[round % ways.length]!);
      await rig.slot.device.changeMapping(ways[(round * 3 + 1) % ways.length]!);
      rig.rules([]);
      await rig.machine.cont();
      await rig.until(() => ids.every((id) => rig.ended.has(id)));
      expect(ids.map((id) => rig.ended.get(id))).toEqual(ids.map(() => VIRTIO_BLK_S_OK));
      expect(range(0, QUEUES).map((queue) => rig.word(QUEUE_INUSE, queue))).toEqual([0, 0, 0, 0]);
    }
    expect(await rig.image(1, 16)).toEqual(range(1, 16));
  }, 60_000);
});
