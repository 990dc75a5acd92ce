import { describe, expect, it } from 'vitest';
import { GuestChain } from '#src/guest/chain';
import { GuestRam } from '#src/guest/ram';
import { type ChainForm, GuestRing, type GuestRingOptions } from '#src/guest/ring';
import { ToyDevice } from './toy-device.ts';

const BYTES = 1 << 20;

function setUp(options: GuestRingOptions) {
  const memory = new WebAssembly.Memory({ initial: 16 });
  const regions = [{ guest: 0, size: BYTES, offset: 0 }];
  const ram = new GuestRam({ buffer: () => memory.buffer, regions });
  const ring = new GuestRing(ram, options);
  return { memory, ram, ring, device: new ToyDevice(ram, ring), chain: new GuestChain() };
}

const forms: ChainForm[] = ['direct', 'indirect', 'mixed'];
const layouts = ['modern', 'legacy'] as const;

describe.each(layouts)('guest ring, %s layout', (layout) => {
  it.each(forms)('a chain arrives as it was written: %s', (form) => {
    const { ring, device, chain } = setUp({ size: 8, layout, form });
    chain.out(0x1_2345_6780, 16).out(0x2000, 512).in(0x3000, 1);
    const head = ring.add(chain);
    ring.publish();
    const seen = device.pop();
    expect(seen).toEqual({
      head,
      buffers: [
        { address: 0x1_2345_6780, length: 16, write: false },
        { address: 0x2000, length: 512, write: false },
        { address: 0x3000, length: 1, write: true },
      ],
      tables: form === 'direct' ? 0 : 1,
    });
    expect(ring.freeCount).toBe(8 - { direct: 3, indirect: 1, mixed: 2 }[form]);
  });

  it.each([2, 4, 256])('70,000 chains go through a ring of %i, in any order', (size) => {
    const { ring, device, chain } = setUp({ size, layout, form: 'direct' });
    let state = 1;
    const random = (below: number) => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return (state >>> 8) % below;
    };
    const held: { head: number; length: number }[] = [];
    const out = new Map<number, number>();
    for (let added = 0, back = 0; back < 70_000; ) {
      while (added < 70_000) {
        chain.clear().out(0x1000, 1 + (added % 1000));
        if (random(2)) chain.in(0x2000, 1);
        const head = ring.add(chain);
        if (head < 0) break;
        if (out.has(head)) throw new Error(`head ${head} given out twice`);
        out.set(head, 1 + (added++ % 1000));
      }
      ring.publish();
      for (let seen = device.pop(); seen; seen = device.pop()) {
        if (seen.buffers[0]!.length !== out.get(seen.head)) throw new Error('wrong chain');
        held.push({ head: seen.head, length: seen.buffers[0]!.length });
      }
      for (let n = 1 + random(held.length); n > 0; n--) {
        const { head, length } = held.splice(random(held.length), 1)[0]!;
        device.push(head, length);
      }
      for (let head = ring.collect(); head >= 0; head = ring.collect()) {
        if (ring.written !== out.get(head)) throw new Error('wrong length');
        out.delete(head);
        back++;
      }
    }
    expect(ring.inFlight).toBe(0);
    expect(ring.freeCount).toBe(size);
  });
});

describe('guest ring', () => {
  it('2.7.2: a legacy ring is one piece, its used part aligned', () => {
    const { ring } = setUp({ size: 256, layout: 'legacy', align: 4096 });
    expect(ring.desc % 4096).toBe(0);
    expect(ring.avail).toBe(ring.desc + 4096);
    expect(ring.used).toBe(ring.desc + 8192);
    const narrow = setUp({ size: 16, layout: 'legacy', align: 64 }).ring;
    expect(narrow.avail).toBe(narrow.desc + 256);
    expect(narrow.used).toBe(narrow.desc + 320);
  });

  it('2.7: a modern ring is no better aligned than it must be', () => {
    const { ring } = setUp({ size: 8 });
    expect([ring.desc % 32, ring.avail % 4, ring.used % 8]).toEqual([16, 2, 4]);
  });

  it('2.7.13: the device sees a chain only when it is published', () => {
    const { ring, device, chain } = setUp({ size: 4 });
    ring.add(chain.out(0x1000, 16));
    ring.add(chain.clear().out(0x2000, 16));
    expect(device.pop()).toBeNull();
    ring.publish();
    expect(device.pop()?.buffers[0]?.address).toBe(0x1000);
    expect(device.pop()?.buffers[0]?.address).toBe(0x2000);
  });

  it('2.7.7.2: with EVENT_IDX the doorbell is rung exactly when avail_event is passed', () => {
    const { ring, device, chain } = setUp({ size: 4, eventIdx: true });
    for (let round = 0; round < 20; round++) {
      const start = ring.availIndex;
      for (const batch of [1, 3]) {
        for (const distance of [-2, -1, 0, 1, 2, 3]) {
          const before = ring.availIndex;
          device.availEvent = before + distance;
          for (let i = 0; i < batch; i++) ring.add(chain.clear().out(0x1000, 16));
          ring.publish();
          expect(ring.needsKick()).toBe(distance >= 0 && distance < batch);
          expect(ring.needsKick()).toBe(false);
          for (let seen = device.pop(); seen; seen = device.pop()) device.push(seen.head, 0);
          while (ring.collect() >= 0);
        }
      }
      expect((ring.availIndex - start) & 0xffff).toBe(24);
    }
  });

  it('2.7.10: without EVENT_IDX the used flags say whether to ring', () => {
    const { ram, ring, chain } = setUp({ size: 4 });
    ram.storeIndex(ring.used, 1);
    ring.add(chain.out(0x1000, 16));
    ring.publish();
    expect(ring.needsKick()).toBe(false);
    ram.storeIndex(ring.used, 0);
    expect(ring.needsKick()).toBe(false);
    ring.add(chain);
    ring.publish();
    expect(ring.needsKick()).toBe(true);
  });

  it('2.7.7: used_event follows what was collected while interrupts are on', () => {
    const { ring, device, chain } = setUp({ size: 4, eventIdx: true });
    const finish = (count: number) => {
      for (let i = 0; i < count; i++) ring.add(chain.clear().out(0x1000, 16));
      ring.publish();
      for (let seen = device.pop(); seen; seen = device.pop()) device.push(seen.head, 0);
    };
    finish(2);
    ring.collect();
    expect(device.usedEvent).toBe(1);
    ring.setInterrupts(false);
    expect(device.usedEvent).toBe(0);
    ring.collect();
    expect(device.usedEvent).toBe(0);
    finish(2);
    expect(ring.setInterrupts(true)).toBe(true);
    expect(ring.setInterrupts(true, 1)).toBe(true);
    expect(ring.setInterrupts(true, 2)).toBe(false);
    expect(device.usedEvent).toBe(4);
  });

  it('2.7.7: without EVENT_IDX the available flags ask for no interrupts', () => {
    const { ram, ring, device, chain } = setUp({ size: 4 });
    ring.setInterrupts(false);
    expect(ram.loadIndex(ring.avail)).toBe(1);
    ring.add(chain.out(0x1000, 16));
    ring.publish();
    device.push(device.pop()!.head, 0);
    expect(ring.setInterrupts(true)).toBe(true);
    expect(ram.loadIndex(ring.avail)).toBe(0);
  });

  it('takes no chain for which there is no room, and loses no descriptor', () => {
    const { ring, device, chain } = setUp({ size: 4 });
    chain.out(0x1000, 16).in(0x2000, 16).in(0x3000, 1);
    expect(ring.add(chain)).toBeGreaterThanOrEqual(0);
    expect(ring.add(chain)).toBe(-1);
    expect(ring.add(chain.clear().out(0x4000, 1))).toBeGreaterThanOrEqual(0);
    expect(ring.freeCount).toBe(0);
    ring.publish();
    for (let seen = device.pop(); seen; seen = device.pop()) device.push(seen.head, 0);
    while (ring.collect() >= 0);
    expect(ring.freeCount).toBe(4);
  });

  it('says so when the device returns what it does not have', () => {
    const { ram, ring, device, chain } = setUp({ size: 4 });
    const head = ring.add(chain.out(0x1000, 16));
    ring.publish();
    device.push((head + 1) % 4, 0);
    expect(() => ring.collect()).toThrow(/EDEVICE.*not in flight/);
    ram.storeIndex(ring.used + 2, 2);
    const { ring: other, device: toy, ram: otherRam } = setUp({ size: 4 });
    other.add(chain);
    other.publish();
    toy.push(0, 0);
    otherRam.storeIndex(other.used + 2, 2);
    expect(() => other.collect()).toThrow(/EDEVICE.*1 chains in flight/);
  });

  it('goes on when the memory grows between two calls', () => {
    const { memory, ring, device, chain } = setUp({ size: 4, form: 'indirect' });
    ring.add(chain.out(0x1000, 16).in(0x2000, 1));
    memory.grow(1);
    ring.add(chain);
    ring.publish();
    memory.grow(1);
    expect(ring.needsKick()).toBe(true);
    for (let seen = device.pop(); seen; seen = device.pop()) {
      expect(seen.buffers).toHaveLength(2);
      device.push(seen.head, 1);
    }
    expect(ring.collect()).toBe(0);
    memory.grow(1);
    expect(ring.collect()).toBe(1);
    expect(ring.collect()).toBe(-1);
  });

  it('gives all its memory back', () => {
    const { ram, ring, chain } = setUp({ size: 8, form: 'indirect' });
    ring.add(chain.out(0x1000, 16).in(0x2000, 1));
    ring.close();
    expect(ram.allocatedBytes).toBe(0);
  });
});
