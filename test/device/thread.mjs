/** The Worker of device tests: the package's entry, and services to look into its fault disks. */
import '#src/adapter/node-thread-entry';
import { registerService } from '#src/aio/services';
import { openFault } from '#src/block/fault';
import { registerDriver } from '#src/block/registry';

const disks = new Set();

registerDriver('fault', async (core, options, thread) => {
  const disk = await openFault(core, options, thread);
  disks.add(disk);
  return disk;
});
registerService('ping', () => 0);
registerService('held', () => [...disks].reduce((sum, disk) => sum + disk.held, 0));
registerService('release', () => {
  for (const disk of disks) disk.release();
});
