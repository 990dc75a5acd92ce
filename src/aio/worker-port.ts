/**
 * Workers of all platforms behind one face. Which platform it is shows in the object that is
 * passed in: Node's, Deno's and Bun's have `on`, a web Worker has `addEventListener` alone.
 */

/** As `Worker` of `node:worker_threads`. */
export interface NodeWorkerLike {
  on(event: string, listener: (...args: never[]) => void): unknown;
  postMessage(message: unknown, transfer?: readonly never[]): void;
  terminate(): unknown;
  ref?(): void;
  unref?(): void;
}

/** As a browser's `Worker`; it is to be a module Worker. */
export interface WebWorkerLike {
  addEventListener(type: string, listener: (event: never) => void): void;
  postMessage(message: unknown, transfer: never): void;
  terminate(): void;
  ref?(): void;
  unref?(): void;
}

export type WorkerLike = NodeWorkerLike | WebWorkerLike;

export interface WorkerEvents {
  message(data: unknown): void;
  /** Something escaped in the Worker, or it could not be loaded. It may live on. */
  failed(cause: Error): void;
  /** It has exited, by itself or terminated. Web Workers do not tell. */
  exited(): void;
}

/** The main thread's end. */
export class WorkerPort {
  readonly #worker: WorkerLike;
  /** Operations for which the process must live on. */
  #holds = 0;

  /** Does not keep the process alive, where the platform lets one say so. */
  constructor(worker: WorkerLike, events: WorkerEvents) {
    this.#worker = worker;
    if ('on' in worker) listenNode(worker, events);
    else listenWeb(worker, events);
    worker.unref?.();
  }

  /** Throws what the platform throws for a message that cannot be cloned. */
  post(message: unknown, transfer: readonly object[] = []): void {
    this.#worker.postMessage(message, transfer as never);
  }

  /** Keeps the process alive until `release`. Counted. */
  hold(): void {
    if (this.#holds++ === 0) this.#worker.ref?.();
  }

  release(): void {
    if (--this.#holds === 0) this.#worker.unref?.();
  }

  /** Resolves when the platform says that the Worker has ended; at once in browsers. */
  async terminate(): Promise<void> {
    await this.#worker.terminate();
  }
}

function listenNode(worker: NodeWorkerLike, events: WorkerEvents): void {
  worker.on('message', (data: unknown) => events.message(data));
  worker.on('messageerror', (error: unknown) => events.failed(asError(error)));
  worker.on('error', (error: unknown) => events.failed(asError(error)));
  worker.on('exit', () => events.exited());
}

function listenWeb(worker: WebWorkerLike, events: WorkerEvents): void {
  worker.addEventListener('message', (event: { data: unknown }) => events.message(event.data));
  worker.addEventListener('messageerror', () => {
    events.failed(new Error('a message of the Worker could not be read'));
  });
  worker.addEventListener('error', (event: { message?: string; error?: unknown }) => {
    // The event of a script that cannot be loaded says nothing.
    events.failed(asError(event.error ?? event.message ?? 'the Worker could not be loaded'));
  });
}

/** Errors of another realm fail `instanceof`, and anything may be thrown. */
function asError(thrown: unknown): Error {
  if (Object.prototype.toString.call(thrown) === '[object Error]') return thrown as Error;
  return new Error(String(thrown));
}

/** As `parentPort` of `node:worker_threads`, or the global object of a web Worker. */
export interface ParentLike {
  on?(event: string, listener: (data: never) => void): unknown;
  addEventListener?(type: string, listener: (event: never) => void): void;
  postMessage(message: unknown, transfer?: never): void;
  close?(): void;
}

/** The Worker's own end. */
export class ParentPort {
  readonly #parent: ParentLike;

  /** `unread` is told of a message that could not be read: its sender waits for an answer. */
  constructor(parent: ParentLike, listener: (data: unknown) => void, unread: () => void) {
    this.#parent = parent;
    if (parent.on) {
      parent.on('message', (data: unknown) => listener(data));
      parent.on('messageerror', unread);
    } else {
      parent.addEventListener?.('message', (event: { data: unknown }) => listener(event.data));
      parent.addEventListener?.('messageerror', unread);
    }
  }

  post(message: unknown, transfer: readonly object[] = []): void {
    this.#parent.postMessage(message, transfer as never);
  }

  /** The Worker ends when nothing else keeps it. Deno's port cannot; main ends that one. */
  close(): void {
    this.#parent.close?.();
  }
}
