/**
 * A Worker that boots one guest with one disk of ours and posts what the device costs in it: a
 * DeviceCost. A thread has JavaScript code of its own: a second guest in the same one
 * would find functions that were compiled for the first, and pay for that.
 */

import { parentPort, workerData } from 'node:worker_threads';

import { attachVirtioBlk, type V86Blk, type V86BlkOptions } from '../../adapter/v86.ts';
import { Guest, type GuestImages } from './guest.ts';
import { loadV86 } from './images.ts';
import { type DeviceCost, Stopwatch } from './stopwatch.ts';

/** What the Worker is given. */
export interface DeviceCostRequest {
  readonly images: GuestImages;
  readonly engine: V86BlkOptions['engine'];
  readonly bar: 'io' | 'memory';
  /** Bytes of the disk, which stays empty. */
  readonly size: number;
  /** In the guest; run once before what counts. */
  readonly command: string;
}

/** Times that the command is run under the watch: some meet other work of the machine's. */
const ROUNDS = 5;

async function deviceCost(request: DeviceCostRequest): Promise<DeviceCost> {
  const { images, engine, bar, size, command } = request;
  let watch: Stopwatch | undefined;
  let blk: V86Blk | undefined;
  const guest = await Guest.boot(await loadV86(), {
    images,
    attach: async (emulator) => {
      watch = new Stopwatch(emulator);
      blk = await attachVirtioBlk(emulator, {
        engine,
        bar,
        disk: { driver: 'memory', options: { size } },
      });
    },
  });
  try {
    watch!.start(blk!);
    await guest.ask(command); // v86 and the JavaScript engine translate
    watch!.clear();
    for (let round = 0; round < ROUNDS; round++) await guest.ask(command);
    return watch!.cost();
  } finally {
    await guest.destroy();
  }
}

parentPort!.postMessage(await deviceCost(workerData as DeviceCostRequest));
