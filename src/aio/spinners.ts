/**
 * Busy polling is worth a core that would be idle, and ruinous where threads share one: a round
 * trip takes 0.1 us on free cores, 50 to 240 us when they are oversubscribed. So no more threads
 * poll than the machine has cores beside main's: those that came first.
 */

/** A thread that may poll. */
export interface Spinner {
  /** ns for which it wants to poll; 0: not at all. */
  wanted(): number;
  /** Lets it poll for as long as it wants, or not at all. */
  allow(polling: boolean): void;
}

export class SpinnerCount {
  #cores = Number.POSITIVE_INFINITY;
  readonly #all = new Set<Spinner>();

  /** Cores of the machine. Not known until an adapter says so; then no thread is held back. */
  get cores(): number {
    return this.#cores;
  }

  set cores(count: number) {
    this.#cores = count;
    this.settle();
  }

  add(spinner: Spinner): void {
    this.#all.add(spinner);
    this.settle();
  }

  remove(spinner: Spinner): void {
    if (this.#all.delete(spinner)) this.settle();
  }

  /** Tells every thread whether it may poll. To be called when one has changed its mind. */
  settle(): void {
    let left = this.#cores - 1;
    for (const spinner of this.#all) spinner.allow(spinner.wanted() === 0 || left-- > 0);
  }
}

/** Those of this process, whatever cores they serve. */
export const spinners = new SpinnerCount();
