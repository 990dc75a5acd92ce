/** Reads and writes that the engine serves from a cluster disk by itself (BL-4, BL-5, BB-27). */

import { expect, it } from 'vitest';
import { SERVE_INTERRUPT, SERVE_WAKE } from '#src/engine/engine';
import {
  BACKEND_BLOCK_SECTORS,
  BACKEND_CAPACITY_LO,
  BACKEND_DISK,
  BACKEND_F_NO_MEDIUM,
  BACKEND_F_READ_ONLY,
  BACKEND_FLAGS,
  BACKEND_QUIESCE,
  BACKEND_SIZE,
  BROKEN_ENGINE,
  CHAIN_BLOCKS_MAX,
  LANE_FAILED,
  LANE_INVALID,
  LANE_READ_BYTES,
  LANE_READ_OPS,
  LANE_SIZE,
  LANE_WRITE_BYTES,
  LANE_WRITE_OPS,
  QUEUE_BATCH_COUNT,
} from '#src/layout';
import {
  VIRTIO_BLK_S_IOERR,
  VIRTIO_BLK_S_OK,
  VIRTIO_BLK_T_BARRIER,
  VIRTIO_BLK_T_FLUSH,
  VIRTIO_BLK_T_GET_ID,
  VIRTIO_BLK_T_IN,
  VIRTIO_BLK_T_OUT,
  VIRTQ_DESC_F_INDIRECT,
} from '#src/spec';
import { Disk } from './disk.ts';
import { type Contestant, RAM_AT } from './machine.ts';
import { type Buffer as Piece, WRITE } from './raw-ring.ts';
import { expectIdle, INDIRECT, rig } from './rig.ts';

const headers = RAM_AT + 8192;
const data = RAM_AT + 0x10000;
const [IN, OUT] = [VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT];
const [OK, IOERR] = [VIRTIO_BLK_S_OK, VIRTIO_BLK_S_IOERR];
/** A status byte that nobody wrote. */
const UNTOUCHED = 0x77;
const TABLE = VIRTQ_DESC_F_INDIRECT;

type Sector = number | readonly [low: number, high: number];

interface Options {
  /** Capacity; also the size of the disk. */
  sectors?: number;
  fresh?: number;
  /** Logical block, in sectors. */
  block?: number;
  num?: number;
  ramBytes?: number;
}

export function clusterServeSuite(contestant: Contestant): void {
  function make(options: Options = {}) {
    const { sectors = 2048, fresh = 8, block = 1, num = 32, ramBytes = 1 << 20 } = options;
    const r = rig(contestant, { num, features: INDIRECT, ramBytes, stateBytes: 16 * 65536 });
    const { machine, engine, queue, ring } = r;
    const disk = new Disk(machine, { size: sectors * 512, fresh });
    const backend = machine.allocate(BACKEND_SIZE);
    const lane = machine.allocate(LANE_SIZE);
    machine.setWord(backend + BACKEND_DISK, disk.address);
    machine.setWord(backend + BACKEND_BLOCK_SECTORS, block);
    machine.setWide(backend + BACKEND_CAPACITY_LO, sectors);

    /** Writes header number `head` and offers it with `pieces` behind. */
    const offer = (head: number, type: number, sector: Sector, ...pieces: Piece[]) => {
      const at = headers + head * 32;
      const words =
        typeof sector === 'number' ? [sector % 2 ** 32, Math.floor(sector / 2 ** 32)] : sector;
      new Uint32Array(machine.ram.buffer, at, 4).set([type, 0, ...words]);
      machine.ram8[statusAt(head)] = UNTOUCHED;
      ring.chain(head, [{ at, length: 16 }, ...pieces]);
      ring.offer(head);
    };
    const serve = (count = engine.blkPop(queue, num)) =>
      engine.clusterServe(queue, count, backend, lane);
    const status = (head: number) => machine.ram8[statusAt(head)];
    const figure = (field: number) => machine.wide(lane + field);
    return { ...r, disk, backend, lane, offer, serve, status, figure };
  }

  const statusAt = (head: number) => headers + head * 32 + 16;
  const end = (head: number): Piece => ({ at: statusAt(head), length: 1, flags: WRITE });
  const into = (at: number, length: number): Piece => ({ at, length, flags: WRITE });
  const from = (at: number, length: number): Piece => ({ at, length });

  it('writes and reads through the ring, in any framing', () => {
    const { machine, ring, offer, serve, status, figure } = make();
    for (let i = 0; i < 2048; i++) machine.ram8[data + i] = (i * 13) & 0xff;
    offer(0, OUT, 127, from(data, 1), from(data + 1, 1023), end(0)); // over a cluster's end
    offer(4, IN, 127, into(data + 4096, 1000), into(data + 5100, 24), end(4));
    expect(serve()).toBe(SERVE_INTERRUPT);
    expect([status(0), status(4)]).toEqual([OK, OK]);
    const read = [
      ...machine.ram8.subarray(data + 4096, data + 5096),
      ...machine.ram8.subarray(data + 5100, data + 5124),
    ];
    expect(read).toEqual([...machine.ram8.subarray(data, data + 1024)]);
    expect(ring.usedElement(0)).toEqual({ id: 0, length: 1 });
    expect(ring.usedElement(1)).toEqual({ id: 4, length: 1025 });
    expect([LANE_READ_OPS, LANE_READ_BYTES].map(figure)).toEqual([1, 1024]);
    expect([LANE_WRITE_OPS, LANE_WRITE_BYTES].map(figure)).toEqual([1, 1024]);
    expect([LANE_INVALID, LANE_FAILED].map(figure)).toEqual([0, 0]);
  });

  it('BL-1 header and data in one descriptor, data and status in one', () => {
    const { machine, ring, offer, serve } = make();
    machine.ram8.fill(0x3c, headers + 16, headers + 16 + 512);
    new Uint32Array(machine.ram.buffer, headers, 4).set([OUT, 0, 3, 0]);
    ring.chain(0, [from(headers, 528), into(data + 600, 1)]);
    ring.offer(0);
    offer(20, IN, 3, into(data, 513));
    expect(serve()).toBe(SERVE_INTERRUPT);
    expect(machine.ram8.subarray(data, data + 512).every((byte) => byte === 0x3c)).toBe(true);
    expect(machine.ram8[data + 512]).toBe(OK);
    expect(ring.usedElement(1)).toEqual({ id: 20, length: 513 });
  });

  it('payload that begins in a second block of segments', () => {
    const { machine, ring, serve } = make({ num: 64 });
    const bytes = Array.from({ length: 16 }, (_, i) => from(headers + 100 + 2 * i, 1));
    machine.ram8.fill(0x41, data, data + 512);
    machine.ram8[headers + 100] = OUT;
    const parts = Array.from({ length: 32 }, (_, i) => from(data + i * 16, 16));
    ring.chain(0, [...bytes, ...parts, into(headers, 1)]);
    ring.offer(0);
    expect(serve()).toBe(SERVE_INTERRUPT);
    machine.ram8[headers + 100] = IN;
    const back = parts.map((_, i) => into(data + 4096 + i * 16, 16));
    ring.chain(0, [...bytes, ...back, into(headers, 1)]);
    ring.offer(0);
    expect(serve()).toBe(SERVE_INTERRUPT);
    const [sent, read] = [data, data + 4096].map((at) => machine.ram8.slice(at, at + 512));
    expect(read).toEqual(sent);
  });

  it('BL-4 a request may end where the disk ends, not one sector behind', () => {
    for (const [sector, count, good] of [
      [63, 1, true],
      [64, 1, false],
      [62, 2, true],
      [63, 2, false],
      [0, 64, true],
      [0, 65, false],
      [1, 64, false],
      [64, 0, true],
      [65, 0, false],
    ] as const) {
      const { offer, serve, status, figure, disk } = make({ sectors: 64 });
      offer(0, IN, sector, ...(count === 0 ? [] : [into(data, count * 512)]), end(0));
      expect(serve()).toBe(SERVE_INTERRUPT);
      expect(status(0)).toBe(good ? OK : IOERR);
      expect([LANE_INVALID, LANE_READ_OPS].map(figure)).toEqual(good ? [0, 1] : [1, 0]);
      expect(disk.clusters).toBe(0);
    }
  });

  it('BL-4 sector numbers near 2^64 do not wrap into the disk', () => {
    for (const sector of [
      [0xffffffff, 0xffffffff],
      [0xfffffff8, 0xffffffff],
      [1, 0x80000000],
      [0, 0x00800000],
      [0, 1],
    ] as const) {
      const { offer, serve, status, figure } = make();
      offer(0, OUT, sector, from(data, 4096), end(0));
      expect(serve()).toBe(SERVE_INTERRUPT);
      expect([status(0), figure(LANE_INVALID)]).toEqual([IOERR, 1]);
    }
  });

  it('BL-4 a capacity above 2^32 sectors counts in full', () => {
    for (const [sectors, sector, good] of [
      [2 ** 32 + 10, 2 ** 32 + 9, true],
      [2 ** 32 + 10, 2 ** 32 + 10, false],
      [10, 9, true],
      [10, 2 ** 32 + 9, false],
    ] as const) {
      const { offer, serve, status } = make({ sectors });
      offer(0, IN, sector, into(data, 512), end(0));
      expect(serve()).toBe(SERVE_INTERRUPT);
      expect(status(0)).toBe(good ? OK : IOERR);
    }
  });

  it('BL-4 length and start are multiples of the logical block', () => {
    for (const [block, sector, bytes, good] of [
      [1, 3, 512, true],
      [1, 3, 511, false],
      [1, 3, 513, false],
      [8, 8, 4096, true],
      [8, 4, 4096, false],
      [8, 9, 4096, false],
      [8, 8, 2048, false],
      [8, 0, 512, false],
      [8, 16, 8192, true],
    ] as const) {
      const { offer, serve, status, figure } = make({ block });
      offer(0, IN, sector, into(data, bytes), end(0));
      expect(serve()).toBe(SERVE_INTERRUPT);
      expect(status(0)).toBe(good ? OK : IOERR);
      expect(figure(LANE_INVALID)).toBe(good ? 0 : 1);
    }
  });

  it('BL-4 a request has at most INT_MAX >> 9 sectors', () => {
    for (const beyond of [0, 1]) {
      const r = make({ sectors: 2 ** 23, ramBytes: 4 << 20 });
      const list: Piece[] = [from(headers, 16)];
      for (let left = (0x3fffff + beyond) * 512; left > 0; left -= 3 << 20) {
        list.push(into(data + 0x10000, Math.min(left, 3 << 20)));
      }
      r.ring.chain(0, [...list, end(0)], data);
      r.ring.describe(0, { at: data, length: (list.length + 1) * 16, flags: TABLE });
      r.ring.offer(0);
      expect(r.serve()).toBe(SERVE_INTERRUPT);
      expect(r.status(0)).toBe(beyond ? IOERR : OK);
      expect(r.figure(LANE_READ_BYTES)).toBe(beyond ? 0 : 0x3fffff * 512);
    }
  });

  it('BL-5 a read-only disk refuses writes, changes nothing, and goes on reading', () => {
    const { machine, backend, offer, serve, status, figure, disk } = make();
    machine.setWord(backend + BACKEND_FLAGS, BACKEND_F_READ_ONLY);
    offer(0, OUT, 0, from(data, 512), end(0));
    offer(3, OUT, 0, end(3));
    offer(6, IN, 0, into(data, 512), end(6));
    expect(serve()).toBe(SERVE_INTERRUPT);
    expect([status(0), status(3), status(6)]).toEqual([IOERR, IOERR, OK]);
    expect([LANE_INVALID, LANE_WRITE_OPS, LANE_READ_OPS].map(figure)).toEqual([2, 0, 1]);
    expect(disk.clusters).toBe(0);
    machine.setWord(backend + BACKEND_FLAGS, 0);
    offer(9, OUT, 0, from(data, 512), end(9));
    serve();
    expect([status(9), disk.clusters]).toEqual([OK, 2]);
  });

  it('VQ-6 used length: all of a read, the status if it stands alone, else nothing', () => {
    const { ring, offer, serve } = make();
    offer(0, IN, 0, into(data, 512), end(0));
    offer(3, IN, 5000, into(data, 512), end(3)); // fails
    offer(6, OUT, 0, from(data, 512), end(6));
    offer(9, OUT, 0, from(data, 512), into(data + 600, 9), end(9));
    offer(13, OUT, 5000, from(data, 512), end(13)); // fails
    offer(16, IN, 0, end(16)); // nothing but the status
    expect(serve()).toBe(SERVE_INTERRUPT);
    const lengths = [0, 1, 2, 3, 4, 5].map((i) => ring.usedElement(i).length);
    expect(lengths).toEqual([513, 0, 1, 0, 1, 1]);
  });

  it('BL-2 the barrier bit of old drivers is ignored; other types are left, in order', () => {
    const { ring, offer, serve, status, machine, queue } = make();
    offer(0, VIRTIO_BLK_T_FLUSH, 0, end(0));
    offer(2, (VIRTIO_BLK_T_BARRIER | OUT) >>> 0, 0, from(data, 512), end(2));
    offer(5, VIRTIO_BLK_T_GET_ID, 0, into(data, 20), end(5));
    offer(8, VIRTIO_BLK_T_BARRIER, 0, into(data, 512), end(8));
    offer(11, 2, 0, end(11));
    expect(serve()).toBe(3 + SERVE_INTERRUPT);
    expect([0, 1, 2].map((i) => ring.batch(i))).toEqual([0, 5, 11]);
    expect(machine.word(queue + QUEUE_BATCH_COUNT)).toBe(3);
    expect([0, 2, 5, 8, 11].map(status)).toEqual([UNTOUCHED, OK, UNTOUCHED, OK, UNTOUCHED]);
    expect([ring.usedElement(0).id, ring.usedElement(1).id, ring.usedIdx]).toEqual([2, 8, 2]);
  });

  it('nothing served, nothing said: no interrupt for a batch that is left', () => {
    const { ring, offer, serve } = make();
    offer(0, VIRTIO_BLK_T_FLUSH, 0, end(0));
    expect(serve()).toBe(1);
    expect(ring.usedIdx).toBe(0);
    expect(serve(0)).toBe(0);
  });

  it('what is left has left the gate: it comes back through it', () => {
    const { engine, lane, offer, serve } = make();
    offer(0, VIRTIO_BLK_T_FLUSH, 0, end(0));
    offer(2, OUT, 0, from(data, 512), end(2));
    expect(serve()).toBe(1 + SERVE_INTERRUPT);
    expect(engine.gateInFlight(lane)).toBe(0);
  });

  it('a write that finds the arena empty is left, later requests are served', () => {
    const { disk, offer, serve, status, ring, figure } = make({ fresh: 2 });
    offer(0, OUT, 127, from(data, 1024), end(0)); // its second sector is in another cluster
    offer(3, IN, 128, into(data, 512), end(3));
    offer(6, OUT, 0, from(data, 512), end(6)); // in the cluster that is there
    expect(serve()).toBe(1 + SERVE_INTERRUPT);
    expect(ring.batch(0)).toBe(0);
    expect([status(0), status(3), status(6)]).toEqual([UNTOUCHED, OK, OK]);
    expect([LANE_WRITE_OPS, LANE_WRITE_BYTES].map(figure)).toEqual([1, 512]);
    expect([disk.clusters, disk.left.fresh]).toEqual([2, 0]);
  });

  it('a closed gate leaves all, wakes main, and counts nobody in', () => {
    const { engine, backend, lane, offer, serve, status, ring } = make();
    offer(0, OUT, 0, from(data, 512), end(0));
    expect(engine.gateClose(backend)).toBe(1);
    expect(serve()).toBe(1 + SERVE_WAKE);
    expect([status(0), engine.gateInFlight(lane), ring.usedIdx]).toEqual([UNTOUCHED, 0, 0]);
    expect(engine.gateOpen(backend)).toBe(0);
    expect(serve(1)).toBe(SERVE_INTERRUPT);
    expect([status(0), engine.gateInFlight(lane)]).toEqual([OK, 0]);
  });

  it('a gate that closes meanwhile wakes main when the batch leaves', () => {
    const r = make();
    const { machine, engine, queue, lane, disk, offer } = r;
    offer(0, OUT, 0, from(data, 512), end(0));
    expect(r.serve()).toBe(SERVE_INTERRUPT);
    // The backend's words are moved into the disk's cluster, where a write of the guest closes it.
    const cluster = Math.max(...disk.used);
    const backend = cluster + 1024;
    machine.u8.copyWithin(backend, r.backend, r.backend + BACKEND_SIZE);
    machine.ram8.set(machine.u8.subarray(backend, backend + BACKEND_SIZE), data);
    machine.ram32[(data + BACKEND_QUIESCE) >>> 2] = 1;
    offer(3, OUT, 2, from(data, 512), end(3));
    expect(engine.blkPop(queue, 1)).toBe(1);
    expect(engine.clusterServe(queue, 1, backend, lane)).toBe(SERVE_INTERRUPT + SERVE_WAKE);
    expect([r.status(3), engine.gateInFlight(lane)]).toEqual([OK, 0]);
    expect(engine.clusterServe(queue, 0, backend, lane)).toBe(0);
  });

  it('without a disk or a medium all is left, and the gate is not asked', () => {
    const { machine, engine, disk, backend, offer, serve } = make();
    offer(0, IN, 0, into(data, 512), end(0));
    engine.gateClose(backend);
    machine.setWord(backend + BACKEND_FLAGS, BACKEND_F_NO_MEDIUM);
    expect(serve()).toBe(1);
    machine.setWord(backend + BACKEND_FLAGS, 0);
    machine.setWord(backend + BACKEND_DISK, 0);
    expect(serve(1)).toBe(1);
    machine.setWord(backend + BACKEND_DISK, disk.address);
    expect(serve(1)).toBe(1 + SERVE_WAKE);
  });

  it('requests popped before the queue broke are served without a word to the driver', () => {
    const r = make();
    r.offer(0, OUT, 0, from(data, 512), end(0));
    const popped = r.engine.blkPop(r.queue, 8);
    r.engine.queueBreak(r.queue, BROKEN_ENGINE);
    expect(r.serve(popped)).toBe(0);
    expect([r.status(0), r.ring.usedIdx, r.disk.clusters]).toEqual([UNTOUCHED, 0, 2]);
    expectIdle(r, 32 + CHAIN_BLOCKS_MAX);
  });

  it('BB-27 figures carry from their low word into the high one', () => {
    const { machine, lane, offer, serve, figure } = make();
    machine.setWide(lane + LANE_READ_BYTES, 2 ** 32 - 512);
    machine.setWide(lane + LANE_READ_OPS, 2 ** 32 - 1);
    machine.setWide(lane + LANE_WRITE_BYTES, 2 ** 32 - 513);
    offer(0, IN, 0, into(data, 512), end(0));
    offer(3, OUT, 0, from(data, 512), end(3));
    serve();
    expect([LANE_READ_OPS, LANE_READ_BYTES].map(figure)).toEqual([2 ** 32, 2 ** 32]);
    expect(figure(LANE_WRITE_BYTES)).toBe(2 ** 32 - 1);
  });
}
