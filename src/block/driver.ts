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
 * through shared memory, or a timer of the context. `loop`: through the JavaScript loop, so its
 * thread must not block.
 */
export type Settles = 'inline' | 'word' | 'loop';

/**
 * Reads or writes in a row: `count` of them, without flags, one segment each. Member i moves
 * `lengths[i]` bytes between `offsets[i]` on the disk and `bytes[starts[i] ..]`.
 */
export interface RequestTable {
  readonly count: number;
  readonly offsets: Float64Array;
  readonly starts: Float64Array;
  readonly lengths: Float64Array;
  /** The driver fills it in: bytes transferred, as `submit` returns them, or a negative errno. */
  readonly results: Float64Array;
}

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
  /**
   * For drivers that settle `inline`, if a loop of their own is faster than `submit` for each:
   * does the members in order. Before each it loads `words[gate]` and stops where that is not 0:
   * somebody drains. A plain load will do: who passed the gate is waited for, and this only says
   * hurry; no compiler may keep the value over a system call. Returns how many it did. It neither
   * throws nor calls anything that may grow the memory.
   */
  submitAll?(
    op: typeof OP_READ | typeof OP_WRITE,
    table: RequestTable,
    bytes: Uint8Array,
    words: Uint32Array,
    gate: number,
  ): number;
  /** Changes the size in bytes, or returns a negative errno. Only inside a drained section. */
  truncate(size: number): number;
  /**
   * How another thread opens the disk that this driver has open. Without it, and unless the disk
   * was opened by a DriverSpec and serves `any` thread, it serves its own thread only.
   */
  readonly share?: DriverSpec | null;
  /** Main has changed the size by its own driver of the disk: a drained section, any thread. */
  resized?(size: number): void;
  /** From now on several threads, or no more than one, are inside the disk: main, drained. */
  several?(several: boolean): void;
  /** Drivers of the disks that this one stands on: a filter's or an overlay's. Default: none. */
  readonly children?: readonly BlockDriver[];
  /**
   * A drained section of the disk begins on this thread: let everything go that waits of its own
   * accord, such as a throttled request (BB-28). The gate is closed already. Never nested. The
   * children are told by whoever tells this driver: after it, and of the end before it.
   */
  drainedBegin?(): void;
  /** The section has ended. On main the gate is still closed, on other threads it may be open. */
  drainedEnd?(): void;
  /**
   * Nobody wants the result of a request any more that was answered with PENDING: settle it soon,
   * with -ECANCELED or as it ends. May settle it before this returns (BB-25).
   */
  cancel?(request: BlockRequest): void;
  /**
   * Something that changes whenever somebody else changes the disk's contents, if the host can tell
   * (a file: size and time of the last change); overlays are bound to it. Null: it cannot tell.
   */
  identity?(): string | null;
  /** All drivers of other threads that were opened by `share` are closed by then. */
  close(): void | Promise<void>;
}

/** A disk by name, so that any thread can open it: plain data, cloneable. */
export interface DriverSpec {
  readonly driver: string;
  /**
   * For a driver that is not the package's: URL of a module whose default export is an OpenDriver.
   * Every thread that opens the disk imports it.
   */
  readonly module?: string;
  readonly options?: Readonly<Record<string, unknown>>;
}
