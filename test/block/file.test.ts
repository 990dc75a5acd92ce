import * as fs from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { AioContext } from '#src/aio/context';
import { BlockBackend } from '#src/block/backend';
import { DirectBatch } from '#src/block/direct-batch';
import type { BlockDriver } from '#src/block/driver';
import { OP_READ, OP_WRITE, PENDING } from '#src/block/driver';
import { DriverClient } from '#src/block/driver-client';
import { BlockError, OptionError } from '#src/block/error';
import type { FileSystem } from '#src/block/file';
import { SyncFileDriver } from '#src/block/file-sync';
import { SegmentVector } from '#src/block/io-vector';

import { backend, core, folder, image, MIB, open } from './files.ts';

describe('file disk: its size', () => {
  it('is the file’s, rounded down to 512; the tail is never touched', async () => {
    const filename = image(new Uint8Array(3 * 512 + 100).fill(7));
    const disk = await backend(open({ filename }));
    expect(disk.backend.size).toBe(3 * 512);
    await disk.io.writeZeroes(0, 3 * 512, true);
    await disk.io.discard(512, 1024);
    await expect(disk.io.write(3 * 512, new Uint8Array(100))).rejects.toThrow('EIO');
    await disk.close();
    const content = fs.readFileSync(filename);
    expect(content.length).toBe(3 * 512 + 100);
    expect(content.subarray(3 * 512).every((byte) => byte === 7)).toBe(true);
    expect(content.subarray(0, 512).every((byte) => byte === 0)).toBe(true);
  });

  for (const aio of ['sync', 'uv']) {
    it(`a file shorter than the disk reads zeroes behind its end (${aio})`, async () => {
      const filename = image(new Uint8Array(700).fill(7));
      const disk = await backend(open({ filename, size: 4096, aio }));
      const back = new Uint8Array(4096).fill(1);
      await disk.io.read(0, back);
      expect([back[699], back[700], back[4095]]).toEqual([7, 0, 0]);
      await disk.io.read(2048, back.subarray(0, 2048));
      expect(back[0]).toBe(0);
      await disk.io.write(4095, Uint8Array.of(9));
      await disk.io.read(0, back);
      expect([back[699], back[4095]]).toEqual([7, 9]);
      await disk.close();
    });
  }

  it('of a file of less than a sector must be given; create makes one of that size', () => {
    const filename = image(100);
    expect(() => open({ filename })).toThrow(/^size: undefined is not allowed/);
    const fresh = join(folder, 'fresh');
    expect(() => open({ filename: fresh, size: '1M' })).toThrow(BlockError);
    const disk = open({ filename: fresh, size: '1M', create: true });
    expect([disk.size, fs.statSync(fresh).size]).toEqual([MIB, MIB]);
    disk.close();
    const longer = open({ filename: fresh, size: 512, create: true });
    expect([longer.size, fs.statSync(fresh).size]).toEqual([512, MIB]);
    longer.close();
  });

  it('of a block device comes from the host, rounded down', () => {
    const filename = image(0);
    const stat = (fd: number) => ({
      ...fs.fstatSync(fd),
      isFile: () => false,
      isBlockDevice: () => true,
    });
    const parts = { fstatSync: stat as typeof fs.fstatSync };
    const disk = open({ filename }, parts, { deviceSize: () => 1_000_000 });
    expect(disk.size).toBe(999_936);
    expect(disk.truncate(512)).toBe(-22);
    disk.close();
    expect(() => open({ filename }, parts, { deviceSize: () => undefined })).toThrow(OptionError);
  });
});

describe('file disk: opening', () => {
  it('what the host refuses is a BlockError with its code and cause', () => {
    const missing = () => open({ filename: join(folder, 'missing') });
    expect(missing).toThrow(BlockError);
    expect(missing).toThrow(/open failed \(ENOENT\)/);
  });

  it('a folder is no disk, and its descriptor is closed', () => {
    let closed = 0;
    const closeSync = (fd: number) => {
      closed++;
      fs.closeSync(fd);
    };
    expect(() => open({ filename: folder, readonly: true }, { closeSync })).toThrow(
      `filename: '${folder}' is not allowed; allowed: regular files and block devices`,
    );
    expect(closed).toBe(1);
  });

  it('options that are wrong are named', () => {
    const filename = image(512);
    expect(() => open({})).toThrow('filename: undefined is not allowed');
    expect(() => open({ filename, aio: 'io_uring' })).toThrow(
      "aio: 'io_uring' is not allowed; allowed: sync, uv",
    );
    expect(() => open({ filename, discard: 'on' })).toThrow('allowed: unmap, ignore');
    expect(() => open({ filename, parallel: 0 })).toThrow('parallel: 0');
    expect(() => open({ filename, readonly: true, create: true })).toThrow('create: true');
    expect(() => open({ filename, cache: 'none' })).toThrow('file.cache');
    const noDirect = { ...fs.constants } as Record<string, number>;
    delete noDirect['O_DIRECT'];
    const constants = noDirect as unknown as FileSystem['constants'];
    expect(() => open({ filename, direct: true }, { constants })).toThrow('no O_DIRECT');
  });

  it('reading leaves the time of the last access as it is', async () => {
    const filename = image(4096);
    fs.utimesSync(filename, 1000, 2000); // older than the last change: a read is due to update it
    const driver = open({ filename });
    await new DriverClient(driver).read(0, new Uint8Array(512));
    expect(fs.statSync(filename).atimeMs).toBe(1_000_000);
    driver.close();
  });

  describe('O_NOATIME', () => {
    const O_NOATIME = 0x40000;
    const withFlag = { ...fs.constants, O_NOATIME } as FileSystem['constants'];

    /** Opens a file on a host that answers as `refuse` says; the flags it was asked with. */
    function asked(constants: FileSystem['constants'], refuse: (flags: number) => string | null) {
      const flags: number[] = [];
      const openSync = (path: string, given: number) => {
        flags.push(given & O_NOATIME);
        const code = refuse(given);
        if (code) throw Object.assign(new Error(code), { code });
        return fs.openSync(path, given & ~O_NOATIME);
      };
      const opened = () => open({ filename: image(512) }, { constants, openSync }).close();
      return { flags, opened };
    }

    it('is asked for where there is such a flag', () => {
      const { flags, opened } = asked(withFlag, () => null);
      opened();
      expect(flags).toEqual([O_NOATIME]);
      const { O_NOATIME: _, ...without } = withFlag;
      const bare = asked(without, () => null);
      bare.opened();
      expect(bare.flags).toEqual([0]);
    });

    it('is done without if the file is somebody else’s', () => {
      const { flags, opened } = asked(withFlag, (given) => (given & O_NOATIME ? 'EPERM' : null));
      opened();
      expect(flags).toEqual([O_NOATIME, 0]);
    });

    it('is no reason to ask twice if the file cannot be opened', () => {
      const missing = asked(withFlag, () => 'ENOENT');
      expect(missing.opened).toThrow(expect.objectContaining({ code: 'ENOENT' }));
      expect(missing.flags).toEqual([O_NOATIME]);
      const sealed = asked(withFlag, () => 'EPERM');
      expect(sealed.opened).toThrow(expect.objectContaining({ code: 'EPERM' }));
      expect(sealed.flags).toEqual([O_NOATIME, 0]);
      const { O_NOATIME: _, ...without } = withFlag;
      const bare = asked(without, () => 'EPERM');
      expect(bare.opened).toThrow(expect.objectContaining({ code: 'EPERM' }));
      expect(bare.flags).toEqual([0]);
    });
  });

  it('read-only opens read-only, and says so', async () => {
    const filename = image(4096);
    let flags = -1;
    const openSync = (path: string, given: number) => {
      flags = given;
      return fs.openSync(path, given);
    };
    const driver = open({ filename, readonly: 'on' }, { openSync });
    expect([flags & 3, driver.readOnly]).toEqual([fs.constants.O_RDONLY, true]);
    expect(driver.truncate(512)).toBe(-1);
    const disk = await backend(driver);
    await expect(disk.io.write(0, new Uint8Array(512))).rejects.toMatchObject({ code: 'EPERM' });
    await disk.io.flush();
    await disk.close();
  });
});

describe('file disk: transfers', () => {
  it('sync goes straight between the file and the segments, one call for all of them', () => {
    const filename = image(Uint8Array.from({ length: 4096 }, (_, i) => i >> 4));
    const calls: string[] = [];
    const driver = open(
      { filename },
      {
        readSync: (...args) => {
          calls.push('readSync');
          return fs.readSync(...args);
        },
        readvSync: (fd, views, position) => {
          calls.push(`readvSync of ${views.length}`);
          return fs.readvSync(fd, views, position);
        },
      },
    );
    const bytes = core.ramU8;
    const vector = new SegmentVector(bytes);
    vector.append(0, 512);
    const request = { op: OP_READ, offset: 0, length: 512, flags: 0, vector, settle() {} } as const;
    expect(driver.submit(request)).toBe(512);
    vector.append(1024, 512);
    expect(driver.submit({ ...request, length: 1024 })).toBe(1024);
    expect(calls).toEqual(['readSync', 'readvSync of 2']);
    expect([bytes[511], bytes[1024]]).toEqual([31, 32]);
    driver.close();
  });

  it('sync does a whole table of requests, each with a result of its own', () => {
    const filename = image(Uint8Array.from({ length: 4096 }, (_, i) => i >> 4));
    let calls = 0;
    const words = new Uint32Array(2);
    const driver = open(
      { filename },
      {
        readSync: (...args) => {
          calls += 1;
          if (calls === 2) throw Object.assign(new Error('worn out'), { code: 'EPERM' });
          if (calls === 3) words[1] = 1;
          return fs.readSync(...args);
        },
      },
    );
    if (!(driver instanceof SyncFileDriver)) throw new Error('not the driver that was meant');
    const bytes = core.ramU8;
    const table = new DirectBatch(4);
    for (const at of [2, 0, 7, 1]) table.add(at, at * 512, 8192 + at * 512, 512);
    expect(driver.submitAll(OP_READ, table, bytes, words, 1)).toBe(3);
    expect([...table.results.subarray(0, 3)]).toEqual([512, -1, 512]);
    expect([bytes[8192 + 1024], bytes[8192 + 7 * 512 + 511], calls]).toEqual([64, 255, 3]);
    expect(driver.submitAll(OP_READ, table, bytes, words, 1)).toBe(0);
    words[1] = 0;
    bytes.fill(0x77, 8192 + 512, 8192 + 1024);
    table.clear();
    table.add(0, 1024, 8192 + 512, 512);
    expect([driver.submitAll(OP_WRITE, table, bytes, words, 1), table.results[0]]).toEqual([
      1, 512,
    ]);
    driver.close();
    const content = fs.readFileSync(filename);
    expect([content[1023], content[1024], content[1535], content[1536]]).toEqual([
      63, 119, 119, 96,
    ]);
  });

  it('no call has more than 1024 views: the rest is a short transfer', () => {
    const filename = image(MIB);
    const counts: number[] = [];
    const writevSync = (fd: number, views: Uint8Array[], position: number) => {
      counts.push(views.length);
      return fs.writevSync(fd, views, position);
    };
    const driver = open({ filename }, { writevSync });
    const vector = new SegmentVector(new Uint8Array(4096));
    for (let i = 0; i < 1500; i++) vector.append((i % 2) * 2048, 1);
    const request = {
      op: OP_WRITE,
      offset: 0,
      length: 1500,
      flags: 0,
      vector,
      settle() {},
    } as const;
    expect(driver.submit(request)).toBe(1024);
    expect(counts).toEqual([1024]);
    driver.close();
  });

  it('uv never has more than `parallel` requests in the pool, and loses none', async () => {
    const filename = image(MIB);
    let running = 0;
    let most = 0;
    const read: FileSystem['read'] = (fd, bytes, at, length, position, done) => {
      most = Math.max(most, ++running);
      fs.read(fd, bytes, at, length, position, (error, count) => {
        running--;
        done(error, count);
      });
    };
    const disk = await backend(open({ filename, aio: 'uv', parallel: 3 }, { read }));
    const reads = Array.from({ length: 40 }, (_, i) => disk.io.read(i * 512, new Uint8Array(512)));
    await Promise.all(reads);
    expect([most, running]).toEqual([3, 0]);
    await disk.close();
  });

  it('an error of the host is its errno, at once and later', async () => {
    const filename = image(4096);
    const full = Object.assign(new Error('full'), { code: 'ENOSPC' });
    const parts: Partial<FileSystem> = {
      writeSync() {
        throw full;
      },
      write: (_fd, _bytes, _at, _length, _position, done) => setTimeout(done, 0, full, 0),
      fdatasync: (_fd, done) => setTimeout(done, 0, full),
      read() {
        throw Object.assign(new Error('bad'), { code: 'EBADF' });
      },
    };
    for (const aio of ['sync', 'uv']) {
      const disk = await backend(open({ filename, aio }, parts));
      const failed = disk.io.write(0, new Uint8Array(512));
      await expect(failed).rejects.toMatchObject({ code: 'ENOSPC', operation: 'write' });
      await expect(disk.io.writeZeroes(0, 512)).rejects.toMatchObject({ code: 'ENOSPC' });
      if (aio === 'uv') {
        await expect(disk.io.flush()).rejects.toMatchObject({ code: 'ENOSPC' });
        await expect(disk.io.read(0, new Uint8Array(512))).rejects.toMatchObject({ code: 'EBADF' });
      }
      await disk.close();
    }
  });

  for (const aio of ['sync', 'uv']) {
    it(`BB-21 a flush, and each write without write cache, is fdatasync (${aio})`, async () => {
      const filename = image(4096);
      let syncs = 0;
      const disk = await backend(
        open(
          { filename, aio },
          {
            fdatasyncSync: (fd) => {
              syncs++;
              fs.fdatasyncSync(fd);
            },
            fdatasync: (fd, done) => {
              syncs++;
              fs.fdatasync(fd, done);
            },
          },
        ),
      );
      await disk.io.write(0, new Uint8Array(512));
      expect(syncs).toBe(0);
      await disk.io.flush();
      expect(syncs).toBe(1);
      disk.backend.writeCache = false;
      await disk.io.write(0, new Uint8Array(512));
      expect(syncs).toBe(2);
      await disk.close();
    });
  }
});

describe('file disk: O_DIRECT', () => {
  const filename = image(64 * 1024);
  let refused = '';
  try {
    (open({ filename, direct: true }) as BlockDriver).close();
  } catch (error) {
    refused = ` (skipped: ${(error as Error).message})`;
  }

  it.skipIf(refused !== '')(`says its alignment, and works from any buffer${refused}`, async () => {
    const driver = open({ filename, direct: true });
    expect([512, 4096]).toContain(driver.alignment);
    const context = new AioContext(core);
    const made = BlockBackend.attach(core, context, driver, { logicalBlockSize: driver.alignment });
    const odd = new Uint8Array(4096 + 1).subarray(1).fill(3);
    await made.io.write(4096, odd);
    const back = new Uint8Array(4096 + 3).subarray(3);
    await made.io.read(4096, back);
    expect(back.every((byte) => byte === 3)).toBe(true);
    await expect(made.io.read(1, back)).rejects.toMatchObject({ code: 'EINVAL' });
    await made.close();
    context.close();
  });

  it('a disk that takes only blocks of 4096 says so, and a guest of 512 is refused', () => {
    const readSync: FileSystem['readSync'] = (_fd, _bytes, _at, length) => {
      if (length < 4096) throw Object.assign(new Error('aligned'), { code: 'EINVAL' });
      return length;
    };
    const openSync = (path: string, flags: number) =>
      fs.openSync(path, flags & ~(fs.constants.O_DIRECT ?? 0));
    const driver = open({ filename, direct: true }, { readSync, openSync });
    expect(driver.alignment).toBe(4096);
    const context = new AioContext(core);
    expect(() => BlockBackend.attach(core, context, driver)).toThrow(
      'logical_block_size: 512 is not allowed; allowed: at least 4096',
    );
    driver.close();
    context.close();
  });
});

describe('file disk: PENDING', () => {
  it('uv answers PENDING and settles once, sync never', async () => {
    const filename = image(4096);
    const vector = new SegmentVector(new Uint8Array(512));
    vector.append(0, 512);
    const results: number[] = [];
    let told = (): void => {};
    const settled = new Promise<void>((resolve) => {
      told = resolve;
    });
    const settle = (result: number): void => {
      results.push(result);
      told();
    };
    const request = { op: OP_READ, offset: 0, length: 512, flags: 0, vector, settle } as const;
    const uv = open({ filename, aio: 'uv' });
    expect(uv.submit(request)).toBe(PENDING);
    expect(results).toEqual([]);
    await settled;
    expect(results).toEqual([512]);
    uv.close();
    const sync = open({ filename });
    expect(sync.submit(request)).toBe(512);
    expect(results).toEqual([512]);
    sync.close();
  });
});
