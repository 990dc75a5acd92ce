/**
 * SCSI buses on a thread that is not main: the services of `bus-messages.ts`. Main's side is
 * `bus-place.ts`. Importing this is enough; home thread of the context.
 */

import { registerService, type ThreadHome } from '../aio/services.ts';
import { laneAt } from '../block/lane-service.ts';
import {
  type BusMessage,
  type BusMessages,
  type OnBus,
  SCSI_ERROR_EVENT,
  type ScsiErrorTold,
} from './bus-messages.ts';
import { ScsiHome } from './home.ts';

const STATE = 'scsi/homes';

function homesOf(thread: ThreadHome): Map<number, ScsiHome> {
  let homes = thread.state.get(STATE) as Map<number, ScsiHome> | undefined;
  if (!homes) thread.state.set(STATE, (homes = new Map()));
  return homes;
}

/** The bus whose words lie at `address`. Throws if this thread has none there. */
export function scsiHomeAt(thread: ThreadHome, address: number): ScsiHome {
  const home = homesOf(thread).get(address);
  if (!home) throw new Error(`thread '${thread.id}' has no SCSI bus at ${address}`);
  return home;
}

function open(thread: ThreadHome, { bus }: OnBus): void {
  const tell = (failure: ScsiErrorTold['failure']) => {
    thread.post(SCSI_ERROR_EVENT, { bus, failure } satisfies ScsiErrorTold);
  };
  const { core, context } = thread;
  const home = new ScsiHome(core, context, bus, (address) => laneAt(thread, address), tell);
  homesOf(thread).set(bus, home);
}

function close(thread: ThreadHome, { bus }: OnBus): void {
  scsiHomeAt(thread, bus).close();
  homesOf(thread).delete(bus);
}

function register<M extends BusMessage>(message: M): void {
  registerService(`scsi-${message}`, (thread, payload: OnBus & BusMessages[M]['payload']) => {
    return scsiHomeAt(thread, payload.bus).on(message, payload);
  });
}

registerService('scsi-open', open);
registerService('scsi-close', close);
for (const message of ['plug', 'unplug', 'cancel', 'count', 'run', 'heard'] as const) {
  register(message);
}
