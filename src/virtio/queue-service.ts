/**
 * Queues of a thread that is not main: the services of `queue-messages.ts`. Main's side is
 * `remote-queues.ts`. Importing this is enough; home thread of the context.
 */

import type { BottomHalf } from '../aio/bottom-half.ts';
import { EventNotifier } from '../aio/event-notifier.ts';
import { registerService, type ThreadHome } from '../aio/services.ts';
import { encodeError } from '../aio/thread-error.ts';
import { QUEUE_EPOCH } from '../layout.ts';
import './blk-kind.ts';
import './scsi-kind.ts';
import { type DataPlane, findQueueKind, type QueueEvents, type ServeQueue } from './data-plane.ts';
import { HostNotifier } from './host-notifier.ts';
import {
  type AdoptRequests,
  type CreateQueues,
  IO_ERROR_EVENT,
  type PlacedQueue,
  QUEUE_BROKEN_EVENT,
  type QueueBroken,
  type QueueIoError,
  type QueueList,
  type QueuesCreated,
  type TakeQueues,
} from './queue-messages.ts';
import type { Unfinished } from './unfinished.ts';
import { WriteLog } from './write-log.ts';

/** One queue of this thread's. */
class Place {
  readonly queue: DataPlane;
  readonly host: HostNotifier;
  readonly kick: BottomHalf;
  readonly #notifiers: readonly EventNotifier[];

  constructor(thread: ThreadHome, serve: ServeQueue, placed: PlacedQueue, asleep: boolean) {
    const { core, context } = thread;
    const { config, host, guest } = placed;
    const kicked = EventNotifier.at(core, host, `kick ${config.index}`);
    const done = EventNotifier.at(core, guest, `interrupt ${config.index}`);
    this.queue = serve(config, eventsOf(thread, placed, done), asleep);
    try {
      this.kick = context.bottomHalf(`kick ${config.index}`, () => this.queue.kick());
    } catch (error) {
      this.queue.close();
      throw error;
    }
    this.host = new HostNotifier(context, kicked, this.queue);
    this.#notifiers = [kicked, done];
  }

  close(): void {
    this.host.detach();
    this.kick.delete();
    this.queue.close();
    for (const notifier of this.#notifiers) notifier.close();
  }
}

/** An interrupt is the guest notifier set; main, or whoever watches it, tells the driver (VC-6). */
function eventsOf(
  thread: ThreadHome,
  { config, log }: PlacedQueue,
  guest: EventNotifier,
): QueueEvents {
  const { queue } = config;
  const writes = log === 0 ? null : new WriteLog(thread.core, log, queue);
  const epoch = () => Atomics.load(thread.core.u32, (queue + QUEUE_EPOCH) >>> 2);
  return {
    onGuestWrite: writes?.add ?? null,
    onPushed: writes?.commit ?? null,
    interrupt: () => guest.set(),
    broken: (_index, reason, cause) => {
      const broken: QueueBroken = {
        queue,
        epoch: epoch(),
        reason,
        cause: cause === undefined ? null : encodeError(cause),
      };
      thread.post(QUEUE_BROKEN_EVENT, broken);
      guest.set();
    },
    ioError: (failure) => {
      const failed: QueueIoError = { queue, epoch: epoch(), failure };
      thread.post(IO_ERROR_EVENT, failed);
    },
  };
}

const STATE = 'virtio/queues';

function placesOf(thread: ThreadHome): Map<number, Place> {
  let places = thread.state.get(STATE) as Map<number, Place> | undefined;
  if (!places) thread.state.set(STATE, (places = new Map()));
  return places;
}

function find(thread: ThreadHome, { queues }: QueueList): Place[] {
  return queues.map((queue) => {
    const place = placesOf(thread).get(queue);
    if (!place) throw new Error(`thread '${thread.id}' has no queue at ${queue}`);
    return place;
  });
}

/** Does `step` for each; if one fails, `undo` for those before it, the last first. */
function allOrNone<T>(list: readonly T[], step: (one: T) => void, undo: (one: T) => void): void {
  let done = 0;
  try {
    for (; done < list.length; done++) step(list[done]!);
  } catch (error) {
    while (done > 0) undo(list[--done]!);
    throw error;
  }
}

/** Does `step` for each, whatever fails; then throws what failed first. */
function each<T>(list: readonly T[], step: (one: T) => void): void {
  const errors: unknown[] = [];
  for (const one of list) {
    try {
      step(one);
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw errors[0];
}

function createQueues(thread: ThreadHome, message: CreateQueues): QueuesCreated {
  const { kind, place, queues, asleep } = message;
  const serve = findQueueKind(kind)(thread, place);
  const places: Place[] = [];
  allOrNone(
    queues,
    (placed) => places.push(new Place(thread, serve, placed, asleep)),
    () => places.pop()!.close(),
  );
  queues.forEach(({ config }, i) => {
    placesOf(thread).set(config.queue, places[i]!);
  });
  return { kicks: places.map(({ kick }) => kick.handle) };
}

/** Kicks are asked for whether they are listened for here or come by a bottom half (HN-4, HN-8). */
function attachQueues(thread: ThreadHome, list: QueueList): void {
  const places = find(thread, list);
  for (const { queue } of places) queue.setNotification(true);
  allOrNone(
    places,
    ({ host }) => host.attach(),
    ({ host }) => host.detach(),
  );
}

/** What a driver is still to be told goes out before (DP-13). */
function detachQueues(thread: ThreadHome, list: QueueList): void {
  each(find(thread, list), ({ host, queue }) => {
    host.detach();
    queue.flush();
  });
}

async function forgetQueues(thread: ThreadHome, list: QueueList): Promise<void> {
  await Promise.all(find(thread, list).map(({ queue }) => queue.forget()));
}

function restartFailed(thread: ThreadHome, list: QueueList): void {
  for (const { queue } of find(thread, list)) queue.restartFailed();
}

function unfinished(thread: ThreadHome, list: QueueList): Unfinished[] {
  return find(thread, list).map(({ queue }) => queue.unfinished());
}

function adopt(thread: ThreadHome, { queue, heads }: AdoptRequests): void {
  find(thread, { queues: [queue] })[0]!.queue.adopt(heads);
}

function handOver(thread: ThreadHome, list: QueueList): Unfinished[] {
  return find(thread, list).map(({ host, queue }) => {
    host.detach();
    return queue.handOver();
  });
}

function take(thread: ThreadHome, message: TakeQueues): void {
  find(thread, message).forEach(({ queue }, i) => {
    queue.take(message.unfinished[i]!);
  });
}

function closeQueues(thread: ThreadHome, list: QueueList): void {
  const places = find(thread, list);
  for (const queue of list.queues) placesOf(thread).delete(queue);
  each(places, (place) => place.close());
}

registerService('create-queues', createQueues);
registerService('attach-queues', attachQueues);
registerService('detach-queues', detachQueues);
registerService('forget-queues', forgetQueues);
registerService('close-queues', closeQueues);
registerService('restart-failed', restartFailed);
registerService('unfinished-requests', unfinished);
registerService('adopt-requests', adopt);
registerService('hand-over-queues', handOver);
registerService('take-queues', take);
