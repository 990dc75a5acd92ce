/**
 * Flushes of an overlay. A cluster may stand in the map only when its data is on stable storage:
 * note which clusters are present, flush the data, write the map as noted, flush again. Whatever of
 * that is lost in a crash, each cluster is either in the map with its data or not in the map.
 */

import type { Core } from '../engine/core.ts';
import { ENOMEM } from '../spec.ts';
import { type BlockDriver, OP_WRITE } from './driver.ts';
import { SegmentVector } from './io-vector.ts';
import type { CopyBuffers } from './overlay-buffers.ts';
import { MAP_BLOCK, MAP_OFFSET, SLOT_BYTES, slotAt } from './overlay-header.ts';
import { type End, flush, repeat, transfer } from './overlay-io.ts';
import type { OverlayMap } from './overlay-map.ts';
import { ETIMEDOUT, type OverlayWait } from './overlay-wait.ts';

/** Something to write into the top, and what to do when it is on stable storage. */
interface Metadata {
  readonly offset: number;
  readonly bytes: Uint8Array;
  durable(): void;
}

export interface FlushParts {
  readonly core: Core;
  readonly top: BlockDriver;
  readonly map: OverlayMap;
  readonly wait: OverlayWait;
  readonly buffers: CopyBuffers;
}

/** Makes durable what was written before. Ends with 0 or a negative errno. */
export function flushOverlay(parts: FlushParts, end: End): void {
  const { top, map, wait } = parts;
  // All clusters of writes that have ended are durable: the data is all there is to flush.
  if (!map.dirty) {
    flush(top, end);
    return;
  }
  wait.until(
    () => map.beginFlush(),
    (inTime) => {
      if (!inTime) {
        end(-ETIMEDOUT);
        return;
      }
      flushMap(parts, (result) => {
        map.endFlush();
        wait.look();
        end(result);
      });
    },
  );
}

/** This thread is the one that writes the map. */
function flushMap(parts: FlushParts, end: End): void {
  const metadata = collect(parts.map); // before the data is flushed
  flush(parts.top, (flushed) => {
    if (flushed < 0) {
      end(flushed);
      return;
    }
    writeAll(parts, metadata, (written) => {
      if (written < 0) {
        end(written);
        return;
      }
      flush(parts.top, (result) => {
        if (result >= 0) for (const { durable } of metadata) durable();
        end(result);
      });
    });
  });
}

function collect(map: OverlayMap): Metadata[] {
  const list = map.dirtyBlocks().map((block): Metadata => {
    const { bytes, changes } = map.snapshot(block);
    const offset = MAP_OFFSET + block * MAP_BLOCK;
    return { offset, bytes, durable: () => map.durable(block, changes) };
  });
  if (!map.headerDirty) return list;
  const bytes = map.header();
  return [...list, { offset: slotAt(bytes), bytes, durable: () => map.headerDurable() }];
}

function writeAll(parts: FlushParts, metadata: readonly Metadata[], end: End): void {
  if (metadata.length === 0) {
    end(0);
    return;
  }
  let next = 0;
  repeat(
    (written) => writeMetadata(parts, metadata[next] as Metadata, written),
    (result) => {
      next += 1;
      if (result >= 0 && next < metadata.length) return true;
      end(Math.min(result, 0));
      return false;
    },
  );
}

function writeMetadata(parts: FlushParts, { offset, bytes }: Metadata, end: End): void {
  const { core, top, buffers } = parts;
  buffers.take((buffer) => {
    if (!buffer) {
      end(-ENOMEM);
      return;
    }
    buffer.bytes.set(bytes, buffer.start);
    const vector = new SegmentVector(buffer.bytes);
    vector.append(buffer.start, SLOT_BYTES);
    transfer(core, top, OP_WRITE, offset, vector, SLOT_BYTES, (result) => {
      buffers.give(buffer);
      end(result);
    });
  });
}
