/**
 * What the file driver needs of its host: the part of Node's `fs` that it uses, and two things
 * that `fs` lacks. `adapter/node.ts` passes Node's own.
 */

import type { WorkerLike } from '../aio/worker-port.ts';

export interface FileStat {
  readonly size: number;
  /** Which file it is. */
  readonly dev: number;
  readonly ino: number;
  isFile(): boolean;
  isBlockDevice(): boolean;
}

/** With `bigint`, which alone is exact: of the last change of the contents, in ns since 1970. */
export interface ExactStat {
  readonly size: bigint;
  readonly mtimeNs: bigint;
}

type Transferred = (error: Error | null, bytes: number) => void;
type Finished = (error: Error | null) => void;

/**
 * Shaped as `node:fs`. Errors carry a `code` as in errno. `readSync` and `writeSync` are called
 * without `this`.
 */
export interface FileSystem {
  readonly constants: {
    readonly O_RDONLY: number;
    readonly O_RDWR: number;
    readonly O_CREAT: number;
    /** Missing where the system has no such flag. */
    readonly O_DIRECT?: number;
    /** Reads leave the time of the last access as it is; missing as above. */
    readonly O_NOATIME?: number;
  };
  openSync(path: string, flags: number, mode?: number): number;
  closeSync(fd: number): void;
  fstatSync(fd: number): FileStat;
  fstatSync(fd: number, options: { readonly bigint: true }): ExactStat;
  ftruncateSync(fd: number, size: number): void;
  fdatasyncSync(fd: number): void;
  readSync(fd: number, bytes: Uint8Array, at: number, length: number, position: number): number;
  writeSync(fd: number, bytes: Uint8Array, at: number, length: number, position: number): number;
  readvSync(fd: number, views: Uint8Array[], position: number): number;
  writevSync(fd: number, views: Uint8Array[], position: number): number;
  ftruncate(fd: number, size: number, done: Finished): void;
  fdatasync(fd: number, done: Finished): void;
  read(
    fd: number,
    bytes: Uint8Array,
    at: number,
    length: number,
    position: number,
    done: Transferred,
  ): void;
  write(
    fd: number,
    bytes: Uint8Array,
    at: number,
    length: number,
    position: number,
    done: Transferred,
  ): void;
  readv(fd: number, views: Uint8Array[], position: number, done: Transferred): void;
  writev(fd: number, views: Uint8Array[], position: number, done: Transferred): void;
}

export interface FileHost {
  readonly fs: FileSystem;
  /** A descriptor opened on one thread works on all (Deno: no). */
  readonly descriptorsCross?: boolean;
  /** A fresh Worker that does `file-work` of this host, for `aio=threads`. */
  createPoolWorker?(): WorkerLike;
  /** Bytes of a block device, whose stat says 0; undefined if that cannot be found out. */
  deviceSize?(fd: number, stat: FileStat): number | undefined;
  /** Makes a hole in a file. False: this host, or the file system, cannot. */
  punchHoleSync?(fd: number, offset: number, length: number): boolean;
  punchHole?(fd: number, offset: number, length: number, done: (punched: boolean) => void): void;
}
