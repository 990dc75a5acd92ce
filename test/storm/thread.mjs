/** The Worker of storms: the package's entry, and a look at its heap and at its SCSI buses. */
import '#src/adapter/node-thread-entry';
import { registerService } from '#src/aio/services';

registerService('heap', () => {
  for (let i = 0; i < 3; i++) globalThis.gc?.();
  return process.memoryUsage().heapUsed;
});

registerService('scsi-homes', (thread) => thread.state.get('scsi/homes')?.size ?? 0);
