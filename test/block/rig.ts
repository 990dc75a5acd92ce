/** A backend, a lane and requests for tests. */

import { openCore } from '#src/adapter/node';
import { ManualClock } from '#src/aio/clock';
import { AioContext } from '#src/aio/context';
import { type BackendOptions, BlockBackend } from '#src/block/backend';
import { type BlockDriver, type BlockOp, PENDING } from '#src/block/driver';
import type { BackendLane } from '#src/block/lane';
import type { LaneRequest } from '#src/block/lane-request';
import type { Core } from '#src/engine/core';

/** Bytes of a wasm page. */
export const PAGE = 65_536;

export interface Rig {
  core: Core;
  clock: ManualClock;
  context: AioContext;
  backend: BlockBackend;
  lane: BackendLane;
}

/** A backend over `driver` (null: no medium), with a lane in a context that the test polls. */
export async function rig(driver: BlockDriver | null, options: BackendOptions = {}, core?: Core) {
  core ??= await openCore({ ramBytes: 4 * PAGE });
  const clock = new ManualClock();
  const context = new AioContext(core, { sleeper: 'hook', clock });
  const backend = driver
    ? BlockBackend.attach(core, context, driver, options)
    : BlockBackend.empty(core, context, options);
  return { core, clock, context, backend, lane: backend.openLane(context) };
}

export interface Done {
  request: LaneRequest;
  result: number;
}

/** A request over a plain array (or guest RAM), with its completions. */
export function make(
  lane: BackendLane,
  op: BlockOp,
  offset: number,
  bytes: Uint8Array | number,
  flags = 0,
): { request: LaneRequest; done: Done[] } {
  const request = lane.request();
  const done: Done[] = [];
  request.op = op;
  request.offset = offset;
  request.flags = flags;
  request.length = typeof bytes === 'number' ? bytes : bytes.length;
  if (typeof bytes !== 'number') {
    request.vector.reset(bytes);
    request.vector.append(0, bytes.length);
  }
  request.done = (ended, result) => done.push({ request: ended, result });
  return { request, done };
}

/** Submits and polls until it has ended; its result. */
export function perform(
  r: Rig,
  op: BlockOp,
  offset: number,
  bytes: Uint8Array | number,
  flags = 0,
): number {
  const { request, done } = make(r.lane, op, offset, bytes, flags);
  let result = r.lane.submit(request);
  if (result === PENDING) {
    for (let i = 0; i < 100 && done.length === 0; i++) r.context.poll();
    result = done[0]!.result;
  }
  request.release();
  return result;
}

/** Bytes that count up. */
export const bytes = (length: number, first = 0) =>
  Uint8Array.from({ length }, (_, i) => first + i);
