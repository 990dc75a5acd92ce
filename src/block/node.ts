/**
 * A node of the graph of disks: one open driver of main's, who stands on it and what it stands on.
 * Main thread. QEMU: `BlockDriverState` and `BdrvChild`; `bdrv_do_drained_begin` in `block/io.c`.
 *
 *   backend   backend         parents: told first when a drained section begins, last when it ends
 *         \   /
 *         node  (driver)
 *         /   \
 *     child   child           drivers below are told after this one, and before it of the end
 *
 * Requests know nothing of nodes: they pass the gate of their backend. A change of the graph is
 * made in a drained section of everything above it, so that no lock is needed (BB-26).
 */

import type { BlockDriver, DriverSpec } from './driver.ts';
import { GraphError } from './error.ts';
import type { LaneThread } from './remote-lane.ts';

/** Who stands on a node: a backend, or another node. */
export interface NodeParent {
  readonly name: string;
  /** The child below begins a drained section, or is in one when the parent is attached. */
  childDrainedBegin(): void;
  childDrainedEnd(): void;
  /** Requests of it, or of those above it, are in flight (BB-5). */
  readonly busy: boolean;
  /** Why it does not let what is below it go to `thread`; null: it does (BB-14). */
  refusesContext(thread: LaneThread | null): string | null;
  /** For a walk upwards. */
  readonly parents: Iterable<NodeParent>;
  /** For a walk sideways: the nodes that it stands on. */
  readonly below: Iterable<BlockNode>;
}

export interface NodeOptions {
  readonly name?: string;
  /** How the driver was opened, if by name. */
  readonly spec?: DriverSpec | null;
}

const nodes = new WeakMap<BlockDriver, BlockNode>();
let numbered = 0;

export class BlockNode implements NodeParent {
  readonly name: string;
  readonly driver: BlockDriver;
  readonly spec: DriverSpec | null;
  readonly parents = new Set<NodeParent>();
  /**
   * Thread that the users of the node mean to work on; null: main. A hint, which holds only inside
   * a drained section or while a request is in flight (BB-16).
   */
  context: LaneThread | null = null;
  /** Whose driver has opened this one and closes it; null: the last parent that leaves does. */
  owner: BlockNode | null = null;
  #children: readonly BlockNode[] = [];
  #quiesce = 0;
  /** Sections of this node and of those above it, as its driver is told of them. */
  #told = 0;
  #closing: Promise<void> | null = null;

  /** The node of an open driver; made, with those of its children, if there is none yet. */
  static of(driver: BlockDriver, options: NodeOptions = {}): BlockNode {
    const known = nodes.get(driver);
    if (known && !known.#closing) return known;
    const node = new BlockNode(driver, options);
    nodes.set(driver, node);
    node.#standOn(childNodes(driver));
    return node;
  }

  /** Does anybody stand on the driver? */
  static inUse(driver: BlockDriver): boolean {
    return (nodes.get(driver)?.parents.size ?? 0) > 0;
  }

  /** A driver has other children, its own: an overlay with another base. In a drained section. */
  static childrenChanged(driver: BlockDriver): void {
    const node = nodes.get(driver);
    if (node) node.#standOn(childNodes(driver));
  }

  private constructor(driver: BlockDriver, { name, spec = null }: NodeOptions) {
    this.driver = driver;
    this.spec = spec;
    this.name = name ?? `${driver.driver}${numbered++}`;
  }

  /** Leaves the children that it does not have any more, in the sections that it is in. */
  #standOn(children: readonly BlockNode[]): void {
    const before = this.#children;
    this.#children = children;
    for (const child of children) {
      if (before.includes(child)) continue;
      child.addParent(this);
      for (let i = 0; i < this.#told; i++) child.#tellBegin();
    }
    for (const child of before) {
      if (children.includes(child)) continue;
      for (let i = 0; i < this.#told; i++) child.#tellEnd();
      child.removeParent(this);
    }
    for (const child of this.driver.children ?? []) {
      const owned = nodes.get(child); // a `ChildDriver` has none: its node stays its own
      if (owned) owned.owner = this;
    }
  }

  get children(): readonly BlockNode[] {
    return this.#children;
  }

  get below(): Iterable<BlockNode> {
    return this.#children;
  }

  /** How another thread opens the disk, or null if only main can. */
  get share(): DriverSpec | null {
    const { driver } = this;
    return driver.share ?? (driver.threads === 'any' ? this.spec : null);
  }

  /** Throws a GraphError if the node is being closed. */
  addParent(parent: NodeParent): void {
    if (this.#closing) throw new GraphError('EBUSY', this.name, `node '${this.name}' is closing`);
    this.parents.add(parent);
    if (this.#quiesce > 0) parent.childDrainedBegin(); // told at once (BB-7)
  }

  removeParent(parent: NodeParent): void {
    if (this.parents.delete(parent) && this.#quiesce > 0) parent.childDrainedEnd();
  }

  // ---- Drained sections ---------------------------------------------------------------------

  get quiesced(): boolean {
    return this.#quiesce > 0;
  }

  /** Begins a drained section of everything that stands on the node. Nests; never waits. */
  drainedBegin(): void {
    if (this.#quiesce++ > 0) return;
    for (const parent of [...this.parents]) parent.childDrainedBegin();
    this.#tellBegin();
  }

  /** Ends it: drivers first, then parents (BB-6). Never waits. */
  drainedEnd(): void {
    if (this.#quiesce === 0) throw new Error('drainedEnd without drainedBegin');
    if (--this.#quiesce > 0) return;
    this.#tellEnd();
    for (const parent of [...this.parents]) parent.childDrainedEnd();
  }

  childDrainedBegin(): void {
    this.drainedBegin();
  }

  childDrainedEnd(): void {
    this.drainedEnd();
  }

  #tellBegin(): void {
    if (this.#told++ === 0) this.driver.drainedBegin?.();
    for (const child of this.children) child.#tellBegin();
  }

  #tellEnd(): void {
    for (const child of this.children) child.#tellEnd();
    if (--this.#told === 0) this.driver.drainedEnd?.();
  }

  get busy(): boolean {
    for (const parent of this.parents) if (parent.busy) return true;
    return false;
  }

  // ---- Context and life -----------------------------------------------------------------------

  refusesContext(thread: LaneThread | null): string | null {
    if (!thread || this.share) return null;
    return `node '${this.name}' is an open '${this.driver.driver}' driver, which serves main only`;
  }

  /**
   * Nobody stands on the node any more: closes its driver, once, whoever asks. The nodes that it
   * was opened with are its driver's to close; others are closed if they were left by all, too.
   */
  close(): Promise<void> {
    if (this.parents.size > 0) throw new Error(`node '${this.name}' is in use`);
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    for (const child of this.children) child.removeParent(this);
    await this.driver.close();
    for (const child of this.children) {
      if (child.owner !== this && child.parents.size === 0) await child.close();
    }
  }
}

function childNodes(driver: BlockDriver): BlockNode[] {
  return (driver.children ?? []).map((child) => {
    return (child as { readonly node?: BlockNode }).node ?? BlockNode.of(child);
  });
}

/** Tells a driver and those below it that a drained section begins: on threads without nodes. */
export function beginDrain(driver: BlockDriver): void {
  driver.drainedBegin?.();
  for (const child of driver.children ?? []) beginDrain(child);
}

/** The pair of `beginDrain`. */
export function endDrain(driver: BlockDriver): void {
  for (const child of driver.children ?? []) endDrain(child);
  driver.drainedEnd?.();
}
