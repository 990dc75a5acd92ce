import { beforeEach, describe, expect, it } from 'vitest';
import { Msix } from '#src/virtio/msix';

const CONTROL = 12;

let sent: string[];
let msix: Msix;

function program(vector: number, address: number, data: number, control = 0): void {
  const at = vector * 16;
  msix.write(at, 4, address);
  msix.write(at + 4, 4, 0);
  msix.write(at + 8, 4, data);
  msix.write(at + CONTROL, 4, control);
}

function pending(vector: number): boolean {
  return ((msix.read(msix.pendingAt + (vector >>> 3), 1) >>> (vector & 7)) & 1) === 1;
}

beforeEach(() => {
  sent = [];
  msix = new Msix(3, (address, data) => sent.push(`${address.toString(16)}: ${data}`));
  for (const vector of [0, 1, 2]) {
    program(vector, 0xfee00000 + 0x1000 * vector, 40 + vector);
    msix.use(vector);
  }
  msix.control(true, false);
});

describe('MSI-X', () => {
  it('sends the programmed message', () => {
    msix.notify(0);
    msix.notify(2);
    expect(sent).toEqual(['fee00000: 40', 'fee02000: 42']);
    msix.write(4, 4, 1);
    msix.notify(0);
    expect(sent[2]).toBe('1fee00000: 40');
  });

  it('PC-6 masked vector: three interrupts are one message at unmask, and a pending bit before', () => {
    msix.write(16 + CONTROL, 4, 1);
    for (let i = 0; i < 3; i++) msix.notify(1);
    expect(sent).toEqual([]);
    expect([0, 1, 2].map(pending)).toEqual([false, true, false]);
    msix.write(16 + CONTROL, 4, 0);
    expect(sent).toEqual(['fee01000: 41']);
    expect(pending(1)).toBe(false);
    msix.write(16 + CONTROL, 4, 0);
    expect(sent).toHaveLength(1);
  });

  it('PC-6 masked function: pending until it is unmasked, vectors masked themselves stay', () => {
    msix.control(true, true);
    msix.write(CONTROL, 4, 1);
    msix.notify(0);
    msix.notify(2);
    msix.notify(2);
    expect(sent).toEqual([]);
    msix.control(true, false);
    expect(sent).toEqual(['fee02000: 42']);
    expect(pending(0)).toBe(true);
  });

  it('PC-6 an unmask with the function still masked sends nothing', () => {
    msix.control(true, true);
    msix.write(CONTROL, 4, 1);
    msix.notify(0);
    msix.write(CONTROL, 4, 0);
    expect(sent).toEqual([]);
    msix.control(false, false);
    expect(sent).toEqual([]);
    msix.control(true, false);
    expect(sent).toEqual(['fee00000: 40']);
  });

  it('PC-6 an unused vector or one that is not there is dropped', () => {
    msix.unuse(1);
    for (const vector of [1, 3, 0xffff]) msix.notify(vector);
    msix.write(16 + CONTROL, 4, 1);
    msix.notify(1);
    expect(pending(1)).toBe(false);
    expect(sent).toEqual([]);
  });

  it('PC-7 the last user of a shared vector takes the pending interrupt with it', () => {
    msix.use(1);
    msix.write(16 + CONTROL, 4, 1);
    msix.notify(1);
    msix.unuse(1);
    expect(pending(1)).toBe(true);
    msix.unuse(1);
    expect(pending(1)).toBe(false);
    msix.unuse(1); // more often than used
    msix.use(1);
    msix.notify(1);
    expect(pending(1)).toBe(true);
  });

  it('PC-7 use refuses the first vector that is not there', () => {
    expect([2, 3].map((vector) => msix.use(vector))).toEqual([true, false]);
  });

  it('PC-7 after reset nobody uses a vector; the table stays', () => {
    msix.control(true, true);
    msix.notify(0);
    expect(pending(0)).toBe(true);
    msix.unuseAll();
    expect(pending(0)).toBe(false);
    msix.control(true, false);
    msix.notify(1);
    expect(sent).toEqual([]);
    expect(msix.read(8, 4)).toBe(40);
  });

  it('a closed gate keeps messages until it opens', () => {
    msix.setGate(false);
    msix.notify(0);
    msix.notify(0);
    expect(sent).toEqual([]);
    msix.setGate(true);
    expect(sent).toEqual(['fee00000: 40']);
  });

  it('a function reset masks all vectors and forgets the messages', () => {
    msix.reset();
    expect(msix.enabled).toBe(false);
    expect(msix.read(0, 4)).toBe(0);
    expect([0, 1, 2].map((vector) => msix.read(vector * 16 + CONTROL, 4))).toEqual([1, 1, 1]);
  });

  it('reads any width, writes only the table and only its defined bits', () => {
    msix.write(0, 4, 0x12345677);
    msix.write(CONTROL, 4, 0xfffffffe);
    expect([msix.read(0, 4), msix.read(CONTROL, 4)]).toEqual([0x12345674, 0]);
    expect([msix.read(1, 2), msix.read(3, 1), msix.read(2, 4)]).toEqual([0x3456, 0x12, 0x1234]);
    msix.write(9, 1, 0xab);
    expect(msix.read(8, 4)).toBe(0xab28);
    msix.write(46, 4, 0xffffffff); // crosses the end of the table
    expect(msix.read(44, 4)).toBe(0);
    msix.write(msix.pendingAt, 4, 0xff);
    expect(msix.read(msix.pendingAt, 4)).toBe(0);
    expect(msix.read(msix.barSize - 4, 4)).toBe(0);
    expect(msix.read(msix.barSize - 3, 4)).toBe(0xffffffff);
    expect(msix.read(msix.barSize, 1)).toBe(0xff);
  });

  it('a write over two entries unmasks both', () => {
    msix.control(true, false);
    for (const vector of [0, 1]) msix.write(vector * 16 + CONTROL, 4, 1);
    msix.notify(0);
    msix.write(CONTROL, 1, 0);
    expect(sent).toEqual(['fee00000: 40']);
    msix.notify(1);
    msix.write(13, 4, 0); // upper bytes of entry 0's control, lowest of entry 1
    expect(sent).toHaveLength(1); // entry 1 is still masked
    expect(pending(1)).toBe(true);
  });

  it.each([
    [1, 0x1000, 0x800],
    [128, 0x1000, 0x800],
    [129, 0x1000, 0x810],
    [254, 0x1000, 0xfe0],
    [255, 0x2000, 0xff0],
    [2048, 0x10000, 0x8000],
  ])('%i vectors take a BAR of %i bytes, pending bits at %i', (vectors, barSize, pendingAt) => {
    const other = new Msix(vectors, () => {});
    expect([other.barSize, other.pendingAt]).toEqual([barSize, pendingAt]);
    expect(other.pendingAt + Math.ceil(vectors / 64) * 8).toBeLessThanOrEqual(barSize);
  });

  it('takes 1 to 2048 vectors', () => {
    for (const vectors of [0, 2049, 1.5]) {
      expect(() => new Msix(vectors, () => {})).toThrow(RangeError);
    }
  });
});
