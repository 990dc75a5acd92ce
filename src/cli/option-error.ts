/** A wrong option on the command line: the command says so and exits with 2. */
export class OptionError extends Error {
  override readonly name = 'OptionError';

  /** `allowed` completes the sentence "allowed: ...". */
  constructor(option: string, value: string, allowed: string) {
    super(`${option}: '${value}' is not allowed; allowed: ${allowed}`);
  }
}
