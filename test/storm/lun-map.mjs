/** What a driver may find at the addresses of a SCSI host, while disks come and go there. */
import { scsiLun } from '#src/guest/scsi';

const TARGETS = 3;
/** The last one needs the flat form. */
const LUNS = [0, 1, 300];

/** All addresses that are asked. */
export const ADDRESSES = Array.from({ length: TARGETS }, (_, target) => {
  return LUNS.map((lun) => ({ target, lun, bytes: scsiLun(target, lun) }));
}).flat();

export class LunMap {
  /** Disks by address: from the call of `plug` until `unplug` has resolved. */
  #disks = new Map();
  /** By target: plugs and unplugs under way, and how many have begun or ended. */
  #changing = new Array(TARGETS).fill(0);
  #versions = new Array(TARGETS).fill(0);

  /** A plug or an unplug begins. Returns what ends it. */
  begin({ target }) {
    this.#changing[target]++;
    this.#versions[target]++;
    return () => {
      this.#changing[target]--;
      this.#versions[target]++;
    };
  }

  put(address, disk) {
    this.#disks.set(address, disk);
  }

  remove(address) {
    this.#disks.delete(address);
  }

  at(address) {
    return this.#disks.get(address) ?? null;
  }

  get disks() {
    return [...this.#disks.values()];
  }

  version({ target }) {
    return this.#versions[target];
  }

  /** Has nothing come to this target, or gone, since it had that version? */
  isAsIn(version, { target }) {
    return this.#changing[target] === 0 && this.#versions[target] === version;
  }

  /** LUNs of a target, in ascending order. */
  lunsOf(target) {
    const here = [...this.#disks.keys()].filter((address) => address.target === target);
    return here.map(({ lun }) => lun).sort((a, b) => a - b);
  }
}
