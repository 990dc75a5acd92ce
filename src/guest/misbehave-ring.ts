/** Bad rings and bad chains: what a guest can write wrong in memory. */
import {
  VIRTIO_BLK_T_OUT,
  VIRTIO_F_INDIRECT_DESC,
  VIRTQ_AVAIL_RING,
  VIRTQ_DESC_F_INDIRECT,
} from '../spec.ts';
import type { GuestBlk } from './blk.ts';
import { type Buffer, bufferAt, Draft, INDIRECT, NEXT, WRITE } from './draft.ts';
import type { Misbehaviour } from './misbehave.ts';

type Act = (draft: Draft) => void;

function bad(row: string, name: string, act: Act): Misbehaviour {
  return { row, name, expect: 'breaks', run: (guest, scratch) => act(new Draft(guest, scratch)) };
}

/** One that needs indirect tables. */
function badIndirect(row: string, name: string, act: Act): Misbehaviour {
  return { ...bad(row, name, act), applies: hasIndirect };
}

export function hasIndirect(guest: GuestBlk): boolean {
  return guest.has(VIRTIO_F_INDIRECT_DESC);
}

/** A read of one sector in which one of the three buffers is another one. */
function replaced(which: 'header' | 'data' | 'status', buffer: (draft: Draft) => Buffer): Act {
  return (draft) => {
    const parts = { header: draft.header, data: draft.data, status: draft.status };
    parts[which] = buffer(draft);
    draft
      .desc(0, parts.header, NEXT, 1)
      .desc(1, parts.data, NEXT | WRITE, 2)
      .desc(2, parts.status, WRITE)
      .send();
  };
}

const empty = (buffer: Buffer): Buffer => [buffer[0], buffer[1], 0];

/** First guest address after all of RAM. */
export function endOfRam(guest: GuestBlk): number {
  return Math.max(...guest.ram.regions.map((region) => region.guest + region.size));
}

/** A chain whose only fault is the length of its indirect table. */
function tableOf(bytes: number): Act {
  return (draft) => {
    const [lo, hi] = draft.fillTable().table(3);
    draft.desc(0, [lo, hi, bytes], INDIRECT).send();
  };
}

const heads: Misbehaviour[] = [
  bad('BG-1', 'a head that is the ring size', (draft) => draft.send(draft.ring.size)),
  bad('BG-1', 'a head of 65535', (draft) => draft.send(0xffff)),
  bad('BG-4', 'avail.idx one more than the ring size ahead', (draft) => {
    draft.ring.availIndex += draft.ring.size + 1;
    draft.show();
  }),
  bad('BG-4', 'avail.idx that goes back', (draft) => {
    draft.ring.availIndex -= 1;
    draft.show();
  }),
  {
    ...bad('BG-5', 'more chains than descriptors outstanding', (draft) => {
      // Chains of one table: as many heads as descriptors, all in flight.
      draft.fillTable();
      for (let head = 0; head < draft.ring.size; head++) {
        draft.desc(head, draft.table(3), VIRTQ_DESC_F_INDIRECT).ring.offer(head);
      }
      draft.show();
      draft.send(0);
    }),
    applies: hasIndirect,
    slow: true,
  },
  {
    ...bad('BG-5', 'a head that is in flight already', (draft) => {
      draft
        .desc(0, draft.header, NEXT, 1)
        .desc(1, draft.data, NEXT | WRITE, 2)
        .desc(2, draft.status, WRITE)
        .send();
      draft.send();
    }),
    slow: true,
  },
];

const links: Misbehaviour[] = [
  bad('BG-2', 'next that is the table size', (draft) =>
    draft.desc(0, draft.header, NEXT, draft.ring.size).send(),
  ),
  bad('BG-2', 'next of 65535', (draft) => draft.desc(0, draft.header, NEXT, 0xffff).send()),
  badIndirect('BG-2', 'next that is the size of the indirect table', (draft) =>
    draft
      .entry(0, draft.header, NEXT, 2)
      .entry(2, draft.status, WRITE) // would be a good end, were it in the table
      .desc(0, draft.table(2), INDIRECT)
      .send(),
  ),
  bad('BG-3', 'a descriptor that is its own next', (draft) =>
    draft.desc(0, draft.header, NEXT, 0).send(),
  ),
  bad('BG-3', 'a cycle of two', (draft) =>
    draft.desc(0, draft.header, NEXT, 1).desc(1, draft.header, NEXT, 0).send(),
  ),
  badIndirect('BG-3', 'a cycle in an indirect table', (draft) =>
    draft
      .entry(0, draft.header, NEXT, 1)
      .entry(1, draft.header, NEXT, 0)
      .desc(0, draft.table(2), INDIRECT)
      .send(),
  ),
  bad('BG-7', 'a readable buffer between writable ones', (draft) =>
    draft
      .desc(0, draft.header, NEXT, 1)
      .desc(1, draft.data, NEXT | WRITE, 2)
      .desc(2, draft.data, NEXT, 3)
      .desc(3, draft.status, WRITE)
      .send(),
  ),
  badIndirect('BG-7', 'a readable buffer between writable ones, indirect', (draft) =>
    draft
      .entry(0, draft.data, NEXT | WRITE, 1)
      .entry(1, draft.header, NEXT, 2)
      .entry(2, draft.status, WRITE)
      .desc(0, draft.table(3), INDIRECT)
      .send(),
  ),
  bad('BG-12', 'no readable buffer', (draft) =>
    draft
      .desc(0, draft.data, NEXT | WRITE, 1)
      .desc(1, draft.status, WRITE)
      .send(),
  ),
  bad('BG-12', 'no writable buffer', (draft) => draft.desc(0, draft.header, 0).send()),
];

const lengths: Misbehaviour[] = [
  bad(
    'BG-6',
    'a header of no bytes',
    replaced('header', (draft) => empty(draft.header)),
  ),
  bad(
    'BG-6',
    'data of no bytes',
    replaced('data', (draft) => empty(draft.data)),
  ),
  bad(
    'BG-6',
    'a status of no bytes',
    replaced('status', (draft) => empty(draft.status)),
  ),
  badIndirect('BG-6', 'data of no bytes, indirect', (draft) =>
    draft
      .fillTable()
      .entry(1, empty(draft.data), NEXT | WRITE, 2)
      .desc(0, draft.table(3), INDIRECT)
      .send(),
  ),
  badIndirect('BG-8', 'an indirect table of 0 bytes', tableOf(0)),
  badIndirect('BG-8', 'an indirect table of 8 bytes', tableOf(8)),
  badIndirect('BG-8', 'an indirect table of 17 bytes', tableOf(17)),
  badIndirect('BG-8', 'an indirect table of 47 bytes', tableOf(47)),
  badIndirect('BG-11', 'a chain of 1025 segments', (draft) => {
    draft.entry(0, draft.header, NEXT, 1);
    for (let i = 1; i < 1024; i++) draft.entry(i, draft.data, NEXT | WRITE, i + 1);
    draft.entry(1024, draft.status, WRITE).desc(0, draft.table(1025), INDIRECT).send();
  }),
  {
    ...badIndirect('BG-11', 'a chain of 4 GiB', (draft) => {
      const { guest, size } = largestRegion(draft.guest);
      draft.request(VIRTIO_BLK_T_OUT, 0).entry(0, draft.header, NEXT, 1);
      for (let i = 1; i < 1023; i++) draft.entry(i, bufferAt(guest, size), NEXT, i + 1);
      draft.entry(1023, draft.status, WRITE).desc(0, draft.table(1024), INDIRECT).send();
    }),
    applies: (guest) => hasIndirect(guest) && largestRegion(guest).size * 1022 >= 2 ** 32,
  },
  bad(
    'BG-12',
    'a header of 15 bytes',
    replaced('header', ({ header: [lo, hi] }) => [lo, hi, 15]),
  ),
];

function largestRegion(guest: GuestBlk): { guest: number; size: number } {
  return guest.ram.regions.reduce((a, b) => (b.size > a.size ? b : a));
}

const addresses: Misbehaviour[] = [
  bad('BG-10', 'data right behind the end of RAM', (draft) => {
    replaced('data', () => bufferAt(endOfRam(draft.guest), 512))(draft);
  }),
  bad('BG-10', 'data whose last byte is behind the end of RAM', (draft) => {
    replaced('data', () => bufferAt(endOfRam(draft.guest) - 511, 512))(draft);
  }),
  bad(
    'BG-10',
    'data that wraps around 2^64',
    replaced('data', () => [~0 >>> 0, ~0 >>> 0, 2]),
  ),
  bad(
    'BG-10',
    'data 4 GiB above an address in RAM',
    replaced('data', ({ data: [lo] }) => [lo, 1, 512]),
  ),
  bad(
    'BG-10',
    'data in a device register',
    replaced('data', () => bufferAt(0xfe003000, 512)),
  ),
  bad(
    'BG-10',
    'data of almost 4 GiB that wraps around 2^32',
    replaced('data', ({ data: [lo] }) => [lo, 0, 0xffffff00]),
  ),
  bad('BG-10', 'a status behind the end of RAM', (draft) => {
    replaced('status', () => bufferAt(endOfRam(draft.guest), 1))(draft);
  }),
  badIndirect('BG-10', 'an indirect table behind the end of RAM', (draft) => {
    draft.desc(0, bufferAt(endOfRam(draft.guest), 48), INDIRECT).send();
  }),
];

const tables: Misbehaviour[] = [
  badIndirect('BG-9', 'an indirect table in an indirect table', (draft) =>
    draft.entry(0, draft.table(3), INDIRECT).desc(0, draft.table(3), INDIRECT).send(),
  ),
  badIndirect('BG-9', 'INDIRECT and NEXT in one descriptor', (draft) =>
    draft
      .fillTable()
      .desc(0, draft.table(3), INDIRECT | NEXT, 1)
      .desc(1, draft.status, WRITE)
      .send(),
  ),
  {
    ...bad('BG-9', 'INDIRECT although it was not agreed on', (draft) =>
      draft.fillTable().desc(0, draft.table(3), INDIRECT).send(),
    ),
    applies: (guest) => !hasIndirect(guest),
  },
];

/** Nothing the device could see is wrong: the guest hurts itself. */
const own: Misbehaviour[] = [
  {
    row: 'BG-15',
    name: 'header and descriptors rewritten while the request is in flight',
    expect: 'served',
    slow: true,
    run(guest, scratch) {
      const draft = new Draft(guest, scratch);
      draft
        .desc(0, draft.header, NEXT, 1)
        .desc(1, draft.data, NEXT | WRITE, 2)
        .desc(2, draft.status, WRITE)
        .send();
      const away = bufferAt(endOfRam(guest), 0xffffffff);
      for (let i = 0; i < 3; i++) draft.desc(i, away, INDIRECT | NEXT, 0xffff);
      draft.request(0xffffffff, 2 ** 52);
    },
  },
  {
    row: 'BG-16',
    name: 'data read over the descriptor table and the available ring',
    expect: 'survives',
    run(guest, scratch) {
      const draft = new Draft(guest, scratch);
      const { desc, avail } = draft.ring;
      draft
        .desc(0, draft.header, NEXT, 1)
        .desc(1, bufferAt(desc, 256), NEXT | WRITE, 2)
        .desc(2, bufferAt(avail + VIRTQ_AVAIL_RING, 256), NEXT | WRITE, 3)
        .desc(3, draft.status, WRITE)
        .send();
      draft.show();
    },
  },
  {
    row: 'BG-16',
    name: 'a status byte in the used ring',
    expect: 'survives',
    run(guest, scratch) {
      const draft = new Draft(guest, scratch);
      replaced('status', () => bufferAt(draft.ring.used + 2, 1))(draft);
      draft.show();
    },
  },
];

export const RING_MISBEHAVIOURS: readonly Misbehaviour[] = [
  ...heads,
  ...links,
  ...lengths,
  ...addresses,
  ...tables,
  ...own,
];
