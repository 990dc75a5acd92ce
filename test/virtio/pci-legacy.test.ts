import { describe, expect, it } from 'vitest';
import { PciRig } from './pci-rig.ts';
import { ACKNOWLEDGE, DRIVER, DRIVER_OK } from './toy-device.ts';

const LIVE = ACKNOWLEDGE | DRIVER | DRIVER_OK;

/** Legacy registers in BAR 0. */
const out = (rig: PciRig, offset: number, width: 1 | 2 | 4, value: number) =>
  rig.pci.barWrite(0, offset, width, value);
const inp = (rig: PciRig, offset: number, width: 1 | 2 | 4) => rig.pci.barRead(0, offset, width);

function running(rig: PciRig): PciRig {
  rig.setCommand(7);
  out(rig, 18, 1, 0);
  out(rig, 18, 1, ACKNOWLEDGE | DRIVER);
  out(rig, 14, 2, 0);
  out(rig, 8, 4, 1);
  out(rig, 18, 1, LIVE);
  rig.device.take();
  return rig;
}

describe('the legacy interface', () => {
  it('PC-4 features, queue registers and status', () => {
    const rig = new PciRig({ mode: 'legacy' });
    expect(rig.device.legacy).toBe(true);
    expect(inp(rig, 0, 4)).toBe(((1 << 5) | (1 << 27) | (1 << 30) | (3 << 28)) >>> 0);
    out(rig, 4, 4, (1 << 5) | (1 << 6));
    expect(inp(rig, 4, 4)).toBe(1 << 5);
    out(rig, 18, 1, ACKNOWLEDGE);
    expect(inp(rig, 18, 1)).toBe(ACKNOWLEDGE);
    out(rig, 14, 2, 1);
    expect(inp(rig, 14, 2)).toBe(1);
    expect(inp(rig, 12, 2)).toBe(256);
    out(rig, 12, 2, 8); // read-only
    expect(inp(rig, 12, 2)).toBe(256);
    expect(inp(rig, 8, 4)).toBe(0);
    out(rig, 8, 4, 0xfffff);
    expect(inp(rig, 8, 4)).toBe(0xfffff);
    expect(rig.device.take()).toEqual(['enable 1: 256 at fffff000 100000000 100001000']);
    out(rig, 8, 4, 0x123); // enabled: stays
    expect(inp(rig, 8, 4)).toBe(0xfffff);
    out(rig, 14, 2, 2);
    expect([inp(rig, 12, 2), inp(rig, 8, 4)]).toEqual([0, 0]);
    out(rig, 8, 4, 1);
    expect(rig.device.take()).toEqual([]);
  });

  it('PC-4 the highest page is below 2^44, and comes back as it was written', () => {
    const rig = new PciRig({ mode: 'legacy' });
    out(rig, 8, 4, 0xffffffff);
    expect(inp(rig, 8, 4)).toBe(0xffffffff);
    expect(rig.device.take()).toEqual(['enable 0: 256 at ffffffff000 100000000000 100000001000']);
  });

  it('PC-4 page 0 resets the device, and so does status 0', () => {
    for (const [offset, width] of [
      [8, 4],
      [18, 1],
    ] as const) {
      const rig = running(new PciRig({ mode: 'legacy' }));
      out(rig, offset, width, 0);
      expect(rig.device.take()).toEqual([`stop in ${LIVE}`, `reset in ${LIVE}`]);
      expect([inp(rig, 18, 1), inp(rig, 8, 4), inp(rig, 14, 2)]).toEqual([0, 0, 0]);
    }
  });

  it('PC-4 reading the ISR clears it and lowers INTx', () => {
    const rig = running(new PciRig({ mode: 'legacy' }));
    rig.device.interruptQueue(0);
    rig.device.configChanged();
    expect(rig.take()).toEqual(['high']);
    expect(inp(rig, 18, 1)).toBe(LIVE);
    expect(rig.take()).toEqual([]);
    expect([inp(rig, 19, 1), inp(rig, 19, 1)]).toEqual([3, 0]);
    expect(rig.take()).toEqual(['low']);
    rig.device.interruptQueue(0);
    expect(inp(rig, 18, 2)).toBe((1 << 8) | LIVE);
    expect(inp(rig, 19, 1)).toBe(0);
  });

  it('PC-4 MSI-X on or off moves the configuration from 20 to 24 and back', () => {
    const rig = PciRig.withMsi({ mode: 'legacy' });
    expect(inp(rig, 20, 4)).toBe(0x13121110);
    out(rig, 20, 1, 7);
    expect(rig.device.take()).toEqual(['config 0/1 = 7']);
    rig.enableMsix(3);
    expect(inp(rig, 20, 4)).toBe(0xffffffff); // no vectors yet
    expect(inp(rig, 24, 4)).toBe(0x13121110);
    out(rig, 20, 2, 1);
    out(rig, 22, 2, 2);
    expect([inp(rig, 20, 2), inp(rig, 22, 2)]).toEqual([1, 2]);
    out(rig, 22, 2, 3);
    expect(inp(rig, 22, 2)).toBe(0xffff);
    out(rig, 25, 1, 8);
    expect(rig.device.take()).toEqual(['config 1/1 = 8']);
    rig.pci.configWrite(rig.capability(0x11) + 2, 2, 0);
    expect(inp(rig, 20, 4)).toBe(0x13121110);
  });

  it('PC-4 the configuration ends where the device says', () => {
    const rig = new PciRig({ mode: 'legacy' });
    expect([inp(rig, 35, 1), inp(rig, 36, 1), inp(rig, 33, 4)]).toEqual([0x1f, 0xff, 0xffffffff]);
  });

  it('PC-9 the doorbell takes the number of the queue', () => {
    const rig = running(new PciRig({ mode: 'legacy' }));
    out(rig, 16, 2, 0);
    out(rig, 16, 2, 1); // not set up
    out(rig, 16, 2, 0x100); // not there
    expect(rig.device.take()).toEqual([`kick 0 in ${LIVE}`]);
  });

  it('PC-8 legacy quirk: ACKNOWLEDGE and DRIVER turn bus mastering on', () => {
    const rig = new PciRig({ mode: 'legacy' });
    rig.setCommand(1);
    out(rig, 18, 1, ACKNOWLEDGE);
    expect(rig.config(4, 2)).toBe(1);
    out(rig, 18, 1, ACKNOWLEDGE | DRIVER);
    expect(rig.config(4, 2)).toBe(5);
    out(rig, 8, 4, 1);
    out(rig, 18, 1, LIVE);
    rig.device.take();
    out(rig, 16, 2, 0);
    expect(rig.device.take()).toEqual([`kick 0 in ${LIVE}`]);
    const modern = new PciRig();
    modern.write(0x14, 1, ACKNOWLEDGE | DRIVER);
    expect(modern.config(4, 2)).toBe(0);
  });

  it('VC-9 a kick before DRIVER_OK is served', () => {
    const rig = new PciRig({ mode: 'legacy' });
    rig.setCommand(7);
    out(rig, 18, 1, ACKNOWLEDGE | DRIVER);
    out(rig, 8, 4, 1);
    rig.device.take();
    out(rig, 16, 2, 0);
    expect(rig.device.take()).toEqual(['start in 3', 'kick 0 in 3']);
  });

  it('VC-8 a transitional device speaks the guest’s byte order only through BAR 0', () => {
    const rig = new PciRig({ mode: 'transitional' }, { legacyEndian: 'big' });
    expect(inp(rig, 28, 4)).toBe(0x18191a1b);
    const { bar, offset } = rig.vendor(4);
    expect(rig.pci.barRead(bar, offset + 8, 4)).toBe(0x1b1a1918);
  });

  it('a transitional device offers VERSION_1 through the modern interface alone', () => {
    const rig = new PciRig({ mode: 'transitional' });
    rig.write(0, 4, 1);
    expect(rig.read(4, 4) & 1).toBe(1);
    expect(inp(rig, 0, 4) & (1 << 27)).not.toBe(0);
    rig.write(0, 4, 0);
    expect(rig.read(4, 4) & (1 << 27)).toBe(0);
  });

  it('VC-3 a legacy reset with requests in flight reads 0 when they have ended', async () => {
    const rig = running(new PciRig({ mode: 'legacy' }));
    rig.device.busy = true;
    out(rig, 18, 1, 0);
    expect(inp(rig, 18, 1)).toBe(LIVE);
    out(rig, 8, 4, 5);
    await rig.device.settle();
    expect([inp(rig, 18, 1), inp(rig, 8, 4)]).toEqual([0, 0]);
  });
});
