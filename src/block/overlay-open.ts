/** Opening overlays: finding one in the top, or making one there. */

import type { Core } from '../engine/core.ts';
import type { BlockDriver, DriverSpec } from './driver.ts';
import { type BlockError, OptionError } from './error.ts';
import { checkNames, type DriverOptions, integerOption, parseSize } from './option.ts';
import { OverlayDriver, slowest } from './overlay.ts';
import { identityOf } from './overlay-base.ts';
import {
  CLUSTER_MAX,
  CLUSTER_MIN,
  decodeHeader,
  encodeHeader,
  isClusterSize,
  MAP_BLOCK,
  MAP_OFFSET,
  newHeader,
  type OverlayHeader,
  refusal,
  SLOT_BYTES,
  slotAt,
  topBytes,
} from './overlay-header.ts';
import { MainIo } from './overlay-main-io.ts';
import { blocksOf, OverlayMap, PRESENT } from './overlay-map.ts';
import { type DriverThread, isOpenDriver, openDriver } from './registry.ts';

type Disk = DriverSpec | BlockDriver;

/** The opener of overlays. They are opened on main first, and by `share` on other threads. */
export async function openOverlay(
  core: Core,
  options: DriverOptions,
  thread: DriverThread,
): Promise<OverlayDriver> {
  checkNames(options, 'overlay', ['base', 'top', 'cluster-size', 'map']);
  const clusterSize = clusterSizeOption(options);
  const map = integerOption(options, 'map', 0, 8, 0xffff_fffc);
  const [base, top] = [diskOption(options, 'base'), diskOption(options, 'top')];
  if (!map && !thread.main) throw new OptionError('map', undefined, "an overlay of main's (share)");
  const opened: BlockDriver[] = [];
  try {
    const bottom = await openDisk(core, base, thread, opened);
    const bytes = topBytes(newHeader(clusterSize ?? CLUSTER_MAX, bottom.size, '', bottom.size));
    const upper = await openTop(core, top, bytes, thread, opened);
    checkTogether(core, bottom, upper);
    const parts = { core, context: thread.context, base: bottom, top: upper };
    if (map) return new OverlayDriver({ ...parts, map: new OverlayMap(core, map), header: null });
    return await new Opening(parts, clusterSize).open();
  } catch (thrown) {
    for (const disk of opened) await disk.close();
    throw thrown;
  }
}

function clusterSizeOption(options: DriverOptions): number | undefined {
  const value = options['cluster-size'];
  if (value === undefined) return undefined;
  const bytes = parseSize(value);
  if (bytes !== undefined && isClusterSize(bytes)) return bytes;
  throw new OptionError(
    'cluster-size',
    value,
    `powers of two from ${CLUSTER_MIN} to ${CLUSTER_MAX}`,
  );
}

function diskOption(options: DriverOptions, name: string): Disk {
  const disk = options[name];
  if (typeof disk === 'object' && disk !== null) return disk as Disk;
  throw new OptionError(name, disk, 'a DriverSpec or an open driver');
}

async function openDisk(
  core: Core,
  disk: Disk,
  thread: DriverThread,
  opened: BlockDriver[],
): Promise<BlockDriver> {
  const driver = isOpenDriver(disk) ? disk : await openDriver(core, disk, thread);
  opened.push(driver);
  return driver;
}

/** A top whose size the user leaves to us has that which a new overlay needs, if it has none. */
async function openTop(
  core: Core,
  top: Disk,
  bytes: number,
  thread: DriverThread,
  opened: BlockDriver[],
): Promise<BlockDriver> {
  try {
    return await openDisk(core, top, thread, opened);
  } catch (thrown) {
    const wanted = thrown instanceof OptionError && thrown.option === 'size';
    if (!wanted || isOpenDriver(top) || top.options?.['size'] !== undefined) throw thrown;
    const options = { ...top.options, size: bytes };
    return openDisk(core, { ...top, options }, thread, opened);
  }
}

/** No buffer serves both a disk that another thread answers for and one that the loop does. */
function checkTogether(core: Core, base: BlockDriver, top: BlockDriver): void {
  const both = [base.settles, top.settles];
  if (!core.shared || !both.includes('word') || !both.includes('loop')) return;
  const allowed = `one that settles by '${base.settles}' as the base does, or 'inline'`;
  throw new OptionError('top', `${top.driver} (${top.settles})`, allowed);
}

interface Parts {
  readonly core: Core;
  readonly context: DriverThread['context'];
  readonly base: BlockDriver;
  readonly top: BlockDriver;
}

/** One opening, on main. */
class Opening {
  readonly #parts: Parts;
  readonly #clusterSize: number | undefined;
  readonly #io: MainIo;

  constructor(parts: Parts, clusterSize: number | undefined) {
    this.#parts = parts;
    this.#clusterSize = clusterSize;
    this.#io = new MainIo(parts.core, slowest(parts.base, parts.top));
  }

  async open(): Promise<OverlayDriver> {
    try {
      const identity = await identityOf(this.#parts.base, this.#io);
      const found = await this.#find();
      if (found) this.#check(found, identity);
      const header = found ?? (await this.#create(identity));
      const driver = await this.#load(header);
      // What a commit has written so far is what the top says.
      if (header.committing && !driver.readOnly) this.#rebind(driver, header, identity);
      return driver;
    } finally {
      this.#io.close();
    }
  }

  async #find(): Promise<OverlayHeader | null> {
    const { top } = this.#parts;
    const length = Math.min(2 * SLOT_BYTES, top.size);
    const bytes = new Uint8Array(2 * SLOT_BYTES);
    bytes.set(await this.#io.read(top, 0, length));
    return decodeHeader(bytes);
  }

  #check(header: OverlayHeader, identity: string): void {
    const { base, top } = this.#parts;
    const wanted = this.#clusterSize;
    if (wanted !== undefined && wanted !== header.clusterSize) {
      const allowed = `${header.clusterSize}, with which the overlay was made`;
      throw new OptionError('cluster-size', wanted, allowed);
    }
    if (top.size < header.dataOffset) throw truncated(top, header);
    if (header.committing) return;
    if (base.size !== header.baseSize) {
      const sizes = `it has ${base.size} bytes, not ${header.baseSize}`;
      throw refusal('ESTALE', `the base is not the one that the overlay was made for: ${sizes}`);
    }
    if (identity !== header.base) {
      const identities = `it is ${identity}, not ${header.base}`;
      throw refusal('ESTALE', `the base has changed since the overlay was made: ${identities}`);
    }
  }

  /** The header last: until it is there the top is empty, and the next opening starts again. */
  async #create(identity: string): Promise<OverlayHeader> {
    const { base, top } = this.#parts;
    const header = newHeader(this.#clusterSize ?? CLUSTER_MAX, base.size, identity, base.size);
    const needed = topBytes(header);
    if (top.readOnly) throw refusal('EPERM', 'the top is empty, and read-only');
    if (top.size < needed && top.truncate(needed) < 0) {
      throw new OptionError('top', top.driver, `a disk of at least ${needed} bytes`);
    }
    await this.#io.zero(top, MAP_OFFSET, header.mapClusters / 8);
    await this.#io.flush(top);
    const slot = encodeHeader(header);
    this.#io.bytes(SLOT_BYTES).set(slot);
    await this.#io.write(top, slotAt(slot), SLOT_BYTES);
    await this.#io.flush(top);
    return header;
  }

  async #load(header: OverlayHeader): Promise<OverlayDriver> {
    const { core, base, top } = this.#parts;
    const map = OverlayMap.create(core, header, slowest(base, top) === 'word');
    try {
      for (let block = 0; block < blocksOf(map.clusters); block++) {
        map.load(block, await this.#io.read(top, MAP_OFFSET + block * MAP_BLOCK, MAP_BLOCK));
      }
      this.#checkTop(map, header);
      return new OverlayDriver({ ...this.#parts, map, header });
    } catch (thrown) {
      map.free();
      throw thrown;
    }
  }

  /** A top may lack what was never written, after a crash in the middle of a change of size. */
  #checkTop(map: OverlayMap, header: OverlayHeader): void {
    const { top } = this.#parts;
    const needed = topBytes(header);
    if (top.size >= needed) return;
    const there = Math.floor((top.size - header.dataOffset) / map.clusterSize);
    for (let cluster = there; cluster < map.clusters; cluster++) {
      if (map.state(cluster) === PRESENT) throw truncated(top, header);
    }
    if (top.truncate(needed) < 0) throw truncated(top, header);
  }

  #rebind(driver: OverlayDriver, header: OverlayHeader, identity: string): void {
    const baseSize = driver.base.size;
    const baseLimit = Math.min(header.baseLimit, baseSize);
    driver.bind({ ...header, base: identity, baseSize, baseLimit, committing: false });
  }
}

function truncated(top: BlockDriver, header: OverlayHeader): BlockError {
  const bytes = `it has ${top.size} bytes of ${topBytes(header)}`;
  return refusal('EINVAL', `the top is truncated: ${bytes}`);
}
