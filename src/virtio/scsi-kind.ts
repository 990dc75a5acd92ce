/**
 * What the queues of a SCSI host stand on: a bus, and on each thread that serves command queues the
 * bus's units there. Importing this is enough for a thread to serve such queues.
 */

import { scsiHomeAt } from '../scsi/bus-service.ts';
import { registerQueueKind, type ServeQueue } from './data-plane.ts';
import { ScsiQueue } from './scsi-queue.ts';
import type { ScsiQueueConfig } from './scsi-queue-config.ts';

export const SCSI_KIND = 'virtio-scsi';

registerQueueKind(SCSI_KIND, (thread, place): ServeQueue => {
  const home = scsiHomeAt(thread, place);
  return (config, events, asleep) => {
    return new ScsiQueue(config as ScsiQueueConfig, home, events, asleep);
  };
});
