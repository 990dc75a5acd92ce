/**
 * A thread of a bench that is no IOThread: a Worker that opens one role and does what main asks of
 * it, one message per call. In between it sleeps.
 */
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { pin } from './pin.mjs';

export class Role {
  #worker;
  #waiting = [];

  /**
   * Opens `open(options)` of `module` in a Worker of its own: an object with methods. `core`: where
   * it is to run; undefined: anywhere.
   */
  static async open(module, options, core) {
    const role = new Role();
    const url = new URL(import.meta.url);
    role.#worker = new Worker(url, { workerData: { module, options, core } });
    role.#worker.on('message', ({ result, error }) => {
      const { resolve, reject } = role.#waiting.shift();
      if (error) reject(error);
      else resolve(result);
    });
    role.#worker.on('error', (error) => {
      for (const { reject } of role.#waiting) reject(error);
    });
    await role.#answer();
    return role;
  }

  #answer() {
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  call(method, ...args) {
    this.#worker.postMessage({ method, args });
    return this.#answer();
  }

  async close() {
    await this.#worker.terminate();
  }
}

async function answer(job) {
  try {
    parentPort.postMessage({ result: await job() });
  } catch (error) {
    parentPort.postMessage({ error });
  }
}

if (!isMainThread && workerData?.module) {
  let role = null;
  const opened = answer(async () => {
    if (workerData.core !== undefined) pin(workerData.core);
    const { open } = await import(workerData.module);
    role = await open(workerData.options);
  });
  parentPort.on('message', async ({ method, args }) => {
    await opened;
    await answer(() => role[method](...args));
  });
}
