/**
 * 10,000 requests through an IOThread in whatever runtime this is, each checked: a write of bytes
 * that no other request has, then a read of them. Arguments: engine, driver.
 */
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openCore, startIOThread } from '../../build/adapter/node.js';
import {
  AioContext,
  BlockBackend,
  GuestBlk,
  GuestMmio,
  GuestRam,
  VirtioBlk,
  VirtioMmio,
} from '../../build/index.js';

const [engine, driver] = process.argv.slice(2);
const COUNT = 10_000;
const SIZE = 1 << 20;
const BYTES = 4096;
const SECTORS = BYTES / 512;
const DEPTH = 10;
/** Blocks of each of them. */
const BLOCKS = 25;

const folder = mkdtempSync(join(tmpdir(), 'vblk-matrix-'));
const filename = join(folder, 'disk');
writeFileSync(filename, '');
truncateSync(filename, SIZE);
const specs = {
  memory: { driver: 'memory', options: { size: SIZE } },
  file: { driver: 'file', options: { filename } },
};

const core = await openCore({ engine, shared: true, ramBytes: 1 << 20 });
const context = new AioContext(core);
const disk = await BlockBackend.open(core, context, specs[driver]);
const iothread = await startIOThread(core, { id: 'io0' });
const device = await VirtioBlk.realize(core, context, disk, { iothread });
const mmio = new VirtioMmio(device, { version: 2, irq: () => {} });
const guest = await GuestBlk.open(GuestMmio.open(mmio), new GuestRam(core));
console.log(core.engine.kind);

/** Writes and reads blocks of its own, one after the other. */
async function lane(lane) {
  let good = 0;
  for (let n = 0; n < COUNT / 2 / DEPTH; n++) {
    const sector = (lane + DEPTH * (n % BLOCKS)) * SECTORS;
    const bytes = new Uint8Array(BYTES).fill(n).fill(lane, 8, 16);
    new DataView(bytes.buffer).setUint32(0, n);
    await guest.write(sector, bytes);
    const read = await guest.read(sector, BYTES);
    if (read.every((byte, i) => byte === bytes[i])) good += 2;
  }
  return good;
}

const lanes = await Promise.all(Array.from({ length: DEPTH }, (_, i) => lane(i)));
const verified = lanes.reduce((sum, good) => sum + good);
const { wakes, pollHits } = iothread.info();
// Opening and closing wakes the thread a few times; all else is kicks.
console.log(`${verified} verified; ${wakes + pollHits > 100 ? 'the thread' : 'main'} was kicked`);
await device.close();
await disk.close();
await iothread.stop();
rmSync(folder, { recursive: true });
console.log('done');
