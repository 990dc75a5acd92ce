import * as fs from 'node:fs';
import { describe, expect, it } from 'vitest';
import { nodeFiles } from '#src/adapter/node-files';
import { OP_WRITE_ZEROES } from '#src/block/driver';
import type { FileHost } from '#src/block/file';
import { SegmentVector } from '#src/block/io-vector';

import { allocated, backend, image, MIB, open } from './files.ts';

describe('file disk: freeing space', () => {
  const canPunch = (() => {
    const filename = image(MIB);
    const fd = fs.openSync(filename, 'r+');
    const punched = nodeFiles.punchHoleSync?.(fd, 0, MIB) ?? false;
    fs.closeSync(fd);
    return punched && allocated(filename) < MIB;
  })();

  for (const aio of ['sync', 'uv']) {
    it(`discard at the end frees by truncating, and the size stays (${aio})`, async () => {
      const filename = image(new Uint8Array(MIB).fill(5));
      const noHoles: Partial<FileHost> = {
        punchHoleSync: () => false,
        punchHole: (_fd, _offset, _length, done) => setTimeout(done, 0, false),
      };
      const disk = await backend(open({ filename, aio }, {}, noHoles));
      await disk.io.discard(MIB / 2 + 512, MIB / 2 - 512);
      expect(fs.statSync(filename).size).toBe(MIB);
      expect(allocated(filename)).toBeLessThanOrEqual(MIB / 2 + 8192);
      const back = new Uint8Array(1024);
      await disk.io.read(MIB / 2, back);
      expect([back[511], back[512]]).toEqual([5, 0]);
      await disk.io.discard(0, 4096); // no holes to be had: succeeds and does nothing
      await disk.io.read(0, back);
      expect(back[0]).toBe(5);
      await disk.close();
    });

    it.skipIf(!canPunch)(
      `discard in the middle makes a hole of whole blocks (${aio})`,
      async () => {
        const filename = image(new Uint8Array(MIB).fill(5));
        const disk = await backend(open({ filename, aio }));
        await disk.io.discard(512, MIB / 2);
        expect(allocated(filename)).toBeLessThanOrEqual(MIB / 2 + 8192);
        const back = new Uint8Array(MIB);
        await disk.io.read(0, back);
        expect([back[4095], back[4096], back[MIB / 2 - 1], back[MIB / 2]]).toEqual([5, 0, 0, 5]);
        await disk.close();
      },
    );

    it.skipIf(!canPunch)(`zeroes that may be unmapped are a hole and zeroes (${aio})`, async () => {
      const filename = image(new Uint8Array(MIB).fill(5));
      const disk = await backend(open({ filename, aio }));
      await disk.io.writeZeroes(512, MIB / 2, true);
      expect(allocated(filename)).toBeLessThanOrEqual(MIB / 2 + 16_384);
      const back = new Uint8Array(MIB);
      await disk.io.read(0, back);
      expect([back[511], back[512], back[MIB / 2 + 511], back[MIB / 2 + 512]]).toEqual([
        5, 0, 0, 5,
      ]);
      await disk.io.writeZeroes(0, 8192, false);
      expect(allocated(filename)).toBeGreaterThan(MIB / 2);
      await disk.close();
    });

    it(`discard=ignore frees nothing, zeroes are still written (${aio})`, async () => {
      const filename = image(new Uint8Array(MIB).fill(5));
      const disk = await backend(open({ filename, aio, discard: 'ignore' }));
      await disk.io.discard(0, MIB);
      await disk.io.writeZeroes(4096, 4096, true);
      expect(allocated(filename)).toBeGreaterThanOrEqual(MIB);
      const back = new Uint8Array(8193);
      await disk.io.read(0, back);
      expect([back[0], back[4096], back[8191], back[8192]]).toEqual([5, 0, 0, 5]);
      await disk.close();
    });
  }

  it('a file system that refuses a hole is asked once', async () => {
    const filename = image(MIB);
    let asked = 0;
    const refuse = () => {
      asked++;
      return false;
    };
    const disk = await backend(open({ filename }, {}, { punchHoleSync: refuse }));
    await disk.io.discard(0, 65_536);
    await disk.io.discard(65_536, 65_536);
    await disk.io.writeZeroes(0, 65_536, true);
    expect(asked).toBe(1);
    await disk.close();
  });

  it('a large write of zeroes goes in pieces, all of it', () => {
    const filename = image(new Uint8Array(3 * MIB).fill(5));
    const driver = open({ filename, discard: 'ignore' });
    const vector = new SegmentVector();
    const length = 3 * MIB - 1024;
    const request = { op: OP_WRITE_ZEROES, offset: 512, length, flags: 0, vector, settle() {} };
    expect(driver.submit({ ...request, op: OP_WRITE_ZEROES })).toBe(0);
    const content = fs.readFileSync(filename);
    expect([content[511], content[3 * MIB - 512]]).toEqual([5, 5]);
    expect(content.subarray(512, 3 * MIB - 512).every((byte) => byte === 0)).toBe(true);
    driver.close();
  });
});
