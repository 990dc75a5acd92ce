/** The Worker of an IOThread that has a core of its own: `workerData.core`. */
import { workerData } from 'node:worker_threads';
import { pin } from './pin.mjs';

pin(workerData.core);
await import('vblk/io-thread');
