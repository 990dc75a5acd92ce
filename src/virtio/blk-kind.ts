/**
 * What the queues of a block device stand on: one disk, and a lane to it on each thread that serves
 * some. Importing this is enough for a thread to serve such queues.
 */

import type { AioContext } from '../aio/context.ts';
import type { BlockBackend } from '../block/backend.ts';
import { laneAt } from '../block/lane-service.ts';
import type { Core } from '../engine/core.ts';
import { SECTOR_SHIFT } from '../spec.ts';
import type { BlkSettings } from './blk-options.ts';
import { BlkQueue } from './blk-queue.ts';
import { type QueueBase, registerQueueKind, type ServeQueue } from './data-plane.ts';
import {
  MERGE_SEGMENTS,
  type QueueConfig,
  REQUEST_SECTORS_MAX,
  SCRATCH_SIZE,
} from './queue-config.ts';

const KIND = 'virtio-blk';

registerQueueKind(KIND, (thread, place): ServeQueue => {
  const { core, context } = thread;
  const lane = laneAt(thread, place);
  return (config, events, asleep) => {
    return new BlkQueue(config as QueueConfig, core, context, lane, events, asleep);
  };
});

/** Of a device on `backend`, whose lanes on main's thread are in `context`. */
export function blkQueueBase(
  core: Core,
  context: AioContext,
  backend: BlockBackend,
  settings: BlkSettings,
): QueueBase<QueueConfig> {
  return {
    kind: KIND,
    user: KIND,
    gate: backend,
    scratchBytes: SCRATCH_SIZE,
    takesCommands: () => false,
    config: (index, queue) => ({
      index,
      queue,
      backend: backend.address,
      serial: settings.serial,
      logicalBlockSize: settings.logicalBlockSize,
      maxDiscardSectors: settings.discard ? settings.maxDiscardSectors : 0,
      maxWriteZeroesSectors: settings.writeZeroes ? settings.maxWriteZeroesSectors : 0,
      requestMerging: settings.requestMerging,
      mergeSegments: MERGE_SEGMENTS,
      mergeBytes: REQUEST_SECTORS_MAX << SECTOR_SHIFT,
    }),
    open: () => {
      const lane = backend.openLane(context);
      return {
        serve: (config, events, asleep) => {
          return new BlkQueue(config as QueueConfig, core, context, lane, events, asleep);
        },
        close: () => lane.close(),
      };
    },
    openOn: (thread) => backend.openLaneOn(thread),
  };
}
