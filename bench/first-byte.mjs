/**
 * A process of its own that says how long it takes from the import of the package until a guest has
 * its first byte, and how much memory the process has then: JSON { milliseconds, rss }.
 */
const start = performance.now();
const { AioContext, BlockBackend, GuestBlk, GuestMmio, GuestRam, VirtioBlk, VirtioMmio } =
  await import('vblk');
const { openCore } = await import('vblk/node');

const core = await openCore({ engine: 'wasm', ramBytes: 1 << 20 });
const context = new AioContext(core);
const disk = { driver: 'memory', options: { size: 1 << 26 } };
const backend = await BlockBackend.open(core, context, disk);
const mmio = new VirtioMmio(new VirtioBlk(core, context, backend), { version: 2, irq: () => {} });
const guest = await GuestBlk.open(GuestMmio.open(mmio), new GuestRam(core));
const [byte] = await guest.read(0, 512);
const milliseconds = performance.now() - start;

if (byte !== 0) throw new Error(`a new memory disk begins with ${byte}`);
console.log(JSON.stringify({ milliseconds, rss: process.memoryUsage.rss() }));
