/** What the file disks have in common, whichever way they wait for the system. */

import type { BlockDriver, BlockRequest, DriverSpec, Settles } from './driver.ts';
import type { OpenFile } from './open-file.ts';

export abstract class FileDriver implements BlockDriver {
  readonly driver = 'file';
  abstract readonly settles: Settles;
  readonly threads = 'any';
  readonly clusterDisk = 0;
  readonly fua = false;
  readonly file: OpenFile;

  constructor(file: OpenFile) {
    this.file = file;
  }

  get size(): number {
    return this.file.size;
  }

  get readOnly(): boolean {
    return this.file.readOnly;
  }

  get alignment(): number {
    return this.file.alignment;
  }

  abstract get share(): DriverSpec;

  abstract submit(request: BlockRequest): number;

  resized(size: number): void {
    this.file.size = size;
  }

  truncate(size: number): number {
    return this.file.truncate(size);
  }

  identity(): string | null {
    return this.file.lastChange();
  }

  close(): void | Promise<void> {
    this.file.close();
  }
}
