/**
 * The registers of a device in a saved state (VM-5): what any virtio device has, without transport
 * and without requests. A state is put in place through the calls that a driver makes, so that a
 * device can be brought only to where a driver can bring it.
 * QEMU: `virtio_save`, `virtio_load`.
 */

import type { StateReader } from '../machine/state-reader.ts';
import type { StateWriter } from '../machine/state-writer.ts';
import {
  VIRTIO_STATUS_DRIVER_OK,
  VIRTIO_STATUS_FEATURES_OK,
  VIRTIO_STATUS_NEEDS_RESET,
} from '../spec.ts';
import type { VirtioDevice } from './device.ts';
import type { FeatureWords } from './feature-bits.ts';
import type { QueueRegisters, U64Pair } from './queue-registers.ts';

export interface DeviceState {
  readonly legacy: boolean;
  readonly status: number;
  /** The driver wants service: DRIVER_OK, or a legacy driver's early kick. */
  readonly started: boolean;
  /** BROKEN_*; 0: well. */
  readonly broken: number;
  readonly generation: number;
  /** Accepted by the driver. */
  readonly features: FeatureWords;
  readonly queues: readonly QueueState[];
}

/** A queue's registers; the vector is the transport's. */
export interface QueueState {
  readonly size: number;
  readonly enabled: boolean;
  readonly desc: U64Pair;
  readonly avail: U64Pair;
  readonly used: U64Pair;
}

const PARTS = ['desc', 'avail', 'used'] as const;
/** What the device sets by itself, and what is set last. */
const STATUS_LATE = VIRTIO_STATUS_DRIVER_OK | VIRTIO_STATUS_NEEDS_RESET;

// ---- Which device it is ------------------------------------------------------------------------

/** What must be the same here and there, `offered` by all interfaces together. */
export function writeIdentity(
  writer: StateWriter,
  device: VirtioDevice,
  offered: Readonly<FeatureWords>,
): void {
  writer.u16(device.deviceId).u32(offered.lo).u32(offered.hi).u16(device.queues.length);
  for (const { maxSize } of device.queues) writer.u16(maxSize);
}

/** Throws a StateError, EMISMATCH, that names what differs. */
export function checkIdentity(
  reader: StateReader,
  device: VirtioDevice,
  offered: Readonly<FeatureWords>,
): void {
  reader.expect('device id', reader.u16('device id'), device.deviceId);
  const words = ['features offered, bits 0 to 31', 'features offered, bits 32 to 63'] as const;
  reader.expect(words[0], hex(reader.u32(words[0])), hex(offered.lo));
  reader.expect(words[1], hex(reader.u32(words[1])), hex(offered.hi));
  reader.expect('num-queues', reader.u16('num-queues'), device.queues.length);
  device.queues.forEach(({ maxSize }, index) => {
    const field = `queue-size of queue ${index}`;
    reader.expect(field, reader.u16(field), maxSize);
  });
}

function hex(word: number): string {
  return `0x${(word >>> 0).toString(16)}`;
}

// ---- What its registers say --------------------------------------------------------------------

export function writeDevice(writer: StateWriter, device: VirtioDevice): void {
  writer.bool(device.legacy).u8(device.status).bool(device.started).u8(device.brokenReason);
  writer.u8(device.configGeneration);
  writer.u32(device.driverFeatures(0)).u32(device.driverFeatures(1));
  for (const queue of device.queues) {
    writer.u16(queue.size).bool(queue.enabled);
    for (const part of PARTS) writer.u32(queue[part].lo).u32(queue[part].hi);
  }
}

export function readDevice(reader: StateReader, device: VirtioDevice): DeviceState {
  const legacy = reader.bool('legacy');
  const status = reader.u8('status');
  const started = reader.bool('started');
  const broken = reader.u8('broken');
  const generation = reader.u8('configuration generation');
  const features = { lo: reader.u32('features, low'), hi: reader.u32('features, high') };
  const ready = legacy || (status & VIRTIO_STATUS_FEATURES_OK) !== 0;
  const queues = device.queues.map((queue, index) => readQueue(reader, queue, index, ready));
  const canStart = status & VIRTIO_STATUS_DRIVER_OK || legacy;
  if (started ? !canStart : status & VIRTIO_STATUS_DRIVER_OK) {
    reader.fail('EINVAL', 'started', `${started} does not go with status ${hex(status)}`);
  }
  if (started && !(status & VIRTIO_STATUS_DRIVER_OK) && !queues.some(({ enabled }) => enabled)) {
    reader.fail('EINVAL', 'started', 'no queue is enabled that could have been kicked');
  }
  return { legacy, status, started, broken, generation, features, queues };
}

function readQueue(
  reader: StateReader,
  { maxSize }: QueueRegisters,
  index: number,
  ready: boolean,
): QueueState {
  const size = reader.upTo(`queue ${index}, size`, 2, maxSize);
  if (size === 0) reader.fail('EINVAL', `queue ${index}, size`, 'is 0');
  const enabled = reader.bool(`queue ${index}, enabled`);
  if (enabled && !ready) {
    reader.fail('EINVAL', `queue ${index}, enabled`, 'features are not agreed upon yet');
  }
  const [desc, avail, used] = PARTS.map((part) => ({
    lo: reader.u32(`queue ${index}, ${part}`),
    hi: reader.u32(`queue ${index}, ${part}`),
  })) as [U64Pair, U64Pair, U64Pair];
  return { size, enabled, desc, avail, used };
}

// ---- Back to where it was ----------------------------------------------------------------------

/**
 * Registers of a device that has just been reset and has no transport for the moment; no queue is
 * enabled by it, and nothing is started. False if no driver could have brought the device there.
 */
export function restoreDevice(device: VirtioDevice, state: DeviceState): boolean {
  device.useLegacy(state.legacy);
  device.writeDriverFeatures(0, state.features.lo);
  device.writeDriverFeatures(1, state.features.hi);
  const status = state.status & ~STATUS_LATE;
  if (status !== 0) device.writeStatus(status);
  if (state.broken !== 0) device.needsReset(state.broken);
  while (device.configGeneration !== state.generation) device.configChanged();
  device.queues.forEach((queue, index) => {
    const saved = state.queues[index]!;
    queue.size = saved.size;
    for (const part of PARTS) Object.assign(queue[part], saved[part]);
  });
  return (
    device.legacy === state.legacy &&
    device.driverFeatures(0) === state.features.lo &&
    device.driverFeatures(1) === state.features.hi &&
    device.status === (state.status & ~VIRTIO_STATUS_DRIVER_OK)
  );
}

/** Serves again, if it did, and nothing holds the device; its transport is back. */
export function startDevice(device: VirtioDevice, state: DeviceState): void {
  if (state.status & VIRTIO_STATUS_DRIVER_OK) {
    device.writeStatus(state.status & ~VIRTIO_STATUS_NEEDS_RESET);
  } else if (state.started) {
    device.kick(state.queues.findIndex(({ enabled }) => enabled));
  }
}
