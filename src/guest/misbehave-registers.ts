/** Bad register accesses: what a guest can do wrong on the bus. */
import {
  VIRTIO_F_BAD_FEATURE,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_STATUS_ACKNOWLEDGE,
  VIRTIO_STATUS_DRIVER,
} from '../spec.ts';
import type { GuestBlk } from './blk.ts';
import type { Misbehaviour } from './misbehave.ts';
import { endOfRam } from './misbehave-ring.ts';
import type { FeatureWords, RingPlace } from './transport.ts';

const modern = (guest: GuestBlk): boolean => !guest.transport.legacy;
const pciModern = (guest: GuestBlk): boolean => guest.transport.name.startsWith('pci modern');
const choosesSize = (guest: GuestBlk): boolean => guest.transport.name !== 'pci legacy';

const place = ({ size, desc, avail, used }: RingPlace): RingPlace => ({ size, desc, avail, used });

/** Starts anew with the ring of queue 0 told to the device as `place` says. */
async function startWith(guest: GuestBlk, place: (ring: RingPlace) => RingPlace): Promise<void> {
  await guest.reset();
  guest.negotiate();
  const ring = guest.createRing(0);
  guest.adoptRing(ring);
  guest.transport.setUpConfigInterrupt();
  guest.transport.setUpQueue(0, place(ring), guest.vectorOf(0));
  guest.driverOk();
  ring.offer(0);
  ring.publish();
  guest.transport.kick(0);
}

const doorbells: Misbehaviour[] = [
  {
    row: 'BG-14',
    name: 'a kick of a queue that is not there',
    expect: 'ignored',
    run: (guest) => {
      for (const queue of [1024, 0xffff]) guest.transport.kick(queue);
    },
  },
  {
    row: 'BG-14',
    name: 'a kick of a queue that is not set up',
    expect: 'ignored',
    run: (guest) => guest.transport.kick(guest.rings.length),
  },
  {
    row: 'BG-14',
    name: 'kicks after a reset and before each step of the next start',
    expect: 'ignored',
    async run(guest) {
      await guest.reset();
      guest.transport.kick(0);
      guest.negotiate();
      guest.transport.kick(0);
      guest.setUpQueues();
      if (modern(guest)) guest.transport.kick(0);
      guest.driverOk();
    },
  },
];

const queues: Misbehaviour[] = [
  {
    row: 'BG-17',
    name: 'sizes of 0 and beyond the largest, written to a queue that is not enabled',
    expect: 'ignored',
    applies: choosesSize,
    async run(guest) {
      await guest.reset();
      guest.negotiate();
      guest.transport.selectQueue(0);
      guest.transport.writeQueueSize(0);
      guest.transport.writeQueueSize(2 * guest.transport.readQueueSize());
      guest.transport.writeQueueSize(0x8000);
      guest.setUpQueues();
      guest.driverOk();
    },
  },
  {
    row: 'BG-17',
    name: 'size and address written to an enabled queue',
    expect: 'ignored',
    applies: modern,
    run(guest) {
      const ring = guest.rings[0]!;
      guest.transport.selectQueue(0);
      guest.transport.writeQueueSize(ring.size / 2);
      const away = { size: ring.size, desc: 0x1000, avail: 0x1000, used: 0x1000 };
      guest.transport.writeQueueRing(away);
    },
  },
  {
    row: 'BG-17',
    name: 'a size that is no power of two',
    expect: 'breaks',
    applies: choosesSize,
    run: (guest) => startWith(guest, (ring) => ({ ...place(ring), size: ring.size - 1 })),
  },
  {
    row: 'BG-17',
    name: 'a ring behind the end of RAM',
    expect: 'breaks',
    run: (guest) => startWith(guest, (ring) => ({ ...place(ring), desc: endOfRam(guest) })),
  },
  {
    row: 'BG-17',
    name: 'a used ring whose event word is behind the end of RAM',
    expect: 'breaks',
    applies: (guest) => modern(guest) && guest.has(VIRTIO_F_EVENT_IDX),
    run: (guest) =>
      startWith(guest, (ring) => {
        const end = endOfRam(guest);
        return { ...place(ring), used: end - 4 - 8 * ring.size };
      }),
  },
  {
    row: 'BG-17',
    name: 'a descriptor table that is not aligned',
    expect: 'breaks',
    applies: modern,
    run: (guest) => startWith(guest, (ring) => ({ ...place(ring), desc: ring.desc + 8 })),
  },
  {
    row: 'BG-16',
    name: 'three parts of a ring in one place',
    expect: 'survives',
    applies: modern,
    run: (guest) =>
      startWith(guest, (ring) => ({ ...place(ring), avail: ring.desc, used: ring.desc })),
  },
  ...[0, 2].map(
    (value): Misbehaviour => ({
      row: 'BG-19',
      name: `queue_enable of ${value}`,
      expect: 'breaks',
      applies: pciModern,
      run(guest) {
        guest.transport.selectQueue(0);
        guest.transport.writeQueueEnable(value);
      },
    }),
  ),
];

const features: Misbehaviour[] = [
  {
    row: 'BG-20',
    name: 'features written after FEATURES_OK',
    expect: 'ignored',
    applies: modern,
    run: (guest) => guest.transport.writeDriverFeatures([0, 0]),
  },
  {
    row: 'BG-20',
    name: 'features that were not offered',
    expect: 'ignored',
    applies: modern,
    async run(guest) {
      await guest.reset();
      const offered = guest.transport.readDeviceFeatures();
      guest.negotiate(
        (wanted): FeatureWords => [
          (wanted[0] | ~offered[0]) >>> 0,
          (wanted[1] | ~offered[1]) >>> 0,
        ],
      );
      guest.setUpQueues();
      guest.driverOk();
    },
  },
  {
    row: 'BG-20',
    name: 'a legacy driver that accepts everything, BAD_FEATURE too',
    expect: 'ignored',
    applies: (guest) => guest.transport.legacy,
    async run(guest) {
      await guest.reset();
      guest.transport.writeStatus(VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
      guest.transport.writeDriverFeatures([(~0 | (1 << VIRTIO_F_BAD_FEATURE)) >>> 0, 0]);
      guest.setUpQueues();
      guest.driverOk();
    },
  },
];

export const REGISTER_MISBEHAVIOURS: readonly Misbehaviour[] = [
  ...doorbells,
  ...queues,
  ...features,
];
