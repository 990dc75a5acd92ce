/** Guest addresses: u64 bounds, regions, memory that grows (design section 3). */

import { expect, it } from 'vitest';
import { POP_BROKEN } from '#src/engine/engine';
import { BROKEN_ADDRESS, BROKEN_INDIRECT, BROKEN_TOO_LONG } from '#src/layout';
import { VIRTQ_DESC_F_INDIRECT } from '#src/spec';
import { type Contestant, RAM_AT, type Region } from './machine.ts';
import { type Buffer, RawRing, WRITE } from './raw-ring.ts';
import { brokenBy, INDIRECT, popOne, type Rig, rig } from './rig.ts';

const MIB = 1 << 20;
const END = RAM_AT + MIB;

export function memorySuite(contestant: Contestant): void {
  function verdict(buffer: Buffer, regions?: readonly Region[]): number {
    const r = rig(contestant);
    if (regions) r.machine.setRegions(regions);
    const popped = popOne(r, [buffer]);
    expect(popped).toBe(brokenBy(r) === 0 ? 1 : POP_BROKEN);
    return brokenBy(r);
  }

  /** Pops one buffer and says where it lies. */
  function segments(buffer: Buffer, regions: readonly Region[]) {
    const r = rig(contestant);
    r.machine.setRegions(regions);
    expect(popOne(r, [buffer])).toBe(1);
    return r.ring.segments(0).map(({ address, length }) => [address, length]);
  }

  it('BG-10 a buffer may end where RAM ends, not one byte behind', () => {
    expect(verdict({ at: END - 512, length: 512 })).toBe(0);
    expect(verdict({ at: END - 512, length: 513 })).toBe(BROKEN_ADDRESS);
    expect(verdict({ at: END - 1, length: 1 })).toBe(0);
    expect(verdict({ at: END, length: 1 })).toBe(BROKEN_ADDRESS);
  });

  it('BG-10 a buffer may begin where RAM begins, not one byte before', () => {
    expect(verdict({ at: RAM_AT, length: MIB })).toBe(0);
    expect(verdict({ at: RAM_AT - 1, length: 2 })).toBe(BROKEN_ADDRESS);
    expect(verdict({ at: RAM_AT - 1, length: 1 })).toBe(BROKEN_ADDRESS);
  });

  it('BG-10 a buffer above 4 GiB whose low word is inside RAM', () => {
    expect(verdict({ at: [RAM_AT, 0], length: 8 })).toBe(0);
    expect(verdict({ at: [RAM_AT, 1], length: 8 })).toBe(BROKEN_ADDRESS);
    expect(verdict({ at: [RAM_AT, 0x80000000], length: 8 })).toBe(BROKEN_ADDRESS);
    expect(verdict({ at: [RAM_AT, 0xffffffff], length: 8 })).toBe(BROKEN_ADDRESS);
  });

  it('BG-10 a length of 2^32 - 1 does not wrap', () => {
    for (const at of [RAM_AT, END - 1, RAM_AT + 1, 1]) {
      expect(verdict({ at, length: 0xffffffff })).toBe(BROKEN_ADDRESS);
      expect(verdict({ at, length: 0x80000000, flags: WRITE })).toBe(BROKEN_ADDRESS);
    }
  });

  it('BG-10 an address that wraps 2^64', () => {
    expect(verdict({ at: [0xffffffff, 0xffffffff], length: 2 })).toBe(BROKEN_ADDRESS);
    expect(verdict({ at: [0xfffff000, 0xffffffff], length: 0x1000 + RAM_AT + 8 })).toBe(
      BROKEN_ADDRESS,
    );
  });

  it('BG-10 a buffer at the very top of the address space does not go on at 0', () => {
    const regions: Region[] = [
      { guest: 0, size: 4096, offset: RAM_AT + 4096 },
      { guest: [0xfffff000, 0xffffffff], size: 4096, offset: RAM_AT },
    ];
    const at = [0xfffffff0, 0xffffffff] as const;
    expect(segments({ at, length: 15 }, regions)).toEqual([[RAM_AT + 4080, 15]]);
    expect(verdict({ at, length: 17 }, regions)).toBe(BROKEN_ADDRESS);
  });

  it('BG-10 an indirect table is bounded in 64 bits, too', () => {
    const place = RAM_AT + 8192;
    for (const high of [0, 1]) {
      const r = rig(contestant, { features: INDIRECT });
      r.ring.describe(0, { at: RAM_AT, length: 1 }, place);
      const flags = VIRTQ_DESC_F_INDIRECT;
      popOne(r, [{ at: [place, high], length: 16, flags }]);
      expect(brokenBy(r)).toBe(high ? BROKEN_ADDRESS : 0);
    }
    const r = rig(contestant);
    popOne(r, [{ at: place, length: 16, flags: VIRTQ_DESC_F_INDIRECT }]);
    expect(brokenBy(r)).toBe(BROKEN_INDIRECT);
  });

  const split: Region[] = [
    { guest: 0, size: 8192, offset: RAM_AT + 65536 },
    { guest: 8192, size: 4096, offset: RAM_AT + 8192 },
    { guest: 0x10_0000_2000, size: 4096, offset: RAM_AT + 0x20000 },
  ];

  it('VQ-4 a buffer over adjacent regions takes a segment in each', () => {
    expect(segments({ at: 8190, length: 5 }, split)).toEqual([
      [RAM_AT + 65536 + 8190, 2],
      [RAM_AT + 8192, 3],
    ]);
    expect(segments({ at: 0, length: 12288 }, split)).toEqual([
      [RAM_AT + 65536, 8192],
      [RAM_AT + 8192, 4096],
    ]);
    expect(segments({ at: 8191, length: 1 }, split)).toHaveLength(1);
    expect(segments({ at: 8192, length: 1 }, split)).toEqual([[RAM_AT + 8192, 1]]);
  });

  it('BG-10 a gap between regions ends a buffer', () => {
    expect(verdict({ at: 12287, length: 1 }, split)).toBe(0);
    expect(verdict({ at: 12287, length: 2 }, split)).toBe(BROKEN_ADDRESS);
    expect(verdict({ at: 8190, length: 4099 }, split)).toBe(BROKEN_ADDRESS);
  });

  it('BG-10 a region above 4 GiB, at both its ends', () => {
    const at = 0x10_0000_2000;
    expect(segments({ at, length: 4096 }, split)).toEqual([[RAM_AT + 0x20000, 4096]]);
    expect(verdict({ at: at + 1, length: 4096 }, split)).toBe(BROKEN_ADDRESS);
    expect(verdict({ at: at - 1, length: 2 }, split)).toBe(BROKEN_ADDRESS);
    expect(verdict({ at: 0x2000, length: 4096 }, split)).toBe(0);
    expect(verdict({ at: 0x10_0000_3000, length: 1 }, split)).toBe(BROKEN_ADDRESS);
  });

  it('BG-10 a first region that crosses 4 GiB', () => {
    const crossing: Region[] = [{ guest: 0xffff_f000, size: 8192, offset: RAM_AT + 4096 }];
    expect(segments({ at: 0xffff_fffe, length: 4 }, crossing)).toEqual([[RAM_AT + 8190, 4]]);
    expect(segments({ at: 2 ** 32 + 4095, length: 1 }, crossing)).toEqual([[RAM_AT + 12287, 1]]);
    expect(verdict({ at: 2 ** 32 + 4095, length: 2 }, crossing)).toBe(BROKEN_ADDRESS);
    expect(verdict({ at: 0, length: 1 }, crossing)).toBe(BROKEN_ADDRESS);
    expect(verdict({ at: 4095, length: 1 }, crossing)).toBe(BROKEN_ADDRESS);
    expect(verdict({ at: 0xffff_efff, length: 2 }, crossing)).toBe(BROKEN_ADDRESS);
  });

  it('VQ-4 adjacent regions that meet at 4 GiB', () => {
    const meeting: Region[] = [
      { guest: 0xffff_f000, size: 4096, offset: RAM_AT + 8192 },
      { guest: 2 ** 32, size: 4096, offset: RAM_AT },
    ];
    expect(segments({ at: 0xffff_fffe, length: 4 }, meeting)).toEqual([
      [RAM_AT + 12286, 2],
      [RAM_AT, 2],
    ]);
    expect(segments({ at: 0xffff_ffff, length: 1 }, meeting)).toEqual([[RAM_AT + 12287, 1]]);
    expect(segments({ at: 2 ** 32 + 1, length: 1 }, meeting)).toEqual([[RAM_AT + 1, 1]]);
    expect(verdict({ at: 0xffff_fffe, length: 4099 }, meeting)).toBe(BROKEN_ADDRESS);
    expect(verdict({ at: 0, length: 1 }, meeting)).toBe(BROKEN_ADDRESS);
  });

  it('BG-10 without regions no address is good', () => {
    expect(verdict({ at: RAM_AT, length: 1 }, [])).toBe(BROKEN_ADDRESS);
  });

  it('BG-11 pieces of regions count as segments', () => {
    for (const beyond of [0, 1]) {
      const r = rig(contestant, { features: INDIRECT });
      const table = r.room;
      const single = Array.from({ length: 1022 + beyond }, () => ({ at: 16, length: 1 }));
      r.ring.chain(0, [...single, { at: 8190, length: 4 }], RAM_AT + 65536 + table - RAM_AT);
      r.machine.setRegions([
        { guest: 0, size: 8192, offset: RAM_AT },
        { guest: 8192, size: 4096, offset: RAM_AT + 8192 },
        { guest: 65536, size: 65536, offset: RAM_AT + 65536 },
      ]);
      r.ring.describe(0, {
        at: 65536 + table - RAM_AT,
        length: (single.length + 1) * 16,
        flags: VIRTQ_DESC_F_INDIRECT,
      });
      r.ring.offer(0);
      expect(r.engine.queuePop(r.queue, 1)).toBe(beyond ? POP_BROKEN : 1);
      expect(brokenBy(r)).toBe(beyond ? BROKEN_TOO_LONG : 0);
    }
  });

  it('memory that grows between two calls is seen, and the old addresses stay', () => {
    const r = rig(contestant);
    expect(popOne(r, [{ at: r.room, length: 4 }])).toBe(1);
    const pages = r.machine.ram.grow(4);
    const fresh = pages * 65536;
    r.machine.setRegions([
      { guest: RAM_AT, size: MIB, offset: RAM_AT },
      { guest: 0x4000_0000, size: 65536, offset: fresh },
    ]);
    expect(r.ring.push(0)).toBe(1);
    expect(r.ring.usedIdx).toBe(1);
    r.ring.describe(1, { at: 0x4000_0000, length: 65536, flags: WRITE });
    r.ring.offer(1);
    expect(r.engine.queuePop(r.queue, 1)).toBe(1);
    expect(r.ring.segments(1)).toEqual([{ address: fresh, length: 65536 }]);
    r.machine.ram8.fill(0xee, fresh, fresh + 65536);
    expect(r.engine.zeroChain(r.queue, 1, 65535, 9)).toBe(1);
    expect([...r.machine.ram8.subarray(fresh + 65534, fresh + 65536)]).toEqual([0xee, 0]);
    const scratch = r.machine.state.grow(1) * 65536;
    r.machine.u8[scratch] = 0xdd;
    expect(r.engine.copyToChain(r.queue, 1, 65535, scratch, 1)).toBe(1);
    expect(r.machine.ram8[fresh + 65535]).toBe(0xdd);
  });

  it('rings and buffers above 2 GiB, up to the end of 4 GiB', () => {
    const far = rig4GiB(contestant);
    const { ring, machine, engine, queue } = far;
    const end = machine.ramBytes + RAM_AT;
    const list = [
      { at: end - 4096, length: 2048 },
      { at: end - 1, length: 1, flags: WRITE },
    ];
    expect(popOne(far, list)).toBe(1);
    expect(ring.segments(0)).toEqual(list.map(({ at, length }) => ({ address: at, length })));
    const scratch = machine.allocate(64);
    machine.ram8[end - 4096] = 17;
    machine.u8[scratch + 1] = 19;
    expect(engine.copyFromChain(queue, 0, 0, scratch, 1)).toBe(1);
    expect(engine.copyToChain(queue, 0, 0, scratch + 1, 1)).toBe(1);
    expect([machine.u8[scratch], machine.ram8[end - 1]]).toEqual([17, 19]);
    expect(ring.push(0)).toBe(1);
    expect(ring.usedElement(0).id).toBe(0);
    ring.describe(1, { at: end - 1, length: 2 });
    ring.offer(1);
    expect(engine.queuePop(queue, 1)).toBe(POP_BROKEN);
    expect(brokenBy(far)).toBe(BROKEN_ADDRESS);
  });
}

/** The ring lies above 3 GiB, the state behind RAM in the last pages that 32 bits reach. */
function rig4GiB(contestant: Contestant): Rig {
  const r = rig(contestant, { ramBytes: 0xfff0_0000 - RAM_AT, stateBytes: 8 * 65536 });
  const ring = new RawRing(r.machine, r.queue, 8, 0xc000_0000 + 4096);
  r.engine.queueReset(r.queue);
  expect(ring.enable()).toBe(0);
  return { ...r, ring };
}
