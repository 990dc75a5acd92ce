/** The file disk that reads and writes in the serving thread: `aio = sync`. */

import {
  type BlockRequest,
  type DriverSpec,
  type IoVector,
  OP_DISCARD,
  OP_FLUSH,
  OP_READ,
  OP_WRITE,
  OP_WRITE_ZEROES,
  REQ_MAY_UNMAP,
  type RequestTable,
} from './driver.ts';
import { errnoOfThrown } from './error.ts';
import { FileDriver } from './file-driver.ts';
import type { Range } from './open-file.ts';

/** More views than this are cut off silently by the system (IOV_MAX). */
export const VIEWS_MAX = 1024;

export class SyncFileDriver extends FileDriver {
  readonly settles = 'inline';

  override get share(): DriverSpec {
    return this.file.share('sync');
  }

  override submit(request: BlockRequest): number {
    try {
      return this.#carryOut(request);
    } catch (thrown) {
      return errnoOfThrown(thrown);
    }
  }

  submitAll(
    op: typeof OP_READ | typeof OP_WRITE,
    table: RequestTable,
    bytes: Uint8Array,
    words: Uint32Array,
    gate: number,
  ): number {
    return op === OP_READ
      ? this.#readAll(table, bytes, words, gate)
      : this.#writeAll(table, bytes, words, gate);
  }

  /**
   * Next to nothing but system calls, so that the processor's caches hold on to this loop. `fs` has
   * so many members that each look-up of one is a search in a hash table: one is enough.
   */
  #readAll(table: RequestTable, bytes: Uint8Array, words: Uint32Array, gate: number): number {
    const { count, offsets, starts, lengths, results } = table;
    const { fd, host } = this.file;
    const { readSync } = host.fs;
    for (let i = 0; i < count; i++) {
      if (words[gate] !== 0) return i;
      try {
        results[i] = readSync(fd, bytes, starts[i]!, lengths[i]!, offsets[i]!);
      } catch (thrown) {
        results[i] = errnoOfThrown(thrown);
      }
    }
    return count;
  }

  /** As `#readAll`; a loop of its own, so that the call in each has one target. */
  #writeAll(table: RequestTable, bytes: Uint8Array, words: Uint32Array, gate: number): number {
    const { count, offsets, starts, lengths, results } = table;
    const { fd, host } = this.file;
    const { writeSync } = host.fs;
    for (let i = 0; i < count; i++) {
      if (words[gate] !== 0) return i;
      try {
        results[i] = writeSync(fd, bytes, starts[i]!, lengths[i]!, offsets[i]!);
      } catch (thrown) {
        results[i] = errnoOfThrown(thrown);
      }
    }
    return count;
  }

  #carryOut(request: BlockRequest): number {
    const { op, offset, length, vector } = request;
    const { host, fd } = this.file;
    switch (op) {
      case OP_READ:
        if (vector.count !== 1) return host.fs.readvSync(fd, views(vector), offset);
        return host.fs.readSync(fd, vector.bytes, vector.starts[0] as number, length, offset);
      case OP_WRITE:
        if (vector.count !== 1) return host.fs.writevSync(fd, views(vector), offset);
        return host.fs.writeSync(fd, vector.bytes, vector.starts[0] as number, length, offset);
      case OP_FLUSH:
        host.fs.fdatasyncSync(fd);
        return 0;
      case OP_DISCARD:
        this.#discard(offset, length);
        return 0;
      case OP_WRITE_ZEROES:
        this.#writeZeroes(offset, length, (request.flags & REQ_MAY_UNMAP) !== 0);
        return 0;
    }
  }

  /** Frees what it can; what fails here is no error. */
  #discard(offset: number, length: number): void {
    const { file } = this;
    if (!file.endsFile(offset, length)) {
      this.#punch(offset, length);
      return;
    }
    try {
      file.host.fs.ftruncateSync(file.fd, offset);
      file.host.fs.ftruncateSync(file.fd, file.size);
    } catch {
      // A file that is too short reads as zeroes behind its end.
    }
  }

  /** Makes a hole in a range, as far as that goes. Returns the hole. */
  #punch(offset: number, length: number): Range | null {
    const { file } = this;
    const hole = file.holeWithin(offset, length);
    if (!hole) return null;
    if (file.host.punchHoleSync?.(file.fd, hole.offset, hole.length)) return hole;
    file.holesRefused();
    return null;
  }

  #writeZeroes(offset: number, length: number, mayUnmap: boolean): void {
    const end = offset + length;
    const hole = mayUnmap ? this.#punch(offset, length) : null;
    this.#writeZeroBytes(offset, hole ? hole.offset : end);
    if (hole) this.#writeZeroBytes(hole.offset + hole.length, end);
  }

  #writeZeroBytes(from: number, to: number): void {
    const { file } = this;
    while (from < to) {
      const zeroes = file.zeroes(to - from);
      from += file.host.fs.writeSync(file.fd, zeroes, 0, zeroes.length, from);
    }
  }
}

/** The segments as views, at most VIEWS_MAX of them: the transfer is short then. */
export function views(vector: IoVector): Uint8Array[] {
  const list: Uint8Array[] = [];
  for (let i = 0; i < vector.count && i < VIEWS_MAX; i++) {
    const start = vector.starts[i] as number;
    list.push(vector.bytes.subarray(start, start + (vector.lengths[i] as number)));
  }
  return list;
}
