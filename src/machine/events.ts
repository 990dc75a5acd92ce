/** What a machine tells whoever drives it: QMP's events, by their names and fields. Main thread. */

/** The fields of each event, by its name. */
export interface MachineEventData {
  /**
   * The machine has stopped. Follows the BLOCK_IO_ERROR whose action `stop` asked for it; requests
   * that were under way may fail after it.
   */
  STOP: Readonly<Record<string, never>>;
  /** The machine goes on. */
  RESUME: Readonly<Record<string, never>>;
  /** A request of the guest's has failed on the host's side. */
  BLOCK_IO_ERROR: BlockIoError;
  /** A device that was unplugged is gone. */
  DEVICE_DELETED: DeviceDeleted;
}

export interface BlockIoError {
  /** The backend. */
  readonly device: string;
  readonly 'node-name': string;
  /** The device of the guest's that asked. */
  readonly 'qom-path': string;
  /** Flush, discard and write-zeroes count as writes. */
  readonly operation: 'read' | 'write';
  /** What is done about it: the guest is told, or is not, or the machine stops. */
  readonly action: 'report' | 'ignore' | 'stop';
  /** The host is out of space. */
  readonly nospace: boolean;
  /** The error in words, for people. */
  readonly reason: string;
}

export interface DeviceDeleted {
  /** Its `id`, if it has one. */
  readonly device?: string;
  readonly path: string;
}

export type MachineEventName = keyof MachineEventData;

/** An event as QMP would send it. */
export interface MachineEvent<Name extends MachineEventName = MachineEventName> {
  readonly event: Name;
  readonly data: MachineEventData[Name];
  /** Since 1970. */
  readonly timestamp: { readonly seconds: number; readonly microseconds: number };
}

export type MachineListener<Name extends MachineEventName> = (event: MachineEvent<Name>) => void;

export class MachineEvents {
  readonly #now: () => number;
  readonly #listeners = new Map<MachineEventName, Set<MachineListener<never>>>();

  /** `now`: milliseconds since 1970. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * Calls `listener` for each event of that name, in the order of the calls of `on`; returns what
   * ends it. What a listener throws disturbs neither the machine nor other listeners: it comes up
   * as an uncaught error.
   */
  on<Name extends MachineEventName>(name: Name, listener: MachineListener<Name>): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners);
    const own: MachineListener<Name> = (event) => listener(event);
    listeners.add(own as MachineListener<never>);
    return () => {
      listeners.delete(own as MachineListener<never>);
    };
  }

  /** For devices and the machine. */
  emit<Name extends MachineEventName>(name: Name, data: MachineEventData[Name]): void {
    const microseconds = Math.floor(this.#now() * 1000);
    const timestamp = {
      seconds: Math.floor(microseconds / 1_000_000),
      microseconds: microseconds % 1_000_000,
    };
    const event: MachineEvent<Name> = { event: name, data, timestamp };
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        (listener as MachineListener<Name>)(event);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
