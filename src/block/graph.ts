/**
 * Changes of the graph of disks: another disk under backends, filters, the context of a whole
 * graph. Each is a transaction: everybody concerned may refuse, by a GraphError that names who, and
 * then nothing has changed. Made in drained sections, one after the other. Main thread.
 * QEMU: `bdrv_replace_node`, `bdrv_try_change_aio_context`, `block/graph-lock.c`.
 */

import { ENOMEDIUM, SECTOR_SIZE } from '../spec.ts';
import { type Drainable, drainedAll } from './drain.ts';
import { type BlockDriver, OP_FLUSH, PENDING } from './driver.ts';
import { BlockError, codeOf, errnoOfThrown, GraphError, OptionError } from './error.ts';
import { SegmentVector } from './io-vector.ts';
import { BlockNode, type NodeParent } from './node.ts';
import type { LaneThread } from './remote-lane.ts';

/** A backend, as its graph sees it. */
export interface GraphUser extends NodeParent, Drainable {
  readonly root: BlockNode | null;
  readonly threads: ReadonlySet<LaneThread | null>;
  ioThread: LaneThread | null;
  /** Other backends write to the same disk, or no longer. */
  setShared(shared: boolean): void;
  /** Opens what `node` needs beside what there is; rejects, and nothing has changed. Drained. */
  prepareRoot(node: BlockNode | null): Promise<void>;
  abortRoot(): Promise<void>;
  /** Goes over to what was prepared. `media`: it is another disk, as devices see it. */
  commitRoot(node: BlockNode | null, media: boolean): Promise<void>;
  readonly readOnly: boolean;
  /** The disk has another size: has all lanes know it, in the section; and tells others, after. */
  resized(): Promise<void>;
  tellSize(): void;
}

export interface Graph {
  readonly nodes: ReadonlySet<BlockNode>;
  readonly users: ReadonlySet<GraphUser>;
}

/** All that is connected with a parent or node, each once. */
export function connected(start: NodeParent): Graph {
  const nodes = new Set<BlockNode>();
  const users = new Set<GraphUser>();
  const visit = (one: NodeParent): void => {
    const seen: Set<NodeParent> = one instanceof BlockNode ? nodes : users;
    if (seen.has(one)) return;
    seen.add(one);
    for (const parent of one.parents) visit(parent);
    for (const node of one.below) visit(node);
  };
  visit(start);
  return { nodes, users };
}

/**
 * Tells all users and drivers of a graph how many they are: in a drained section, if a driver wants
 * to know. At once if nothing is in flight.
 */
export async function countUsers(start: NodeParent): Promise<void> {
  const { users, nodes } = connected(start);
  for (const user of users) user.setShared(users.size > 1);
  if (![...nodes].some(({ driver }) => driver.several)) return;
  for (const user of users) user.drainedBegin();
  try {
    if ([...users].some((user) => user.drainedPoll())) await drainedAll(users, () => {});
    const several = threadsOf(users) > 1;
    for (const { driver } of nodes) driver.several?.(several);
  } finally {
    for (const user of users) user.drainedEnd();
  }
}

/** Threads that have lanes to the disks of a graph, over all its backends. */
export function countThreads(start: NodeParent): number {
  return threadsOf(connected(start).users);
}

/** A thread has left a graph: who has left is not inside, so nothing is drained. */
export function threadLeft(start: NodeParent): void {
  const { users, nodes } = connected(start);
  if (threadsOf(users) > 1) return;
  for (const { driver } of nodes) driver.several?.(false);
}

function threadsOf(users: ReadonlySet<GraphUser>): number {
  return new Set([...users].flatMap(({ threads }) => [...threads])).size;
}

// ---- Another disk -----------------------------------------------------------------------------

/** Backends whose root is `node`. Throws a GraphError if it is below another node as well. */
export function usersOf(node: BlockNode): GraphUser[] {
  for (const parent of node.parents) {
    if (!(parent instanceof BlockNode)) continue;
    const why = `node '${parent.name}' stands on node '${node.name}', which cannot be replaced`;
    throw new GraphError('EBUSY', parent.name, why);
  }
  return [...node.parents] as GraphUser[];
}

/**
 * Puts `next` under `users` in place of `old`, which is flushed before and closed afterwards if
 * nobody stands on it any more (BB-18). Null: no disk. Requests that wait at the gate go to the new
 * one (BB-9). `media`: for the devices it is another disk. Nothing if it is the same.
 */
export async function replaceRoot(
  users: readonly GraphUser[],
  old: BlockNode | null,
  next: BlockNode | null,
  media = true,
): Promise<void> {
  if (next === old) return;
  await drainedAll(users, async () => {
    const prepared: GraphUser[] = [];
    try {
      for (const user of users) {
        await user.prepareRoot(next);
        prepared.push(user);
      }
      if (old && !old.driver.readOnly) await flushDriver(old.driver);
    } catch (thrown) {
      for (const user of prepared) await user.abortRoot();
      throw thrown;
    }
    for (const user of users) await user.commitRoot(next, media);
    if (next) await countUsers(next); // its other users may be inside when the gate opens
  });
  if (old && old.parents.size === 0) await old.close();
  else if (old) await countUsers(old);
}

/** Changes the size of the disk under `user`, for all who use it. Rejects with a BlockError. */
export async function resizeDisk(user: GraphUser, bytes: number): Promise<void> {
  if (user.readOnly) throw new BlockError('EPERM', 'truncate', { length: bytes });
  if (!Number.isSafeInteger(bytes) || bytes < 0 || bytes % SECTOR_SIZE !== 0) {
    throw new OptionError('size', bytes, `bytes, a multiple of ${SECTOR_SIZE}`);
  }
  const { users } = connected(user);
  await drainedAll(users, async () => {
    const result = user.root?.driver.truncate(bytes) ?? -ENOMEDIUM;
    if (result < 0) throw new BlockError(codeOf(result), 'truncate', { length: bytes });
    for (const one of users) await one.resized();
  });
  for (const one of users) one.tellSize();
}

/** Flushes behind the back of all gates. Rejects with a BlockError. In a drained section. */
export async function flushDriver(driver: BlockDriver): Promise<void> {
  const result = await new Promise<number>((settle) => {
    const vector = new SegmentVector();
    try {
      const flush = { op: OP_FLUSH, offset: 0, length: 0, flags: 0, vector, settle } as const;
      const answer = driver.submit(flush);
      if (answer !== PENDING) settle(answer);
    } catch (thrown) {
      settle(errnoOfThrown(thrown));
    }
  });
  if (result < 0) throw new BlockError(codeOf(result), 'flush');
}

// ---- Context (BB-14 to BB-17) -----------------------------------------------------------------

/**
 * Moves the graph that `asker` stands on to `thread` (null: main). Everybody in it is asked once:
 * those who refuse are asked again inside the drained section, since the world may have changed
 * while it was awaited.
 */
export async function changeContext(asker: GraphUser, thread: LaneThread | null): Promise<void> {
  agree(asker, thread);
  await drainedAll(connected(asker).users, () => {
    const { nodes, users } = agree(asker, thread);
    for (const node of nodes) node.context = thread;
    for (const user of users) user.ioThread = thread;
  });
}

/** Throws a GraphError, which names the first that refuses. */
function agree(asker: GraphUser, thread: LaneThread | null): Graph {
  const graph = connected(asker);
  for (const one of [...graph.nodes, ...graph.users]) {
    const why = one === asker ? null : one.refusesContext(thread);
    if (why) throw new GraphError('EPERM', one.name, why);
  }
  return graph;
}
