/**
 * What bad guests do to virtio-scsi, on purpose: requests shorter than their headers (BG-13), sizes
 * changed under way (BG-18); and beside each the last thing that is still allowed. What all rings
 * have in common is in `misbehave.ts`.
 */

import {
  VIRTIO_SCSI_CONTROL_QUEUE,
  VIRTIO_SCSI_EVENT_QUEUE,
  VIRTIO_SCSI_FIRST_COMMAND_QUEUE,
  VIRTIO_SCSI_REQUEST_HEADER,
  VIRTIO_SCSI_RESPONSE_HEADER,
} from '../spec.ts';
import { GuestChain } from './chain.ts';
import type { GuestScsi } from './scsi.ts';

export const SCSI_SCRATCH_BYTES = 0x2000;
/** Where in the scratch memory responses begin. */
const ROOM = 0x1000;

export interface ScsiMisbehaviour {
  /** Row of the behaviour map, `BG-13`. */
  readonly row: string;
  readonly name: string;
  /** To which queue. */
  readonly queue: number;
  /** `breaks`: it serves nothing more until reset. `served`: all requests come back. */
  readonly expect: 'breaks' | 'served';
  /** How many chains come back: of a queue that broke none. */
  readonly answers: number;
  /**
   * Does it, on a driver that runs with this queue idle. `scratch` is the guest address of
   * SCSI_SCRATCH_BYTES that the device may use until the next reset.
   */
  run(guest: GuestScsi, scratch: number): void;
}

/** Lengths of the buffers of a chain: for the device to read, and to write. */
type Shape = readonly [out: readonly number[], into: readonly number[]];

const ignored = { finished(): void {}, dropped(): void {} };

/** Adds chains to a queue and kicks, whatever the device wants. */
function send(guest: GuestScsi, queue: number, scratch: number, shapes: readonly Shape[]): void {
  for (const [out, into] of shapes) {
    const chain = new GuestChain();
    let at = scratch;
    for (const length of out) {
      chain.out(at, length);
      at += length;
    }
    at = scratch + ROOM;
    for (const length of into) {
      chain.in(at, length);
      at += length;
    }
    guest.add(queue, chain, ignored);
  }
  guest.rings[queue]!.publish();
  guest.transport.kick(queue);
}

type Shapes = (header: number, room: number) => readonly Shape[];

/** On the first command queue, whose headers and responses have the driver's sizes. */
function commands(
  row: string,
  name: string,
  expect: 'breaks' | 'served',
  answers: number,
  shapes: Shapes,
): ScsiMisbehaviour {
  const queue = VIRTIO_SCSI_FIRST_COMMAND_QUEUE;
  return {
    row,
    name,
    queue,
    expect,
    answers,
    run(guest, scratch) {
      const header = VIRTIO_SCSI_REQUEST_HEADER + guest.cdbSize;
      const room = VIRTIO_SCSI_RESPONSE_HEADER + guest.senseSize;
      guest.ram.fill(scratch, SCSI_SCRATCH_BYTES, 0);
      guest.ram.write(scratch, Uint8Array.of(1, 0, 0x40, 0));
      send(guest, queue, scratch, shapes(header, room));
    },
  };
}

function other(queue: number, name: string, shape: Shape, type = 0): ScsiMisbehaviour {
  return {
    row: 'BG-13',
    name,
    queue,
    expect: 'breaks',
    answers: 0,
    run(guest, scratch) {
      guest.ram.fill(scratch, SCSI_SCRATCH_BYTES, 0);
      guest.ram.setU32(scratch, type);
      send(guest, queue, scratch, [shape]);
    },
  };
}

export const SCSI_MISBEHAVIOURS: readonly ScsiMisbehaviour[] = [
  commands('BG-13', 'a header one byte short', 'breaks', 0, (header, room) => [
    [[header - 1], [room]],
  ]),
  commands('BG-13', 'a header one byte short, in pieces', 'breaks', 0, (header, room) => [
    [[7, header - 8], [room]],
  ]),
  commands('BG-13', 'a header and no more', 'served', 1, (header, room) => [[[header], [room]]]),
  commands('BG-13', 'room for a response but for a byte', 'breaks', 0, (header, room) => [
    [[header], [room - 1]],
  ]),
  commands('BG-13', 'room for a response in pieces', 'served', 1, (header, room) => [
    [[header], [5, room - 5]],
  ]),
  commands('BG-13', 'no readable part', 'breaks', 0, (_, room) => [[[], [room]]]),
  commands('BG-13', 'no writable part', 'breaks', 0, (header) => [[[header], []]]),
  commands('BG-13', 'three good requests and a bad one in a kick', 'breaks', 0, (header, room) => [
    ...[1, 2, 3].map((): Shape => [[header], [room]]),
    [[3], [room]],
    [[header], [room]],
  ]),
  {
    ...commands('BG-18', 'a larger CDB written with requests published', 'breaks', 0, () => []),
    run(guest, scratch) {
      const header = VIRTIO_SCSI_REQUEST_HEADER + guest.cdbSize;
      guest.ram.fill(scratch, SCSI_SCRATCH_BYTES, 0);
      const { cdbSize, senseSize } = guest;
      guest.writeSizes(255, senseSize);
      const shape: Shape = [[header], [VIRTIO_SCSI_RESPONSE_HEADER + senseSize]];
      if (cdbSize < 255) send(guest, VIRTIO_SCSI_FIRST_COMMAND_QUEUE, scratch, [shape]);
    },
  },
  other(VIRTIO_SCSI_CONTROL_QUEUE, 'a control request without a whole type', [[3], [16]]),
  other(VIRTIO_SCSI_CONTROL_QUEUE, 'task management, one byte short', [[23], [1]]),
  other(VIRTIO_SCSI_CONTROL_QUEUE, 'task management without room', [[24], []]),
  other(VIRTIO_SCSI_CONTROL_QUEUE, 'a notification request, one byte short', [[15], [5]], 1),
  other(VIRTIO_SCSI_CONTROL_QUEUE, 'a notification request, room one byte short', [[16], [4]], 1),
  other(VIRTIO_SCSI_EVENT_QUEUE, 'an event buffer one byte short', [[], [15]]),
];
