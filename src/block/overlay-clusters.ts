/** The clusters of an overlay: reading and writing them, and copying them into the top. */

import type { Core } from '../engine/core.ts';
import { ENOMEM } from '../spec.ts';
import type { BounceSlot } from './bounce.ts';
import {
  type BlockDriver,
  type BlockRequest,
  type IoVector,
  OP_DISCARD,
  OP_READ,
  OP_WRITE,
} from './driver.ts';
import { followView } from './followed-view.ts';
import { gather, SegmentVector, zeroVector } from './io-vector.ts';
import type { CopyBuffers } from './overlay-buffers.ts';
import { command, type End, repeat, transfer } from './overlay-io.ts';
import { ABSENT, BUSY, type OverlayMap, PRESENT } from './overlay-map.ts';
import { ETIMEDOUT, type OverlayWait } from './overlay-wait.ts';

/** A part of a request, within one kind of clusters. */
export interface Piece {
  readonly request: BlockRequest;
  readonly offset: number;
  readonly length: number;
  /** The request's memory: views may be replaced while it waits. */
  readonly bytes: () => Uint8Array;
}

export interface ClusterParts {
  readonly core: Core;
  readonly base: BlockDriver;
  readonly top: BlockDriver;
  readonly map: OverlayMap;
  readonly wait: OverlayWait;
  readonly buffers: CopyBuffers;
}

/** `read` and `write` end with the bytes that one kind of clusters made it; the lane carries on. */
export class OverlayClusters {
  base: BlockDriver;
  readonly #core: Core;
  readonly #top: BlockDriver;
  readonly #map: OverlayMap;
  readonly #wait: OverlayWait;
  readonly #buffers: CopyBuffers;

  constructor({ core, base, top, map, wait, buffers }: ClusterParts) {
    this.base = base;
    this.#core = core;
    this.#top = top;
    this.#map = map;
    this.#wait = wait;
    this.#buffers = buffers;
  }

  get alignment(): number {
    return Math.max(this.base.alignment, this.#top.alignment);
  }

  // ---- Reads ------------------------------------------------------------------------------------

  read(piece: Piece, end: End): void {
    const { offset } = piece;
    const present = this.#map.state(this.#clusterOf(offset)) === PRESENT;
    const length = this.#run(piece, (state) => (state === PRESENT) === present);
    const vector = vectorOf(piece, length);
    if (present) this.#moveTop(OP_READ, offset, vector, length, end);
    else this.readBase(offset, vector, length, end);
  }

  /** Fills `vector` with the base's bytes, and zeroes behind what counts of them. */
  readBase(offset: number, vector: IoVector, length: number, end: End): void {
    const left = Math.max(0, Math.min(length, this.#map.baseLimit - offset));
    const wanted = Math.ceil(left / this.alignment) * this.alignment;
    const ended: End = (result) => {
      if (result >= 0) zeroVector(vector, left, length - left);
      end(result < 0 ? result : length);
    };
    if (wanted === 0) {
      ended(0);
      return;
    }
    const part = new SegmentVector();
    part.slice(vector, 0, wanted);
    const fresh = followView(this.#core, vector.bytes);
    transfer(this.#core, this.base, OP_READ, offset, part, wanted, (result) => {
      vector.bytes = fresh();
      ended(result);
    });
  }

  // ---- Writes -----------------------------------------------------------------------------------

  write(piece: Piece, end: End): void {
    const map = this.#map;
    const { offset } = piece;
    const cluster = this.#clusterOf(offset);
    if (map.state(cluster) === PRESENT) {
      const length = this.#run(piece, (state) => state === PRESENT);
      this.#moveTop(OP_WRITE, offset, vectorOf(piece, length), length, end);
      return;
    }
    this.#claim(piece, end, (whole) => {
      if (whole > 0) {
        const vector = vectorOf(piece, whole);
        this.#moveTop(OP_WRITE, offset, vector, whole, this.#releasing(cluster, whole, end));
        return;
      }
      const length = Math.min(piece.length, this.#left(offset));
      this.#fill(cluster, length, end, (buffer) => {
        const at = buffer.start + (offset % map.clusterSize);
        gather(vectorOf(piece, length), 0, buffer.bytes, at, length);
      });
    });
  }

  /** DISCARD and WRITE_ZEROES, one kind of clusters after the other. */
  clear(piece: Piece, end: End): void {
    const { op } = piece.request;
    let { offset, length } = piece;
    repeat(
      (done) => {
        const rest = { ...piece, offset, length };
        if (op === OP_DISCARD) this.#discard(rest, done);
        else this.#zero(rest, done);
      },
      (result) => {
        if (result >= 0) {
          offset += result;
          length -= result;
          if (length > 0) return true;
        }
        end(Math.min(result, 0));
        return false;
      },
    );
  }

  #discard(piece: Piece, end: End): void {
    const { offset } = piece;
    const present = this.#map.state(this.#clusterOf(offset)) === PRESENT;
    const length = this.#run(piece, (state) => (state === PRESENT) === present);
    if (present) this.#commandTop(piece, length, end);
    else end(length);
  }

  #zero(piece: Piece, end: End): void {
    const map = this.#map;
    const { offset } = piece;
    const cluster = this.#clusterOf(offset);
    const state = map.state(cluster);
    if (state === PRESENT) {
      this.#commandTop(
        piece,
        this.#run(piece, (other) => other === PRESENT),
        end,
      );
      return;
    }
    const length = Math.min(piece.length, this.#left(offset));
    if (state === ABSENT && offset >= map.baseLimit) {
      end(length);
      return;
    }
    this.#claim(piece, end, (whole) => {
      if (whole > 0) {
        this.#commandTop(piece, whole, this.#releasing(cluster, whole, end));
        return;
      }
      this.#fill(cluster, length, end, (buffer) => {
        const at = buffer.start + (offset % map.clusterSize);
        buffer.bytes.fill(0, at, at + length);
      });
    });
  }

  /**
   * Claims the first cluster of a piece, and calls `claimed`: with the bytes of all clusters that
   * were claimed, if the piece covers them wholly, else with 0. If somebody else fills the cluster
   * the piece waits, and is tried again from the start.
   */
  #claim(piece: Piece, end: End, claimed: (whole: number) => void): void {
    const map = this.#map;
    const { clusterSize } = map;
    const first = this.#clusterOf(piece.offset);
    if (!map.claim(first)) {
      this.#wait.until(
        () => map.state(first) !== BUSY,
        (inTime) => this.#again(piece, inTime, end),
      );
      return;
    }
    if (piece.offset % clusterSize !== 0 || piece.length < clusterSize) {
      claimed(0);
      return;
    }
    let count = 1;
    while ((count + 1) * clusterSize <= piece.length && map.claim(first + count)) count++;
    claimed(count * clusterSize);
  }

  #again(piece: Piece, inTime: boolean, end: End): void {
    if (!inTime) end(-ETIMEDOUT);
    else if (piece.request.op === OP_WRITE) this.write(piece, end);
    else this.#zero(piece, end);
  }

  /** Ends the claims of whole clusters, and tells `end`. */
  #releasing(first: number, length: number, end: End): End {
    return (result) => {
      for (let i = 0; i < length / this.#map.clusterSize; i++) {
        this.#map.release(first + i, result >= 0);
      }
      this.#wait.look();
      end(result);
    };
  }

  /**
   * Writes a cluster that is claimed to the top: the base's bytes, after `change` has put in what
   * is new. Ends the claim, and with `length`.
   */
  #fill(cluster: number, length: number, end: End, change: (buffer: BounceSlot) => void): void {
    const { clusterSize } = this.#map;
    const offset = cluster * clusterSize;
    this.#buffers.take((buffer) => {
      const done = this.#releasing(cluster, clusterSize, (result) => {
        if (buffer) this.#buffers.give(buffer);
        end(result < 0 ? result : length);
      });
      if (!buffer) {
        done(-ENOMEM);
        return;
      }
      this.readBase(offset, buffer.use(clusterSize), clusterSize, (result) => {
        if (result < 0) {
          done(result);
          return;
        }
        change(buffer);
        this.#moveTop(OP_WRITE, offset, buffer.use(clusterSize), clusterSize, done);
      });
    });
  }

  /** For `rebaseOverlay`: copies an absent cluster from the base to the top. */
  fill(cluster: number, end: End): void {
    if (this.#map.claim(cluster)) this.#fill(cluster, 0, end, () => {});
    else end(0);
  }

  // ---- The top ----------------------------------------------------------------------------------

  #moveTop(
    op: typeof OP_READ | typeof OP_WRITE,
    offset: number,
    vector: IoVector,
    length: number,
    end: End,
  ): void {
    transfer(this.#core, this.#top, op, this.#map.dataOffset + offset, vector, length, end);
  }

  /** Hands the piece's operation on, for `length` bytes of it. Ends with them. */
  #commandTop({ request, offset }: Piece, length: number, end: End): void {
    const { op, flags } = request;
    command(this.#top, op, this.#map.dataOffset + offset, length, flags, (result) => {
      end(result < 0 ? result : length);
    });
  }

  // ---- Clusters ---------------------------------------------------------------------------------

  #clusterOf(offset: number): number {
    return Math.floor(offset / this.#map.clusterSize);
  }

  /** Bytes from `offset` to the end of its cluster. */
  #left(offset: number): number {
    return this.#map.clusterSize - (offset % this.#map.clusterSize);
  }

  /** Bytes at the start of a piece whose clusters are alike; the first one always is. */
  #run({ offset, length }: Piece, alike: (state: number) => boolean): number {
    let run = this.#left(offset);
    while (run < length && alike(this.#map.state(this.#clusterOf(offset + run)))) {
      run += this.#map.clusterSize;
    }
    return Math.min(run, length);
  }
}

/** The first `length` bytes of a piece's memory: pieces with data begin with their request. */
function vectorOf({ request, bytes }: Piece, length: number): IoVector {
  const { vector } = request;
  vector.bytes = bytes();
  if (length === request.length) return vector;
  const part = new SegmentVector();
  part.slice(vector, 0, length);
  return part;
}
