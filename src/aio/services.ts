/**
 * What an IOThread can be asked to do. A room registers its services when its module is loaded on
 * the thread; main calls them by name with `IOThread.call`.
 */

import type { Core } from '../engine/core.ts';
import type { AioContext } from './context.ts';
import type { PoolLimits } from './thread-messages.ts';

/** An IOThread, as its own services see it. */
export interface ThreadHome {
  readonly id: string;
  /** The thread's own instance. It cannot allocate. */
  readonly core: Core;
  readonly context: AioContext;
  /** What the rooms keep on this thread between two calls, by a name that a room chooses. */
  readonly state: Map<string, unknown>;
  /** Limits of the thread's pool as last set. */
  readonly poolLimits: PoolLimits;
  /** Called after the limits were changed at run time. */
  onPoolLimits(listener: (limits: PoolLimits) => void): void;
  /** Tells main's listeners of `event`. Payloads are cloned. */
  post(event: string, payload: unknown): void;
}

/**
 * Runs in the thread's context, as a bottom half of it; several that are waiting may be under way
 * at once. What it returns, or resolves to, is cloned and is the answer.
 */
export type Service = (thread: ThreadHome, payload: never) => unknown;

const services = new Map<string, Service>();

/** Makes `name` known on this thread; the last registration of a name counts. */
export function registerService(name: string, service: Service): void {
  services.set(name, service);
}

export function findService(name: string): Service | undefined {
  return services.get(name);
}

/** Names that may be called on this thread, sorted. */
export function serviceNames(): string[] {
  return [...services.keys()].sort();
}
