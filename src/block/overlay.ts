/**
 * The overlay disk: copy on write. Reads come from the base where nothing was written, all writes
 * go to the top, cluster by cluster. The top says which base it belongs to; the base is never
 * written, but by `commitOverlay`. Format: `overlay-header.ts`; threads: `overlay-map.ts`.
 *
 * Reads and writes are done as far as one kind of clusters goes, and are short then: the lane
 * carries on. A discard of what is not in the top does nothing.
 */

import type { AioContext } from '../aio/context.ts';
import { Undo } from '../aio/undo.ts';
import type { Core } from '../engine/core.ts';
import { EINVAL, ENOMEM, EPERM } from '../spec.ts';
import {
  type BlockDriver,
  type BlockRequest,
  type DriverSpec,
  OP_FLUSH,
  OP_READ,
  OP_WRITE,
  type Settles,
} from './driver.ts';
import { BlockError, codeOf } from './error.ts';
import { followView } from './followed-view.ts';
import { CopyBuffers } from './overlay-buffers.ts';
import { OverlayClusters } from './overlay-clusters.ts';
import { flushOverlay } from './overlay-flush.ts';
import { encodeHeader, type OverlayHeader, topBytes } from './overlay-header.ts';
import { type End, submitted } from './overlay-io.ts';
import { type OverlayMap, PRESENT } from './overlay-map.ts';
import { OverlayWait } from './overlay-wait.ts';

export interface OverlayOptions {
  /** What is read where nothing was written. Opened read-only it serves all but `commitOverlay`. */
  readonly base: DriverSpec | BlockDriver;
  /** Where all writes go. If it is empty, an overlay of the base's size is made in it. */
  readonly top: DriverSpec | BlockDriver;
  /** Bytes that are copied at once: a power of two from 4096 to 65536 (default). */
  readonly 'cluster-size'?: number | string;
  /** Core address of the map of an overlay that is open already (`share`). */
  readonly map?: number;
}

export interface OverlayParts {
  readonly core: Core;
  readonly context: AioContext | undefined;
  readonly base: BlockDriver;
  readonly top: BlockDriver;
  readonly map: OverlayMap;
  /** As it stands in the top; null on a thread that is not the overlay's owner. */
  readonly header: OverlayHeader | null;
}

/** How a disk over several settles: as the latest of them. */
export function slowest(...disks: readonly BlockDriver[]): Settles {
  const all = disks.map(({ settles }) => settles);
  return (['loop', 'word'] as const).find((kind) => all.includes(kind)) ?? 'inline';
}

export class OverlayDriver implements BlockDriver {
  readonly driver = 'overlay';
  readonly settles: Settles;
  readonly threads: 'any' | 'one';
  readonly clusterDisk = 0;
  readonly fua = false;
  readonly top: BlockDriver;
  readonly map: OverlayMap;
  readonly core: Core;
  readonly context: AioContext | undefined;
  readonly clusters: OverlayClusters;
  readonly #wait: OverlayWait;
  readonly #buffers: CopyBuffers;
  #header: OverlayHeader | null;

  constructor({ core, context, base, top, map, header }: OverlayParts) {
    this.core = core;
    this.context = context;
    this.top = top;
    this.map = map;
    this.#header = header;
    this.settles = slowest(base, top);
    this.threads = base.threads === 'any' && top.threads === 'any' ? 'any' : 'one';
    this.#wait = new OverlayWait(core, map.pillow, context, this.settles === 'inline');
    this.#buffers = new CopyBuffers(core, map, this.#wait, this.settles);
    if (!header) map.countOther(1);
    const copying = { wait: this.#wait, buffers: this.#buffers };
    this.clusters = new OverlayClusters({ core, base, top, map, ...copying });
  }

  get base(): BlockDriver {
    return this.clusters.base;
  }

  get children(): readonly BlockDriver[] {
    return [this.base, this.top];
  }

  /** What the top says, or will say after the next flush. Null on threads that are not main. */
  get header(): OverlayHeader | null {
    return this.#header;
  }

  get share(): DriverSpec | null {
    const { share: base } = this.base;
    const { share: top } = this.top;
    if (!base || !top) return null;
    return { driver: this.driver, options: { base, top, map: this.map.address } };
  }

  get size(): number {
    return this.map.size;
  }

  get readOnly(): boolean {
    return this.top.readOnly;
  }

  get alignment(): number {
    return this.clusters.alignment;
  }

  /** Clusters that are in the top. */
  get present(): number {
    let present = 0;
    for (let i = 0; i < this.map.clusters; i++) if (this.map.state(i) === PRESENT) present += 1;
    return present;
  }

  submit(request: BlockRequest): number {
    const { offset, length, op, vector } = request;
    return submitted(request, (end) => {
      const piece = { request, offset, length, bytes: followView(this.core, vector.bytes) };
      if (op === OP_READ) this.clusters.read(piece, end);
      else if (op === OP_WRITE) this.clusters.write(piece, end);
      else if (op === OP_FLUSH) this.flush(end);
      else this.clusters.clear(piece, end);
    });
  }

  /** Data, then the map; see `overlay-flush.ts`. */
  flush(end: End): void {
    const { core, top, map } = this;
    flushOverlay({ core, top, map, wait: this.#wait, buffers: this.#buffers }, end);
  }

  /** The top keeps its size when the overlay shrinks: what is cut off is zeroed in it. */
  truncate(size: number): number {
    const { map, top } = this;
    const header = this.#header;
    if (!header || this.readOnly) return -EPERM;
    if (!Number.isSafeInteger(size) || size <= 0 || size % 512 !== 0) return -EINVAL;
    if (size > map.mapClusters * map.clusterSize) return -EINVAL;
    const next = { ...header, size, baseLimit: Math.min(header.baseLimit, size) };
    const whole = Math.max(top.size, topBytes(next));
    let result = size < map.size ? top.truncate(map.dataOffset + size) : 0;
    if (result >= 0 && top.size !== whole) result = top.truncate(whole);
    if (result < 0) return result;
    try {
      map.resize(size);
    } catch {
      return -ENOMEM;
    }
    this.bind(next);
    return 0;
  }

  /** Has `header` written with the next flush, as the next one. Main, drained. */
  bind(header: OverlayHeader): void {
    // Until it is written a header is replaced, not followed: the old one must stay in its slot.
    const sequence = header.sequence + (this.map.headerDirty ? 0 : 1);
    this.#header = { ...header, sequence };
    this.map.baseLimit = header.baseLimit;
    this.map.setHeader(encodeHeader(this.#header));
  }

  /** For `rebaseOverlay`: main, drained, with no other thread inside. Returns the old base. */
  replaceBase(base: BlockDriver): BlockDriver {
    const old = this.clusters.base;
    this.clusters.base = base;
    return old;
  }

  resized(): void {
    this.top.resized?.(this.map.dataOffset + this.map.clusters * this.map.clusterSize);
  }

  several(several: boolean): void {
    for (const child of this.children) child.several?.(several);
  }

  identity(): string | null {
    const base = this.base.identity?.();
    const top = this.top.identity?.();
    return base && top ? `${base}/${top}` : null;
  }

  /** Main, which closes last, flushes first. Rejects with a BlockError if that fails. */
  async close(): Promise<void> {
    const main = this.#header !== null;
    let result = 0;
    if (main && !this.readOnly && this.map.dirty) {
      this.map.endFlush(); // a thread that died in a flush has left it
      result = await new Promise<number>((resolve) => this.flush(resolve));
    }
    this.#wait.close();
    const undo = new Undo(); // from the last to the first, and all of them, whatever fails
    undo.add(() => (main ? this.map.free() : this.map.countOther(-1)));
    undo.add(() => this.base.close());
    undo.add(() => this.top.close());
    await undo.all();
    if (result < 0) throw new BlockError(codeOf(result), 'flush');
  }
}
