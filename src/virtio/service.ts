/**
 * Whether a device takes requests: its driver must want it (DRIVER_OK, or a legacy driver's early
 * kick), the machine must run (VM-2) and the function must be in D0 (PC-10). Main thread.
 */

/** What begins and ends with it. */
export interface ServiceHooks {
  /** Requests may be taken from now on; what was made available before was announced to nobody. */
  begin(): void;
  /** No request is taken once this returns. */
  end(): void;
}

export class Service {
  readonly #hooks: ServiceHooks;
  #started = false;
  #machineRuns = true;
  #awake = true;
  #serving = false;
  /** Used buffers that came while the driver wanted no service: it was not told of them. */
  untold = false;

  constructor(hooks: ServiceHooks) {
    this.#hooks = hooks;
  }

  /** The driver wants service, whether or not something holds the device. */
  get started(): boolean {
    return this.#started;
  }

  /** Requests are taken: started, and nothing holds the device. */
  get serving(): boolean {
    return this.#serving;
  }

  start(): void {
    this.#started = true;
    this.#update();
  }

  /** The driver wants no more; interrupts told of inside `end` still go out (HN-10). */
  stop(): void {
    this.#end();
    this.#started = false;
  }

  /** As `stop`, but interrupts on their way are dropped: `started` is false inside `end`. */
  drop(): void {
    this.#started = false;
    this.#end();
    this.untold = false;
  }

  /** Is somebody to be told? Asked once the driver wants service again. */
  takeUntold(): boolean {
    const untold = this.untold;
    this.untold = false;
    return untold;
  }

  /** The machine goes on or stops. */
  setMachineRuns(running: boolean): void {
    this.#machineRuns = running;
    this.#update();
  }

  /** The function comes to D0 or leaves it. */
  setAwake(awake: boolean): void {
    this.#awake = awake;
    this.#update();
  }

  #update(): void {
    if (!(this.#started && this.#machineRuns && this.#awake)) this.#end();
    else if (!this.#serving) {
      this.#serving = true;
      this.#hooks.begin();
    }
  }

  #end(): void {
    if (!this.#serving) return;
    this.#serving = false;
    this.#hooks.end();
  }
}
