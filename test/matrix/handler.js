const RAM_BYTES = 0x100000;
const DISK_BYTES = 0x400000;
const SECTOR_BYTES = 512;
/** The last sector of the disk's first 64 KiB cluster: a longer payload lies in two of them. */
const FIRST_SECTOR = 127;

/**
 * One write and one read of `payload` (whole sectors) on a memory disk, by a guest driver that
 * knows registers and RAM alone. `vblk` is the library and `module` the imported core module.
 * With the `hook` sleeper turns are microtasks of this request, so that no timer is needed and
 * nothing outlives it; with `loop` the library asks for macrotasks by itself.
 * Returns the engine that served, whether every check held, and the bytes as the guest read them.
 */
export async function serve(vblk, { module, engine, sleeper, payload }) {
  const core = await vblk.Core.open({ engine, module, ramBytes: RAM_BYTES });
  const onWake = () => queueMicrotask(() => context.turn());
  const context = new vblk.AioContext(core, { sleeper, onWake });
  const disk = { driver: 'memory', options: { size: DISK_BYTES } };
  const backend = await vblk.BlockBackend.open(core, context, disk);
  const device = new vblk.VirtioBlk(core, context, backend);
  const irq = (level) => level && guest.interrupt();
  const registers = new vblk.VirtioMmio(device, { version: 2, irq });

  const ram = new vblk.GuestRam({ buffer: () => core.ram.buffer, regions: core.regionList });
  const relax = sleeper === 'hook' ? () => Promise.resolve() : undefined;
  const guest = new vblk.GuestBlk(vblk.GuestMmio.open(registers), ram, { interrupts: true, relax });
  await guest.start();

  const before = await guest.read(FIRST_SECTOR, payload.length);
  await guest.write(FIRST_SECTOR, payload);
  const data = await guest.read(FIRST_SECTOR, payload.length);
  const ok =
    guest.capacity * SECTOR_BYTES === DISK_BYTES &&
    guest.kicks > 0 &&
    guest.interruptsTaken > 0 &&
    before.every((byte) => byte === 0) &&
    data.length === payload.length &&
    data.every((byte, i) => byte === payload[i]);
  return { engine: core.choice.engine, ok, bytes: data.length, data };
}
