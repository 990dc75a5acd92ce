/** Enough requests that every index wraps, on rings from the smallest to the usual. */
import { describe, expect, it } from 'vitest';
import { GuestBlkBatch } from '#src/guest/blk-batch';
import { VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT, VIRTIO_F_EVENT_IDX } from '#src/spec';
import { Machine } from './machine.ts';
import { seeded } from './random.ts';

const REQUESTS = 70_000;
const DISK_BYTES = 1 << 20;
const SECTORS = DISK_BYTES / 512;

describe.each(['wasm', 'js'] as const)('long run; engine %s', (engine) => {
  it.each([2, 4, 256])('VQ-3 VQ-5 70,000 requests go through a ring of %i', (queueSize) =>
    seeded(async (random) => {
      const machine = await Machine.open({ engine, transport: 'mmio 2', diskBytes: DISK_BYTES });
      const blk = await machine.start({ interrupts: false, queueSize });
      const depth = queueSize / 2;
      // Two descriptors each: header and data in one, and the status.
      const batch = new GuestBlkBatch(blk, { depth, bytes: 512, framing: 'joined' });
      const model = new Uint32Array(SECTORS);
      const sectors = new Uint32Array(depth);
      let serial = 0;
      for (let done = 0; done < REQUESTS; ) {
        const types: number[] = [];
        const first = random.below(SECTORS - depth);
        for (let slot = 0; slot < depth; slot++) {
          const type = random.below(2) ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN;
          types.push(type);
          sectors[slot] = first + slot;
          if (type === VIRTIO_BLK_T_OUT) {
            model[first + slot] = ++serial;
            machine.ram.setU32(batch.frames[slot]!.data, serial);
          }
          if (!batch.add(slot, type, first + slot, 512)) throw new Error('no room');
        }
        batch.submit();
        for (let slot = batch.take(); slot >= 0; slot = batch.take()) {
          const value = machine.ram.getU32(batch.frames[slot]!.data);
          if (batch.status(slot) !== 0) throw new Error(`status ${batch.status(slot)}`);
          if (value !== model[sectors[slot]!]) throw new Error(`sector ${sectors[slot]}: ${value}`);
          done++;
        }
        expect(blk.rings[0]!.inFlight).toBe(0);
      }
      expect(blk.rings[0]!.availIndex).toBe(blk.rings[0]!.usedIndex);
      batch.close();
      await machine.close();
    }),
  );

  it.each([true, false])('VQ-7 an interrupt for each of 35,000 batches; EVENT_IDX %s', (eventIdx) =>
    seeded(async () => {
      const machine = await Machine.open({ engine, transport: 'mmio 2', diskBytes: DISK_BYTES });
      const without = eventIdx ? [] : [VIRTIO_F_EVENT_IDX];
      const blk = await machine.start({ queueSize: 4, without });
      const batch = new GuestBlkBatch(blk, { depth: 2, bytes: 512, framing: 'joined' });
      // The line stays with the test: taken at once, as between two instructions.
      machine.slot.enabled = false;
      for (let round = 0; round < 35_000; round++) {
        batch.add(0, VIRTIO_BLK_T_IN, 0, 512);
        batch.add(1, VIRTIO_BLK_T_IN, 1, 512);
        batch.submit();
        if (!machine.slot.level) throw new Error(`no interrupt in round ${round}`);
        blk.interrupt();
        if (machine.slot.level) throw new Error(`the line stays high in round ${round}`);
        batch.take();
        batch.take();
      }
      expect(blk.kicks).toBe(35_000);
      expect(blk.rings[0]!.inFlight).toBe(0);
      await machine.close();
    }),
  );
});
