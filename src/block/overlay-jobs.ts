/**
 * What is done with an overlay as a whole: merging it into its base, giving it another base. On
 * main, in a drained section of the backend:
 *
 *     await backend.drained(() => commitOverlay(overlay));
 *
 * Both reject with a BlockError, and the overlay reads the same before and after, and after a crash
 * in between. QEMU: `qemu-img commit`, `qemu-img rebase`.
 */

import type { BlockDriver, DriverSpec } from './driver.ts';
import { BlockError, codeOf, OptionError } from './error.ts';
import { BlockNode } from './node.ts';
import { type OverlayDriver, slowest } from './overlay.ts';
import { identityOf } from './overlay-base.ts';
import { MAP_OFFSET, type OverlayHeader } from './overlay-header.ts';
import { MainIo } from './overlay-main-io.ts';
import { PRESENT } from './overlay-map.ts';
import { isOpenDriver, openDriver } from './registry.ts';

/**
 * Writes all that the overlay has into its base, which then reads as the overlay does, and empties
 * the overlay. A base that is smaller grows. Other overlays of this base are refused from then on.
 */
export async function commitOverlay(overlay: OverlayDriver): Promise<void> {
  const { base, top, map } = overlay;
  const header = ownHeader(overlay);
  if (base.readOnly) throw forbidden('the base is read-only');
  if (overlay.readOnly) throw forbidden('the top is read-only');
  const io = new MainIo(overlay.core, overlay.settles);
  try {
    // From here on the base may differ from what the header says, in what is in the map.
    await rebind(overlay, { ...header, committing: true });
    growBase(base, map.size);
    await writeBase(overlay, io);
    await io.flush(base);
    const bound = { base: await identityOf(base, io), baseSize: base.size, baseLimit: map.size };
    await rebind(overlay, { ...ownHeader(overlay), ...bound, committing: false });
    await io.zero(top, MAP_OFFSET, map.mapClusters / 8);
    await io.flush(top);
    map.clear();
    freeData(overlay);
  } finally {
    io.close();
  }
}

/**
 * Gives the overlay another base, without changing what it reads: clusters that differ in the new
 * base are copied into the top first. The new base belongs to the overlay then; the old one is
 * closed. EBUSY while another thread has the overlay open: it would go on reading the old base;
 * and for a base that somebody stands on already.
 */
export async function rebaseOverlay(
  overlay: OverlayDriver,
  newBase: DriverSpec | BlockDriver,
): Promise<void> {
  const { core, context, map, top } = overlay;
  ownHeader(overlay);
  if (overlay.readOnly) throw forbidden('the top is read-only');
  if (isOpenDriver(newBase) && BlockNode.inUse(newBase))
    throw forbidden('somebody uses it', 'EBUSY');
  if (map.others > 0) throw forbidden('another thread has the overlay open', 'EBUSY');
  const thread = { main: true, ...(context && { context }) };
  const base = isOpenDriver(newBase) ? newBase : await openDriver(core, newBase, thread);
  let io: MainIo | null = null;
  try {
    checkBase(overlay, base);
    io = new MainIo(core, slowest(overlay.base, base, top));
    const limit = Math.min(base.size, map.size);
    await copyDifferences(overlay, base, limit, io);
    await flushed(overlay); // the map must be there before the header names the other base
    const bound = { base: await identityOf(base, io), baseSize: base.size, baseLimit: limit };
    await rebind(overlay, { ...ownHeader(overlay), ...bound });
  } catch (thrown) {
    if (!isOpenDriver(newBase)) await base.close();
    throw thrown;
  } finally {
    io?.close();
  }
  const old = overlay.replaceBase(base);
  BlockNode.childrenChanged(overlay);
  await old.close();
}

function ownHeader(overlay: OverlayDriver): OverlayHeader {
  if (overlay.header) return overlay.header;
  throw forbidden("the overlay is main's");
}

function forbidden(why: string, code = 'EPERM'): BlockError {
  return new BlockError(code, 'write', { cause: new Error(why) });
}

/** The overlay's way of settling and its alignment are fixed: lanes go by them. */
function checkBase(overlay: OverlayDriver, base: BlockDriver): void {
  if (slowest(base, overlay.top) === overlay.settles && base.alignment <= overlay.alignment) return;
  const allowed = `one that settles by '${overlay.settles}', with blocks of ${overlay.alignment}`;
  throw new OptionError('base', base.driver, allowed);
}

async function rebind(overlay: OverlayDriver, header: OverlayHeader): Promise<void> {
  overlay.bind(header);
  await flushed(overlay);
}

async function flushed(overlay: OverlayDriver): Promise<void> {
  const result = await new Promise<number>((end) => overlay.flush(end));
  if (result < 0) throw new BlockError(codeOf(result), 'flush');
}

function growBase(base: BlockDriver, size: number): void {
  if (base.size >= size) return;
  const result = base.truncate(size);
  if (result < 0) throw new BlockError(codeOf(result), 'truncate', { length: size });
}

/** What the overlay has, and zeroes where it hides what the base had. */
async function writeBase({ base, top, map }: OverlayDriver, io: MainIo): Promise<void> {
  const { clusterSize, dataOffset, baseLimit, size } = map;
  if (baseLimit < size) await io.zero(base, baseLimit, size - baseLimit);
  for (let cluster = 0; cluster < map.clusters; cluster++) {
    if (map.state(cluster) !== PRESENT) continue;
    const offset = cluster * clusterSize;
    const length = Math.min(clusterSize, size - offset);
    await io.read(top, dataOffset + offset, length);
    await io.write(base, offset, length);
  }
}

/** The top's data is not needed any more; what cannot be freed stays. */
function freeData({ top, map }: OverlayDriver): void {
  const { size } = top;
  if (top.truncate(map.dataOffset) >= 0) top.truncate(size);
}

async function copyDifferences(
  overlay: OverlayDriver,
  newBase: BlockDriver,
  newLimit: number,
  io: MainIo,
): Promise<void> {
  const { map } = overlay;
  const { clusterSize } = map;
  for (let cluster = 0; cluster < map.clusters; cluster++) {
    if (map.state(cluster) === PRESENT) continue;
    const offset = cluster * clusterSize;
    const length = Math.min(clusterSize, map.size - offset);
    await io.fill(clusterSize, 0, (slot, end) => {
      overlay.clusters.readBase(offset, slot.use(clusterSize), clusterSize, end);
    });
    const kept = Math.max(0, Math.min(length, newLimit - offset));
    if (kept > 0) await io.read(newBase, offset, kept, 1);
    if (same(io.bytes(length, 0), io.bytes(length, 1).fill(0, kept))) continue;
    const result = await new Promise<number>((end) => overlay.clusters.fill(cluster, end));
    if (result < 0) throw new BlockError(codeOf(result), 'write', { offset, length });
  }
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
