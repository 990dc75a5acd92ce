import { describe, expect, it } from 'vitest';
import { VirtioMmio } from '#src/virtio/virtio-mmio';
import {
  ACKNOWLEDGE,
  DRIVER,
  DRIVER_OK,
  FEATURES_OK,
  RUNNING,
  type Toy,
  ToyDevice,
} from './toy-device.ts';

const REGISTER = {
  magic: 0x000,
  version: 0x004,
  deviceId: 0x008,
  vendorId: 0x00c,
  deviceFeatures: 0x010,
  deviceFeaturesSel: 0x014,
  driverFeatures: 0x020,
  driverFeaturesSel: 0x024,
  guestPageSize: 0x028,
  queueSel: 0x030,
  queueNumMax: 0x034,
  queueNum: 0x038,
  queueAlign: 0x03c,
  queuePfn: 0x040,
  queueReady: 0x044,
  queueNotify: 0x050,
  interruptStatus: 0x060,
  interruptAck: 0x064,
  status: 0x070,
  queueDescLow: 0x080,
  queueDescHigh: 0x084,
  queueDriverLow: 0x090,
  queueDriverHigh: 0x094,
  queueDeviceLow: 0x0a0,
  queueDeviceHigh: 0x0a4,
  shmLenLow: 0x0b0,
  shmLenHigh: 0x0b4,
  queueReset: 0x0c0,
  configGeneration: 0x0fc,
} as const;
type Name = keyof typeof REGISTER;

class Rig {
  readonly device: ToyDevice;
  readonly mmio: VirtioMmio;
  readonly levels: boolean[] = [];

  constructor(version: 1 | 2 = 2, toy: Toy = {}) {
    this.device = new ToyDevice(toy);
    this.mmio = new VirtioMmio(this.device, { version, irq: (level) => this.levels.push(level) });
  }

  get(name: Name): number {
    return this.mmio.read(REGISTER[name], 4);
  }

  set(name: Name, value: number): void {
    this.mmio.write(REGISTER[name], 4, value);
  }

  negotiate(): void {
    this.set('status', 0);
    this.set('status', ACKNOWLEDGE | DRIVER);
    for (const select of [0, 1]) {
      this.set('deviceFeaturesSel', select);
      this.set('driverFeaturesSel', select);
      this.set('driverFeatures', this.get('deviceFeatures'));
    }
    this.set('status', ACKNOWLEDGE | DRIVER | FEATURES_OK);
  }

  /** Modern, queue 0 ready. */
  start(): this {
    this.negotiate();
    this.set('queueReady', 1);
    this.set('status', RUNNING);
    this.device.take();
    return this;
  }
}

describe.each([1, 2] as const)('virtio-mmio version %i', (version) => {
  it('MM-1 magic, version, ids', () => {
    const rig = new Rig(version);
    expect(['magic', 'version', 'deviceId'].map((name) => rig.get(name as Name))).toEqual([
      0x74726976,
      version,
      2,
    ]);
    expect(rig.get('vendorId')).not.toBe(0);
  });

  it('MM-1 an empty slot answers magic, version and id 0, and nothing else', () => {
    const empty = new VirtioMmio(null, { version, irq: () => {} });
    expect(empty.read(0, 4)).toBe(0x74726976);
    expect(empty.read(4, 4)).toBe(version);
    for (let offset = 0x10; offset < empty.size; offset += 4) {
      empty.write(offset, 4, 0xffffffff);
      expect(empty.read(offset, 4)).toBe(0);
    }
    expect(empty.read(8, 4)).toBe(0);
  });

  it('MM-1 registers take 4 bytes only, the configuration any width', () => {
    const rig = new Rig(version);
    rig.mmio.write(REGISTER.status, 1, 1);
    rig.mmio.write(REGISTER.status, 2, 1);
    rig.mmio.write(REGISTER.status + 1, 4, 1);
    expect(rig.device.status).toBe(0);
    for (const width of [1, 2] as const) expect(rig.mmio.read(0, width)).toBe(0);
    expect(rig.mmio.read(1, 4)).toBe(0);
    expect(rig.mmio.read(0x100, 4)).toBe(0x13121110);
    expect(rig.mmio.read(0x101, 2)).toBe(0x1211);
    expect(rig.mmio.read(0x10f, 1)).toBe(0x1f);
    rig.mmio.write(0x10f, 1, 9);
    rig.mmio.write(0x10f, 2, 9); // does not fit
    expect(rig.device.take()).toEqual(['config 15/1 = 9']);
  });

  it('answers ones beyond the configuration, and is safe at every offset and width', () => {
    const rig = new Rig(version);
    expect(rig.mmio.read(0x110, 1)).toBe(0xff);
    expect(rig.mmio.read(0x10d, 4)).toBe(0xffffffff);
    for (const offset of [-4, 0x200, 0x1fe, 0x7fffffff]) {
      expect(rig.mmio.read(offset, 4)).toBe(0xffffffff);
      rig.mmio.write(offset, 4, 0xffffffff);
    }
    for (let offset = 0; offset < 0x200; offset++) {
      for (const width of [1, 2, 4] as const) {
        rig.mmio.write(offset, width, 0xa5a5a5a5);
        const value = rig.mmio.read(offset, width);
        expect(value >= 0 && value < 2 ** (8 * width)).toBe(true);
      }
    }
  });

  it('MM-4 QueueNumMax is the real size, 0 for a queue that is not there', () => {
    const rig = new Rig(version, { queueSize: 64, queues: 2 });
    const sizes = [0, 1, 2, 0xffffffff].map((index) => {
      rig.set('queueSel', index);
      return rig.get('queueNumMax');
    });
    expect(sizes).toEqual([64, 64, 0, 0]);
  });
});

describe('virtio-mmio', () => {
  it('MM-2 one line for all causes: high until the last is acknowledged', () => {
    const rig = new Rig().start();
    rig.device.interruptQueue(0);
    rig.device.interruptQueue(0);
    expect(rig.get('interruptStatus')).toBe(1);
    rig.device.configChanged(); // between the read and its acknowledgement
    rig.set('interruptAck', 1);
    expect(rig.get('interruptStatus')).toBe(2);
    expect(rig.levels).toEqual([true]);
    rig.set('interruptAck', 2);
    expect(rig.levels).toEqual([true, false]);
    rig.set('interruptAck', 3);
    expect(rig.levels).toEqual([true, false]);
  });

  it('MM-2 an event between status read and acknowledgement of another keeps the line high', () => {
    const rig = new Rig().start();
    rig.device.configChanged();
    expect(rig.get('interruptStatus')).toBe(3);
    rig.set('interruptAck', 2);
    expect(rig.levels).toEqual([true]);
    expect(rig.get('interruptStatus')).toBe(1);
    rig.set('status', 0);
    expect(rig.levels).toEqual([true, false]);
    expect(rig.get('interruptStatus')).toBe(0);
  });

  it('MM-3 modern: features are taken at FEATURES_OK, both words', () => {
    const rig = new Rig();
    rig.set('status', ACKNOWLEDGE | DRIVER);
    rig.set('driverFeaturesSel', 1);
    rig.set('driverFeatures', 1);
    rig.set('driverFeaturesSel', 0);
    rig.set('driverFeatures', (1 << 5) | (1 << 6));
    expect(rig.device.negotiated(5)).toBe(false);
    rig.set('status', ACKNOWLEDGE | DRIVER | FEATURES_OK);
    expect(rig.device.status & FEATURES_OK).toBe(FEATURES_OK);
    expect([rig.device.driverFeatures(0), rig.device.driverFeatures(1)]).toEqual([1 << 5, 1]);
    rig.set('driverFeatures', 0);
    rig.set('status', RUNNING);
    expect(rig.device.negotiated(5)).toBe(true);
    rig.set('status', 0);
    rig.set('status', ACKNOWLEDGE | DRIVER | FEATURES_OK); // words were forgotten
    expect(rig.device.status & FEATURES_OK).toBe(0);
  });

  it('MM-3 a select above 1 reads 0 and writes nothing', () => {
    const rig = new Rig();
    const words = [0, 1, 2, 0xffffffff].map((select) => {
      rig.set('deviceFeaturesSel', select);
      return rig.get('deviceFeatures');
    });
    expect(words).toEqual([((1 << 5) | (3 << 28)) >>> 0, (1 << 8) | 1, 0, 0]);
    const legacy = new Rig(1);
    legacy.set('driverFeaturesSel', 2);
    legacy.set('driverFeatures', 1 << 5);
    expect(legacy.device.negotiated(5)).toBe(false);
    legacy.set('driverFeaturesSel', 0);
    legacy.set('driverFeatures', 1 << 5);
    expect(legacy.device.negotiated(5)).toBe(true); // legacy: at the write
  });

  it('MM-5 QueueReady 1 latches size and addresses', () => {
    const rig = new Rig();
    rig.negotiate();
    rig.device.take();
    rig.set('queueSel', 1);
    rig.set('queueNum', 32);
    rig.set('queueNum', 0);
    rig.set('queueNum', 257);
    rig.set('queueDescLow', 0x1000);
    rig.set('queueDescHigh', 1);
    rig.set('queueDriverLow', 0x2000);
    rig.set('queueDriverHigh', 2);
    rig.set('queueDeviceLow', 0x3000);
    rig.set('queueDeviceHigh', 3);
    expect(rig.get('queueReady')).toBe(0);
    rig.set('queueReady', 1);
    expect(rig.get('queueReady')).toBe(1);
    rig.set('queueDescLow', 0x9000);
    rig.set('queueReady', 1);
    expect(rig.device.take()).toEqual(['enable 1: 32 at 100001000 200002000 300003000']);
  });

  it('MM-5 QueueReady 0 stops access: a kick then serves nothing, a completion tells nothing', async () => {
    const rig = new Rig().start();
    rig.device.busy = true;
    rig.set('queueReady', 0);
    expect(rig.get('queueReady')).toBe(0);
    rig.set('queueNotify', 0);
    rig.device.interruptQueue(0);
    expect(rig.device.take()).toEqual(['disable 0']);
    expect(rig.levels).toEqual([]);
    rig.set('queueReady', 1); // waits for what was in flight
    rig.set('queueNotify', 0);
    expect(rig.device.take()).toEqual([]);
    await rig.device.settle();
    expect(rig.device.take()).toEqual(['enable 0: 256 at 0 0 0', `kick 0 in ${RUNNING}`]);
  });

  it('MM-5 QueueReady is written before FEATURES_OK in vain', () => {
    const rig = new Rig();
    rig.set('queueReady', 1);
    expect(rig.get('queueReady')).toBe(0);
  });

  it('MM-7 ConfigGeneration, QueueReset if negotiated, no shared memory', async () => {
    const rig = new Rig().start();
    const before = rig.get('configGeneration');
    rig.device.configChanged();
    expect(rig.get('configGeneration')).toBe(before + 1);
    expect([rig.get('shmLenLow'), rig.get('shmLenHigh')]).toEqual([0xffffffff, 0xffffffff]);
    rig.device.busy = true;
    rig.set('queueReset', 1);
    expect([rig.get('queueReset'), rig.get('queueReady')]).toEqual([1, 0]);
    await rig.device.settle();
    expect(rig.get('queueReset')).toBe(0);
    const without = new Rig(2, { offered: { lo: 0, hi: 0 } }).start();
    without.set('queueReset', 1);
    expect(without.get('queueReady')).toBe(1);
  });

  it('MM-8 QueueNotify takes 4 bytes, and the value names the queue', () => {
    const rig = new Rig().start();
    rig.set('queueNotify', 0);
    rig.mmio.write(REGISTER.queueNotify, 2, 0);
    for (const value of [1, 2, 0x10000, 0xffffffff]) rig.set('queueNotify', value);
    expect(rig.device.take()).toEqual([`kick 0 in ${RUNNING}`]);
  });

  it('MM-8 an interrupt told later by another loop still raises the line', async () => {
    const rig = new Rig().start();
    await new Promise<void>((resolve) => setTimeout(resolve));
    rig.device.interruptQueue(0);
    expect(rig.levels).toEqual([true]);
  });

  it('VC-3 status reads 0 only when the reset is over, and registers wait for it', async () => {
    const rig = new Rig().start();
    rig.device.busy = true;
    rig.set('status', 0);
    rig.set('queueNum', 8);
    rig.set('queueDescLow', 0x1000);
    rig.set('queueReady', 1);
    rig.set('status', ACKNOWLEDGE);
    rig.set('queueSel', 1); // not enabled: only the reset protects it
    rig.set('queueNum', 8);
    rig.set('queueDescLow', 0x1000);
    expect(rig.device.queues[1]).toMatchObject({ size: 256, enabled: false, desc: { lo: 0 } });
    expect(rig.get('status')).toBe(RUNNING);
    await rig.device.settle();
    expect(rig.get('status')).toBe(0);
    expect(rig.device.queues[0]).toMatchObject({ size: 256, enabled: false, desc: { lo: 0 } });
  });
});

describe('virtio-mmio legacy', () => {
  const live = ACKNOWLEDGE | DRIVER | DRIVER_OK;

  it('MM-6 page size, alignment and page number place the ring', () => {
    const rig = new Rig(1);
    rig.set('guestPageSize', 4096);
    rig.set('status', 0); // Linux tells the page size before it resets
    rig.device.take();
    rig.set('queueNum', 4);
    rig.set('queueAlign', 64);
    rig.set('queuePfn', 0x10);
    expect(rig.get('queuePfn')).toBe(0x10);
    // 4 descriptors: 64 bytes; available ring 14 bytes; used at the next 64.
    expect(rig.device.take()).toEqual(['enable 0: 4 at 10000 10040 10080']);
    rig.set('queuePfn', 0x20);
    expect(rig.get('queuePfn')).toBe(0x10);
    rig.set('queueSel', 1);
    rig.set('queueAlign', 3); // no power of two: stays at 4096
    rig.set('queueAlign', 0);
    rig.set('queuePfn', 1);
    expect(rig.device.take()).toEqual(['enable 1: 256 at 1000 2000 3000']);
  });

  it.each([
    [1, 0],
    [0x1000, 12],
    [0x3000, 12], // the lowest bit counts
    [0x80000000, 31],
    [0, 0],
  ])('MM-6 page size %i shifts by %i', (size, shift) => {
    const rig = new Rig(1);
    rig.set('guestPageSize', size);
    rig.set('queuePfn', 5);
    const { lo, hi } = rig.device.queues[0]!.desc;
    expect(hi * 2 ** 32 + lo).toBe(5 * 2 ** shift);
    expect(rig.get('queuePfn')).toBe(5);
  });

  it('MM-6 page number 0 resets', () => {
    const rig = new Rig(1);
    rig.set('guestPageSize', 4096);
    rig.set('queuePfn', 1);
    rig.set('status', live);
    rig.device.take();
    rig.set('queuePfn', 0);
    expect(rig.device.take()).toEqual([`stop in ${live}`, `reset in ${live}`]);
    expect(rig.get('status')).toBe(0);
  });

  it('has none of the modern registers, and the modern version none of these', () => {
    const rig = new Rig(1);
    rig.set('queueDescLow', 0x1000);
    rig.set('queueReady', 1);
    expect([rig.get('queueReady'), rig.get('configGeneration'), rig.get('shmLenLow')]).toEqual([
      0, 0, 0,
    ]);
    expect(rig.device.queues[0]).toMatchObject({ enabled: false, desc: { lo: 0 } });
    const modern = new Rig();
    modern.negotiate();
    modern.set('guestPageSize', 4096);
    modern.set('queuePfn', 1);
    expect(modern.get('queuePfn')).toBe(0);
    expect(modern.device.queues[0]!.enabled).toBe(false);
  });

  it('VC-9 a kick before DRIVER_OK is served', () => {
    const rig = new Rig(1);
    rig.set('status', ACKNOWLEDGE | DRIVER);
    rig.set('queuePfn', 1);
    rig.device.take();
    rig.set('queueNotify', 0);
    expect(rig.device.take()).toEqual(['start in 3', 'kick 0 in 3']);
  });
});
