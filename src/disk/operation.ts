/**
 * One call of an application, from the call to its answer: cut into as many requests as it needs.
 * The objects are used again: a promise is all that a call allocates.
 *
 *     start -> waiting for slots -> all issued -> all parts back -> answered -> free
 *                    `---------- abort: answered at once, then the rest ---'
 */

/** What an operation needs of its queue. */
export interface OperationOwner {
  /** The caller wants no answer any more but that one. */
  aborted(operation: Operation): void;
}

export class Operation {
  type = 0;
  /** VIRTIO_BLK_WRITE_ZEROES_F_UNMAP. */
  flags = 0;
  /** The caller's; null if there is none, or if it must not be touched any more. */
  buffer: Uint8Array | null = null;
  /** Guest address of the buffer, if the device reaches it; else 0. */
  direct = 0;
  offset = 0;
  length = 0;
  /** Bytes issued so far. */
  issued = 0;
  /** Nothing more is to be issued. */
  complete = false;
  /** Requests in flight. */
  parts = 0;
  /** In the list of those that wait for slots; the next one there. */
  waiting = false;
  next: Operation | null = null;
  /** What to reject with. */
  error: unknown = null;
  failed = false;
  answered = false;

  readonly #owner: OperationOwner;
  #signal: AbortSignal | null = null;
  #resolve: () => void = nothing;
  #reject: (reason: unknown) => void = nothing;
  readonly #capture = (resolve: () => void, reject: (reason: unknown) => void): void => {
    this.#resolve = resolve;
    this.#reject = reject;
  };

  constructor(owner: OperationOwner) {
    this.#owner = owner;
  }

  /** Begins anew. */
  start(type: number, offset: number, length: number, signal: AbortSignal | null): Promise<void> {
    this.type = type;
    this.flags = 0;
    this.buffer = null;
    this.direct = 0;
    this.offset = offset;
    this.length = length;
    this.issued = 0;
    this.complete = false;
    this.parts = 0;
    this.error = null;
    this.failed = false;
    this.answered = false;
    this.#signal = signal;
    signal?.addEventListener('abort', this);
    return new Promise(this.#capture);
  }

  /** The signal's listener. */
  handleEvent(): void {
    this.fail(this.#signal!.reason);
    this.#owner.aborted(this);
  }

  /** Nothing more is issued, and the caller is to get `error`, if he has no earlier one. */
  fail(error: unknown): void {
    this.complete = true;
    if (this.failed) return;
    this.failed = true;
    this.error = error;
  }

  /** Tells the caller; from then on his buffer is not touched. */
  answer(): void {
    if (this.answered) return;
    this.answered = true;
    this.buffer = null;
    this.#signal?.removeEventListener('abort', this);
    this.#signal = null;
    if (this.failed) this.#reject(this.error);
    else this.#resolve();
    this.error = null;
    this.#resolve = nothing;
    this.#reject = nothing;
  }
}

function nothing(): void {}
