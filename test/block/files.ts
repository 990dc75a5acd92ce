/** Image files and file disks for tests; the folder goes when the tests of a file have run. */

import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { openCore } from '#src/adapter/node';
import { nodeFiles } from '#src/adapter/node-files';
import { AioContext } from '#src/aio/context';
import { BlockBackend } from '#src/block/backend';
import type { BlockDriver } from '#src/block/driver';
import { type FileHost, type FileSystem, fileDriver } from '#src/block/file';

export const MIB = 2 ** 20;
export const folder = fs.mkdtempSync(join(tmpdir(), 'vblk-file-'));
afterAll(() => fs.rmSync(folder, { recursive: true }));

export const core = await openCore({ ramBytes: 65_536 });
let files = 0;

/** A new file with these bytes in it. */
export function image(content: Uint8Array | number): string {
  const filename = join(folder, `image${files++}`);
  fs.writeFileSync(filename, typeof content === 'number' ? new Uint8Array(content) : content);
  return filename;
}

/** A file disk on a host whose parts the test may replace. */
export function open(
  options: Record<string, unknown>,
  parts: Partial<FileSystem> = {},
  more: Partial<FileHost> = {},
): BlockDriver {
  const host: FileHost = { ...nodeFiles, ...more, fs: { ...nodeFiles.fs, ...parts } };
  return fileDriver(host)(core, options, { main: true }) as BlockDriver;
}

/** A backend of its own context, for requests as promises. */
export async function backend(driver: BlockDriver) {
  const context = new AioContext(core);
  const made = BlockBackend.attach(core, context, driver);
  return {
    io: made.io,
    backend: made,
    async close() {
      await made.close();
      context.close();
    },
  };
}

/** Bytes that a file takes on the disk. */
export const allocated = (filename: string) => fs.statSync(filename).blocks * 512;
