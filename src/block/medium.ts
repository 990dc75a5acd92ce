/** Disks and filters that come and go under a backend while requests run (BB-18). Main thread. */

import type { AioContext } from '../aio/context.ts';
import type { Core } from '../engine/core.ts';
import { ChildDriver } from './child-driver.ts';
import type { BlockDriver, DriverSpec } from './driver.ts';
import { GraphError } from './error.ts';
import { exclusive } from './exclusive.ts';
import { type GraphUser, replaceRoot, usersOf } from './graph.ts';
import { BlockNode } from './node.ts';
import { isOpenDriver, openDriver } from './registry.ts';

/** A backend, as far as this is concerned. */
export interface MediumUser extends GraphUser {
  readonly core: Core;
  readonly context: AioContext;
  checkRoot(node: BlockNode | null): void;
}

/**
 * A filter to put above a disk: a DriverSpec whose option `child` (default `file`) is given the
 * disk, or what makes an open driver of the disk.
 */
export type Filter =
  | { readonly spec: DriverSpec; readonly child?: string; readonly name?: string }
  | { readonly open: (disk: BlockDriver) => BlockDriver; readonly name?: string };

export function insertMedium(user: MediumUser, disk: DriverSpec | BlockDriver): Promise<void> {
  return exclusive(user.core, async () => {
    const node = await openNode(user, disk);
    try {
      user.checkRoot(node);
      await replaceRoot([user], user.root, node);
    } catch (thrown) {
      if (!isOpenDriver(disk) && node.parents.size === 0) await node.close();
      throw thrown;
    }
  });
}

async function openNode(user: MediumUser, disk: DriverSpec | BlockDriver): Promise<BlockNode> {
  if (isOpenDriver(disk)) return BlockNode.of(disk);
  const { core, context } = user;
  return BlockNode.of(await openDriver(core, disk, { main: true, context }), { spec: disk });
}

export function removeMedium(user: MediumUser): Promise<void> {
  return exclusive(user.core, async () => {
    if (user.root) await replaceRoot([user], user.root, null);
  });
}

/** Above the root of `user`, for all who stand on it. Rejects, and nothing has changed. */
export function insertFilter(user: MediumUser, filter: Filter): Promise<BlockNode> {
  return exclusive(user.core, async () => {
    const below = user.root;
    if (!below) throw new GraphError('EBUSY', user.name, `backend '${user.name}' has no disk`);
    const users = usersOf(below);
    const driver = await openFilter(user, filter, new ChildDriver(below));
    const node = BlockNode.of(driver, filter.name === undefined ? {} : { name: filter.name });
    try {
      if (node.children[0] !== below) {
        throw new GraphError('EBUSY', node.name, `filter '${node.name}' has not taken the disk`);
      }
      await replaceRoot(users, below, node, false);
    } catch (thrown) {
      await node.close();
      throw thrown;
    }
    return node;
  });
}

async function openFilter(
  { core, context }: MediumUser,
  filter: Filter,
  disk: ChildDriver,
): Promise<BlockDriver> {
  if ('open' in filter) return filter.open(disk);
  const { spec, child = 'file' } = filter;
  const options = { ...spec.options, [child]: disk };
  return openDriver(core, { ...spec, options }, { main: true, context });
}

/** The root of `user` is a filter that was inserted: all who stand on it go to what is below. */
export function removeFilter(user: MediumUser): Promise<void> {
  return exclusive(user.core, async () => {
    const filter = user.root;
    const below = filter?.children[0];
    if (!filter || !below || below.owner) {
      const name = filter?.name ?? user.name;
      throw new GraphError('EBUSY', name, `'${name}' is no filter that was inserted`);
    }
    await replaceRoot(usersOf(filter), filter, below, false);
  });
}

/** Another disk for all backends that stand on the root of `user`. */
export function replaceNode(user: MediumUser, disk: DriverSpec | BlockDriver): Promise<void> {
  return exclusive(user.core, async () => {
    const node = user.root;
    if (!node) throw new GraphError('EBUSY', user.name, `backend '${user.name}' has no disk`);
    const next = await openNode(user, disk);
    try {
      await replaceRoot(usersOf(node), node, next);
    } catch (thrown) {
      if (!isOpenDriver(disk) && next.parents.size === 0) await next.close();
      throw thrown;
    }
  });
}
