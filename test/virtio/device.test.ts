import { beforeEach, describe, expect, it } from 'vitest';
import { layOutLegacyRing, writeAddress, writeQueueSize } from '#src/virtio/queue-registers';
import {
  ACKNOWLEDGE,
  DRIVER,
  DRIVER_OK,
  FAILED,
  FEATURES_OK,
  NEEDS_RESET,
  negotiate,
  RUNNING,
  start,
  ToyDevice,
} from './toy-device.ts';

/** A transport that writes down what the device asks of it, into the device's trace. */
function attach(device: ToyDevice): ToyDevice {
  device.transport = {
    interruptQueue: (index) => device.trace.push(`interrupt ${index}`),
    interruptConfig: () => device.trace.push(`interrupt config, broken ${device.brokenReason}`),
    deviceReset: () => device.trace.push('transport reset'),
  };
  return device;
}

let device: ToyDevice;
beforeEach(() => {
  device = attach(new ToyDevice());
});

describe('options', () => {
  it('takes 1 to 1024 queues and sizes that are powers of two from 2 to 1024', () => {
    for (const queues of [1, 1024]) expect(new ToyDevice({ queues }).queues).toHaveLength(queues);
    for (const queues of [0, 1025, 1.5]) expect(() => new ToyDevice({ queues })).toThrow(/queues/);
    for (const queueSize of [2, 1024]) expect(() => new ToyDevice({ queueSize })).not.toThrow();
    for (const queueSize of [0, 1, 3, 2048, 2.5]) {
      expect(() => new ToyDevice({ queueSize })).toThrow(/queue size/);
    }
  });
});

describe('status', () => {
  it('VC-1 order: start after the status says DRIVER_OK, stop while it still says so', () => {
    negotiate(device);
    device.enableQueue(0);
    device.take();
    device.writeStatus(RUNNING);
    expect(device.take()).toEqual([`start in ${RUNNING}`, `kick 0 in ${RUNNING}`]);
    device.writeStatus(RUNNING & ~DRIVER_OK);
    expect(device.take()).toEqual([`stop in ${RUNNING}`]);
    device.writeStatus(RUNNING);
    expect(device.take()).toEqual([`start in ${RUNNING}`, `kick 0 in ${RUNNING}`]);
    device.writeStatus(0);
    expect(device.take()).toEqual([`stop in ${RUNNING}`, `reset in ${RUNNING}`, 'transport reset']);
    expect(device.status).toBe(0);
  });

  it('VC-1 a second write of DRIVER_OK starts nothing twice', () => {
    start(device);
    device.writeStatus(RUNNING);
    device.writeStatus(RUNNING | FAILED);
    expect(device.take()).toEqual([]);
    expect(device.status).toBe(RUNNING | FAILED);
  });

  it('VC-2 FEATURES_OK stays clear without VERSION_1', () => {
    device.writeStatus(ACKNOWLEDGE | DRIVER);
    device.writeDriverFeatures(0, device.deviceFeatures(0));
    device.writeStatus(ACKNOWLEDGE | DRIVER | FEATURES_OK);
    expect(device.status).toBe(ACKNOWLEDGE | DRIVER);
    device.writeDriverFeatures(1, 1);
    device.writeStatus(ACKNOWLEDGE | DRIVER | FEATURES_OK);
    expect(device.status).toBe(ACKNOWLEDGE | DRIVER | FEATURES_OK);
  });

  it('VC-2 FEATURES_OK stays clear if the device refuses the set, and DRIVER_OK with it', () => {
    device.accepts = false;
    negotiate(device);
    expect(device.status).toBe(ACKNOWLEDGE | DRIVER);
    device.writeStatus(RUNNING);
    expect(device.status).toBe(ACKNOWLEDGE | DRIVER);
    expect(device.started).toBe(false);
    device.accepts = true;
    device.writeStatus(ACKNOWLEDGE | DRIVER | FEATURES_OK);
    expect(device.status & FEATURES_OK).toBe(FEATURES_OK);
  });

  it('VC-2 FEATURES_OK and NEEDS_RESET are not the driver’s to clear, nor NEEDS_RESET to set', () => {
    negotiate(device);
    device.writeStatus(ACKNOWLEDGE | DRIVER);
    expect(device.status).toBe(ACKNOWLEDGE | DRIVER | FEATURES_OK);
    device.writeStatus(RUNNING | NEEDS_RESET);
    expect(device.status).toBe(RUNNING);
    device.needsReset(1);
    device.writeStatus(RUNNING);
    expect(device.status).toBe(RUNNING | NEEDS_RESET);
    device.writeStatus(NEEDS_RESET); // not 0: no reset
    expect(device.status & NEEDS_RESET).toBe(NEEDS_RESET);
    device.writeStatus(0x100); // the register has 8 bits: that is a 0
    expect(device.status).toBe(0);
  });
});

describe('features', () => {
  it('BG-20 unknown bits are masked, words above 1 do not exist', () => {
    device.writeDriverFeatures(0, 0xffffffff);
    device.writeDriverFeatures(1, 0xffffffff);
    device.writeDriverFeatures(2, 0xffffffff);
    expect(device.driverFeatures(0)).toBe(((1 << 5) | (3 << 28)) >>> 0);
    expect(device.driverFeatures(1)).toBe((1 << 8) | 1);
    expect(device.driverFeatures(2)).toBe(0);
    expect(device.deviceFeatures(2)).toBe(0);
    expect([5, 27, 28, 29, 32, 33, 40].filter((bit) => device.negotiated(bit))).toEqual([
      5, 28, 29, 32, 40,
    ]);
  });

  it('BG-20 a write after FEATURES_OK is ignored, one before it is not', () => {
    negotiate(device);
    device.writeDriverFeatures(0, 0);
    expect(device.negotiated(5)).toBe(true);
    device.writeStatus(0);
    expect(device.negotiated(5)).toBe(false);
    device.writeDriverFeatures(0, 1 << 5);
    device.writeDriverFeatures(0, 0);
    expect(device.negotiated(5)).toBe(false);
  });

  it('BG-20 a legacy driver that takes BAD_FEATURE gets the bad features', () => {
    device.useLegacy(true);
    expect(device.deviceFeatures(0) >>> 30).toBe(1);
    device.blindFeatures = 1 << 28;
    device.writeDriverFeatures(0, 0xffffffff);
    expect(device.driverFeatures(0)).toBe(1 << 28);
    device.writeDriverFeatures(0, 0xffffffff & ~(1 << 30));
    expect(device.driverFeatures(0)).toBe(((1 << 5) | (1 << 27) | (3 << 28)) >>> 0);
  });

  it('shows legacy-only bits to legacy drivers alone, and VERSION_1 to modern ones', () => {
    expect(device.deviceFeatures(0)).toBe(((1 << 5) | (3 << 28)) >>> 0);
    expect(device.deviceFeatures(1) & 1).toBe(1);
    device.useLegacy(true);
    expect(device.deviceFeatures(0) & (1 << 27)).not.toBe(0);
    expect(device.deviceFeatures(1)).toBe(0);
  });

  it('does not let a driver change sides with features agreed or requests served', () => {
    negotiate(device);
    device.useLegacy(true);
    expect(device.legacy).toBe(false);
    device.writeStatus(0);
    device.useLegacy(true);
    device.enableQueue(0);
    device.kick(0);
    device.useLegacy(false);
    expect(device.legacy).toBe(true);
  });
});

describe('reset', () => {
  it('VC-3 reads 0 only after what is in flight has ended', async () => {
    start(device);
    device.busy = true;
    device.writeStatus(0);
    expect(device.status).toBe(RUNNING);
    expect(device.resetting).toBe(true);
    let idle = false;
    device.idle().then(() => {
      idle = true;
    });
    await Promise.resolve();
    expect(idle).toBe(false);
    await device.settle();
    expect(device.status).toBe(0);
    expect(device.resetting).toBe(false);
    expect(idle).toBe(true);
  });

  it('VC-3 nothing is served, interrupted or taken while the reset goes on', async () => {
    start(device);
    device.busy = true;
    device.writeStatus(0);
    device.take();
    device.kick(0);
    device.interruptQueue(0);
    device.configChanged();
    device.needsReset(1);
    device.enableQueue(1);
    device.disableQueue(0);
    device.writeConfig(0, 1, 0);
    device.writeStatus(0);
    device.writeStatus(ACKNOWLEDGE);
    device.writeDriverFeatures(0, 0);
    expect(device.queueLive(0)).toBe(false);
    expect(device.take()).toEqual([]);
    await device.settle();
    expect(device.take()).toEqual(['transport reset']);
    expect(device.status).toBe(0);
  });

  it('VC-3 never reads 0 early, even if a legacy driver kicked without any status', async () => {
    device.useLegacy(true);
    device.enableQueue(0);
    device.kick(0);
    device.busy = true;
    device.writeStatus(0);
    expect(device.status).not.toBe(0);
    await device.settle();
    expect(device.status).toBe(0);
  });

  it('VC-3 gives every queue and feature back its defaults', () => {
    start(device);
    const queue = device.queues[1]!;
    writeQueueSize(queue, 16);
    writeAddress(queue, 'desc', 'lo', 0x1000);
    writeAddress(queue, 'used', 'hi', 1);
    queue.vector = 1;
    device.needsReset(7);
    device.writeStatus(0);
    for (const { size, enabled, desc, used, vector } of device.queues) {
      expect([size, enabled, desc, used, vector]).toEqual([
        256,
        false,
        { lo: 0, hi: 0 },
        { lo: 0, hi: 0 },
        0xffff,
      ]);
    }
    expect(device.driverFeatures(0)).toBe(0);
    expect(device.brokenReason).toBe(0);
    expect(device.started).toBe(false);
    start(device);
    device.kick(0);
    expect(device.take()).toEqual([`kick 0 in ${RUNNING}`]);
  });
});

describe('configuration space', () => {
  it('VC-4 interrupts only after DRIVER_OK; the generation counts either way', () => {
    const before = device.configGeneration;
    device.configChanged();
    expect(device.configGeneration).toBe(before + 1);
    expect(device.take()).toEqual([]);
    start(device);
    device.configChanged();
    expect(device.take()).toEqual(['interrupt config, broken 0']);
    expect(device.configGeneration).toBe(before + 2);
  });

  it('VC-5 the generation tells a read torn by a change', () => {
    const before = device.configGeneration;
    expect(device.readConfig(0, 4)).toBe(0x13121110);
    device.config.fill(0xee);
    device.configChanged();
    expect(device.readConfig(4, 4)).toBe(0xeeeeeeee);
    expect(device.configGeneration).not.toBe(before);
    const after = device.configGeneration;
    device.readConfig(0, 4);
    expect(device.configGeneration).toBe(after);
  });

  it('VC-5 256 changes between two looks do not wrap to the same generation', () => {
    const before = device.configGeneration;
    for (let i = 0; i < 256; i++) device.configChanged();
    expect(device.configGeneration).toBe((before + 1) & 0xff);
    for (let i = 0; i < 255; i++) {
      device.configChanged();
      device.readConfig(0, 1);
    }
    expect(device.configGeneration).toBe(before); // 8 bits
  });

  it.each([
    [1, 15, 0x1f],
    [2, 14, 0x1f1e],
    [4, 12, 0x1f1e1d1c],
    [2, 1, 0x1211],
    [4, 3, 0x16151413],
  ] as const)('reads width %i at %i, and all ones one byte further than it fits', (...row) => {
    const [width, offset, value] = row;
    expect(device.readConfig(offset, width)).toBe(value);
    expect(device.readConfig(17 - width, width)).toBe(2 ** (8 * width) - 1);
  });

  it('passes writes inside on, and drops those that do not fit', () => {
    device.writeConfig(15, 1, 0x1ff);
    device.writeConfig(12, 4, 0x80000000);
    device.writeConfig(13, 4, 1);
    device.writeConfig(16, 1, 1);
    expect(device.take()).toEqual(['config 15/1 = ff', 'config 12/4 = 80000000']);
  });

  it('VC-8 a big-endian guest reads fields its way through legacy, little-endian when modern', () => {
    device = attach(new ToyDevice({ legacyEndian: 'big' }));
    expect(device.readConfig(8, 4)).toBe(0x1b1a1918);
    device.useLegacy(true);
    expect(device.readConfig(8, 4)).toBe(0x18191a1b);
    expect([0, 1, 2, 3, 4, 5, 6, 7].map((at) => device.readConfig(at, 1))).toEqual([
      0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11, 0x10,
    ]);
    expect(device.readConfig(12, 2)).toBe(0x1c1d);
    expect(device.readConfig(14, 2)).toBe(0x1e1f);
    device.writeConfig(12, 2, 0x1234);
    expect(device.take()).toEqual(['config 12/2 = 3412']);
  });

  it('VC-8 a little-endian guest reads the same bytes through both interfaces', () => {
    device.useLegacy(true);
    expect(device.readConfig(8, 4)).toBe(0x1b1a1918);
    device.writeConfig(12, 2, 0x1234);
    expect(device.take()).toEqual(['config 12/2 = 1234']);
  });
});

describe('queues', () => {
  it('BG-14 kicks are ignored but for an enabled queue of a started device', () => {
    negotiate(device);
    device.enableQueue(0);
    device.take();
    device.kick(0); // before DRIVER_OK
    expect(device.take()).toEqual([]);
    device.writeStatus(RUNNING);
    device.take();
    for (const index of [1, 2, 65535, -1, 0.5]) device.kick(index);
    expect(device.take()).toEqual([]);
    device.kick(0);
    expect(device.take()).toEqual([`kick 0 in ${RUNNING}`]);
    device.writeStatus(0);
    device.take();
    device.kick(0);
    expect(device.take()).toEqual([]);
  });

  it('BG-14 a queue is not enabled before FEATURES_OK', () => {
    device.enableQueue(0);
    expect(device.queues[0]!.enabled).toBe(false);
    negotiate(device);
    device.enableQueue(0);
    expect(device.queues[0]!.enabled).toBe(true);
  });

  it('VC-9 a legacy driver’s kick before DRIVER_OK starts the device; DRIVER_OK then does not', () => {
    device.useLegacy(true);
    device.writeStatus(ACKNOWLEDGE | DRIVER);
    device.kick(0); // not set up
    expect(device.started).toBe(false);
    device.enableQueue(0);
    device.take();
    device.kick(0);
    expect(device.take()).toEqual(['start in 3', 'kick 0 in 3']);
    device.kick(0);
    expect(device.take()).toEqual(['kick 0 in 3']);
    device.interruptQueue(0);
    expect(device.take()).toEqual(['interrupt 0']);
    device.writeStatus(ACKNOWLEDGE | DRIVER | DRIVER_OK);
    expect(device.take()).toEqual([]);
  });

  it('BG-17 sizes of 0 or too large are ignored, and all moves of an enabled ring', () => {
    const queue = device.queues[0]!;
    for (const size of [0, 257, 1024]) writeQueueSize(queue, size);
    expect(queue.size).toBe(256);
    writeQueueSize(queue, 3); // odd: refused when the ring is enabled
    expect(queue.size).toBe(3);
    writeQueueSize(queue, 256);
    negotiate(device);
    device.enableQueue(0);
    writeQueueSize(queue, 8);
    writeAddress(queue, 'avail', 'lo', 0x1000);
    expect([queue.size, queue.avail.lo]).toEqual([256, 0]);
  });

  it('enables once, with the addresses as u64', () => {
    negotiate(device);
    device.take();
    const queue = device.queues[1]!;
    writeQueueSize(queue, 8);
    writeAddress(queue, 'desc', 'lo', 0xfffff000);
    writeAddress(queue, 'desc', 'hi', 1);
    writeAddress(queue, 'avail', 'lo', 0x2000);
    writeAddress(queue, 'used', 'lo', -4096);
    device.enableQueue(1);
    device.enableQueue(1);
    expect(device.take()).toEqual(['enable 1: 8 at 1fffff000 2000 fffff000']);
  });

  it('lays a legacy ring out as the standard says', () => {
    const queue = device.queues[0]!;
    writeQueueSize(queue, 256);
    layOutLegacyRing(queue, 0x1_0000_0000, 4096);
    // 256 descriptors are one page, the available ring 4 + 512 + 2 bytes.
    expect([queue.desc, queue.avail, queue.used]).toEqual([
      { lo: 0, hi: 1 },
      { lo: 0x1000, hi: 1 },
      { lo: 0x2000, hi: 1 },
    ]);
    writeQueueSize(queue, 2);
    layOutLegacyRing(queue, 0x1000, 4); // avail ends at 0x1000 + 32 + 10, used at the next 4
    expect(queue.used.lo).toBe(0x102c);
  });

  it('a stopped queue is not served, and starts anew only when its requests are gone', async () => {
    start(device);
    device.busy = true;
    device.disableQueue(0);
    device.kick(0);
    device.interruptQueue(0);
    expect(device.take()).toEqual(['disable 0']);
    expect(device.queues[0]!.draining).toBe(true);
    device.enableQueue(0);
    device.kick(0);
    expect(device.take()).toEqual([]);
    await device.settle();
    expect(device.take()).toEqual(['enable 0: 256 at 0 0 0', `kick 0 in ${RUNNING}`]);
  });

  it('a reset overtakes a queue that is being stopped', async () => {
    start(device);
    device.busy = true;
    device.disableQueue(0);
    device.enableQueue(0);
    device.writeStatus(0);
    device.take();
    await device.settle();
    expect(device.take()).toEqual(['transport reset']);
    expect(device.queues[0]).toMatchObject({ enabled: false, draining: false });
  });

  it('an idle queue stops and starts at once', () => {
    start(device);
    device.disableQueue(0);
    device.disableQueue(0);
    device.enableQueue(0);
    expect(device.take()).toEqual(['disable 0', 'enable 0: 256 at 0 0 0']);
  });
});

describe('a broken device', () => {
  it('fact 8: status bit, then configuration interrupt, and only then broken; once', () => {
    start(device);
    const statusAtInterrupt: number[] = [];
    device.transport = {
      interruptQueue: () => {},
      interruptConfig: () => statusAtInterrupt.push(device.status, device.brokenReason),
      deviceReset: () => {},
    };
    device.needsReset(7);
    device.needsReset(8);
    expect(statusAtInterrupt).toEqual([RUNNING | NEEDS_RESET, 0]);
    expect(device.brokenReason).toBe(7);
  });

  it('fact 8: everything is a no-op until reset', () => {
    start(device);
    device.needsReset(7);
    device.take();
    device.kick(0);
    device.interruptQueue(0);
    device.configChanged();
    expect(device.take()).toEqual([]);
    expect(device.queueLive(0)).toBe(false);
    device.writeStatus(0);
    start(device);
    expect(device.queueLive(0)).toBe(true);
  });

  it('fact 8: before DRIVER_OK there is the status bit and no interrupt', () => {
    negotiate(device);
    device.take();
    device.needsReset(7);
    expect(device.status & NEEDS_RESET).toBe(NEEDS_RESET);
    expect(device.take()).toEqual([]);
  });

  it('a legacy driver has no NEEDS_RESET: the device only falls silent', () => {
    device.useLegacy(true);
    device.enableQueue(0);
    device.writeStatus(ACKNOWLEDGE | DRIVER | DRIVER_OK);
    device.take();
    device.needsReset(7);
    device.kick(0);
    expect(device.status).toBe(ACKNOWLEDGE | DRIVER | DRIVER_OK);
    expect(device.take()).toEqual([]);
  });
});
