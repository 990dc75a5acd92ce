/**
 * The file disk that reads and writes in the host's pool of threads: `aio = uv`. For disks that
 * are slow enough to be worth it; the pool's size is the process's (UV_THREADPOOL_SIZE).
 */

import {
  type BlockRequest,
  type DriverSpec,
  OP_DISCARD,
  OP_FLUSH,
  OP_READ,
  OP_WRITE,
  OP_WRITE_ZEROES,
  PENDING,
  REQ_MAY_UNMAP,
} from './driver.ts';
import { errnoOfThrown } from './error.ts';
import { FileDriver } from './file-driver.ts';
import { views } from './file-sync.ts';
import type { OpenFile } from './open-file.ts';

/** Ends an operation with bytes done or a negative errno. */
type End = (result: number) => void;

export class UvFileDriver extends FileDriver {
  readonly settles = 'loop';
  /** Requests that the pool may have at once. */
  readonly parallel: number;
  #running = 0;
  readonly #waiting: BlockRequest[] = [];

  constructor(file: OpenFile, parallel: number) {
    super(file);
    this.parallel = parallel;
  }

  override get share(): DriverSpec {
    return this.file.share('uv', { parallel: this.parallel });
  }

  override submit(request: BlockRequest): number {
    if (this.#running >= this.parallel) {
      this.#waiting.push(request);
      return PENDING;
    }
    try {
      this.#start(request);
      return PENDING;
    } catch (thrown) {
      return errnoOfThrown(thrown);
    }
  }

  /** Throws, with nothing begun, what the host throws at once. */
  #start(request: BlockRequest): void {
    const end: End = (result) => {
      this.#running -= 1;
      this.#startWaiting();
      request.settle(result);
    };
    this.#begin(request, end);
    this.#running += 1;
  }

  #startWaiting(): void {
    const next = this.#waiting.shift();
    if (!next) return;
    try {
      this.#start(next);
    } catch (thrown) {
      next.settle(errnoOfThrown(thrown));
      this.#startWaiting();
    }
  }

  #begin(request: BlockRequest, end: End): void {
    const { op, offset, length } = request;
    const { host, fd } = this.file;
    switch (op) {
      case OP_READ:
      case OP_WRITE:
        this.#transfer(request, end);
        break;
      case OP_FLUSH:
        host.fs.fdatasync(fd, (error) => end(error ? errnoOfThrown(error) : 0));
        break;
      case OP_DISCARD:
        this.#discard(offset, length, end);
        break;
      case OP_WRITE_ZEROES:
        this.#writeZeroes(offset, length, (request.flags & REQ_MAY_UNMAP) !== 0, end);
        break;
    }
  }

  #transfer(request: BlockRequest, end: End): void {
    const { op, offset, length, vector } = request;
    const { host, fd } = this.file;
    const { fs } = host;
    const moved = (error: Error | null, bytes: number) => end(error ? errnoOfThrown(error) : bytes);
    if (vector.count === 1) {
      const at = vector.starts[0] as number;
      if (op === OP_READ) fs.read(fd, vector.bytes, at, length, offset, moved);
      else fs.write(fd, vector.bytes, at, length, offset, moved);
    } else if (op === OP_READ) fs.readv(fd, views(vector), offset, moved);
    else fs.writev(fd, views(vector), offset, moved);
  }

  /** Frees what it can; what fails here is no error. */
  #discard(offset: number, length: number, end: End): void {
    const { file } = this;
    const { fs } = file.host;
    if (!file.endsFile(offset, length)) {
      this.#punch(offset, length, () => end(0));
      return;
    }
    fs.ftruncate(file.fd, offset, (error) => {
      if (error) end(0);
      else fs.ftruncate(file.fd, file.size, () => end(0));
    });
  }

  /** Makes a hole in a range, as far as that goes; `done` always comes later. */
  #punch(offset: number, length: number, done: (from: number, to: number) => void): void {
    const { file } = this;
    const { host } = file;
    const hole = file.holeWithin(offset, length);
    if (!hole || !host.punchHole) {
      setTimeout(done, 0, offset, offset);
      return;
    }
    host.punchHole(file.fd, hole.offset, hole.length, (punched) => {
      if (!punched) file.holesRefused();
      if (punched) done(hole.offset, hole.offset + hole.length);
      else done(offset, offset);
    });
  }

  #writeZeroes(offset: number, length: number, mayUnmap: boolean, end: End): void {
    const last = offset + length;
    if (!mayUnmap) {
      this.#writeZeroBytes(offset, last, end);
      return;
    }
    this.#punch(offset, length, (from, to) => {
      // What stands before the hole, then what stands behind it.
      this.#writeZeroBytes(offset, from, (result) => {
        if (result < 0) end(result);
        else this.#writeZeroBytes(to, last, end);
      });
    });
  }

  #writeZeroBytes(from: number, to: number, end: End): void {
    if (from >= to) {
      end(0);
      return;
    }
    const { file } = this;
    const zeroes = file.zeroes(to - from);
    file.host.fs.write(file.fd, zeroes, 0, zeroes.length, from, (error, bytes) => {
      if (error) end(errnoOfThrown(error));
      else this.#writeZeroBytes(from + bytes, to, end);
    });
  }
}
