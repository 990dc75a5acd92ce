/**
 * A virtio-scsi host on the PCI bus of v86, with disks and CDs that come and go while the guest
 * runs:
 *
 *     const { plug, unplug } = await attachVirtioScsi(emulator, { units: [{ disk }] });
 *     const cd = await plug({ disk: image, kind: 'cd' });
 *     await unplug(cd);
 *
 * Linux finds what is plugged in by itself: the host tells it by an event.
 */

import { BlockBackend } from '../block/backend.ts';
import type { LogicalUnit } from '../scsi/logical-unit.ts';
import type { ScsiUnitOptions, ScsiUnitType } from '../scsi/unit-options.ts';
import { scsiState } from '../virtio/scsi-state.ts';
import { VirtioScsi, type VirtioScsiOptions } from '../virtio/virtio-scsi.ts';
import {
  V86Attachment,
  type V86Device,
  type V86DeviceOptions,
  type V86DiskOptions,
  withoutDeviceOptions,
} from './v86-attachment.ts';
import type { V86Instance } from './v86-machine.ts';
import type { V86StateDisk } from './v86-state.ts';

/** A disk or CD, and the options of `scsi-hd` and `scsi-cd` in QEMU's words. */
export interface V86ScsiUnitOptions extends V86DiskOptions, ScsiUnitOptions {
  /** Default `hd`. A CD is read only. */
  readonly kind?: ScsiUnitType;
}

/** Where and how the host is attached, and virtio-scsi's own options in QEMU's words. */
export interface V86ScsiOptions
  extends V86DeviceOptions,
    Omit<VirtioScsiOptions, 'legacyEndian' | 'onGuestWrite' | 'vcpus' | 'kick'> {
  /** What is plugged in from the start. Default: nothing. */
  readonly units?: readonly V86ScsiUnitOptions[];
  /** As of `V86BlkOptions`. */
  readonly kick?: 'sync' | 'poll';
}

/** A host in its slot. */
export interface V86Scsi extends V86Device {
  readonly scsi: VirtioScsi;
  /** What is plugged in. */
  readonly units: readonly LogicalUnit[];
  /**
   * Plugs a disk in. The guest finds it when this resolves, and is told. Rejects with an
   * OptionError, or a BlockError if the disk does not open; then nothing is plugged in.
   */
  plug(options: V86ScsiUnitOptions): Promise<LogicalUnit>;
  /**
   * Takes a disk away whether or not the guest is using it, and tells the guest: requests in flight
   * are aborted, later ones find nothing there. Closes the disk if it was opened here.
   */
  unplug(unit: LogicalUnit): Promise<void>;
}

/**
 * Attaches a host to `emulator`, whose `emulator-ready` has fired. Rejects with an OptionError for
 * a wrong option, a BlockError if a disk does not open; then nothing is attached.
 */
export function attachVirtioScsi(
  emulator: V86Instance,
  options: V86ScsiOptions = {},
): Promise<V86Scsi> {
  return V86Attachment.make(emulator, options, async (attachment) => {
    const { core, context, guestWritten } = attachment.host;
    const mapping = await attachment.startThreads(options);
    const { units = [], ...own } = withoutDeviceOptions(options);
    const scsi = await VirtioScsi.realize(core, context, {
      ...own,
      ...(mapping && {
        'iothread-vq-mapping': mapping,
        num_queues: options.num_queues ?? mapping.length,
      }),
      onGuestWrite: guestWritten,
    });
    const disks = new UnitDisks(attachment, scsi);
    attachment.add(() => disks.close());
    attachment.add(() => {
      disks.refuse();
      return scsi.close();
    });
    for (const unit of units) await disks.plug(unit);
    const device = attachment.plug(scsi, 'virtio-scsi');
    const { pci } = device;
    attachment.carryInStates('virtio-scsi', pci, scsiState(scsi, pci), () => disksOf(scsi));
    return {
      ...device,
      scsi,
      get units() {
        return scsi.bus.units;
      },
      plug: (unit: V86ScsiUnitOptions) => disks.plug(unit),
      unplug: (unit: LogicalUnit) => disks.unplug(unit),
    };
  });
}

function disksOf({ bus }: VirtioScsi): V86StateDisk[] {
  return bus.units.map(({ backend, config: { scsiId, lun } }) => {
    return { name: ` of LUN ${lun}, target ${scsiId},`, backend };
  });
}

/** The disks of one host, as far as they were opened here. */
class UnitDisks {
  readonly #attachment: V86Attachment;
  readonly #scsi: VirtioScsi;
  readonly #closers = new Map<LogicalUnit, () => Promise<void>>();
  #closed = false;

  constructor(attachment: V86Attachment, scsi: VirtioScsi) {
    this.#attachment = attachment;
    this.#scsi = scsi;
  }

  async plug(options: V86ScsiUnitOptions): Promise<LogicalUnit> {
    const { disk, kind = 'hd', readonly, werror, rerror, ...unitOptions } = options;
    const isOurs = !(disk instanceof BlockBackend);
    const diskOptions = {
      disk,
      ...(werror && { werror }),
      ...(rerror && { rerror }),
      ...((readonly ?? (isOurs && kind === 'cd')) && { readonly: true }),
    };
    const machine = this.#scsi.settings.machine ?? undefined;
    const { backend, close } = await this.#attachment.openDisk(diskOptions, machine);
    try {
      if (this.#closed) throw new Error('the host was taken off the bus');
      const unit = await this.#scsi.plug(kind, backend, unitOptions);
      this.#closers.set(unit, close);
      return unit;
    } catch (error) {
      await close();
      throw error;
    }
  }

  async unplug(unit: LogicalUnit): Promise<void> {
    await this.#scsi.unplug(unit);
    const close = this.#closers.get(unit);
    this.#closers.delete(unit);
    await close?.();
  }

  /** Nothing is plugged in from here on. */
  refuse(): void {
    this.#closed = true;
  }

  /** The host is gone. */
  async close(): Promise<void> {
    for (const [unit, close] of this.#closers) {
      this.#closers.delete(unit);
      await close();
    }
  }
}
