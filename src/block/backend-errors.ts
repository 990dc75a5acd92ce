/**
 * What a backend does about requests of the guest's that failed: its policies, in words that every
 * thread reads, its iostatus, and whom it tells (BB-19, BB-20). Main thread.
 * QEMU: `blk_error_action`, `blk_iostatus_*`.
 */

import type { Core } from '../engine/core.ts';
import { BACKEND_RERROR, BACKEND_WERROR } from '../layout.ts';
import type { Machine } from '../machine/machine.ts';
import { ENOSPC } from '../spec.ts';
import { type ErrorPolicy, mayStop, readPolicy, reasonOf } from './error-options.ts';
import type { ErrorAction } from './error-policy.ts';
import type { OperationName } from './operation.ts';

export interface ErrorOptions {
  /** What stops when an error's policy says so, and has the disk drained whenever it stops. */
  machine?: Machine;
  /**
   * What becomes of a write, flush, discard or write-zeroes of the guest's that fails on the host.
   * `stop` and `enospc` need a machine. Default with a machine: `enospc`, else `report`.
   */
  werror?: ErrorPolicy;
  /** The same of a read. Default: `report`. */
  rerror?: ErrorPolicy;
}

/** `failed` and `nospace`: such an error has stopped the machine since it last went on. */
export type Iostatus = 'ok' | 'failed' | 'nospace';

/** A request of the guest's that failed, as far as the backend is concerned. */
export interface IoError {
  readonly operation: OperationName;
  /** A positive number as in errno. */
  readonly errno: number;
  /** What its queue has done about it. */
  readonly action: ErrorAction;
}

/** Who is spoken of in events. */
export interface ErrorNames {
  /** The backend. */
  readonly device: string;
  readonly 'node-name': string;
  /** The device of the guest's. */
  readonly 'qom-path': string;
}

/** Numbers POLICY_*. */
export interface Policies {
  readonly werror: number;
  readonly rerror: number;
}

/** Throws an OptionError. */
export function readPolicies(options: ErrorOptions): Policies {
  const hasMachine = options.machine !== undefined;
  return {
    werror: readPolicy('werror', options.werror, hasMachine, hasMachine ? 'enospc' : 'report'),
    rerror: readPolicy('rerror', options.rerror, hasMachine, 'report'),
  };
}

export class BackendErrors {
  readonly #machine: Machine | null;
  readonly #mayStop: boolean;
  #status: Iostatus = 'ok';
  #enabled = false;

  /** Writes the policies into the backend's words at `address`. */
  constructor(core: Core, address: number, machine: Machine | null, policies: Policies) {
    const { werror, rerror } = policies;
    this.#machine = machine;
    this.#mayStop = mayStop(werror) || mayStop(rerror);
    Atomics.store(core.i32, (address + BACKEND_WERROR) >>> 2, werror);
    Atomics.store(core.i32, (address + BACKEND_RERROR) >>> 2, rerror);
  }

  /** A device stands for its errors from now on. */
  enableStatus(): void {
    this.#enabled = true;
    this.#status = 'ok';
  }

  /** Null: no device has asked for it, or no error can stop the machine. */
  get status(): Iostatus | null {
    return this.#enabled && this.#mayStop ? this.#status : null;
  }

  /** The machine goes on. */
  resetStatus(): void {
    this.#status = 'ok';
  }

  /**
   * A request has failed, and its queue has done what `error.action` says. In this order, so that
   * STOP follows the error's event, and RESUME follows STOP if somebody lets the machine go on in
   * between (BB-19): iostatus, prepare, event, request.
   */
  happened(error: IoError, names: ErrorNames): void {
    const machine = this.#machine;
    if (!machine) return;
    const nospace = error.errno === ENOSPC;
    const stops = error.action === 'stop';
    if (stops) {
      if (this.#status === 'ok') this.#status = nospace ? 'nospace' : 'failed'; // the first counts
      machine.prepareStop();
    }
    const { action } = error;
    const operation = error.operation === 'read' ? 'read' : 'write';
    const reason = reasonOf(error.errno);
    machine.events.emit('BLOCK_IO_ERROR', { ...names, operation, action, nospace, reason });
    if (stops) machine.requestStop('io-error');
  }
}
