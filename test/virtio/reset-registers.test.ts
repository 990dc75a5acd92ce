/** After a reset every register reads as it did when the device was new (VC-3), on each transport. */

import { describe, expect, it } from 'vitest';
import type { Width } from '#src/virtio/device';
import { VirtioMmio } from '#src/virtio/virtio-mmio';
import { PciRig } from './pci-rig.ts';
import { RUNNING, ToyDevice } from './toy-device.ts';

/** A device behind a transport: what its driver can read and write. */
interface Registers {
  readonly device: ToyDevice;
  read(offset: number, width: Width): number;
  write(offset: number, width: Width, value: number): void;
}

interface Transport {
  readonly name: string;
  make(): Registers;
  /** Offset and width of each register, the selectors aside. */
  readonly registers: readonly (readonly [offset: number, width: Width])[];
  readonly queueSelect: readonly [offset: number, width: Width];
  /** Writes other than defaults everywhere and lets the device run. */
  use(registers: Registers): void;
  reset(registers: Registers): void;
}

const MODERN_ADDRESSES = [0x20, 0x24, 0x28, 0x2c, 0x30, 0x34];

function pciModern(): Registers {
  const rig = PciRig.withMsi();
  rig.setCommand(7);
  rig.enableMsix(3);
  return {
    device: rig.device,
    read: (offset, width) => rig.read(offset, width),
    write: (offset, width, value) => rig.write(offset, width, value),
  };
}

function pciLegacy(msix: boolean): Registers {
  const rig = PciRig.withMsi({ mode: 'legacy' });
  rig.setCommand(7);
  if (msix) rig.enableMsix(3);
  return {
    device: rig.device,
    read: (offset, width) => rig.pci.barRead(0, offset, width),
    write: (offset, width, value) => rig.pci.barWrite(0, offset, width, value),
  };
}

function mmio(version: 1 | 2): Registers {
  const device = new ToyDevice();
  const transport = new VirtioMmio(device, { version, irq() {} });
  return {
    device,
    read: (offset, width) => transport.read(offset, width),
    write: (offset, width, value) => transport.write(offset, width, value),
  };
}

const legacyRegisters = [
  [0x00, 4],
  [0x04, 4],
  [0x08, 4],
  [0x0c, 2],
  [0x12, 1],
  [0x13, 1],
] as const;

const TRANSPORTS: readonly Transport[] = [
  {
    name: 'pci modern with MSI-X',
    make: pciModern,
    registers: [
      [0x00, 4],
      [0x04, 4],
      [0x08, 4],
      [0x0c, 4],
      [0x10, 2],
      [0x12, 2],
      [0x14, 1],
      [0x18, 2],
      [0x1a, 2],
      [0x1c, 2],
      [0x1e, 2],
      ...MODERN_ADDRESSES.map((at) => [at, 4] as const),
      [0x3a, 2],
    ],
    queueSelect: [0x16, 2],
    use({ write, read }) {
      write(0x14, 1, 3);
      for (const select of [0, 1]) {
        write(0x00, 4, select);
        write(0x08, 4, select);
        write(0x0c, 4, read(0x04, 4));
      }
      write(0x10, 2, 2);
      write(0x14, 1, 11);
      for (const queue of [0, 1]) {
        write(0x16, 2, queue);
        write(0x18, 2, 16);
        write(0x1a, 2, queue);
        for (const at of MODERN_ADDRESSES) write(at, 4, 0x1000 * (queue + 1));
        write(0x1c, 2, 1);
      }
      write(0x14, 1, RUNNING);
    },
    reset: ({ write }) => write(0x14, 1, 0),
  },
  ...[false, true].map(
    (msix): Transport => ({
      name: `pci legacy ${msix ? 'with' : 'without'} MSI-X`,
      make: () => pciLegacy(msix),
      registers: msix ? [...legacyRegisters, [0x14, 2], [0x16, 2]] : legacyRegisters,
      queueSelect: [0x0e, 2],
      use({ write, read }) {
        write(0x12, 1, 3);
        write(0x04, 4, read(0x00, 4));
        if (msix) write(0x14, 2, 2);
        for (const queue of [0, 1]) {
          write(0x0e, 2, queue);
          if (msix) write(0x16, 2, queue);
          write(0x08, 4, 16 * (queue + 1));
        }
        write(0x12, 1, 7);
      },
      reset: ({ write }) => write(0x12, 1, 0),
    }),
  ),
  {
    name: 'mmio 2',
    make: () => mmio(2),
    registers: [0x10, 0x34, 0x44, 0x60, 0x70, 0xc0].map((at) => [at, 4] as const),
    queueSelect: [0x30, 4],
    use({ write, read }) {
      write(0x70, 4, 3);
      for (const select of [0, 1]) {
        write(0x14, 4, select);
        write(0x24, 4, select);
        write(0x20, 4, read(0x10, 4));
      }
      write(0x70, 4, 11);
      for (const queue of [0, 1]) {
        write(0x30, 4, queue);
        write(0x38, 4, 16);
        for (const at of [0x80, 0x84, 0x90, 0x94, 0xa0, 0xa4]) write(at, 4, 0x1000);
        write(0x44, 4, 1);
      }
      write(0x70, 4, RUNNING);
    },
    reset: ({ write }) => write(0x70, 4, 0),
  },
  {
    name: 'mmio 1',
    make: () => mmio(1),
    registers: [0x10, 0x34, 0x40, 0x60, 0x70].map((at) => [at, 4] as const),
    queueSelect: [0x30, 4],
    use({ write, read }) {
      write(0x28, 4, 4096);
      write(0x70, 4, 3);
      write(0x20, 4, read(0x10, 4));
      for (const queue of [0, 1]) {
        write(0x30, 4, queue);
        write(0x38, 4, 16);
        write(0x3c, 4, 8192);
        write(0x40, 4, 16 * (queue + 1));
      }
      write(0x70, 4, 7);
    },
    reset: ({ write }) => write(0x70, 4, 0),
  },
];

/** All registers, for each queue and one that is not there. */
function all({ registers, queueSelect }: Transport, { read, write }: Registers): number[][] {
  const look = () => registers.map(([offset, width]) => read(offset, width));
  const first = look(); // as the selectors were left
  const [at, width] = queueSelect;
  const byQueue = [0, 1, 2].map((queue) => {
    write(at, width, queue);
    return look();
  });
  write(at, width, 0);
  return [first, ...byQueue];
}

describe.each(TRANSPORTS)('VC-3 reset; $name', (transport) => {
  it('VC-3 every register reads as on a new device', () => {
    const fresh = all(transport, transport.make());
    const used = transport.make();
    transport.use(used);
    used.device.configChanged();
    used.device.interruptQueue(1);
    const before = all(transport, used);
    expect(before).not.toEqual(fresh);
    const again = transport.make();
    transport.use(again);
    again.device.configChanged();
    transport.reset(again);
    expect(all(transport, again)).toEqual(fresh);
  });

  it('VC-3 and what is no register: sizes, addresses, vectors and features of each queue', () => {
    const { queues } = transport.make().device;
    const used = transport.make();
    transport.use(used);
    expect(used.device.queues).not.toEqual(queues);
    transport.reset(used);
    expect(used.device.queues).toEqual(queues);
    expect([0, 1].map((select) => used.device.driverFeatures(select))).toEqual([0, 0]);
    expect([used.device.started, used.device.serving, used.device.brokenReason]).toEqual([
      false,
      false,
      0,
    ]);
  });

  it('VC-3 stops serving first, then resets, and reads 0 last', async () => {
    const used = transport.make();
    transport.use(used);
    used.device.busy = true;
    used.device.take();
    transport.reset(used);
    const live = used.device.status;
    expect(live).not.toBe(0);
    expect(used.device.take()).toEqual([`stop in ${live}`, `reset in ${live}`]);
    expect(used.device.queues[0]!.enabled).toBe(true); // nothing is as new yet
    await used.device.settle();
    expect(used.device.status).toBe(0);
    expect(used.device.queues[0]!.enabled).toBe(false);
  });
});

describe('reset of one queue', () => {
  it('VC-7 PC-7 it no longer uses its vector, and what was pending there goes with it', () => {
    const run = (reset: boolean) => {
      const rig = PciRig.withMsi();
      rig.setCommand(7);
      rig.enableMsix(3);
      const { device } = rig;
      rig.write(0x14, 1, 3);
      for (const select of [0, 1]) {
        rig.write(0x08, 4, select);
        rig.write(0x00, 4, select);
        rig.write(0x0c, 4, rig.read(0x04, 4));
      }
      rig.write(0x14, 1, 11);
      rig.write(0x1a, 2, 1);
      rig.write(0x1c, 2, 1);
      rig.write(0x14, 1, RUNNING);
      rig.pci.barWrite(1, 16 + 12, 4, 1); // masked
      device.interruptQueue(0);
      if (reset) rig.write(0x3a, 2, 1);
      rig.pci.barWrite(1, 16 + 12, 4, 0);
      return [rig.read(0x1a, 2), rig.take()];
    };
    expect(run(false)).toEqual([1, ['msi fee00000 101']]);
    expect(run(true)).toEqual([0xffff, []]);
  });

  it('VC-7 a queue that is not in use gets its defaults, too', () => {
    const { device, read, write } = pciModern();
    write(0x14, 1, 3);
    for (const select of [0, 1]) {
      write(0x08, 4, select);
      write(0x00, 4, select);
      write(0x0c, 4, read(0x04, 4));
    }
    write(0x14, 1, 11);
    write(0x18, 2, 16);
    write(0x20, 4, 0x5000);
    write(0x3a, 2, 1);
    expect([read(0x18, 2), read(0x20, 4), read(0x1c, 2), read(0x3a, 2)]).toEqual([256, 0, 0, 0]);
    expect(device.take()).toEqual([]);
  });
});
