/**
 * What a filter is given of the disk that it is put above while that disk is in use: all of it, but
 * not its life. A filter closes its disk; this one goes on without the filter. Main thread; other
 * threads open the whole chain by `share`. QEMU: `BdrvChild`.
 */

import type {
  BlockDriver,
  BlockRequest,
  DriverSpec,
  OP_READ,
  OP_WRITE,
  RequestTable,
  Settles,
} from './driver.ts';
import type { BlockNode } from './node.ts';

export class ChildDriver implements BlockDriver {
  readonly node: BlockNode;
  readonly driver: string;
  readonly settles: Settles;
  readonly threads: 'any' | 'one';
  readonly alignment: number;
  readonly fua: boolean;
  /** A filter must see every request: the engine does not serve the disk behind its back. */
  readonly clusterDisk = 0;
  readonly submitAll?: BlockDriver['submitAll'];
  readonly children: readonly BlockDriver[];
  readonly #disk: BlockDriver;

  constructor(node: BlockNode) {
    const disk = node.driver;
    this.node = node;
    this.#disk = disk;
    this.children = [disk];
    this.driver = disk.driver;
    this.settles = disk.settles;
    this.threads = disk.threads;
    this.alignment = disk.alignment;
    this.fua = disk.fua ?? false;
    if (disk.submitAll) this.submitAll = this.#submitAll;
  }

  get size(): number {
    return this.#disk.size;
  }

  get readOnly(): boolean {
    return this.#disk.readOnly;
  }

  get share(): DriverSpec | null {
    return this.node.share;
  }

  submit(request: BlockRequest): number {
    return this.#disk.submit(request);
  }

  truncate(size: number): number {
    return this.#disk.truncate(size);
  }

  resized(size: number): void {
    this.#disk.resized?.(size);
  }

  several(several: boolean): void {
    this.#disk.several?.(several);
  }

  cancel(request: BlockRequest): void {
    this.#disk.cancel?.(request);
  }

  identity(): string | null {
    return this.#disk.identity?.() ?? null;
  }

  close(): void {}

  readonly #submitAll = (
    op: typeof OP_READ | typeof OP_WRITE,
    table: RequestTable,
    bytes: Uint8Array,
    words: Uint32Array,
    gate: number,
  ): number => this.#disk.submitAll!(op, table, bytes, words, gate);
}
