/** The Worker of a disk's clients: does what it is told with the handle that it is given. */
import { parentPort, workerData } from 'node:worker_threads';
import { DiskClient } from '#src/disk/client';
import { DiskClientSync } from '#src/disk/client-sync';

const { handle, kind, task } = workerData;

/** Fills a piece of the disk sector by sector, each with its number, and reads it back. */
const tasks = {
  async fill(client, { from, sectors, seed }) {
    const sector = (i) => new Uint8Array(512).fill((i * 31 + seed) & 0xff);
    const all = Array.from({ length: sectors }, (_, i) => i);
    await Promise.all(all.map((i) => client.write(sector(i), from + 512 * i)));
    await client.flush();
    const back = new Uint8Array(512 * sectors);
    await client.read(back, from);
    for (const i of all) if (back[512 * i] !== sector(i)[0]) throw new Error(`sector ${i}`);
  },
  fillSync(client, { from, sectors, seed }) {
    const back = new Uint8Array(512);
    for (let i = 0; i < sectors; i++) {
      const bytes = new Uint8Array(512).fill((i * 31 + seed) & 0xff);
      client.writeSync(bytes, from + 512 * i);
      client.readSync(back, from + 512 * i);
      if (Buffer.compare(bytes, back) !== 0) throw new Error(`sector ${i}`);
    }
    client.flushSync();
  },
  /** Larger than all slots together, and without a copy. */
  largeSync(client, { bytes }) {
    const buffer = new Uint8Array(bytes).map((_, i) => i >> 5);
    client.writeSync(buffer, 0);
    const direct = client.alloc(bytes);
    client.readSync(direct, 0);
    if (Buffer.compare(buffer, direct) !== 0) throw new Error('the bytes differ');
    client.discardSync(0, 512);
    client.writeZeroesSync(512, 1024);
    const back = new Uint8Array(bytes);
    client.readSync(back, 0);
    buffer.fill(0, 512, 1536);
    if (Buffer.compare(back.subarray(512), buffer.subarray(512)) !== 0) throw new Error('zeroes');
    client.free(direct);
    return client.size;
  },
  /** Says what each of some calls throws. */
  errorsSync(client, { offsets }) {
    return offsets.map((offset) => {
      try {
        client.readSync(new Uint8Array(512), offset);
        return 'no error';
      } catch ({ name, code, operation }) {
        return { name, code, operation };
      }
    });
  },
  /** Waits for what does not come, until the client is cut off. */
  waitSync(client) {
    parentPort.postMessage({ waiting: true });
    try {
      client.readSync(new Uint8Array(512), 0);
      return 'no error';
    } catch ({ name, code }) {
      return { name, code };
    }
  },
  async wait(client) {
    const read = client.read(new Uint8Array(512), 0);
    parentPort.postMessage({ waiting: true });
    return read.then(
      () => 'no error',
      ({ name, code }) => ({ name, code }),
    );
  },
  /** Ends in the middle of its requests. */
  async die(client) {
    for (let i = 0; i < 50; i++) void client.read(new Uint8Array(512), 512 * i);
    await null;
    process.exit(0);
  },
  dieSync(client) {
    client.writeSync(new Uint8Array(512), 0);
    process.exit(0);
  },
};

try {
  const client = await (kind === 'sync' ? DiskClientSync : DiskClient).open(handle);
  const result = await tasks[task.name](client, task);
  await client.close();
  parentPort.postMessage({ result });
} catch (error) {
  parentPort.postMessage({ error: `${error.name} ${error.code}: ${error.message}` });
}
