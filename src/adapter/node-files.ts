/** Node's file system for the file driver, and what `node:fs` lacks: sizes of devices, holes. */

import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { Worker } from 'node:worker_threads';
import type { FileHost, FileStat } from '../block/file.ts';
import { poolEntryUrl } from './assets.ts';

/** In Deno a descriptor is its thread's own. */
const descriptorsCross = !('Deno' in globalThis);

export const nodeFiles: FileHost = {
  fs,
  descriptorsCross,
  createPoolWorker: () => new Worker(poolEntryUrl()),
  deviceSize,
  punchHoleSync,
  punchHole,
};

/** Linux says in /sys how many sectors of 512 bytes a block device has. */
function deviceSize(_fd: number, stat: FileStat): number | undefined {
  const { rdev } = stat as fs.Stats;
  const major = (rdev >>> 8) & 0xfff;
  const minor = (rdev & 0xff) | ((rdev >>> 12) & 0xfff00);
  try {
    const sectors = Number(fs.readFileSync(`/sys/dev/block/${major}:${minor}/size`, 'utf8'));
    return Number.isSafeInteger(sectors) ? sectors * 512 : undefined;
  } catch {
    return undefined;
  }
}

/** The child gets the descriptor as its number 3, so the file may have been renamed or removed. */
function fallocate(offset: number, length: number): [string, string[]] {
  const range = ['--offset', String(offset), '--length', String(length)];
  return ['fallocate', ['--punch-hole', ...range, '/proc/self/fd/3']];
}

/** By the command of util-linux; where there is none, no holes. */
function punchHoleSync(fd: number, offset: number, length: number): boolean {
  const [command, list] = fallocate(offset, length);
  return spawnSync(command, list, { stdio: ['ignore', 'ignore', 'ignore', fd] }).status === 0;
}

function punchHole(
  fd: number,
  offset: number,
  length: number,
  done: (punched: boolean) => void,
): void {
  const [command, list] = fallocate(offset, length);
  const child = spawn(command, list, { stdio: ['ignore', 'ignore', 'ignore', fd] });
  let ended = false;
  const end = (punched: boolean): void => {
    if (ended) return; // a command that is not there reports `error`, perhaps `close`, too
    ended = true;
    done(punched);
  };
  child.on('error', () => end(false));
  child.on('close', (code) => end(code === 0));
}
