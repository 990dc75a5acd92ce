/** Answers that are owed: a promise with its two ends, and calls by number. */

export class Answer<T> {
  readonly promise: Promise<T>;
  resolve!: (value: T) => void;
  reject!: (error: Error) => void;

  constructor() {
    this.promise = new Promise<T>((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    // Whoever waits hears of an error; that nobody waits is no error of its own.
    this.promise.catch(() => {});
  }
}

export interface Call {
  readonly number: number;
  readonly answer: Promise<unknown>;
}

export class ThreadCalls {
  readonly #open = new Map<number, Answer<unknown>>();
  #next = 1;

  open(): Call {
    const answer = new Answer<unknown>();
    const number = this.#next++;
    this.#open.set(number, answer);
    return { number, answer: answer.promise };
  }

  close(number: number): void {
    this.#open.delete(number);
  }

  resolve(number: number, result: unknown): void {
    this.#open.get(number)?.resolve(result);
  }

  reject(number: number, error: Error): void {
    this.#open.get(number)?.reject(error);
  }

  rejectAll(error: Error): void {
    for (const answer of this.#open.values()) answer.reject(error);
  }
}
