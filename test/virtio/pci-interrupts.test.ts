import { describe, expect, it } from 'vitest';
import { PciRig } from './pci-rig.ts';
import { RUNNING, start } from './toy-device.ts';

const MASTER = 7;
const INTX_DISABLE = 0x400;

function running(rig: PciRig): PciRig {
  rig.setCommand(MASTER);
  start(rig.device);
  return rig;
}

describe('INTx', () => {
  it('PC-5 goes high once for two causes, and low when the ISR is read', () => {
    const rig = running(new PciRig());
    rig.device.interruptQueue(0);
    rig.device.interruptQueue(0);
    expect(rig.take()).toEqual(['high']);
    expect(rig.readIsr()).toBe(1);
    expect(rig.take()).toEqual(['low']);
    expect(rig.readIsr()).toBe(0);
    expect(rig.take()).toEqual([]);
  });

  it('VC-4 a configuration change sets both ISR bits; one read reports all causes (PC-5)', () => {
    const rig = running(new PciRig());
    rig.device.interruptQueue(0);
    rig.device.configChanged();
    expect(rig.take()).toEqual(['high']);
    expect(rig.readIsr()).toBe(3);
    expect(rig.readIsr()).toBe(0);
  });

  it('PC-5 the status register shows the interrupt, the command register can hold the line', () => {
    const rig = running(new PciRig());
    expect(rig.config(6, 2) & 8).toBe(0);
    rig.setCommand(MASTER | INTX_DISABLE);
    rig.device.interruptQueue(0);
    expect(rig.take()).toEqual([]);
    expect(rig.config(6, 2) & 8).toBe(8);
    rig.setCommand(MASTER);
    rig.setCommand(MASTER | INTX_DISABLE);
    expect(rig.take()).toEqual(['high', 'low']);
    rig.readIsr();
    rig.setCommand(MASTER);
    expect(rig.take()).toEqual([]);
    expect(rig.config(6, 2) & 8).toBe(0);
  });

  it('PC-5 only a read of the ISR byte itself clears it', () => {
    const rig = running(new PciRig());
    rig.device.interruptQueue(0);
    const { bar, offset } = rig.vendor(3);
    expect(rig.pci.barRead(bar, offset + 1, 1)).toBe(0);
    expect(rig.pci.barRead(bar, offset, 4)).toBe(1);
    expect(rig.take()).toEqual(['high', 'low']);
  });

  it('a reset lowers the line', () => {
    const rig = running(new PciRig());
    rig.device.interruptQueue(0);
    rig.write(0x14, 1, 0);
    expect(rig.take()).toEqual(['high', 'low']);
    expect(rig.readIsr()).toBe(0);
  });
});

describe('MSI-X of a device', () => {
  it('PC-5 MSI-X enabled: never INTx, and no vector means no interrupt', () => {
    const rig = running(PciRig.withMsi());
    rig.enableMsix(3);
    rig.device.interruptQueue(0);
    rig.device.configChanged();
    expect(rig.take()).toEqual([]);
    rig.write(0x16, 2, 0);
    rig.write(0x1a, 2, 1);
    rig.write(0x10, 2, 2);
    rig.device.interruptQueue(0);
    rig.device.configChanged();
    expect(rig.take()).toEqual(['msi fee00000 101', 'msi fee00000 102']);
  });

  it('PC-5 turning MSI-X on lowers the line; an old ISR does not raise it when it goes off', () => {
    const rig = running(PciRig.withMsi());
    rig.device.interruptQueue(0);
    rig.enableMsix(3);
    expect(rig.take()).toEqual(['high', 'low']);
    rig.device.interruptQueue(0);
    rig.pci.configWrite(rig.capability(0x11) + 2, 2, 0);
    expect(rig.take()).toEqual([]);
    rig.device.interruptQueue(0);
    expect(rig.take()).toEqual(['high']);
  });

  it('VC-6 the ISR bit is set even with MSI', () => {
    const rig = running(PciRig.withMsi());
    rig.enableMsix(3);
    rig.device.interruptQueue(0);
    expect(rig.readIsr()).toBe(1);
    rig.device.configChanged();
    expect(rig.readIsr()).toBe(3);
  });

  it('PC-3 a vector that is not there reads back FFFF, the last one sticks', () => {
    const rig = running(PciRig.withMsi());
    rig.write(0x10, 2, 2);
    expect(rig.read(0x10, 2)).toBe(2);
    rig.write(0x10, 2, 3);
    expect(rig.read(0x10, 2)).toBe(0xffff);
    rig.write(0x1a, 2, 2);
    expect(rig.read(0x1a, 2)).toBe(2);
    rig.write(0x1a, 2, 0xfffe);
    expect(rig.read(0x1a, 2)).toBe(0xffff);
    const without = new PciRig();
    without.write(0x10, 2, 0);
    expect(without.read(0x10, 2)).toBe(0xffff);
  });

  it('PC-6 mask by message control, complete three times, unmask: one message', () => {
    const rig = running(PciRig.withMsi());
    rig.enableMsix(3);
    rig.write(0x1a, 2, 1);
    const control = rig.capability(0x11) + 2;
    rig.pci.configWrite(control, 2, 0xc000);
    for (let i = 0; i < 3; i++) rig.device.interruptQueue(0);
    expect(rig.pci.barRead(1, 0x800, 4)).toBe(2);
    rig.pci.configWrite(control + 1, 1, 0x80);
    expect(rig.take()).toEqual(['msi fee00000 101']);
    expect(rig.pci.barRead(1, 0x800, 4)).toBe(0);
    expect(rig.config(control, 2)).toBe(0x8002);
  });

  it('PC-7 two queues share a vector: it works until both have left it', () => {
    const rig = running(PciRig.withMsi());
    rig.device.enableQueue(1);
    rig.enableMsix(3);
    for (const queue of [0, 1]) {
      rig.write(0x16, 2, queue);
      rig.write(0x1a, 2, 1);
    }
    rig.write(0x1a, 2, 0xffff); // queue 1 leaves
    rig.device.interruptQueue(0);
    rig.device.interruptQueue(1);
    expect(rig.take()).toEqual(['msi fee00000 101']);
    rig.pci.barWrite(1, 16 + 12, 4, 1);
    rig.device.interruptQueue(0);
    rig.write(0x16, 2, 0);
    rig.write(0x1a, 2, 2); // the last user leaves: what is pending is dropped
    rig.pci.barWrite(1, 16 + 12, 4, 0);
    expect(rig.take()).toEqual([]);
    rig.device.interruptQueue(0);
    expect(rig.take()).toEqual(['msi fee00000 102']);
  });

  it('PC-7 after a reset all vectors are NO_VECTOR and unused', () => {
    const rig = running(PciRig.withMsi());
    rig.enableMsix(3);
    rig.write(0x1a, 2, 1);
    rig.write(0x10, 2, 0);
    rig.pci.barWrite(1, 16 + 12, 4, 1);
    rig.device.interruptQueue(0); // pending
    rig.write(0x14, 1, 0);
    rig.pci.barWrite(1, 16 + 12, 4, 0);
    expect(rig.take()).toEqual([]);
    expect([rig.read(0x10, 2), rig.read(0x1a, 2)]).toEqual([0xffff, 0xffff]);
  });

  it('has as many vectors as asked, and none without a function to send', () => {
    const size = (rig: PciRig) => rig.config(rig.capability(0x11) + 2, 2);
    expect(size(PciRig.withMsi())).toBe(2);
    expect(size(PciRig.withMsi({ vectors: 5 }))).toBe(4);
    for (const rig of [new PciRig(), PciRig.withMsi({ vectors: 0 })]) {
      expect(rig.capabilities().some(({ id }) => id === 0x11)).toBe(false);
      expect(rig.pci.bars.some(({ index }) => index === 1)).toBe(false);
    }
    const at = PciRig.withMsi().capability(0x11);
    expect([4, 8].map((offset) => PciRig.withMsi().config(at + offset, 4))).toEqual([1, 0x801]);
  });
});

describe('bus mastering', () => {
  it('PC-8 is off at first: nothing is served until the driver turns it on', () => {
    const rig = new PciRig();
    start(rig.device);
    rig.device.kick(0);
    expect(rig.device.take()).toEqual([]);
    rig.setCommand(MASTER);
    expect(rig.device.take()).toEqual([`kick 0 in ${RUNNING}`]);
  });

  it('PC-8 cleared during I/O: DRIVER_OK goes, requests are dropped, nothing is touched after', async () => {
    const rig = running(new PciRig());
    rig.device.busy = true;
    rig.setCommand(3);
    expect(rig.device.take()).toEqual([`stop in ${RUNNING & ~4}`, 'disable 0']);
    expect(rig.device.status).toBe(RUNNING & ~4);
    rig.device.interruptQueue(0);
    rig.device.kick(0);
    await rig.device.settle();
    expect(rig.take()).toEqual([]);
    rig.setCommand(MASTER);
    rig.device.kick(0);
    expect(rig.device.take()).toEqual([]);
    rig.write(0x14, 1, 0);
    rig.device.take();
    start(rig.device);
    rig.device.kick(0);
    expect(rig.device.take()).toEqual([`kick 0 in ${RUNNING}`]);
  });

  it('PC-8 other command bits leave the device alone', () => {
    const rig = running(new PciRig());
    rig.setCommand(4);
    rig.setCommand(MASTER | 0x100);
    expect(rig.device.take()).toEqual([]);
    expect(rig.device.status).toBe(RUNNING);
  });
});

describe('power and function level reset', () => {
  it('PC-10 D3hot keeps the state and answers only in configuration space', () => {
    const rig = running(PciRig.withMsi());
    rig.enableMsix(3);
    rig.write(0x10, 2, 1);
    const control = rig.capability(1) + 4;
    expect(rig.config(control, 2)).toBe(8); // D0, no soft reset
    rig.pci.configWrite(control, 2, 3);
    expect(rig.config(control, 2)).toBe(8 | 3);
    expect(rig.pci.barRead(4, 0x14, 1)).toBe(0xff);
    rig.pci.barWrite(4, 0x14, 1, 0);
    expect(rig.pci.barAddress(4)).toBe(null);
    rig.device.configChanged();
    expect(rig.take()).toEqual([]);
    rig.pci.configWrite(control, 2, 0);
    expect(rig.take()).toEqual(['msi fee00000 101']);
    expect(rig.pci.barRead(4, 0x14, 1)).toBe(RUNNING);
    expect(rig.pci.barAddress(4)).toBe(0);
  });

  it('PC-10 D3hot lowers the line until D0', () => {
    const rig = running(new PciRig());
    const control = rig.capability(1) + 4;
    rig.device.interruptQueue(0);
    rig.pci.configWrite(control, 1, 3);
    rig.pci.configWrite(control, 1, 0);
    expect(rig.take()).toEqual(['high', 'low', 'high']);
  });

  it('PC-10 D1 and D2 are not there', () => {
    const rig = new PciRig();
    const control = rig.capability(1) + 4;
    for (const state of [1, 2]) {
      rig.pci.configWrite(control, 2, state);
      expect(rig.config(control, 2)).toBe(8);
    }
  });

  it('PC-10 FLR resets device and configuration space', () => {
    const rig = running(PciRig.withMsi());
    rig.pci.configWrite(0x20, 4, 0xfe000000);
    rig.pci.configWrite(0x3c, 1, 11);
    rig.enableMsix(3);
    rig.write(0x10, 2, 1);
    const flr = rig.capability(0x13);
    expect(rig.config(flr + 2, 1)).toBe(6);
    expect(rig.config(flr + 3, 1)).toBe(3);
    rig.pci.configWrite(flr + 4, 1, 0);
    expect(rig.device.status).toBe(RUNNING);
    rig.pci.configWrite(flr + 4, 1, 1);
    expect(rig.device.status).toBe(0);
    expect([rig.config(4, 2), rig.config(0x20, 4), rig.config(0x3c, 1)]).toEqual([0, 0xc, 0]);
    expect(rig.config(flr + 4, 2)).toBe(0);
    expect(rig.config(rig.capability(0x11) + 2, 2)).toBe(2);
    expect(rig.pci.barRead(1, 12, 4)).toBe(1);
    expect(rig.config(0, 4)).toBe(0x10421af4);
    running(rig);
    rig.device.kick(0);
    expect(rig.device.take()).toEqual([`kick 0 in ${RUNNING}`]);
  });

  it('PC-10 FLR with requests in flight: status reads 0 when they have ended', async () => {
    const rig = running(new PciRig());
    rig.device.busy = true;
    rig.pci.configWrite(rig.capability(0x13) + 4, 1, 1);
    expect(rig.read(0x14, 1)).not.toBe(0);
    await rig.device.settle();
    expect(rig.read(0x14, 1)).toBe(0);
  });
});
