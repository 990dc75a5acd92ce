import { beforeEach, describe, expect, it } from 'vitest';
import { attachPciFunction, type PciSlot } from '#src/adapter/v86-pci';
import { FakeV86, RAM_BYTES } from './fake-v86.ts';
import {
  IO_BAR,
  IO_BYTES,
  MEMORY_BAR,
  MEMORY_BYTES,
  TOY_DEVICE,
  TOY_VENDOR,
  ToyPci,
} from './toy-pci.ts';

const IO_BASE = 0xc000;
const MEMORY_BASE = 0xfebf_1000;
const COMMAND = 4;
const IO_AND_MEMORY = 3;

let v86: FakeV86;
let toy: ToyPci;
let slot: PciSlot;
let id: number;
beforeEach(() => {
  v86 = new FakeV86();
  toy = new ToyPci();
  slot = attachPciFunction(v86, toy);
  id = slot.slot << 3;
});

function place(target = id, io = IO_BASE, memory = MEMORY_BASE): void {
  v86.configWrite(target, 0x10 + 4 * IO_BAR, 4, io);
  v86.configWrite(target, 0x10 + 4 * MEMORY_BAR, 4, memory);
  v86.configWrite(target, COMMAND, 2, IO_AND_MEMORY);
}

describe('configuration space', () => {
  it('is read when and as wide as the guest reads it', () => {
    expect(v86.configRead(id, 0, 4)).toBe(((TOY_DEVICE << 16) | TOY_VENDOR) >>> 0);
    toy.configReads.length = 0;
    expect(v86.configRead(id, 2, 2)).toBe(TOY_DEVICE);
    expect(v86.configRead(id, 1, 1)).toBe(TOY_VENDOR >> 8);
    expect(toy.configReads).toEqual([
      { offset: 2, width: 2 },
      { offset: 1, width: 1 },
    ]);
  });

  it('takes writes of each width, and leaves other functions to v86', () => {
    v86.configWrite(id, 0x40, 4, 0xaabb_ccdd);
    v86.configWrite(id, 0x42, 2, 0x1122);
    v86.configWrite(id, 0x41, 1, 0x33);
    expect(v86.configRead(id, 0x40, 4)).toBe(0x1122_33dd);
    expect(v86.strayStores).toEqual([]);
    v86.configWrite(id + 8, 0x40, 4, 1);
    expect(v86.strayStores).toHaveLength(1);
    expect(v86.configRead(id + 8, 0x40, 4)).toBe(0xffff_ffff);
  });

  it('is copied to v86, which looks for the interrupt pin', () => {
    const space = v86.cpu.devices.pci.device_spaces[id]!;
    expect((space[0x3c >> 2]! >> 8) & 0xff).toBe(1);
    v86.configWrite(id, 0x3c, 1, 11);
    expect(space[0x3c >> 2]! & 0xff).toBe(11);
  });
});

describe('slots', () => {
  it('are the free ones from 8 to 13, or the one asked for', () => {
    expect(slot.slot).toBe(8);
    expect(attachPciFunction(v86, new ToyPci(), { slot: 20 }).slot).toBe(20);
    for (let next = 9; next <= 13; next++) {
      expect(attachPciFunction(v86, new ToyPci()).slot).toBe(next);
    }
    expect(() => attachPciFunction(v86, new ToyPci())).toThrow('no free PCI slot');
    expect(() => attachPciFunction(v86, new ToyPci(), { slot: 8 })).toThrow('slot 8 is not free');
    expect(() => attachPciFunction(v86, new ToyPci(), { slot: 32 })).toThrow('slot 32');
    expect(attachPciFunction(v86, new ToyPci(), { slot: 31 }).slot).toBe(31);
  });

  it('are free again after detach', () => {
    place();
    slot.setInterrupt(true);
    slot.detach();
    expect(v86.irqs.at(-1)).toEqual({ id, level: false });
    expect(v86.load(MEMORY_BASE, 1)).toBe(0xff);
    expect(v86.configRead(id, 0, 4)).toBe(0xffff_ffff);
    expect(attachPciFunction(v86, new ToyPci()).slot).toBe(8);
  });

  it('say what a foreign v86 lacks', () => {
    expect(() => attachPciFunction({}, toy)).toThrow('emulator-ready');
    const { run_hardware_timers: _, ...rest } = v86.cpu;
    expect(() => attachPciFunction({ v86: { cpu: rest } }, toy)).toThrow(
      'no cpu.run_hardware_timers',
    );
  });
});

describe('I/O BAR', () => {
  const port = (number: number) => v86.cpu.io.ports[number]!;

  it('answers each port of its range with each width, and no port beside it', () => {
    place();
    port(IO_BASE).write32(-2);
    port(IO_BASE + 6).write16(0x1_2345);
    port(IO_BASE + IO_BYTES - 1).write8(0x1ff);
    expect(toy.accesses).toEqual([
      { bar: IO_BAR, offset: 0, width: 4, value: 0xffff_fffe },
      { bar: IO_BAR, offset: 6, width: 2, value: 0x2345 },
      { bar: IO_BAR, offset: IO_BYTES - 1, width: 1, value: 0xff },
    ]);
    expect(port(IO_BASE).read32(0)).toBe(-2);
    expect(port(IO_BASE + 6).read16(0)).toBe(0x2345);
    expect(port(IO_BASE - 1).read8(0)).toBe(0xff);
    expect(port(IO_BASE + IO_BYTES).read8(0)).toBe(0xff);
    expect(toy.accesses).toHaveLength(5);
  });

  it('moves, and is gone while disabled', () => {
    place();
    v86.configWrite(id, 0x10, 4, 0xd000);
    expect(port(IO_BASE).read8(0)).toBe(0xff);
    expect(port(0xd000).read8(0)).toBe(0);
    v86.configWrite(id, COMMAND, 2, 2); // memory only
    expect(port(0xd000).read8(0)).toBe(0xff);
    v86.configWrite(id, COMMAND, 2, 1);
    expect(port(0xd000).read8(0)).toBe(0);
  });

  it('survives sizing while enabled', () => {
    place();
    v86.configWrite(id, 0x10, 4, 0xffff_ffff);
    expect(v86.configRead(id, 0x10, 4)).toBe((~(IO_BYTES - 1) | 1) >>> 0);
    v86.configWrite(id, 0x10, 4, IO_BASE);
    expect(port(IO_BASE).read8(0)).toBe(0);
    expect(port(0xffff).read8(0)).toBe(0xff);
  });
});

describe('memory BAR', () => {
  it('answers 8, 16 and 32 bits, a 16-bit store in one piece, and nothing beside it', () => {
    place();
    v86.store(MEMORY_BASE, 4, 0xffff_fffe);
    v86.store(MEMORY_BASE + 6, 2, 0x2345);
    v86.store(MEMORY_BASE + MEMORY_BYTES - 1, 1, 0xab);
    expect(toy.accesses).toEqual([
      { bar: MEMORY_BAR, offset: 0, width: 4, value: 0xffff_fffe },
      { bar: MEMORY_BAR, offset: 6, width: 2, value: 0x2345 },
      { bar: MEMORY_BAR, offset: MEMORY_BYTES - 1, width: 1, value: 0xab },
    ]);
    expect(v86.load(MEMORY_BASE, 4)).toBe(0xffff_fffe);
    expect(v86.load(MEMORY_BASE + 6, 2)).toBe(0x2345);
    v86.store(MEMORY_BASE - 2, 2, 1);
    v86.store(MEMORY_BASE + MEMORY_BYTES, 4, 1);
    expect(v86.strayStores).toEqual([MEMORY_BASE - 2, MEMORY_BASE - 1, MEMORY_BASE + MEMORY_BYTES]);
    expect(v86.load(MEMORY_BASE + MEMORY_BYTES, 1)).toBe(0xff);
  });

  it('moves, and is gone while disabled or unassigned', () => {
    place();
    expect(v86.load(MEMORY_BASE, 1)).toBe(0);
    v86.configWrite(id, 0x18, 4, 0xe000_0000);
    expect(v86.load(MEMORY_BASE, 1)).toBe(0xff);
    expect(v86.load(0xe000_0000, 1)).toBe(0);
    v86.configWrite(id, COMMAND, 2, 1); // I/O only
    expect(v86.load(0xe000_0000, 1)).toBe(0xff);
    v86.configWrite(id, COMMAND, 2, 2);
    v86.configWrite(id, 0x18, 4, 0);
    expect(v86.load(0xe000_0000, 1)).toBe(0xff);
  });

  it('never lies over guest RAM', () => {
    place(id, IO_BASE, RAM_BYTES);
    expect(v86.load(RAM_BYTES, 1)).toBe(0);
    v86.configWrite(id, 0x18, 4, RAM_BYTES - MEMORY_BYTES);
    expect(v86.load(RAM_BYTES - MEMORY_BYTES, 1)).toBe(0xff);
  });

  it('shares a block of 128 KiB with a neighbour', () => {
    const other = new ToyPci();
    const otherSlot = attachPciFunction(v86, other);
    place();
    place(otherSlot.slot << 3, 0xc100, MEMORY_BASE + MEMORY_BYTES);
    v86.store(MEMORY_BASE + 2, 2, 1);
    v86.store(MEMORY_BASE + MEMORY_BYTES + 4, 2, 2);
    expect(toy.accesses).toEqual([{ bar: MEMORY_BAR, offset: 2, width: 2, value: 1 }]);
    expect(other.accesses).toEqual([{ bar: MEMORY_BAR, offset: 4, width: 2, value: 2 }]);
    slot.detach();
    expect(v86.load(MEMORY_BASE, 1)).toBe(0xff);
    expect(v86.load(MEMORY_BASE + MEMORY_BYTES + 4, 1)).toBe(2);
  });

  it('hides what a neighbour has at the same place, until it goes', () => {
    const other = new ToyPci();
    const otherSlot = attachPciFunction(v86, other);
    place();
    v86.store(MEMORY_BASE, 4, 1);
    place(otherSlot.slot << 3, 0xc100, MEMORY_BASE);
    v86.store(MEMORY_BASE, 4, 2);
    expect(v86.load(MEMORY_BASE, 4)).toBe(2);
    otherSlot.detach();
    expect(v86.load(MEMORY_BASE, 4)).toBe(1);
  });

  it('lies over two blocks where it must', () => {
    place(id, IO_BASE, 0xe002_0000 - MEMORY_BYTES);
    v86.configWrite(id, 0x18, 4, 0xe002_0000 - MEMORY_BYTES);
    v86.store(0xe002_0000 - 4, 4, 7);
    expect(toy.accesses).toEqual([
      { bar: MEMORY_BAR, offset: MEMORY_BYTES - 4, width: 4, value: 7 },
    ]);
    expect(v86.load(0xe002_0000, 1)).toBe(0xff);
  });
});

describe('interrupt line', () => {
  const last = () => v86.irqs.at(-1)?.level;

  it('is told only when it changes', () => {
    slot.setInterrupt(false);
    expect(v86.irqs).toEqual([]);
    slot.setInterrupt(true);
    slot.setInterrupt(true);
    expect(v86.irqs).toEqual([{ id, level: true }]);
  });

  it('waits for the poll point inside a memory BAR while the guest takes interrupts', () => {
    place();
    v86.interruptsOn = true;
    toy.onAccess = () => slot.setInterrupt(true);
    v86.store(MEMORY_BASE, 4, 1);
    expect(v86.irqs).toEqual([]);
    expect(v86.counter).toBe(100_003); // the slice ends at once
    expect(v86.poll()).toBe(100);
    expect(v86.counter).toBe(0);
    expect(v86.irqs).toEqual([{ id, level: true }]);
  });

  it('changes at once inside a memory BAR while interrupts are off, and inside an I/O BAR', () => {
    place();
    v86.interruptsOn = false;
    toy.onAccess = ({ value }) => slot.setInterrupt(value === 1);
    v86.store(MEMORY_BASE, 2, 1);
    expect(last()).toBe(true);
    v86.load(MEMORY_BASE, 1);
    expect(last()).toBe(false);
    v86.interruptsOn = true;
    v86.cpu.io.ports[IO_BASE]!.write8(1);
    expect(last()).toBe(true);
  });

  it('ends at the level that was wanted last', () => {
    place();
    v86.interruptsOn = true;
    let level = true;
    toy.onAccess = () => slot.setInterrupt(level);
    v86.store(MEMORY_BASE, 4, 1);
    level = false;
    v86.store(MEMORY_BASE, 4, 0);
    v86.poll();
    expect(v86.irqs).toEqual([]);
  });
});
