/** What is to be undone when a thing made in steps is taken down, or fails to be made. */

export class Undo {
  readonly #steps: (() => unknown)[] = [];

  add(step: () => unknown): void {
    this.#steps.push(step);
  }

  /** The last step first, whatever fails; then throws what failed first. */
  async all(): Promise<void> {
    const errors: unknown[] = [];
    for (let step = this.#steps.pop(); step; step = this.#steps.pop()) {
      try {
        await step();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
  }

  /** The last step first, at once: where none takes time. One that throws ends it. */
  now(): void {
    for (let step = this.#steps.pop(); step; step = this.#steps.pop()) void step();
  }
}
