import { describe, expect, it } from 'vitest';
import { GuestRam } from '#src/guest/ram';

const buffer = new ArrayBuffer(0x8000);
/** Two regions that follow one another in the guest, but not in the buffer, and one apart. */
const regions = [
  { guest: 0x0000, size: 0x2000, offset: 0x4000 },
  { guest: 0x2000, size: 0x1000, offset: 0x1000 },
  { guest: 2 ** 32, size: 0x1000, offset: 0x2000 },
];
const open = () => new GuestRam({ buffer: () => buffer, regions });

describe('guest RAM', () => {
  it('reads and writes over the seam of two regions', () => {
    const ram = open();
    const bytes = Uint8Array.from({ length: 0x100 }, (_, i) => i);
    ram.write(0x1f80, bytes);
    expect(ram.read(0x1f80, 0x100)).toEqual(bytes);
    expect(new Uint8Array(buffer)[0x5fff]).toBe(0x7f);
    expect(new Uint8Array(buffer)[0x1000]).toBe(0x80);
    ram.setU32(0x1ffe, 0x89abcdef);
    expect(ram.getU32(0x1ffe)).toBe(0x89abcdef);
  });

  it('bounds every access on both sides', () => {
    const ram = open();
    expect(ram.contains(0x2ffc, 4)).toBe(true);
    expect(ram.contains(0x2ffd, 4)).toBe(false);
    expect(ram.contains(2 ** 32, 0x1000)).toBe(true);
    expect(ram.contains(2 ** 32 - 1, 2)).toBe(false);
    expect(() => ram.read(0x2ff0, 17)).toThrow(/EFAULT/);
    expect(ram.read(0x2ff0, 16)).toHaveLength(16);
    expect(() => ram.offset(0x1ffe, 4)).toThrow(/EFAULT/);
  });

  it('gives out zeroed, aligned memory once, and takes it back', () => {
    const ram = open();
    ram.fill(0x1000, 0x2000, 0xee);
    const a = ram.allocate(100, 64);
    const b = ram.allocate(100, 256);
    expect([a, b]).toEqual([0x1000, 0x1100]);
    expect(ram.read(b, 100).every((byte) => byte === 0)).toBe(true);
    // A range lies in one region: three quarters of a page do not fit behind these two.
    expect(ram.allocate(0xf00, 16)).toBe(0x2000);
    ram.free(a);
    expect(() => ram.free(a)).toThrow(/EFAULT/);
    ram.free(b);
    expect(ram.allocate(0x1000, 4096)).toBe(0x1000);
    expect(ram.allocate(0x1000, 4096)).toBe(2 ** 32);
    expect(() => ram.allocate(0x1000)).toThrow(/ENOMEM/);
  });

  it('never gives out the first page', () => {
    expect(open().allocate(1, 1)).toBe(0x1000);
  });

  it('sees what lies in a buffer that replaced the old one', () => {
    const memory = new WebAssembly.Memory({ initial: 1 });
    const ram = new GuestRam({
      ram: memory,
      regionList: [{ guest: 0, size: 65536, offset: 0 }],
    });
    ram.setU8(0x100, 7);
    memory.grow(1);
    expect(ram.getU8(0x100)).toBe(7);
    ram.storeIndex(0x100, 0xabcd);
    expect(new Uint8Array(memory.buffer)[0x101]).toBe(0xab);
  });
});
