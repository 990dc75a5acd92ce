/**
 * Keeps a process of Node, Deno or Bun alive while somebody wants it: a pending `waitAsync` does
 * not. Elsewhere it does nothing that could be noticed.
 */
export class LivelyProcess {
  #references = 0;
  #timer: ReturnType<typeof setInterval> | null = null;
  #closed = false;

  ref(): void {
    if (this.#closed) return;
    this.#references += 1;
    this.#timer ??= setInterval(() => {}, FAR_MS);
  }

  unref(): void {
    if (this.#closed) return;
    if (this.#references === 0) throw new Error('more unref than ref');
    this.#references -= 1;
    if (this.#references === 0) this.#stop();
  }

  /** Who still holds it holds it no more. */
  close(): void {
    this.#closed = true;
    this.#stop();
  }

  #stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }
}

/** The longest that timers can do: 24 days. */
const FAR_MS = 2 ** 31 - 1;
