/** Overlays against a plain array, and after power cuts at every moment. */
import { describe, expect, it } from 'vitest';
import {
  type BlockOp,
  OP_DISCARD,
  OP_FLUSH,
  OP_WRITE,
  OP_WRITE_ZEROES,
  REQ_MAY_UNMAP,
} from '#src/block/driver';
import { DriverClient } from '#src/block/driver-client';
import type { OverlayDriver } from '#src/block/overlay';
import { commitOverlay, rebaseOverlay } from '#src/block/overlay-jobs';
import { type Entry, JournalDisk, open, random, SECTOR, same, sectors } from './overlay-rig.ts';

const SECTORS = 192;

async function contents(overlay: OverlayDriver): Promise<Uint8Array> {
  const bytes = new Uint8Array(overlay.size);
  await new DriverClient(overlay).read(0, bytes);
  return bytes;
}

/** What each sector holds: its first number. */
const numbersOf = (bytes: Uint8Array) =>
  Array.from({ length: bytes.length / SECTOR }, (_, i) =>
    new DataView(bytes.buffer, bytes.byteOffset).getUint32(i * SECTOR, true),
  );

interface Step {
  readonly op: BlockOp;
  readonly at: number;
  readonly count: number;
}

function nextStep(below: (n: number) => number, size = SECTORS): Step {
  const kinds = [OP_WRITE, OP_WRITE, OP_WRITE, OP_WRITE, OP_WRITE_ZEROES, OP_DISCARD, OP_FLUSH];
  const op = kinds[below(kinds.length)] as BlockOp;
  const at = below(size);
  const most = below(4) === 0 ? 40 : 10;
  return { op, at, count: 1 + below(Math.min(most, size - at)) };
}

describe('overlay: against a plain array', () => {
  const variants = [
    ['inline', 4096],
    ['inline', 8192],
    ['inline', 65_536],
    ['loop', 4096],
    ['loop', 16_384],
  ] as const;
  it.each(variants)(
    'random requests, sizes and openings, disks %s, clusters of %i',
    async (settles, clusterSize) => {
      const below = random(clusterSize + (settles === 'loop' ? 1 : 0));
      for (let round = 0; round < (settles === 'loop' ? 2 : 6); round++) {
        const base = new JournalDisk(sectors(SECTORS, 1), settles);
        const top = new JournalDisk(new Uint8Array(8192), settles);
        const pristine = base.bytes.slice();
        let overlay = await open(base, top, { 'cluster-size': clusterSize });
        let model = base.bytes.slice();
        let next = 10_000;
        for (let i = 0; i < 120; i++) {
          const client = new DriverClient(overlay);
          const choice = below(40);
          if (choice === 0) {
            await overlay.close();
            overlay = await open(base, top);
          } else if (choice === 1) {
            const size = (1 + below(SECTORS * 2)) * SECTOR;
            expect(overlay.truncate(size)).toBe(0);
            const sized = new Uint8Array(size);
            sized.set(model.subarray(0, size));
            model = sized;
          } else {
            const { op, at, count } = nextStep(below, model.length / SECTOR);
            const [from, to] = [at * SECTOR, (at + count) * SECTOR];
            if (op === OP_WRITE) {
              const data = sectors(count, next);
              next += count;
              await client.write(from, data);
              model.set(data, from);
            } else if (op === OP_FLUSH) {
              await client.command(op);
            } else {
              await client.command(op, from, to - from, below(2) ? REQ_MAY_UNMAP : 0);
              if (op === OP_WRITE_ZEROES) model.fill(0, from, to);
            }
          }
          if (i % 10 === 9) expect(numbersOf(await contents(overlay))).toEqual(numbersOf(model));
        }
        same(await contents(overlay), model);
        same(base.bytes, pristine);
        await overlay.close();
      }
    },
  );

  it('many requests at once, on sectors of their own', async () => {
    const below = random(7);
    const base = new JournalDisk(sectors(SECTORS, 1), 'loop');
    const top = new JournalDisk(new Uint8Array(8192), 'loop');
    const overlay = await open(base, top, { 'cluster-size': 8192 });
    const client = new DriverClient(overlay);
    const model = base.bytes.slice();
    for (let round = 0; round < 20; round++) {
      const requests: Promise<void>[] = [];
      for (let at = 0; at < SECTORS; ) {
        const count = Math.min(1 + below(20), SECTORS - at);
        const from = at * SECTOR;
        at += count;
        const kind = below(6);
        if (kind < 2) {
          const data = sectors(count, 10_000 + round * SECTORS + at);
          requests.push(client.write(from, data));
          model.set(data, from);
        } else if (kind === 2) {
          requests.push(client.command(OP_WRITE_ZEROES, from, count * SECTOR));
          model.fill(0, from, from + count * SECTOR);
        } else if (kind === 3) {
          requests.push(client.command(OP_FLUSH));
        }
      }
      await Promise.all(requests);
      expect(numbersOf(await contents(overlay))).toEqual(numbersOf(model));
    }
    await overlay.close();
  });
});

/**
 * Bytes of a disk after a power cut when `count` entries of its journal had been written: what was
 * flushed is there; of the rest, each sector that `survives` says so of.
 */
function afterCut(first: Uint8Array, journal: readonly Entry[], survives: () => boolean) {
  const bytes = first.slice();
  const flushed = journal.lastIndexOf(null);
  journal.forEach((entry, i) => {
    if (!entry) return;
    for (let at = 0; at < entry.data.length; at += SECTOR) {
      if (i > flushed && !survives()) continue;
      bytes.set(entry.data.subarray(at, at + SECTOR), entry.offset + at);
    }
  });
  return bytes;
}

/** How a cut may treat what was not flushed: all gone, all there, or each sector by chance. */
function cuts(below: (n: number) => number): (() => boolean)[] {
  return [() => false, () => true, () => below(2) === 0, () => below(8) === 0];
}

describe('overlay: power cuts', () => {
  it.each(['inline', 'loop'] as const)(
    'at every write: what was flushed is there, and no sector is one that nobody wrote (disks %s)',
    async (settles) => {
      const below = random(settles === 'loop' ? 11 : 3);
      let looked = 0;
      for (let round = 0; round < (settles === 'loop' ? 1 : 3); round++) {
        const base = new JournalDisk(sectors(SECTORS, 1), settles);
        const made = new JournalDisk(new Uint8Array(8192), settles);
        await (await open(base, made, { 'cluster-size': 4096 })).close();
        const first = made.bytes.slice();
        const top = new JournalDisk(first.slice(), settles);
        const overlay = await open(base, top);
        const client = new DriverClient(overlay);
        /** What each sector may hold after a cut: from the last flush on. */
        let may = numbersOf(base.bytes).map((number) => [number]);
        /** `may` by the length of the journal: as it was when an entry was made. */
        const history: (readonly (readonly number[])[])[] = [];
        const note = () => {
          while (history.length <= top.journal.length) history.push(may.map((list) => [...list]));
        };
        let next = 10_000;
        for (let i = 0; i < 40; i++) {
          const { op, at, count } = nextStep(below);
          if (op === OP_FLUSH) {
            await client.command(OP_FLUSH);
            note(); // the entries of the flush itself: nothing is promised before it has ended
            may = may.map((list) => list.slice(-1));
            history[history.length - 1] = may.map((list) => [...list]);
            continue;
          }
          for (let k = at; k < at + count; k++) {
            may[k]!.push(
              op === OP_WRITE ? next + k - at : op === OP_WRITE_ZEROES ? 0 : may[k]!.at(-1)!,
            );
          }
          if (op === OP_WRITE) await client.write(at * SECTOR, sectors(count, next));
          else await client.command(op, at * SECTOR, count * SECTOR);
          next += count;
          note();
        }
        for (let length = 0; length <= top.journal.length; length++) {
          for (const survives of cuts(below)) {
            const bytes = afterCut(first, top.journal.slice(0, length), survives);
            const after = await open(new JournalDisk(base.bytes), new JournalDisk(bytes));
            const found = numbersOf(await contents(after));
            const wrong = found.findIndex((number, k) => !history[length]![k]!.includes(number));
            expect([length, wrong]).toEqual([length, -1]);
            after.map.free();
            looked += 1;
          }
        }
        await overlay.close();
      }
      expect(looked).toBeGreaterThan(100);
    },
  );

  it('while one is made: it is empty, or whole', async () => {
    const base = new JournalDisk(sectors(SECTORS, 1));
    const top = new JournalDisk(new Uint8Array(8192).fill(0));
    const overlay = await open(base, top, { 'cluster-size': 4096 });
    const below = random(5);
    const blank = new Uint8Array(top.size);
    for (let length = 0; length <= top.journal.length; length++) {
      for (const survives of cuts(below)) {
        const cut = afterCut(blank, top.journal.slice(0, length), survives);
        const after = await open(base, new JournalDisk(cut), { 'cluster-size': 4096 });
        same(await contents(after), base.bytes);
        await after.close();
      }
    }
    await overlay.close();
  });

  it('in a commit, of base and top: it reads as it did', async () => {
    const base = new JournalDisk(sectors(SECTORS, 1));
    const top = new JournalDisk(new Uint8Array(8192));
    const overlay = await open(base, top, { 'cluster-size': 4096 });
    const client = new DriverClient(overlay);
    await client.write(512, sectors(30, 5000));
    await client.write(40_960, sectors(8, 6000));
    await client.command(OP_FLUSH);
    const [firstBase, firstTop] = [base.bytes.slice(), top.bytes.slice()];
    const expected = numbersOf(await contents(overlay));
    const journal: { disk: JournalDisk; entry: Entry }[] = [];
    for (const disk of [base, top]) {
      disk.journal.length = 0;
      disk.journal.push = (...entries: Entry[]) =>
        journal.push(...entries.map((entry) => ({ disk, entry })));
    }
    await commitOverlay(overlay);
    const below = random(9);
    const of = (disk: JournalDisk, length: number) =>
      journal
        .slice(0, length)
        .filter((other) => other.disk === disk)
        .map(({ entry }) => entry);
    expect(journal.length).toBeGreaterThan(8);
    for (let length = 0; length <= journal.length; length++) {
      for (const survives of cuts(below)) {
        const after = await open(
          new JournalDisk(afterCut(firstBase, of(base, length), survives)),
          new JournalDisk(afterCut(firstTop, of(top, length), survives)),
        );
        expect([length, numbersOf(await contents(after))]).toEqual([length, expected]);
        await after.close();
      }
    }
    await overlay.close();
  });

  it('in a rebase: with the base that the header names it reads as it did', async () => {
    const base = new JournalDisk(sectors(SECTORS, 1));
    const other = new JournalDisk(sectors(SECTORS, 1));
    other.bytes.fill(9, 8192, 20_480);
    const top = new JournalDisk(new Uint8Array(8192));
    const overlay = await open(base, top, { 'cluster-size': 4096 });
    await new DriverClient(overlay).write(512, sectors(3, 5000));
    await new DriverClient(overlay).command(OP_FLUSH);
    const first = top.bytes.slice();
    const expected = numbersOf(await contents(overlay));
    top.journal.length = 0;
    await rebaseOverlay(overlay, other);
    const below = random(2);
    const many = Array.from({ length: 6 }, () => cuts(below)).flat();
    for (let length = 0; length <= top.journal.length; length++) {
      for (const survives of many) {
        const cut = new JournalDisk(afterCut(first, top.journal.slice(0, length), survives));
        const after = await open(base, cut).catch(() => open(other, cut));
        expect([length, numbersOf(await contents(after))]).toEqual([length, expected]);
        after.map.free();
      }
    }
    await overlay.close();
  });
});
