/**
 * A logical unit as main sees it: its address, its words, the disk behind it, which stays the
 * caller's. What its commands do is each thread's (`ScsiUnit`). Main thread.
 * QEMU: `scsi_device_realize`, `scsi_disk_block_ops`.
 */

import type { BlockBackend } from '../block/backend.ts';
import type { Core } from '../engine/core.ts';
import { LUN_SIZE } from '../layout.ts';
import { ATTENTION_CAPACITY_CHANGED } from './codes.ts';
import { LunWords } from './lun-words.ts';
import type { ScsiUnitConfig, ScsiUnitSettings } from './unit-options.ts';

/** Whom a unit tells of what happens to its disk. */
export interface LogicalUnitEvents {
  drainedBegin(): void;
  drainedEnd(): void;
  /** `attention`: asc << 8 | ascq. */
  changed(unit: LogicalUnit, attention: number): void;
}

export class LogicalUnit {
  readonly backend: BlockBackend;
  readonly config: ScsiUnitConfig;
  readonly words: LunWords;
  /** Its name in the tree of devices, for events. */
  readonly path: string;
  readonly #core: Core;

  /** At `scsiId` and `lun` of the bus at `bus`; hidden (SC-9). Throws CoreError ENOMEM. */
  constructor(
    core: Core,
    backend: BlockBackend,
    settings: ScsiUnitSettings,
    at: { readonly bus: number; readonly scsiId: number; readonly lun: number },
    path: string,
  ) {
    this.#core = core;
    this.backend = backend;
    this.path = path;
    const words = core.allocate(LUN_SIZE);
    this.config = { ...settings, ...at, words, backend: backend.address };
    this.words = new LunWords(core, words, at.bus);
    this.words.reset(settings.logicalBlockSize);
  }

  /** Nobody knows of it any more. */
  free(): void {
    this.#core.free(this.config.words);
  }

  /** Takes the backend, until the function that is returned. */
  take(events: LogicalUnitEvents): () => void {
    const { backend } = this;
    backend.setDevOps({
      drainedBegin: () => events.drainedBegin(),
      drainedEnd: () => events.drainedEnd(),
      resized: () => this.#resized(events),
      mediaChanged: (loaded) => this.words.mediumChanged(loaded),
    });
    if (backend.machine) backend.enableIostatus();
    return () => backend.setDevOps(null);
  }

  /** SD-16. Of a CD another size means another medium, of which it is told anyway. */
  #resized(events: LogicalUnitEvents): void {
    if (this.config.type === 'cd') return;
    this.words.capacityChanged();
    events.changed(this, ATTENTION_CAPACITY_CHANGED);
  }

  /**
   * Asks the driver to give the medium back, as a button on the drive would. `force`: also of one
   * that it has locked. Taking it out is the backend's `removeMedium`.
   */
  requestEject(force = false): void {
    this.words.requestEject(force);
  }
}
