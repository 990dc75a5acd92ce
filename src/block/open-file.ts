/** An open image file: what the two file drivers have in common. QEMU: `block/file-posix.c`. */

import { EINVAL, EPERM } from '../spec.ts';
import type { DriverSpec } from './driver.ts';
import { BlockError, errnoOfThrown, OptionError } from './error.ts';
import type { FileHost, FileStat } from './file-system.ts';

export interface OpenFileOptions {
  filename: string;
  /** The file is open already, as this descriptor, which stays the caller's. */
  fd: number | undefined;
  /** Device and inode that the file must have, as `identity` gives them; else ESTALE. */
  identity: string | undefined;
  /** O_DIRECT: past the host's page cache. */
  direct: boolean;
  readOnly: boolean;
  /** Makes the file if it is missing, and extends it to `size`. */
  create: boolean;
  /** Bytes of the disk; undefined: the file's size, rounded down to 512. */
  size: number | undefined;
  /** Discard frees space. */
  unmap: boolean;
}

/** Bytes of a file. */
export interface Range {
  readonly offset: number;
  readonly length: number;
}

/** Zeroes to write, and the unit in which holes are made. */
const ZERO_PAGES = 16;
const HOLE = 4096;
/** Of a file that is made: who may read and write it, before umask. */
const MODE = 0o666;

export class OpenFile {
  readonly host: FileHost;
  readonly fd: number;
  readonly filename: string;
  readonly readOnly: boolean;
  /** Unit of offsets, lengths and addresses: 1 without O_DIRECT. */
  readonly alignment: number;
  /** A regular file, which can be truncated and may be shorter than the disk. */
  readonly regular: boolean;
  /** Discard frees space where it can. */
  readonly unmap: boolean;
  /** Bytes of the disk: a multiple of 512. */
  size: number;
  /** O_DIRECT. */
  readonly direct: boolean;
  readonly identity: string;
  readonly #borrowed: boolean;
  #canPunch: boolean;
  #zeroes: Uint8Array | null = null;

  /** Throws a BlockError if the host refuses, an OptionError if the options do not fit the file. */
  constructor(host: FileHost, options: OpenFileOptions) {
    this.host = host;
    this.filename = options.filename;
    this.readOnly = options.readOnly;
    this.direct = options.direct;
    this.#borrowed = options.fd !== undefined;
    this.fd = options.fd ?? openFd(host, options);
    try {
      const stat = host.fs.fstatSync(this.fd);
      this.identity = checkIdentity(stat, options.identity);
      this.regular = stat.isFile();
      this.size = this.#diskSize(stat, options);
      this.alignment = options.direct ? probeAlignment(host, this.fd) : 1;
    } catch (thrown) {
      this.close();
      throw asOpenError(thrown);
    }
    this.unmap = options.unmap;
    this.#canPunch = options.unmap && this.regular;
  }

  /**
   * The part of a range that can be a hole: whole blocks. Null if there is none, if the options
   * forbid holes, or if the host refused one before.
   */
  holeWithin(offset: number, length: number): Range | null {
    const from = Math.ceil(offset / HOLE) * HOLE;
    const to = Math.floor((offset + length) / HOLE) * HOLE;
    return this.#canPunch && from < to ? { offset: from, length: to - from } : null;
  }

  /** The file system refused once: do not ask again. */
  holesRefused(): void {
    this.#canPunch = false;
  }

  /** At least `bytes` zeroes, at most 1 MiB; page-aligned, as O_DIRECT wants them. */
  zeroes(bytes: number): Uint8Array {
    this.#zeroes ??= alignedBytes(ZERO_PAGES);
    return this.#zeroes.subarray(0, Math.min(bytes, this.#zeroes.length));
  }

  /**
   * Is a range that is not needed any more the file's last part, so that truncating frees it? Not
   * if the file goes on behind the disk.
   */
  endsFile(offset: number, length: number): boolean {
    if (!this.unmap || !this.regular || offset + length < this.size) return false;
    return this.host.fs.fstatSync(this.fd).size <= this.size;
  }

  truncate(size: number): number {
    if (this.readOnly) return -EPERM;
    if (!this.regular || !Number.isSafeInteger(size) || size < 0 || size % 512) return -EINVAL;
    try {
      this.host.fs.ftruncateSync(this.fd, size);
    } catch (thrown) {
      return errnoOfThrown(thrown);
    }
    this.size = size;
    return 0;
  }

  /**
   * Size and time of the last change, as far as the file system tells times apart (Linux: some
   * milliseconds); null for a block device, whose time means nothing.
   */
  lastChange(): string | null {
    if (!this.regular) return null;
    const { size, mtimeNs } = this.host.fs.fstatSync(this.fd, { bigint: true });
    return `${size}:${mtimeNs}`;
  }

  close(): void {
    if (!this.#borrowed) this.host.fs.closeSync(this.fd);
  }

  /** How another thread opens the same file: by its descriptor where that works, else by name. */
  share(aio: string, more: Readonly<Record<string, unknown>> = {}): DriverSpec {
    const { filename, direct, readOnly: readonly, size, unmap, identity, fd, host } = this;
    const discard = unmap ? 'unmap' : 'ignore';
    const same = host.descriptorsCross ? { fd } : { identity };
    const options = { filename, aio, direct, readonly, size, discard, ...same, ...more };
    return { driver: 'file', options };
  }

  #diskSize(stat: FileStat, options: OpenFileOptions): number {
    if (!this.regular && !stat.isBlockDevice()) {
      throw new OptionError('filename', this.filename, 'regular files and block devices');
    }
    const { size, create } = options;
    if (create && this.regular && size !== undefined && stat.size < size) {
      this.host.fs.ftruncateSync(this.fd, size);
    }
    if (size !== undefined) return size;
    const bytes = this.regular ? stat.size : this.host.deviceSize?.(this.fd, stat);
    const rounded = (bytes ?? 0) - ((bytes ?? 0) % 512);
    if (rounded === 0) {
      const allowed = `a size for '${this.filename}', which has less than 512 bytes`;
      throw new OptionError('size', undefined, allowed);
    }
    return rounded;
  }
}

function checkIdentity(stat: FileStat, wanted: string | undefined): string {
  const identity = `${stat.dev}:${stat.ino}`;
  if (wanted === undefined || wanted === identity) return identity;
  const cause = new Error(`the file is another one than before: ${identity}, not ${wanted}`);
  throw new BlockError('ESTALE', 'open', { cause });
}

function openFd(host: FileHost, options: OpenFileOptions): number {
  const { O_RDONLY, O_RDWR, O_CREAT, O_DIRECT } = host.fs.constants;
  if (options.direct && O_DIRECT === undefined) {
    throw new OptionError('direct', true, 'false: this system has no O_DIRECT');
  }
  const access = options.readOnly ? O_RDONLY : O_RDWR;
  const flags = access | (options.create ? O_CREAT : 0) | (options.direct ? (O_DIRECT ?? 0) : 0);
  try {
    return openQuietly(host, options.filename, flags);
  } catch (thrown) {
    throw asOpenError(thrown);
  }
}

/**
 * With O_NOATIME, without which each read asks whether the time of the last access is due: 4 % of a
 * cached read of 4 KiB. Only the owner of a file may do that: to others the system says EPERM.
 */
function openQuietly({ fs }: FileHost, filename: string, flags: number): number {
  const { O_NOATIME = 0 } = fs.constants;
  try {
    return fs.openSync(filename, flags | O_NOATIME, MODE);
  } catch (thrown) {
    if (O_NOATIME === 0 || errnoOfThrown(thrown) !== -EPERM) throw thrown;
    return fs.openSync(filename, flags, MODE);
  }
}

function asOpenError(thrown: unknown): Error {
  if (thrown instanceof OptionError || thrown instanceof BlockError) return thrown;
  const code = (thrown as { code?: string }).code ?? 'EIO';
  return new BlockError(code, 'open', { cause: thrown });
}

/** 512 if the file takes direct reads of that size, else 4096. */
function probeAlignment(host: FileHost, fd: number): number {
  const bytes = alignedBytes(1);
  try {
    host.fs.readSync(fd, bytes, 512, 512, 512);
    return 512;
  } catch {
    host.fs.readSync(fd, bytes, 0, 4096, 0);
    return 4096;
  }
}

/** Zeroed bytes at a page's start: a WebAssembly memory is the one aligned thing JavaScript has. */
export function alignedBytes(pages: number): Uint8Array {
  return new Uint8Array(new WebAssembly.Memory({ initial: pages, maximum: pages }).buffer);
}
