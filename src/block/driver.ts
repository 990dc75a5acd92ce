/**
 * The contract of a disk driver: what stands under a BlockBackend. Offsets and lengths are bytes.
 *
 * A driver is opened on a thread and called there. It knows nothing of queues, gates or policies;
 * the lane in front of it has checked the range, looped short transfers and counted.
 */

/** What a request asks for. */
export type BlockOp =
  | typeof OP_READ
  | typeof OP_WRITE
  | typeof OP_FLUSH
  | typeof OP_DISCARD
  | typeof OP_WRITE_ZEROES;
export const OP_READ = 0;
export const OP_WRITE = 1;
export const OP_FLUSH = 2;
export const OP_DISCARD = 3;
export const OP_WRITE_ZEROES = 4;

/** Request flags. FUA: on stable storage before it settles. MAY_UNMAP: zeroes may be a hole. */
export const REQ_FUA = 1;
export const REQ_MAY_UNMAP = 2;

/** `submit` returns this to say that it settles later. No errno and no length is this number. */
export const PENDING = -0x80000000;

/**
 * The caller's buffers: `count` segments of one view. Segment i is
 * `bytes.subarray(starts[i], starts[i] + lengths[i])`; the lengths add up to the request's length.
 * A driver must not keep any of it after it has settled. `bytes` may be a view on shared memory
 * only if the driver settles `inline`; others are given a bounce buffer.
 */
export interface IoVector {
  bytes: Uint8Array;
  count: number;
  starts: Float64Array;
  lengths: Float64Array;
}

/** One request as the driver sees it. The object belongs to the lane and is used again. */
export interface BlockRequest {
  op: BlockOp;
  /** First byte on the disk. */
  offset: number;
  /** Bytes; 0 for OP_FLUSH. */
  length: number;
  /** REQ_*. */
  flags: number;
  vector: IoVector;
  /**
   * Ends a request for which `submit` returned PENDING: bytes done or a negative errno. Called
   * once, on the driver's thread, never from inside `submit`.
   */
  settle(result: number): void;
}

/**
 * How a driver settles. `inline`: before `submit` returns, always. `word`: another thread answers
 * through shared memory. `loop`: through the JavaScript loop, so its thread must not block.
 */
export type Settles = 'inline' | 'word' | 'loop';

export interface BlockDriver {
  /** Name of the driver as in a DriverSpec: `memory`, `file`, ... */
  readonly driver: string;
  readonly settles: Settles;
  /** May several threads open this disk at once, each with its own driver object? */
  readonly threads: 'any' | 'one';
  /** Size of the disk in bytes. Changes only in `truncate`. */
  readonly size: number;
  readonly readOnly: boolean;
  /** Offsets, lengths and buffer addresses are multiples of this (bytes); 1 if it does not care. */
  readonly alignment: number;
  /** Core address of a cluster disk that the engine may serve in place, or 0. */
  readonly clusterDisk: number;
  /** Honours REQ_FUA itself. If not, the lane flushes after the request. */
  readonly fua?: boolean;
  /**
   * Starts a request. Returns the bytes transferred (a short count is carried on by the lane;
   * 0 for FLUSH, DISCARD and WRITE_ZEROES that succeeded), a negative errno, or PENDING.
   */
  submit(request: BlockRequest): number;
  /** Changes the size in bytes, or returns a negative errno. Only inside a drained section. */
  truncate(size: number): number;
  close(): void | Promise<void>;
}

/** A disk by name, so that any thread can open it: plain data, cloneable. */
export interface DriverSpec {
  readonly driver: string;
  readonly options?: Readonly<Record<string, unknown>>;
}
