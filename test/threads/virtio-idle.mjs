/** A process with a device on an IOThread that nobody uses. Ends when it is told to close. */
import { openCore, startIOThread } from '#src/adapter/node';
import { AioContext } from '#src/aio/context';
import { BlockBackend } from '#src/block/backend';
import { GuestBlk } from '#src/guest/blk';
import { GuestMmio } from '#src/guest/mmio';
import { GuestRam } from '#src/guest/ram';
import { VirtioBlk } from '#src/virtio/virtio-blk';
import { VirtioMmio } from '#src/virtio/virtio-mmio';

const core = await openCore({ shared: true, ramBytes: 1 << 20 });
const context = new AioContext(core);
const iothread = await startIOThread(core);
const disk = { driver: 'memory', options: { size: 1 << 20 } };
const backend = await BlockBackend.open(core, context, disk);
const device = await VirtioBlk.realize(core, context, backend, { iothread });
let blk = null;
const irq = (level) => level && queueMicrotask(() => blk?.interrupt());
const bus = GuestMmio.open(new VirtioMmio(device, { version: 2, irq }));
const relax = () => new Promise((resolve) => setImmediate(resolve));
blk = new GuestBlk(bus, new GuestRam(core), { interrupts: true, relax });
await blk.start();
await blk.read(0, 512);

process.once('SIGUSR2', async () => {
  await blk.read(0, 512);
  await device.close();
  await backend.close();
  await iothread.stop();
  context.close();
  process.stdout.write('closed');
});
process.stdout.write('idle');
