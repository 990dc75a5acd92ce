/**
 * Reads and writes with promises: what `Disk` and `DiskClient` have in common.
 *
 * Offsets and lengths are bytes, multiples of `blockSize` (512 unless the disk wants more). What
 * does not fit rejects with an OptionError that names what is allowed, a request that failed with a
 * BlockError, and one that can no longer be answered with a DiskError. Requests that are under way
 * at the same time have no order among each other; a flush covers what had finished before it.
 */

import {
  VIRTIO_BLK_T_DISCARD,
  VIRTIO_BLK_T_FLUSH,
  VIRTIO_BLK_T_IN,
  VIRTIO_BLK_T_OUT,
  VIRTIO_BLK_T_WRITE_ZEROES,
  VIRTIO_BLK_WRITE_ZEROES_F_UNMAP,
} from '../spec.ts';
import type { AsyncQueue } from './async-queue.ts';
import type { Shape } from './shape.ts';
import type { SharedBuffers } from './shared-buffers.ts';

export interface RequestOptions {
  /**
   * Aborts the request: it rejects at once with the signal's reason, and its buffer is not touched
   * any more. What the device has of it already may still happen on the disk. With a buffer of
   * `alloc`'s, which the device works in, it rejects when the device has finished.
   */
  signal?: AbortSignal | undefined;
}

export interface WriteZeroesOptions extends RequestOptions {
  /** The disk may free the space. Default false. */
  unmap?: boolean;
}

export abstract class AsyncDisk {
  protected readonly shape: Shape;
  readonly #buffers: SharedBuffers;

  protected constructor(shape: Shape, buffers: SharedBuffers) {
    this.shape = shape;
    this.#buffers = buffers;
  }

  /** The queue for the next request. Throws a DiskError if there is none any more. */
  protected abstract queue(): AsyncQueue;

  /** Bytes of the disk. */
  get size(): number {
    return this.shape.size;
  }

  /** Bytes of which all offsets and lengths are multiples. */
  get blockSize(): number {
    return this.shape.numbers.blockSize;
  }

  get readOnly(): boolean {
    return this.shape.numbers.readOnly;
  }

  /** Fills `buffer` from byte `offset` on. The buffer is the request's until it is answered. */
  read(buffer: Uint8Array, offset: number, options?: RequestOptions): Promise<void> {
    return this.#start(VIRTIO_BLK_T_IN, buffer, offset, buffer.length, 0, options);
  }

  /** Writes all of `buffer`; it must not change until the request is answered. */
  write(buffer: Uint8Array, offset: number, options?: RequestOptions): Promise<void> {
    return this.#start(VIRTIO_BLK_T_OUT, buffer, offset, buffer.length, 0, options);
  }

  /** Makes durable what was written before. */
  flush(options?: RequestOptions): Promise<void> {
    return this.#start(VIRTIO_BLK_T_FLUSH, null, 0, 0, 0, options);
  }

  /** Says that the range is not needed: its contents are undefined afterwards. */
  discard(offset: number, length: number, options?: RequestOptions): Promise<void> {
    return this.#start(VIRTIO_BLK_T_DISCARD, null, offset, length, 0, options);
  }

  writeZeroes(offset: number, length: number, options: WriteZeroesOptions = {}): Promise<void> {
    const flags = options.unmap ? VIRTIO_BLK_WRITE_ZEROES_F_UNMAP : 0;
    return this.#start(VIRTIO_BLK_T_WRITE_ZEROES, null, offset, length, flags, options);
  }

  /**
   * A zeroed buffer in shared memory, which the device reads and writes without a copy; so are
   * `subarray`s of it. Where the memory is not shared it is a buffer like any other. Throws
   * DiskError ENOMEM.
   */
  alloc(bytes: number): Uint8Array {
    return this.#buffers.alloc(bytes);
  }

  /** Gives back what `alloc` returned. No request may be using it. */
  free(buffer: Uint8Array): void {
    this.#buffers.free(buffer);
  }

  #start(
    type: number,
    buffer: Uint8Array | null,
    offset: number,
    length: number,
    flags: number,
    options: RequestOptions | undefined,
  ): Promise<void> {
    const signal = options?.signal ?? null;
    try {
      signal?.throwIfAborted();
      this.shape.check(type, offset, length);
      const queue = this.queue();
      if (length === 0 && type !== VIRTIO_BLK_T_FLUSH) return Promise.resolve();
      const direct = buffer ? this.#buffers.addressOf(buffer) : 0;
      return queue.start(type, buffer, direct, offset, length, flags, signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }
}
