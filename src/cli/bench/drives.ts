/** From `--drive` to disks: what each engine is given, what it holds, what must go afterwards. */

import { closeSync, mkdtempSync, openSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DriverSpec } from '../../block/driver.ts';
import { OptionError } from '../option-error.ts';
import { type Contents, FileContents, StampedContents } from './contents.ts';
import { Job } from './job.ts';
import {
  type BenchOptions,
  checkSize,
  DEFAULT_SIZE,
  type Drive,
  type EngineName,
} from './options.ts';

/** The contestants on one drive. */
export interface DriveJobs {
  readonly name: string;
  /** Bytes that are used. */
  readonly size: number;
  readonly jobs: readonly Job[];
  /** The disk is written before the run: its contents are the bench's. */
  readonly filled: boolean;
  /** The disk keeps what is written. */
  readonly verifiable: boolean;
  /** All jobs have the same file: one must end before the next begins. */
  readonly oneFile: boolean;
}

/** Opens a drive once per engine. Throws an OptionError if the drive or the size does not fit. */
export async function openDrive(drive: Drive, options: BenchOptions): Promise<DriveJobs> {
  const size = sizeOf(drive, options);
  const onlyRead = drive.kind === 'file' && !options.rw.includes('w');
  const folder = drive.kind === 'temp' ? mkdtempSync(join(tmpdir(), 'vblk-bench-')) : null;
  const jobs: Job[] = [];
  try {
    for (const engine of options.engines) {
      const contents: Contents = onlyRead
        ? new FileContents(drive.filename, options.bs)
        : new StampedContents(size / options.bs, options.bs);
      const disk = diskOf(drive, folder, engine, size, onlyRead);
      jobs.push(await Job.open(disk, engine, { ...options, size }, contents));
    }
  } finally {
    // The jobs have the files open; without a name they go with the process, however it ends.
    if (folder) rmSync(folder, { recursive: true, force: true });
  }
  return {
    name: drive.kind === 'file' ? drive.filename : drive.kind,
    size,
    jobs,
    filled: !onlyRead,
    verifiable: drive.kind !== 'null',
    oneFile: drive.kind === 'file',
  };
}

function sizeOf(drive: Drive, options: BenchOptions): number {
  if (drive.kind !== 'file') return options.size ?? DEFAULT_SIZE;
  const option = `file:${drive.filename}`;
  const stat = statSync(drive.filename, { throwIfNoEntry: false });
  if (!stat || !(stat.isFile() || stat.isBlockDevice())) {
    throw new OptionError('--drive', option, 'file:PATH of a file or block device that exists');
  }
  if (options.size !== null) return options.size;
  if (stat.isBlockDevice()) throw new OptionError('--size', '', 'a size: the drive is a device');
  const size = stat.size - (stat.size % options.bs);
  checkSize(size, options);
  return size;
}

function diskOf(
  drive: Drive,
  folder: string | null,
  engine: EngineName,
  size: number,
  onlyRead: boolean,
): DriverSpec {
  if (drive.kind === 'memory' || drive.kind === 'null') {
    return { driver: drive.kind, options: { size } };
  }
  if (drive.kind === 'file') {
    return { driver: 'file', options: { filename: drive.filename, size, readonly: onlyRead } };
  }
  // Each engine has a temporary file of its own, so that they can take turns.
  const filename = join(folder!, `${engine}.img`);
  closeSync(openSync(filename, 'wx'));
  return { driver: 'file', options: { filename, size, create: true } };
}
