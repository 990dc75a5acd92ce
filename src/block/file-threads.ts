/**
 * The file disk that reads and writes in a pool of Workers: `aio = threads`. For slow disks, where
 * libuv's pool is not to be had or is the whole process's. Data goes by way of buffers in core
 * memory; a Worker's answer comes back by a bottom half, so that the thread may sleep meanwhile.
 */

import type { AioContext } from '../aio/context.ts';
import { releasePool } from '../aio/context-pool.ts';
import type { ThreadPool } from '../aio/thread-pool.ts';
import type { Core } from '../engine/core.ts';
import { EINVAL } from '../spec.ts';
import {
  type BlockRequest,
  type DriverSpec,
  OP_DISCARD,
  OP_READ,
  OP_WRITE,
  OP_WRITE_ZEROES,
  PENDING,
  REQ_MAY_UNMAP,
} from './driver.ts';
import { FileDriver } from './file-driver.ts';
import { HOLE_REFUSED, WORK_ENDS_FILE, WORK_MAY_PUNCH } from './file-work.ts';
import type { OpenFile } from './open-file.ts';

export class ThreadsFileDriver extends FileDriver {
  readonly settles = 'word';
  readonly #core: Core;
  readonly #context: AioContext;
  readonly #pool: ThreadPool;

  /** `pool`: the context's, acquired for this disk. */
  constructor(core: Core, context: AioContext, file: OpenFile, pool: ThreadPool) {
    super(file);
    this.#core = core;
    this.#context = context;
    this.#pool = pool;
  }

  override get share(): DriverSpec {
    return this.file.share('threads');
  }

  /** Data is in core memory. Of several segments the first is done: the transfer is short then. */
  override submit(request: BlockRequest): number {
    const { op, offset, vector } = request;
    const data = op === OP_READ || op === OP_WRITE;
    if (data && !this.#core.shows(vector.bytes)) return -EINVAL;
    const address = data ? vector.bytes.byteOffset + (vector.starts[0] as number) : 0;
    const length = data ? (vector.lengths[0] as number) : request.length;
    const flags = this.#flags(request);
    const work = { op, file: this.file.fd, offset, length, address, flags };
    this.#pool.submit(work, (result) => {
      if (!data && result === HOLE_REFUSED) this.file.holesRefused();
      request.settle(data ? result : Math.min(result, 0));
    });
    return PENDING;
  }

  override async close(): Promise<void> {
    await releasePool(this.#context);
    super.close();
  }

  #flags({ op, offset, length, flags }: BlockRequest): number {
    if (op !== OP_DISCARD && op !== OP_WRITE_ZEROES) return 0;
    if (op === OP_DISCARD && this.file.endsFile(offset, length)) return WORK_ENDS_FILE;
    const wanted = op === OP_DISCARD || (flags & REQ_MAY_UNMAP) !== 0;
    return wanted && this.file.holeWithin(offset, length) ? WORK_MAY_PUNCH : 0;
  }
}
