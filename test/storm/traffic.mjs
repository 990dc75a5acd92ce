/** Requests that are kept in flight: how many there are, who waits for some, what went wrong. */

const POISON = 0xee;

export class Traffic {
  issued = 0;
  completed = 0;
  droppedCount = 0;
  ram;
  /** What went wrong first. */
  error = null;
  #on = false;
  #pumping = false;
  #waiters = [];

  constructor(ram) {
    this.ram = ram;
  }

  /** Are new requests made? */
  get on() {
    return this.#on;
  }

  get inFlight() {
    return this.issued - this.completed - this.droppedCount;
  }

  /** New requests from now on, and some at once. */
  begin() {
    this.#on = true;
    this.pump();
  }

  /** No new requests; those in flight stay. */
  pause() {
    this.#on = false;
  }

  /** Makes new requests, as many as may be in flight. */
  pump() {}

  pumpLater() {
    this.wake();
    if (this.#pumping) return;
    this.#pumping = true;
    setImmediate(() => {
      this.#pumping = false;
      try {
        this.pump();
      } catch (error) {
        this.fail(error);
      }
    });
  }

  /** Resolves when `count` more requests have been answered. */
  progress(count = 1) {
    const goal = this.completed + count;
    return this.until(() => this.completed >= goal);
  }

  until(condition) {
    this.check();
    if (condition()) return Promise.resolve();
    return new Promise((resolve, reject) => this.#waiters.push({ condition, resolve, reject }));
  }

  /** Throws what went wrong. */
  check() {
    if (this.error) throw this.error;
  }

  fail(error) {
    this.error ??= error;
    this.wake();
  }

  wake() {
    for (const waiter of [...this.#waiters]) {
      if (!this.error && !waiter.condition()) continue;
      this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
      if (this.error) waiter.reject(this.error);
      else waiter.resolve();
    }
  }
}

/** Guest memory that nobody may write from some moment on. */
export class Poison {
  #ram;
  #address;
  #bytes;
  #on = false;

  constructor(ram, address, bytes) {
    this.#ram = ram;
    this.#address = address;
    this.#bytes = bytes;
  }

  /** The moment is now. */
  put() {
    this.#ram.fill(this.#address, this.#bytes, POISON);
    this.#on = true;
  }

  /** The memory may be used again. An Error if somebody has written there, else null. */
  take() {
    if (!this.#on) return null;
    this.#on = false;
    const bytes = this.#ram.read(this.#address, this.#bytes);
    const at = bytes.findIndex((byte) => byte !== POISON);
    if (at < 0) return null;
    return new Error(`byte ${at} of a dropped request was written: ${bytes[at]}`);
  }
}
