/**
 * Where the command queues of a SCSI host are served: each such thread has the bus's disks open for
 * as long as it serves any. Main thread.
 */

import type { ScsiBus } from '../scsi/bus.ts';
import type { LocalBusPlace } from '../scsi/bus-place.ts';
import type { DataPlane, QueueEvents, RemotePlace } from './data-plane.ts';
import type { QueueThread } from './remote-doorbell.ts';
import { ScsiQueue } from './scsi-queue.ts';
import type { ScsiQueueConfig } from './scsi-queue-config.ts';

export class ScsiPlaces {
  readonly #bus: ScsiBus;
  /** Main's own, and how many command queues it serves. */
  #here: LocalBusPlace | null = null;
  #queuesHere = 0;

  constructor(bus: ScsiBus) {
    this.#bus = bus;
  }

  /** Throws what lanes throw that cannot be opened; then nothing is left behind. */
  serveHere(config: ScsiQueueConfig, events: QueueEvents, asleep: boolean): DataPlane {
    this.#here ??= this.#bus.openHere();
    try {
      const queue = new HereQueue(config, this.#here.home, events, asleep, () => this.#left());
      this.#queuesHere += 1;
      return queue;
    } catch (error) {
      this.closeHere();
      throw error;
    }
  }

  #left(): void {
    this.#queuesHere -= 1;
    this.closeHere();
  }

  /** Unless main still serves some. */
  closeHere(): void {
    if (!this.#here || this.#queuesHere > 0) return;
    this.#here = null;
    this.#bus.closeHere();
  }

  async openOn(thread: QueueThread): Promise<RemotePlace> {
    await this.#bus.openOn(thread);
    return { address: this.#bus.address, close: () => this.#bus.closeOn(thread) };
  }
}

/** A queue that main serves: with the last of them main's lanes go. */
class HereQueue extends ScsiQueue {
  readonly #left: () => void;

  constructor(
    config: ScsiQueueConfig,
    home: LocalBusPlace['home'],
    events: QueueEvents,
    asleep: boolean,
    left: () => void,
  ) {
    super(config, home, events, asleep);
    this.#left = left;
  }

  override close(): void {
    super.close();
    this.#left();
  }
}
