import { describe, expect, it } from 'vitest';
import { PciRig } from './pci-rig.ts';
import { ACKNOWLEDGE, DRIVER, FEATURES_OK, NEEDS_RESET, RUNNING, start } from './toy-device.ts';

const MASTER = 7; // I/O, memory and bus master

/** A modern rig whose queue 0 runs. */
function running(rig = new PciRig()): PciRig {
  rig.setCommand(MASTER);
  start(rig.device);
  return rig;
}

describe('virtio-pci identity', () => {
  it.each([
    ['modern', 0x1042, 1, 0x1100],
    ['transitional', 0x1001, 0, 2],
    ['legacy', 0x1001, 0, 2],
  ] as const)('PC-2 ids of a %s block device', (mode, id, revision, subsystem) => {
    const rig = new PciRig({ mode });
    expect(rig.config(0, 4)).toBe(((id << 16) | 0x1af4) >>> 0);
    expect(rig.config(8, 1)).toBe(revision);
    expect(rig.config(0x0a, 2)).toBe(0x0100);
    expect(rig.config(0x2c, 4)).toBe(((subsystem << 16) | 0x1af4) >>> 0);
    expect(rig.config(0x3d, 1)).toBe(1);
    expect(rig.config(0x0e, 1)).toBe(0);
  });

  it('PC-2 a scsi host is 1004 or 1048; a device without legacy id is modern only', () => {
    expect(new PciRig({ mode: 'transitional' }, { deviceId: 8 }).config(2, 2)).toBe(0x1004);
    expect(new PciRig({}, { deviceId: 8 }).config(2, 2)).toBe(0x1048);
    expect(new PciRig({}, { deviceId: 18 }).config(0x0a, 2)).toBe(0x00ff);
    expect(() => new PciRig({ mode: 'legacy' }, { deviceId: 18 })).toThrow(/legacy/);
  });
});

describe('virtio-pci capabilities and BARs', () => {
  it('PC-1 capability walk as Linux virtio_pci_modern_dev does it', () => {
    const rig = PciRig.withMsi();
    expect(rig.capabilities().map(({ id }) => id)).toEqual([9, 9, 9, 9, 9, 0x11, 1, 0x13]);
    const bar = rig.pci.bars.find(({ index }) => index === 4)!;
    expect(bar).toEqual({ index: 4, size: 0x4000, kind: 'memory', wide: true });
    const least = [0, 0x38, 2, 1, 16];
    for (const type of [1, 2, 3, 4]) {
      const cap = rig.vendor(type);
      expect(cap.bar).toBe(4);
      expect(cap.length).toBeGreaterThanOrEqual(least[type]!);
      expect(cap.offset + cap.length).toBeLessThanOrEqual(bar.size);
      expect(rig.config(cap.at + 2, 1)).toBe(type === 2 ? 20 : 16);
    }
    expect([1, 3, 4, 2].map((type) => rig.vendor(type).offset)).toEqual([
      0, 0x1000, 0x2000, 0x3000,
    ]);
    expect(rig.config(rig.vendor(2).at + 16, 4)).toBe(4); // notify_off_multiplier
    expect(rig.vendor(2).length).toBe(2 * 4);
    expect(rig.config(rig.vendor(5).at + 2, 1)).toBe(20);
  });

  it('PC-1 an I/O BAR holds all structures in 256 ports', () => {
    const rig = new PciRig({ modernBar: 'io' }, { config: new Uint8Array(96) });
    expect(rig.pci.bars).toEqual([{ index: 4, size: 256, kind: 'io', wide: false }]);
    const caps = [1, 2, 3, 4].map((type) => rig.vendor(type));
    for (const a of caps) {
      expect(a.offset + a.length).toBeLessThanOrEqual(256);
      for (const b of caps) {
        if (a !== b)
          expect(a.offset + a.length <= b.offset || b.offset + b.length <= a.offset).toBe(true);
      }
    }
    expect(rig.config(rig.vendor(2).at + 16, 4)).toBe(0);
    const large = new PciRig({ modernBar: 'io' }, { config: new Uint8Array(129) });
    expect(large.pci.bars[0]!.size).toBe(512);
  });

  it('PC-1 BARs of each mode', () => {
    const bars = (rig: PciRig) =>
      rig.pci.bars.map(({ index, kind, size }) => `${index} ${kind} ${size}`);
    expect(bars(PciRig.withMsi({ mode: 'transitional' }))).toEqual([
      '0 io 64',
      '1 memory 4096',
      '4 memory 16384',
    ]);
    expect(bars(new PciRig({ mode: 'legacy' }))).toEqual(['0 io 64']);
    expect(bars(new PciRig({ mode: 'legacy' }, { config: new Uint8Array(41) }))).toEqual([
      '0 io 128',
    ]);
    expect(bars(new PciRig({ mode: 'modern' }))).toEqual(['4 memory 16384']);
    expect(new PciRig({ mode: 'legacy' }).capabilities().some(({ id }) => id === 9)).toBe(false);
  });

  it('PC-1 sizing a BAR: ones give the mask, addresses stick, low bits do not', () => {
    const rig = PciRig.withMsi({ mode: 'transitional' });
    const size = (offset: number) => {
      rig.pci.configWrite(offset, 4, 0xffffffff);
      return rig.config(offset, 4);
    };
    expect([0x10, 0x14, 0x18, 0x1c, 0x20, 0x24].map(size)).toEqual([
      0xffffffc1, 0xfffff000, 0, 0, 0xffffc00c, 0xffffffff,
    ]);
    rig.pci.configWrite(0x10, 4, 0xc0ff);
    rig.pci.configWrite(0x20, 4, 0xfe001234);
    rig.pci.configWrite(0x24, 4, 1);
    expect([0, 1, 4].map((bar) => rig.pci.barAddress(bar))).toEqual([null, null, null]);
    rig.setCommand(1);
    expect([0, 4].map((bar) => rig.pci.barAddress(bar))).toEqual([0xc0c0, null]);
    rig.setCommand(2);
    expect([0, 1, 4].map((bar) => rig.pci.barAddress(bar))).toEqual([
      null,
      0xfffff000,
      0x1_fe00_0000,
    ]);
    expect(rig.pci.barAddress(2)).toBe(null);
    const narrow = new PciRig({ bar64: false });
    expect(narrow.config(0x20, 4)).toBe(0);
    narrow.pci.configWrite(0x24, 4, 0xffffffff);
    expect(narrow.config(0x24, 4)).toBe(0);
  });

  it('tells the bus that BARs changed, whatever width the write has', () => {
    const rig = new PciRig();
    rig.pci.configWrite(0x22, 2, 0xfe00);
    rig.pci.configWrite(0x27, 1, 1);
    expect(rig.barChanges).toBeGreaterThanOrEqual(2);
    const before = rig.barChanges;
    rig.pci.configWrite(0x28, 4, 0xffffffff);
    rig.pci.configWrite(0x3c, 1, 11);
    expect(rig.barChanges).toBe(before);
  });

  it('keeps read-only configuration bytes, byte by byte, and answers ones beyond 256', () => {
    const rig = PciRig.withMsi();
    const writable = new Set<number>();
    const before = Array.from({ length: 256 }, (_, i) => rig.config(i, 1));
    for (let i = 0; i < 256; i++) {
      if (i === rig.capability(0x13) + 4) continue; // FLR
      rig.pci.configWrite(i, 1, ~before[i]! & 0xff);
      if (rig.config(i, 1) !== before[i]) writable.add(i);
      rig.pci.configWrite(i, 1, before[i]!);
    }
    const header = [...writable].filter((at) => at < 0x40);
    expect(header).toEqual([
      4, 5, 0x15, 0x16, 0x17, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x3c,
    ]);
    const { at } = rig.vendor(5);
    expect([...writable].filter((offset) => offset >= 0x40 && offset < at)).toEqual([]);
    rig.pci.configWrite(4, 2, 0xffff);
    expect(rig.config(4, 2)).toBe(0x547);
    rig.pci.configWrite(254, 4, 0xffffffff);
    expect([
      rig.config(255, 1),
      rig.config(255, 2),
      rig.config(253, 4),
      rig.config(256, 1),
    ]).toEqual([0, 0xffff, 0xffffffff, 0xff]);
  });
});

describe('the PCI_CFG window', () => {
  function aim(rig: PciRig, bar: number, offset: number, length: number): number {
    const { at } = rig.vendor(5);
    rig.pci.configWrite(at + 4, 1, bar);
    rig.pci.configWrite(at + 8, 4, offset);
    rig.pci.configWrite(at + 12, 4, length);
    return at + 16;
  }

  it('PC-1 reads and writes 1, 2 and 4 bytes of the modern BAR', () => {
    const rig = new PciRig();
    const data = aim(rig, 4, 0x2000, 4);
    expect(rig.config(data, 4)).toBe(0x13121110);
    aim(rig, 4, 0x2002, 2);
    expect(rig.config(data, 2)).toBe(0x1312);
    aim(rig, 4, 0x2003, 1);
    expect(rig.config(data, 1)).toBe(0x13);
    aim(rig, 4, 0x14, 1);
    rig.pci.configWrite(data, 1, ACKNOWLEDGE);
    expect(rig.device.status).toBe(ACKNOWLEDGE);
    aim(rig, 4, 0x16, 2);
    rig.pci.configWrite(data, 2, 1);
    expect(rig.read(0x16, 2)).toBe(1);
  });

  it('PC-1 rounds the offset down to the length, and does nothing for another length', () => {
    const rig = new PciRig();
    const data = aim(rig, 4, 0x2003, 4);
    expect(rig.config(data, 4)).toBe(0x13121110);
    for (const length of [0, 3, 8, 0x80000000]) {
      aim(rig, 4, 0x14, length);
      rig.pci.configWrite(data, 4, 0x0f0f0f0f);
      expect(rig.config(data, 4)).toBe(0x0f0f0f0f);
    }
    expect(rig.device.status).toBe(0);
  });

  it('PC-1 answers ones where no BAR is, and beyond its end', () => {
    const rig = new PciRig();
    for (const [bar, offset] of [
      [3, 0],
      [255, 0],
      [4, 0x4000],
      [4, 0xfffffffc],
    ] as const) {
      const data = aim(rig, bar, offset, 4);
      rig.pci.configWrite(data, 4, 0);
      expect(rig.config(data, 4)).toBe(0xffffffff);
    }
  });
});

describe('common configuration', () => {
  it('PC-3 feature windows; a select above 1 reads 0 and writes nothing', () => {
    const rig = new PciRig();
    const words = [0, 1, 2, 0xffffffff].map((select) => {
      rig.write(0, 4, select);
      expect(rig.read(0, 4)).toBe(select);
      return rig.read(4, 4);
    });
    expect(words).toEqual([((1 << 5) | (3 << 28)) >>> 0, (1 << 8) | 1, 0, 0]);
    for (const [select, value] of [
      [0, 1 << 5],
      [1, 1],
      [2, 0xffffffff],
    ] as const) {
      rig.write(8, 4, select);
      rig.write(0x0c, 4, value);
    }
    expect([rig.device.driverFeatures(0), rig.device.driverFeatures(1)]).toEqual([1 << 5, 1]);
    rig.write(8, 4, 1);
    expect(rig.read(0x0c, 4)).toBe(1);
  });

  it('PC-3 a queue is selected, sized, placed and enabled; one that is not there reads 0', () => {
    const rig = new PciRig();
    expect(rig.read(0x12, 2)).toBe(2);
    rig.write(0x14, 1, ACKNOWLEDGE | DRIVER);
    rig.write(8, 4, 1);
    rig.write(0x0c, 4, 1);
    rig.write(0x14, 1, ACKNOWLEDGE | DRIVER | FEATURES_OK);
    rig.write(0x16, 2, 1);
    expect([rig.read(0x18, 2), rig.read(0x1c, 2), rig.read(0x1e, 2)]).toEqual([256, 0, 1]);
    rig.write(0x18, 2, 64);
    const words = [0x1000, 1, 0x2000, 2, 0x3000, 3];
    for (const [i, word] of words.entries()) rig.write(0x20 + 4 * i, 4, word);
    expect(rig.read(0x2c, 4)).toBe(2);
    rig.write(0x1c, 2, 1);
    expect(rig.read(0x1c, 2)).toBe(1);
    expect(rig.device.take().at(-1)).toBe('enable 1: 64 at 100001000 200002000 300003000');
    for (const index of [2, 0xffff]) {
      rig.write(0x16, 2, index);
      expect(rig.read(0x16, 2)).toBe(index);
      for (const offset of [0x18, 0x1c, 0x1e, 0x20, 0x34, 0x3a]) {
        rig.write(offset, 2, 1);
        expect(rig.read(offset, 2)).toBe(0);
      }
      expect(rig.read(0x1a, 2)).toBe(0xffff);
    }
    expect(rig.device.brokenReason).toBe(0);
  });

  it('PC-3 parts of registers, and reads over several', () => {
    const rig = new PciRig();
    rig.write(0x16, 2, 1);
    expect(rig.read(0x16, 4)).toBe((256 << 16) | 1); // q_select, q_size
    expect(rig.read(0x19, 1)).toBe(1);
    expect(rig.read(0x12, 4)).toBe(2); // num_queues, status, generation
    rig.write(0x20, 4, 0x11223344);
    rig.write(0x22, 1, 0xaa);
    rig.write(0x20, 2, 0xbbcc);
    expect(rig.read(0x20, 4)).toBe(0x11aabbcc);
    rig.write(0x22, 4, 0x55667788); // upper half of desc low, lower half of desc high
    expect([rig.read(0x20, 4), rig.read(0x24, 4)]).toEqual([0x7788bbcc, 0x5566]);
    expect(rig.read(0x38, 2)).toBe(0);
    expect(rig.read(0x3a, 4)).toBe(0xffffffff);
  });

  it('PC-3 a 16-bit enable that arrives as two bytes enables', () => {
    const rig = running();
    rig.write(0x16, 2, 1);
    rig.write(0x1c, 1, 1);
    rig.write(0x1d, 1, 0);
    expect(rig.read(0x1c, 2)).toBe(1);
    expect(rig.device.brokenReason).toBe(0);
  });

  it('BG-19 a queue_enable other than 1 is an error of the device', () => {
    for (const value of [0, 2, 0x101]) {
      const rig = running();
      rig.write(0x16, 2, 1);
      rig.write(0x1c, 2, value);
      expect(rig.device.status & NEEDS_RESET).toBe(NEEDS_RESET);
    }
    const rig = running();
    rig.write(0x16, 2, 1);
    rig.write(0x1c, 2, 1);
    expect(rig.device.status).toBe(RUNNING);
  });

  it('VC-3 a reset clears the selectors', () => {
    const rig = new PciRig();
    rig.write(0, 4, 1);
    rig.write(8, 4, 1);
    rig.write(0x16, 2, 1);
    rig.write(0x14, 1, 0);
    expect([rig.read(0, 4), rig.read(8, 4), rig.read(0x16, 2)]).toEqual([0, 0, 0]);
  });

  it('VC-3 status reads 0 through the register only when the reset is over', async () => {
    const rig = running();
    rig.device.busy = true;
    rig.write(0x14, 1, 0);
    rig.write(0x14, 1, ACKNOWLEDGE);
    rig.write(0x18, 2, 8);
    rig.write(0x20, 4, 0x1000);
    rig.write(0x16, 2, 1); // not enabled: only the reset protects it
    rig.write(0x18, 2, 8);
    rig.write(0x20, 4, 0x1000);
    expect([rig.read(0x18, 2), rig.read(0x20, 4)]).toEqual([256, 0]);
    expect(rig.read(0x14, 1)).toBe(RUNNING);
    await rig.device.settle();
    expect([rig.read(0x14, 1), rig.read(0x18, 2), rig.read(0x20, 4)]).toEqual([0, 256, 0]);
  });

  it('VC-5 the generation register moves with the contents', () => {
    const rig = running();
    const before = rig.read(0x15, 1);
    rig.device.configChanged();
    expect(rig.read(0x15, 1)).toBe(before + 1);
  });

  it('queue_reset reads 1 until the requests are gone, then the queue is as new', async () => {
    const rig = running();
    rig.write(0x18, 2, 8); // enabled: ignored
    rig.device.busy = true;
    rig.write(0x3a, 2, 1);
    expect([rig.read(0x3a, 2), rig.read(0x1c, 2)]).toEqual([1, 0]);
    await rig.device.settle();
    expect([rig.read(0x3a, 2), rig.read(0x1c, 2), rig.read(0x18, 2)]).toEqual([0, 0, 256]);
    const without = new PciRig({}, { offered: { lo: 0, hi: 0 } });
    running(without);
    without.write(0x3a, 2, 1);
    expect(without.read(0x1c, 2)).toBe(1);
  });
});

describe('doorbells', () => {
  it('PC-9 a memory doorbell is queue * 4, any width, any value', () => {
    const rig = running();
    rig.device.enableQueue(1);
    rig.device.take();
    rig.pci.barWrite(4, 0x3000, 2, 7);
    rig.pci.barWrite(4, 0x3004, 1, 0);
    rig.pci.barWrite(4, 0x3004, 4, 0xffffffff);
    rig.pci.barWrite(4, 0x3008, 2, 0); // no such queue
    rig.pci.barWrite(4, 0x2ffc, 4, 0);
    expect(rig.device.take()).toEqual([0, 1, 1].map((index) => `kick ${index} in ${RUNNING}`));
    expect(rig.pci.barRead(4, 0x3000, 2)).toBe(0);
  });

  it('PC-9 the I/O doorbell is shared: the value names the queue', () => {
    const rig = running(new PciRig({ modernBar: 'io' }));
    const { offset } = rig.vendor(2);
    rig.pci.barWrite(4, offset, 2, 0);
    rig.pci.barWrite(4, offset, 2, 1); // not enabled
    rig.pci.barWrite(4, offset, 2, 2); // not there
    rig.pci.barWrite(4, offset + 2, 2, 0); // not the doorbell
    rig.pci.barWrite(4, offset, 4, 0x10000);
    expect(rig.device.take()).toEqual([`kick 0 in ${RUNNING}`, `kick 0 in ${RUNNING}`]);
  });
});

describe('accesses out of range', () => {
  it.each(['memory', 'io'] as const)('read ones and write nothing (%s)', (modernBar) => {
    const rig = PciRig.withMsi({ modernBar, mode: 'transitional' });
    for (const width of [1, 2, 4] as const) {
      const ones = 2 ** (8 * width) - 1;
      for (const { index, size } of rig.pci.bars) {
        for (const offset of [size, size - width + 1, 0x7fffffff, -1]) {
          if (width === 1 && offset === size) continue;
          rig.pci.barWrite(index, offset, width, 0xffffffff);
          if (offset >= size) expect(rig.pci.barRead(index, offset, width)).toBe(ones);
        }
      }
      expect(rig.pci.barRead(2, 0, width)).toBe(ones);
      rig.pci.barWrite(2, 0, width, 0);
    }
    expect(rig.device.status).toBe(0);
  });

  it('every offset and width of every BAR is safe to read and write', () => {
    for (const modernBar of ['memory', 'io'] as const) {
      const rig = PciRig.withMsi({ modernBar, mode: 'transitional' });
      for (const { index } of rig.pci.bars) {
        for (let offset = 0; offset < 0x200; offset++) {
          for (const width of [1, 2, 4] as const) {
            const value = rig.pci.barRead(index, offset, width);
            expect(value >= 0 && value < 2 ** (8 * width)).toBe(true);
            rig.pci.barWrite(index, offset, width, 0xa5a5a5a5);
          }
        }
      }
    }
  });
});
