/** The ACPI hot-plug controller, driven as SeaBIOS' tables drive it, on a v86 without a CPU. */

import { describe, expect, it } from 'vitest';
import { attachVirtioBlk, enableHotplug } from '#src/adapter/v86';
import { attachPciFunction } from '#src/adapter/v86-pci';
import { GuestBlk } from '#src/guest/blk';
import { GuestPci } from '#src/guest/pci';
import { GuestRam } from '#src/guest/ram';
import { ProbeDriver } from '../virtio/probe-driver.ts';
import { FakeV86, functionIn } from './fake-v86.ts';
import { ToyPci } from './toy-pci.ts';

const UP = 0xae00;
const DOWN = 0xae04;
const EJECT = 0xae08;
const PLUGGABLE = 0xae0c;
const GPE_STATUS = 0xafe0;
const GPE_ENABLE = 0xafe2;
const HOTPLUG = 2;

/** v86 with `acpi: true`: its event registers are plain bytes, its timer lowers interrupt 9. */
class AcpiV86 extends FakeV86 {
  readonly gpe = new Uint8Array(4);
  line = false;

  constructor() {
    super();
    const timer = () => {
      this.line = false;
      return 100;
    };
    Object.assign(this.cpu.devices, { acpi: { gpe: this.gpe, timer } });
    const raised = (irq: number) => {
      if (irq === 9) this.line = true;
    };
    Object.assign(this.cpu, { device_raise_irq: raised });
    for (let i = 0; i < 4; i++) {
      const port = this.cpu.io.ports[GPE_STATUS + i]!;
      port.read8 = () => this.gpe[i]!;
      port.write8 = (value) => {
        this.gpe[i] = value;
      };
    }
    this.cpu.devices.pci.device_spaces[1 << 3] = new Int32Array(64); // one of v86's own
  }

  in(port: number): number {
    return this.cpu.io.ports[port]!.read32(port) >>> 0;
  }

  out(port: number, value: number): void {
    this.cpu.io.ports[port]!.write32(value);
  }

  /** Turns the event on, as a kernel does at boot, with nothing pending. */
  enable(): this {
    this.cpu.io.ports[GPE_STATUS]!.write8(0xff);
    this.cpu.io.ports[GPE_ENABLE]!.write8(HOTPLUG);
    return this;
  }

  /** What the timers between two slices leave on the line. */
  tick(): boolean {
    this.cpu.devices.acpi!.timer(0);
    return this.line;
  }

  /** One run of `_L01`: what it is shown, each word read twice. */
  event(): [up: number, down: number] {
    const seen: [number, number] = [this.in(UP), this.in(DOWN)];
    expect([this.in(UP), this.in(DOWN)]).toEqual(seen);
    this.cpu.io.ports[GPE_STATUS]!.write8(HOTPLUG);
    return seen;
  }
}

describe('ACPI hot plug on v86', () => {
  it('offers the slots that are free or ours, and no others', () => {
    const v86 = new AcpiV86();
    expect(v86.in(PLUGGABLE)).toBe(0xffffffff); // nobody there
    expect(enableHotplug(v86)).toBe(true);
    attachPciFunction(v86, new ToyPci());
    expect(v86.in(PLUGGABLE)).toBe(~(1 << 1) >>> 0);
    expect([v86.in(DOWN), v86.in(EJECT)]).toEqual([0, 0]);
  });

  it('tells of what came, until the guest has seen it or it is gone again', () => {
    const v86 = new AcpiV86();
    enableHotplug(v86);
    v86.enable();
    expect(v86.tick()).toBe(false);
    const slot = attachPciFunction(v86, new ToyPci(), { slot: 9 });
    expect([v86.tick(), v86.tick()]).toEqual([true, true]);
    expect(v86.event()).toEqual([1 << 9, 0]);
    expect(v86.tick()).toBe(false);
    expect(v86.event()).toEqual([0, 0]);
    slot.requestEject();
    slot.detach();
    expect(v86.event()).toEqual([0, 0]);
    const other = attachPciFunction(v86, new ToyPci(), { slot: 9 });
    other.detach();
    expect(v86.event()).toEqual([0, 0]);
  });

  it('keeps quiet while the guest has not turned the event on', () => {
    const v86 = new AcpiV86();
    attachPciFunction(v86, new ToyPci());
    expect(v86.tick()).toBe(false);
    v86.cpu.io.ports[GPE_ENABLE]!.write8(HOTPLUG);
    expect(v86.tick()).toBe(true);
  });

  it('what comes while the guest is looking is an event of its own', () => {
    const v86 = new AcpiV86();
    enableHotplug(v86);
    v86.enable();
    attachPciFunction(v86, new ToyPci(), { slot: 9 });
    expect(v86.in(UP)).toBe(1 << 9);
    attachPciFunction(v86, new ToyPci(), { slot: 8 });
    expect(v86.event()).toEqual([1 << 9, 0]);
    expect(v86.tick()).toBe(true);
    expect(v86.event()).toEqual([1 << 8, 0]);
    expect(v86.tick()).toBe(false);
  });

  it('asks the guest to let go, each time anew, and passes its answer to that slot alone', () => {
    const v86 = new AcpiV86();
    const ejected: string[] = [];
    const [a, b] = ['a', 'b'].map((name) =>
      attachPciFunction(v86, new ToyPci(), { ejected: () => ejected.push(name) }),
    );
    v86.enable();
    v86.event();
    for (let round = 0; round < 2; round++) {
      expect(b!.requestEject()).toBe(true);
      expect(v86.tick()).toBe(true);
      expect(v86.event()).toEqual([0, 1 << b!.slot]);
    }
    expect(ejected).toEqual([]);
    v86.out(EJECT, 1 << b!.slot);
    expect(ejected).toEqual(['b']);
    v86.out(EJECT, 1 << 20); // nobody there
    v86.out(EJECT, 1 << a!.slot);
    expect(ejected).toEqual(['b', 'a']);
  });

  it('without ACPI nobody can be asked', async () => {
    const v86 = new FakeV86();
    expect(enableHotplug(v86)).toBe(false);
    const disk = await attachVirtioBlk(v86, {
      disk: { driver: 'memory', options: { size: 4096 } },
    });
    await expect(disk.eject()).rejects.toThrow('acpi: true');
    await disk.detach();
  });

  it('BL-22 a disk that the guest ejects with a request in flight is gone at once, and closed when that has ended', async () => {
    const v86 = new AcpiV86();
    const driver = new ProbeDriver(1 << 20, 'loop');
    const disk = await attachVirtioBlk(v86, { disk: driver });
    const bytes = () => v86.cpu.mem8.slice();
    const guest = new GuestBlk(
      GuestPci.open(functionIn(v86, disk.slot)),
      new GuestRam(disk.core),
      {},
    );
    await guest.start();
    const read = guest.read(0, 4096);
    await new Promise((resolve) => setImmediate(resolve));
    expect(driver.held).toHaveLength(1);
    let ejected = false;
    const asked = disk.eject().then(() => {
      ejected = true;
    });
    const before = bytes();
    v86.out(EJECT, 1 << disk.slot);
    expect(v86.configRead(disk.slot << 3, 0, 4)).toBe(0xffffffff);
    expect(disk.pci.configRead(0, 4)).toBe(0xffffffff);
    for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
    expect(ejected).toBe(false);
    driver.settleAll();
    await Promise.all([asked, disk.ejected, disk.detach()]);
    expect(Buffer.compare(bytes(), before)).toBe(0);
    guest.abandon();
    await expect(read).rejects.toThrow(/ERESET/);
  });
});
