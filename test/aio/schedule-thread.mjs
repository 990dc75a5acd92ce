/** Another thread that schedules whatever coroutine it is sent the handle of. */
import { parentPort, workerData } from 'node:worker_threads';
import { scheduleCoroutine } from '../../build/aio/coroutine.js';
import { Core } from '../../build/engine/core.js';

const core = await Core.attach(workerData.handle);
parentPort.on('message', (handle) => scheduleCoroutine(core, handle));
parentPort.postMessage('ready');
