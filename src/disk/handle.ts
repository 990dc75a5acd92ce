/** What `connect` returns: all that another thread needs to be a client. Plain and cloneable. */

import type { CoreHandle } from '../engine/core.ts';
import type { QueuePlace } from './queue-place.ts';
import type { ShapeNumbers } from './shape.ts';
import type { BufferPlace } from './shared-buffers.ts';

export interface DiskHandle {
  readonly core: CoreHandle;
  readonly place: QueuePlace;
  readonly shape: ShapeNumbers;
  /** What the client's `alloc` gives out. */
  readonly buffers: BufferPlace;
  /** Core address of the client's AioContext. */
  readonly context: number;
  /** Core address of the claim word, and the generation of it that this handle is for. */
  readonly claim: number;
  readonly generation: number;
  /** The thread that serves the queue (`realm`); empty: not known. */
  readonly server: string;
}
