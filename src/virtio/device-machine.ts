/**
 * A device's part in its machine: it stops and goes on with it (VM-2), and tries again what
 * has failed. Main thread. QEMU: `virtio_vmstate_change`, `virtio_blk_dma_restart_cb`.
 */

import { DEPTH_BUS_DEVICE, type Machine } from '../machine/machine.ts';
import type { VirtioDevice } from './device.ts';
import type { QueueSet } from './queue-set.ts';

/**
 * Returns what ends it: neither stop nor cont reaches the device from then on (HN-16). `name`: of
 * the kind of device.
 */
export function joinMachine(
  machine: Machine,
  name: string,
  device: VirtioDevice,
  queues: Pick<QueueSet, 'restartFailed' | 'unfinished'>,
): () => void {
  const restart = `${name} restart`;
  device.vmStateChanged(machine.running);
  const remove = [
    machine.addRunStateHandler('virtio', DEPTH_BUS_DEVICE, (running) => {
      device.vmStateChanged(running);
    }),
    // After the queues have begun (VM-1).
    machine.addRunStateHandler(restart, DEPTH_BUS_DEVICE, (running) => {
      if (running) queues.restartFailed();
    }),
    // What a thread posts comes in order; one that has died posts nothing any more.
    machine.addFence(async () => void (await queues.unfinished().catch(() => {}))),
  ];
  return () => {
    for (const step of remove) step();
  };
}
