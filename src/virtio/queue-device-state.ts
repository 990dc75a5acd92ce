/**
 * A device whose queues are rings in a saved state: its registers and its transport's, where each
 * queue stands in its ring, and the requests that were popped and not answered (VM-5, VM-6). What
 * else a kind of device has is `KindState`. Guest memory is whoever's it is, and must be as it was
 * saved before the state is put in place.
 *
 *   | identity | registers | transport | the kind's own | a place for each queue |
 */

import type { ApplyState, StateHandler } from '../machine/machine-state.ts';
import { StateError } from '../machine/state-error.ts';
import type { StateReader } from '../machine/state-reader.ts';
import type { StateWriter } from '../machine/state-writer.ts';
import {
  checkIdentity,
  type DeviceState,
  readDevice,
  restoreDevice,
  startDevice,
  writeDevice,
  writeIdentity,
} from './device-state.ts';
import { mmioState } from './mmio-state.ts';
import { pciState } from './pci-state.ts';
import {
  type AnyQueueDevice,
  putPlace,
  type QueuePlace,
  type RequestFormat,
  readPlace,
  requestsInFlight,
  restoreRing,
  type WaitingRequest,
} from './ring-places.ts';
import { noTransport, type RestoredTransport, type TransportState } from './transport-state.ts';
import { VirtioMmio } from './virtio-mmio.ts';
import { VirtioPci } from './virtio-pci.ts';

/** What a kind of device has in its state beside registers and rings. */
export interface KindState<Own, R extends WaitingRequest> {
  readonly version: number;
  readonly requests: RequestFormat<R>;
  /** Is anything under way? `busy` refuses to save. */
  checkAtRest(busy: (what: string) => never): void;
  /** Takes no requests until what is returned is called. Absent: `checkAtRest` has seen to it. */
  hold?(): () => void;
  /** What must be the same here and there. */
  writeIdentity(writer: StateWriter): void;
  checkIdentity(reader: StateReader): void;
  write(writer: StateWriter): void;
  /** Checks all, changes nothing. */
  read(reader: StateReader): Own;
  /** Puts it in place: registers and rings are, and nothing is served yet. */
  restore?(own: Own): void;
  /** The device has started again, if it had. */
  started?(own: Own): void;
}

interface SavedDevice<Own, R extends WaitingRequest> {
  readonly device: DeviceState;
  readonly transport: RestoredTransport;
  readonly own: Own;
  /** By number of the queue. */
  readonly places: readonly QueuePlace<R>[];
}

type Transport = VirtioPci | VirtioMmio | null;

/** What saves and loads `device`, which lies behind `transport`; null: its registers are called. */
export function queueDeviceState<Own, R extends WaitingRequest>(
  device: AnyQueueDevice,
  transport: Transport,
  kind: KindState<Own, R>,
): StateHandler {
  const state = new QueueDeviceState(device, transportState(device, transport), kind);
  return {
    version: kind.version,
    save: (writer) => state.save(writer),
    load: (reader) => state.load(reader),
    hold: () => kind.hold?.() ?? (() => {}),
  };
}

function transportState(device: AnyQueueDevice, transport: Transport): TransportState {
  if (transport instanceof VirtioPci) return pciState(transport);
  if (transport instanceof VirtioMmio) return mmioState(transport);
  return noTransport(() => device.reset());
}

function busy(what: string): never {
  throw new StateError('EBUSY', `the device ${what}`);
}

class QueueDeviceState<Own, R extends WaitingRequest> {
  readonly #device: AnyQueueDevice;
  readonly #transport: TransportState;
  readonly #kind: KindState<Own, R>;

  constructor(device: AnyQueueDevice, transport: TransportState, kind: KindState<Own, R>) {
    this.#device = device;
    this.#transport = transport;
    this.#kind = kind;
  }

  // ---- Save -------------------------------------------------------------------------------------

  /** A promise only if requests wait, which the queues' threads must be asked for. */
  save(writer: StateWriter): void | Promise<void> {
    const device = this.#device;
    if (device.resetting || device.queues.some(({ draining }) => draining)) busy('is being reset');
    this.#kind.checkAtRest(busy);
    const release = this.#kind.hold?.() ?? (() => {});
    let later: Promise<void> | undefined;
    try {
      device.deliver(); // what was completed is told of: an interrupt is the transport's then
      if (device.brokenReason === 0 && requestsInFlight(device) > 0) {
        later = device.unfinished().then((heads) => this.#write(writer, heads));
        return later.finally(release);
      }
      this.#write(writer, null);
    } finally {
      if (!later) release();
    }
  }

  /** `heads`: by queue, of the requests that wait; null: there are none. */
  #write(writer: StateWriter, heads: readonly (readonly number[])[] | null): void {
    const device = this.#device;
    const kind = this.#kind;
    device.deliver();
    writeIdentity(writer, device, device.offeredFeatures());
    kind.writeIdentity(writer);
    writeDevice(writer, device);
    this.#transport.save(writer);
    kind.write(writer);
    device.queues.forEach((_, index) => {
      putPlace(writer, device, kind.requests, index, heads?.[index] ?? []);
    });
  }

  // ---- Load -------------------------------------------------------------------------------------

  load(reader: StateReader): ApplyState {
    const device = this.#device;
    const kind = this.#kind;
    checkIdentity(reader, device, device.offeredFeatures());
    kind.checkIdentity(reader);
    const registers = readDevice(reader, device);
    const transport = this.#transport.load(reader, registers.legacy);
    const own = kind.read(reader);
    const places = device.queues.map((_, index) => {
      return readPlace(reader, registers, kind.requests, index);
    });
    return () => this.#apply({ device: registers, transport, own, places });
  }

  /** Whatever fails here leaves a device that was reset. A promise only if one is needed. */
  #apply(saved: SavedDevice<Own, R>): void | Promise<void> {
    const device = this.#device;
    this.#transport.reset();
    if (device.resetting) return device.idle().then(() => this.#restore(saved));
    return this.#restore(saved);
  }

  #restore(saved: SavedDevice<Own, R>): void | Promise<void> {
    const device = this.#device;
    const undo = (error: unknown): never => {
      this.#transport.reset();
      throw error;
    };
    try {
      this.#restoreRegisters(saved);
      const waiting = saved.places.map(({ requests }) => requests.map(({ head }) => head));
      if (device.brokenReason !== 0 || waiting.every((heads) => heads.length === 0)) {
        return this.#start(saved);
      }
      const adopted = waiting.flatMap((heads, index) => {
        return heads.length > 0 ? [device.adopt(index, heads)] : [];
      });
      return Promise.all(adopted).then(() => this.#start(saved), undo);
    } catch (error) {
      undo(error);
    }
  }

  /** Nobody hears of interrupts meanwhile: the state knows which of them the driver has heard. */
  #restoreRegisters({ device: registers, transport, own, places }: SavedDevice<Own, R>): void {
    const device = this.#device;
    const attached = device.transport;
    device.transport = null;
    try {
      transport.before();
      if (!restoreDevice(device, registers)) {
        throw new StateError('EINVAL', 'status and features are none that a driver can reach');
      }
      registers.queues.forEach(({ enabled }, index) => {
        if (enabled) restoreRing(device, this.#kind.requests, index, places[index]!);
      });
      this.#kind.restore?.(own);
    } finally {
      device.transport = attached;
    }
    transport.after();
  }

  #start({ device: registers, own }: SavedDevice<Own, R>): void {
    startDevice(this.#device, registers);
    this.#kind.started?.(own);
  }
}
