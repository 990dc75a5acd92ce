/**
 * A virtio-scsi host in a saved state: registers and rings, the units on its bus, the commands that
 * wait because of an error, an event that the driver has missed (VM-9). A command is kept as it was
 * popped, and tried again as that, whatever its driver has written or chosen since.
 * Of control and event queue nothing waits: a task management function that is being carried out is
 * refused, and event buffers are taken for events only. QEMU: `put_scsi_requests`,
 * `virtio_scsi_save_request`, `virtio_scsi_load_request`.
 */

import {
  QUEUE_SCSI,
  SCSI_CDB_BYTES,
  SCSI_REQUEST_CDB,
  SCSI_REQUEST_CDB_SIZE,
  SCSI_REQUEST_SENSE_SIZE,
  SCSI_REQUEST_SIZE,
} from '../layout.ts';
import type { StateHandler } from '../machine/machine-state.ts';
import {
  type BusState,
  checkUnits,
  isAtRest,
  readBus,
  restoreBus,
  writeBus,
  writeUnits,
} from '../scsi/bus-state.ts';
import { VIRTIO_SCSI_CONTROL_QUEUE, VIRTIO_SCSI_FIRST_COMMAND_QUEUE } from '../spec.ts';
import { type KindState, queueDeviceState } from './queue-device-state.ts';
import { inUse, type RequestFormat, type WaitingRequest } from './ring-places.ts';
import type { VirtioMmio } from './virtio-mmio.ts';
import type { VirtioPci } from './virtio-pci.ts';
import type { ScsiDriverState, VirtioScsi } from './virtio-scsi.ts';

const VERSION = 1;
/** Of a request's row: the header as it was read, from the LUN to the CDB. */
const HEADER_BYTES = SCSI_REQUEST_CDB + SCSI_CDB_BYTES;

interface ScsiState {
  readonly driver: ScsiDriverState;
  readonly bus: BusState;
}

interface WaitingCommand extends WaitingRequest {
  /** HEADER_BYTES. */
  readonly header: Uint8Array;
  /** As the driver had chosen them when the command was popped (BG-18). */
  readonly cdbSize: number;
  readonly senseSize: number;
}

/**
 * What saves and loads `scsi`, which lies behind `transport`; null: its registers are called. A
 * state is for a host with the same units, which may have been plugged in in any order.
 */
export function scsiState(
  scsi: VirtioScsi,
  transport: VirtioPci | VirtioMmio | null,
): StateHandler {
  return queueDeviceState(scsi, transport, kindState(scsi));
}

function kindState(scsi: VirtioScsi): KindState<ScsiState, WaitingCommand> {
  const { core, bus } = scsi;
  const holder = new Holder(scsi);
  return {
    version: VERSION,
    requests: requestFormat(scsi),
    checkAtRest: (busy) => checkAtRest(scsi, busy),
    hold: () => holder.hold(),
    writeIdentity: (writer) => writeUnits(writer, core, bus),
    checkIdentity: (reader) => checkUnits(reader, core, bus),
    write(writer) {
      const { sizes, eventsMissed } = scsi.driverState;
      writer.u16(sizes.sense).u8(sizes.cdb).bool(eventsMissed);
      writeBus(writer, bus);
    },
    read(reader) {
      const sizes = { sense: reader.u16('sense_size'), cdb: reader.u8('cdb_size') };
      const driver = { sizes, eventsMissed: reader.bool('events missed') };
      return { driver, bus: readBus(reader, bus) };
    },
    restore(state) {
      scsi.restoreDriverState(state.driver);
      restoreBus(bus, state.bus);
    },
  };
}

function checkAtRest(scsi: VirtioScsi, busy: (what: string) => never): void {
  const { units } = scsi.bus;
  if (!isAtRest(scsi.bus)) busy('has a disk that comes or goes');
  if (scsi.serving && units.some(({ backend }) => !backend.quiesced)) {
    busy('takes requests: stop the machine first');
  }
  if (units.some(({ backend }) => backend.inFlight > 0)) busy('has requests in flight');
  if (scsi.brokenReason === 0 && inUse(scsi, VIRTIO_SCSI_CONTROL_QUEUE) > 0) {
    busy('is carrying out a task management function');
  }
}

/** Commands that need no disk are answered in drained sections too: not while a state is made. */
class Holder {
  readonly #scsi: VirtioScsi;
  #holds = 0;

  constructor(scsi: VirtioScsi) {
    this.#scsi = scsi;
  }

  hold(): () => void {
    const scsi = this.#scsi;
    if (this.#holds === 0 && !scsi.serving) return () => {};
    if (this.#holds++ === 0) scsi.vmStateChanged(false);
    return () => {
      if (--this.#holds === 0) scsi.vmStateChanged(scsi.settings.machine?.running ?? true);
    };
  }
}

function requestFormat({ core }: VirtioScsi): RequestFormat<WaitingCommand> {
  const rowOf = (queue: number, head: number) => {
    return core.u32[(queue + QUEUE_SCSI) >>> 2]! + head * SCSI_REQUEST_SIZE;
  };
  return {
    waits: (index) => index >= VIRTIO_SCSI_FIRST_COMMAND_QUEUE,
    put(writer, queue, head) {
      const row = rowOf(queue, head);
      writer.raw(core.u8.subarray(row, row + HEADER_BYTES));
      writer.u8(core.u8[row + SCSI_REQUEST_CDB_SIZE]!);
      writer.u16(core.u32[(row + SCSI_REQUEST_SENSE_SIZE) >>> 2]!);
    },
    read(reader, field, head) {
      const header = reader.raw(`${field}, header`, HEADER_BYTES).slice();
      const cdbSize = reader.u8(`${field}, cdb_size`);
      return { head, header, cdbSize, senseSize: reader.u16(`${field}, sense_size`) };
    },
    restore(queue, { head, header, cdbSize, senseSize }) {
      const result = core.engine.scsiRestore(queue, head, cdbSize, senseSize);
      if (result !== 0) return result;
      const row = rowOf(queue, head);
      core.u8.set(header, row);
      core.u8[row + SCSI_REQUEST_CDB_SIZE] = cdbSize;
      return 0;
    },
  };
}
