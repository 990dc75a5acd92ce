/** Guest RAM of a disk: the queues' places one behind the other, and then buffers for `alloc`. */

import { OptionError } from '../block/error.ts';
import type { Core } from '../engine/core.ts';
import { GuestError } from '../guest/error.ts';
import { GuestRam } from '../guest/ram.ts';
import type { DiskSettings } from './options.ts';
import { PAGE, type PlaceSizes, placeBytes, placeSizes, toPages } from './queue-place.ts';

export interface DiskRam {
  readonly sizes: PlaceSizes;
  /** Guest address of the first place. */
  readonly at: number;
  /** A guest address plus `shift` is an offset into the core's RAM. */
  readonly shift: number;
  /** Guest address behind the last place, where the buffers are. */
  readonly buffers: number;
  /** A client that was cut off may still look at it: it is not given to anybody else. */
  lent: boolean;
  free(): void;
}

/** Bytes of guest RAM that a disk takes. */
export function diskRamBytes(settings: DiskSettings): number {
  const sizes = placeSizes(settings.queueSize, settings.slotBytes);
  return settings.queues * placeBytes(sizes) + toPages(settings.allocBytes);
}

/** Of cores that are not ours: several disks may share one. */
const rams = new WeakMap<Core, GuestRam>();

/** `own`: the core was made for this disk, with a page more than it needs. */
export function claimDiskRam(core: Core, settings: DiskSettings, own: boolean): DiskRam {
  const sizes = placeSizes(settings.queueSize, settings.slotBytes);
  const places = settings.queues * placeBytes(sizes);
  if (own) {
    const [region] = core.regionList;
    const shift = region!.offset - region!.guest;
    return { sizes, at: PAGE, shift, buffers: PAGE + places, lent: false, free: () => {} };
  }
  const bytes = diskRamBytes(settings);
  const ram = rams.get(core) ?? new GuestRam(core);
  rams.set(core, ram);
  try {
    const at = ram.allocate(bytes, PAGE);
    const shift = ram.offset(at, bytes) - at;
    return {
      sizes,
      at,
      shift,
      buffers: at + places,
      lent: false,
      free() {
        if (!this.lent) ram.free(at);
      },
    };
  } catch (error) {
    if (!(error instanceof GuestError)) throw error;
    const needed = bytes + PAGE;
    throw new OptionError('core', core, `cores with ${needed} more bytes of guest RAM (ramBytes)`);
  }
}
