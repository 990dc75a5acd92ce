/** Overlays and throttles that several IOThreads have open. */
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { nodeFiles } from '#src/adapter/node-files';
import { BlockBackend } from '#src/block/backend';
import { type DriverSpec, OP_FLUSH, OP_READ, OP_WRITE } from '#src/block/driver';
import { fileDriver } from '#src/block/file';
import type { OverlayDriver } from '#src/block/overlay';
import { registerDriver } from '#src/block/registry';
import { engines, nextEvent } from './threads.ts';
import { TwoThreads } from './two-threads.ts';

const MIB = 2 ** 20;
const SECTOR = 512;
const folder = fs.mkdtempSync(join(tmpdir(), 'vblk-overlays-'));
afterAll(() => fs.rmSync(folder, { recursive: true }));
let files = 0;
registerDriver('file', fileDriver(nodeFiles));

function file(bytes: Uint8Array | null, more = {}): DriverSpec {
  const filename = join(folder, `disk${files++}`);
  if (bytes) fs.writeFileSync(filename, bytes);
  return { driver: 'file', options: { filename, ...(bytes ? {} : { create: true }), ...more } };
}

const base = () => new Uint8Array(MIB).map((_, i) => (i >>> 9) % 251);

describe.each(engines)('overlays on two IOThreads, %s engine', (engine) => {
  const two = new TwoThreads(engine);

  async function open(spec: DriverSpec) {
    const disk = await two.open(spec);
    const { lanes } = disk;
    const submit = async (
      index: number,
      op: number,
      offset: number,
      length: number,
      data?: Uint8Array,
    ) => {
      const message = {
        lane: lanes[index]!.address,
        op,
        offset,
        length,
        flags: 0,
        data: data ?? null,
      };
      const answer = await two.threads[index]!.call('submit', message);
      return answer as { result: number; data: Uint8Array };
    };
    return { ...disk, submit };
  }

  const kinds: [string, () => [DriverSpec, DriverSpec]][] = [
    ['file over file', () => [file(base()), file(null)]],
    ['file over file, uv', () => [file(base(), { aio: 'uv' }), file(null, { aio: 'uv' })]],
    [
      'file over file, threads',
      () => [file(base(), { aio: 'threads' }), file(null, { aio: 'threads' })],
    ],
    ['memory over file', () => [file(base()), { driver: 'memory' }]],
  ];
  it.each(kinds)(
    'two threads fill the same clusters at once, and no sector is lost: %s',
    async (_, make) => {
      const [bottom, top] = make();
      const spec = { driver: 'overlay', options: { base: bottom, top, 'cluster-size': 16_384 } };
      const disk = await open(spec);
      const expected = base();
      // Sectors of both threads, and of main, lie side by side in every cluster.
      const write = async (index: number) => {
        for (let at = index; at < MIB / SECTOR; at += 24) {
          const batch = [0, 3, 6, 9].map((more) => {
            const data = new Uint8Array(SECTOR).fill(100 + index * 50 + (at % 7));
            const offset = (at + more) * SECTOR;
            if (offset >= MIB) return undefined;
            expected.set(data, offset);
            if (index === 2) return disk.backend.io.write(offset, data);
            return disk.submit(index, OP_WRITE, offset, SECTOR, data);
          });
          if (at % 5 === 0 && index < 2) batch.push(disk.submit(index, OP_FLUSH, 0, 0));
          for (const answer of await Promise.all(batch)) {
            if (answer) expect(answer.result).toBe(0);
          }
        }
      };
      await Promise.all([write(0), write(1), write(2)]);
      for (const index of [0, 1]) {
        const { data } = await disk.submit(index, OP_READ, 0, MIB);
        expect(Buffer.compare(data, expected)).toBe(0);
      }
      const overlay = disk.backend.driver as OverlayDriver;
      expect(overlay.present).toBe(64);
      await disk.submit(0, OP_FLUSH, 0, 0);
      expect(overlay.map.dirty).toBe(false);
      await disk.close();
      if (top.driver !== 'file') return;
      const again = await BlockBackend.open(two.core, two.context, spec);
      const read = new Uint8Array(MIB);
      await again.io.read(0, read);
      expect(Buffer.compare(read, expected)).toBe(0);
      await again.close();
    },
  );

  it('core memory is as before', async () => {
    const before = two.core.allocatedBytes;
    const options = { base: file(base(), { aio: 'threads' }), top: file(null, { aio: 'threads' }) };
    const disk = await open({ driver: 'overlay', options });
    await disk.submit(0, OP_WRITE, 512, 512, new Uint8Array(512).fill(1));
    await disk.close();
    expect(two.core.allocatedBytes).toBe(before);
  });

  it('BB-28 a throttled thread sleeps until its time has come, and is woken', async () => {
    const options = { file: { driver: 'memory', options: { size: MIB } }, 'iops-total': 400 };
    const disk = await open({ driver: 'throttle', options });
    const good = two.threads.map((thread) => nextEvent<number>(thread, 'hammered'));
    for (const [index, thread] of two.threads.entries()) {
      const lane = disk.lanes[index]!.address;
      await thread.call('hammer on', { lane, count: 80, depth: 8, sectors: 64 });
    }
    expect(await Promise.all(good)).toEqual([80, 80]);
    await disk.close();
  });
});
