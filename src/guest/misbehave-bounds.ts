/** The last that is still allowed: each stands on the good side of a bound of `misbehave-ring`. */
import { VIRTIO_BLK_T_FLUSH, VIRTIO_BLK_T_OUT } from '../spec.ts';
import { bufferAt, Draft, INDIRECT, NEXT, WRITE } from './draft.ts';
import type { Misbehaviour } from './misbehave.ts';
import { endOfRam, hasIndirect } from './misbehave-ring.ts';

type Act = (draft: Draft) => void;

function good(row: string, name: string, act: Act): Misbehaviour {
  return { row, name, expect: 'served', run: (guest, scratch) => act(new Draft(guest, scratch)) };
}

function goodIndirect(row: string, name: string, act: Act): Misbehaviour {
  return { ...good(row, name, act), applies: hasIndirect };
}

export const BOUNDS: readonly Misbehaviour[] = [
  good('BG-1', 'the last head of the ring', (draft) => {
    const last = draft.ring.size - 1;
    draft
      .desc(last, draft.header, NEXT, 0)
      .desc(0, draft.data, NEXT | WRITE, 1)
      .desc(1, draft.status, WRITE)
      .send(last);
  }),
  good('BG-2', 'next that is the last of the table', (draft) => {
    const last = draft.ring.size - 1;
    draft
      .desc(0, draft.header, NEXT, 1)
      .desc(1, draft.data, NEXT | WRITE, last)
      .desc(last, draft.status, WRITE)
      .send();
  }),
  good('BG-3', 'a chain as long as the table', (draft) => {
    const last = draft.ring.size - 1;
    draft.desc(0, draft.header, NEXT, 1);
    for (let i = 1; i < last; i++) draft.desc(i, draft.data, NEXT | WRITE, i + 1);
    draft.desc(last, draft.status, WRITE).send();
  }),
  {
    ...goodIndirect('BG-4', 'avail.idx the ring size ahead', (draft) => {
      draft.fillTable();
      for (let head = 0; head < draft.ring.size; head++) {
        draft.desc(head, draft.table(3), INDIRECT).ring.offer(head);
      }
      draft.show();
    }),
    answers: (guest) => guest.rings[0]!.size,
  },
  good('BG-6', 'buffers of one byte', (draft) => {
    const [header] = draft.header;
    draft.request(VIRTIO_BLK_T_FLUSH, 0);
    for (let i = 0; i < 16; i++) draft.desc(i, bufferAt(header + i, 1), NEXT, i + 1);
    draft.desc(16, draft.status, WRITE).send();
  }),
  goodIndirect('BG-8', 'an indirect table of one descriptor after a normal one', (draft) => {
    draft
      .request(VIRTIO_BLK_T_FLUSH, 0)
      .entry(0, draft.status, WRITE)
      .desc(0, draft.header, NEXT, 1)
      .desc(1, draft.table(1), INDIRECT)
      .send();
  }),
  goodIndirect('BG-8', 'an indirect table at an odd address', (draft) => {
    const { ram } = draft.guest;
    const at = draft.tableAt + 0x401;
    ram.write(at, ram.read(draft.fillTable().tableAt, 48));
    draft.desc(0, bufferAt(at, 48), INDIRECT).send();
  }),
  goodIndirect('BG-9', 'WRITE on the descriptor of an indirect table', (draft) => {
    draft
      .fillTable()
      .desc(0, draft.table(3), INDIRECT | WRITE)
      .send();
  }),
  goodIndirect('BG-9', 'an indirect table with entries out of order', (draft) => {
    draft
      .entry(0, draft.header, NEXT, 2)
      .entry(2, draft.data, NEXT | WRITE, 1)
      .entry(1, draft.status, WRITE)
      .desc(0, draft.table(3), INDIRECT)
      .send();
  }),
  good('BG-10', 'data that ends where RAM ends', (draft) => {
    draft
      .request(VIRTIO_BLK_T_OUT, 0)
      .desc(0, draft.header, NEXT, 1)
      .desc(1, bufferAt(endOfRam(draft.guest) - 512, 512), NEXT, 2)
      .desc(2, draft.status, WRITE)
      .send();
  }),
  goodIndirect('BG-11', 'a chain of 1024 segments', (draft) => {
    draft.entry(0, draft.header, NEXT, 1);
    for (let i = 1; i < 1023; i++) draft.entry(i, draft.data, NEXT | WRITE, i + 1);
    draft.entry(1023, draft.status, WRITE).desc(0, draft.table(1024), INDIRECT).send();
  }),
  good('BG-12', 'a header at an odd address', (draft) => {
    const { ram } = draft.guest;
    const at = draft.tableAt + 0x401;
    ram.write(at, ram.read(draft.header[0], 16));
    draft
      .desc(0, bufferAt(at, 16), NEXT, 1)
      .desc(1, draft.data, NEXT | WRITE, 2)
      .desc(2, draft.status, WRITE)
      .send();
  }),
  good('BG-12', 'a header of 16 bytes and a status, no data', (draft) => {
    draft
      .request(VIRTIO_BLK_T_FLUSH, 0)
      .desc(0, draft.header, NEXT, 1)
      .desc(1, draft.status, WRITE)
      .send();
  }),
];
