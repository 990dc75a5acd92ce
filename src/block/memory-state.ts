/**
 * The contents of memory disks in a saved state: clusters that were written, and nothing for holes.
 *
 *   | size u64 | clusters u32 | { number u32, its bytes } x clusters |
 *
 * The last cluster ends with the disk. Disks in files keep their files: those are not in a state.
 */

import type { Core } from '../engine/core.ts';
import { CLUSTER_BYTES, CLUSTER_L1_SHIFT, CLUSTER_L2_ENTRIES, DISK_L1 } from '../layout.ts';
import type { StateHandler } from '../machine/machine-state.ts';
import { StateError } from '../machine/state-error.ts';
import type { StateReader } from '../machine/state-reader.ts';
import type { StateWriter } from '../machine/state-writer.ts';
import { type BlockDriver, type BlockRequest, OP_WRITE } from './driver.ts';
import { SegmentVector } from './io-vector.ts';

const VERSION = 1;
const WORD = 0x1_0000_0000;

/** The memory disks among `driver` and those that it stands on, in their order. */
export function memoryDisks(driver: BlockDriver): BlockDriver[] {
  const below = (driver.children ?? []).flatMap(memoryDisks);
  return driver.clusterDisk ? [driver, ...below] : below;
}

/** Saves and loads the contents of a memory disk, in a drained section. Main thread. */
export function memoryState(core: Core, disk: BlockDriver): StateHandler {
  return {
    version: VERSION,
    save: (writer) => save(writer, core, disk),
    load: (reader) => {
      const clusters = read(reader, disk);
      return () => apply(core, disk, clusters);
    },
  };
}

function save(writer: StateWriter, core: Core, disk: BlockDriver): void {
  const { size } = disk;
  const found = allocated(core, disk);
  writer.u64(size).u32(found.length);
  for (const { number, address } of found) {
    const bytes = core.u8.subarray(address, address + bytesOf(size, number));
    writer.u32(number).raw(bytes);
  }
}

/** Every cluster in use, by its number, and where it lies. A table that is missing is all holes. */
function allocated(core: Core, disk: BlockDriver): { number: number; address: number }[] {
  const { u32 } = core;
  const clusters = Math.ceil(disk.size / CLUSTER_BYTES);
  const perTable = 2 ** CLUSTER_L1_SHIFT / CLUSTER_BYTES;
  const l1 = u32[(disk.clusterDisk + DISK_L1) >>> 2]! >>> 2;
  const found: { number: number; address: number }[] = [];
  for (let first = 0; first < clusters; first += perTable) {
    const table = u32[l1 + first / perTable]! >>> 2;
    if (table === 0) continue;
    const end = Math.min(CLUSTER_L2_ENTRIES, clusters - first);
    for (let entry = 0; entry < end; entry++) {
      const address = u32[table + entry]!;
      if (address !== 0) found.push({ number: first + entry, address });
    }
  }
  return found;
}

function bytesOf(size: number, number: number): number {
  return Math.min(CLUSTER_BYTES, size - number * CLUSTER_BYTES);
}

/** By number, ascending; views of what is being read. */
function read(reader: StateReader, { size }: BlockDriver): Map<number, Uint8Array> {
  reader.expect('size', `${reader.u64('size')} bytes`, `${size} bytes`);
  const most = Math.ceil(size / CLUSTER_BYTES);
  const count = reader.upTo('clusters', 4, most);
  const clusters = new Map<number, Uint8Array>();
  let last = -1;
  for (let i = 0; i < count; i++) {
    const number = reader.upTo('cluster', 4, most - 1);
    if (number <= last) reader.fail('EINVAL', 'cluster', `${number} comes after ${last}`);
    clusters.set(number, reader.raw(`cluster ${number}`, bytesOf(size, number)));
    last = number;
  }
  return clusters;
}

function apply(core: Core, disk: BlockDriver, clusters: ReadonlyMap<number, Uint8Array>): void {
  const { size, clusterDisk } = disk;
  // Nobody is inside the disk: clusters may be freed whoever serves it otherwise.
  core.engine.clusterZero(clusterDisk, 0, 0, size >>> 0, Math.floor(size / WORD), 1);
  const vector = new SegmentVector();
  for (const [number, bytes] of clusters) {
    const { length } = bytes;
    vector.reset(bytes);
    vector.append(0, length);
    const offset = number * CLUSTER_BYTES;
    const request: BlockRequest = {
      op: OP_WRITE,
      offset,
      length,
      flags: 0,
      vector,
      settle: () => {},
    };
    const written = disk.submit(request);
    if (written === length) continue;
    throw new StateError('EINVAL', `there is no memory for cluster ${number} of the disk`);
  }
}
