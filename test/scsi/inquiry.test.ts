import { describe, expect, it } from 'vitest';
import { be, rig, run, verdict } from './rig.ts';

const text = (bytes: Uint8Array) => String.fromCharCode(...bytes);
const inquiry = (page: number, flags: number, length: number) => [
  0x12,
  flags,
  page,
  ...be(length, 2),
  0,
];
const vpd = (page: number, length = 255) => inquiry(page, 1, length);

describe('SD-2 INQUIRY', () => {
  it.each([
    ['hd', {}, 0x00, 0x00, 'QEMU    ', 'QEMU HARDDISK   '],
    ['hd', { removable: true, vendor: 'ACME' }, 0x00, 0x80, 'ACME    ', 'QEMU HARDDISK   '],
    ['cd', { product: 'Sixteen letters!' }, 0x05, 0x80, 'QEMU    ', 'Sixteen letters!'],
    ['cd', {}, 0x05, 0x80, 'QEMU    ', 'QEMU CD-ROM     '],
  ] as const)(
    'SD-2 standard data of %s %j',
    async (type, unit, device, removable, vendor, product) => {
      const r = await rig(type, { unit });
      const { buffers, residual, moved } = run(r, inquiry(0, 0, 96), { in: 96 });
      expect([moved, residual]).toEqual([36, 60]);
      const data = buffers.in;
      expect([...data.subarray(0, 8)]).toEqual([device, removable, 5, 0x12, 31, 0, 0, 0x12]);
      expect(text(data.subarray(8, 16))).toBe(vendor);
      expect(text(data.subarray(16, 32))).toBe(product);
      expect(text(data.subarray(32, 36))).toBe('2.5+');
      expect(buffers.untouched(36)).toBe(true);
    },
  );

  it('SD-2 a short allocation length cuts, and nothing behind it is touched', async () => {
    const r = await rig('hd');
    const { buffers, moved } = run(r, inquiry(0, 0, 5), { in: 36 });
    expect(moved).toBe(5);
    expect(buffers.untouched(5)).toBe(true);
    expect(buffers.in[4]).toBe(31);
    expect(verdict(run(r, inquiry(0, 0, 0)))).toBe('GOOD');
  });

  it.each([
    ['CmdDt', inquiry(0, 2, 36)],
    ['a page code without EVPD', inquiry(0x80, 0, 36)],
    ['a page that is not there', vpd(0xc0)],
    ['page 80 of a unit without a serial', vpd(0x80)],
  ])('SD-2 %s is 24/00', async (_name, cdb) => {
    const r = await rig('hd');
    expect(verdict(run(r, cdb, { in: 255 }))).toBe('5/24/00');
  });

  it.each([
    ['hd', {}, [0x00, 0x83, 0xb0, 0xb1, 0xb2]],
    ['hd', { serial: 'S1' }, [0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2]],
    ['cd', { serial: 'S1' }, [0x00, 0x80, 0x83]],
  ] as const)('SD-2 VPD 00 of %s %j lists what there is', async (type, unit, pages) => {
    const r = await rig(type, { unit });
    const { buffers, moved } = run(r, vpd(0), { in: 255 });
    const device = type === 'hd' ? 0 : 5;
    expect([...buffers.in.subarray(0, moved)]).toEqual([device, 0, 0, pages.length, ...pages]);
    for (const page of pages) expect(verdict(run(r, vpd(page), { in: 255 }))).toBe('GOOD');
    for (const page of [0xb0, 0xb1, 0xb2].filter((page) => type === 'cd' && page)) {
      expect(verdict(run(r, vpd(page), { in: 255 }))).toBe('5/24/00');
    }
  });

  it('SD-2 VPD 80 is the serial, all 36 characters of it', async () => {
    const serial = 'abcdefghijklmnopqrstuvwxyz0123456789';
    const r = await rig('hd', { unit: { serial } });
    const { buffers, moved } = run(r, vpd(0x80), { in: 255 });
    expect([...buffers.in.subarray(0, 4)]).toEqual([0, 0x80, 0, 36]);
    expect(text(buffers.in.subarray(4, moved))).toBe(serial);
  });

  it('SD-2 VPD 83: device id, NAA names and port, in this order', async () => {
    const unit = { device_id: 'disk-1', wwn: '0x5000c500a1b2c3d4', port_wwn: 5n, port_index: 258 };
    const r = await rig('hd', { unit });
    const { buffers, moved } = run(r, vpd(0x83), { in: 255 });
    const list = [
      ...[0x02, 0, 0, 6, ...'disk-1'].map((c) => (typeof c === 'string' ? c.charCodeAt(0) : c)),
      ...[0x01, 0x03, 0, 8, 0x50, 0x00, 0xc5, 0x00, 0xa1, 0xb2, 0xc3, 0xd4],
      ...[0x61, 0x93, 0, 8, 0, 0, 0, 0, 0, 0, 0, 5],
      ...[0x61, 0x94, 0, 4, 0, 0, 1, 2],
    ];
    expect([...buffers.in.subarray(0, moved)]).toEqual([0, 0x83, 0, list.length, ...list]);
  });

  it.each([
    ['the serial, 20 characters of it', { serial: 'x'.repeat(21) }, {}, 'x'.repeat(20)],
    ["the backend's name", {}, { name: 'drive-é' }, 'drive-?'],
  ])('SD-2 VPD 83 without device_id has %s', async (_name, unit, backend, id) => {
    const r = await rig('hd', { unit, backend });
    const { buffers, moved } = run(r, vpd(0x83), { in: 255 });
    expect(text(buffers.in.subarray(8, moved))).toBe(id);
  });

  it('SD-2 VPD B0: limits in blocks, with and without discard', async () => {
    const r = await rig('hd', { unit: { logical_block_size: 4096, discard_granularity: 8192 } });
    const { buffers, moved } = run(r, vpd(0xb0), { in: 255 });
    expect(moved).toBe(64);
    const data = buffers.in;
    expect([...data.subarray(0, 5)]).toEqual([0, 0xb0, 0, 60, 1]);
    const word = (at: number) => [...data.subarray(at, at + 4)];
    expect(word(8)).toEqual(be(0x7ffff, 4));
    expect(word(20)).toEqual(be(262_144, 4));
    expect(word(24)).toEqual(be(255, 4));
    expect(word(28)).toEqual(be(2, 4));
    expect(word(40)).toEqual(be(0x7ffff, 4));
    const none = await rig('hd', { unit: { discard_granularity: 0 } });
    const limits = run(none, vpd(0xb0, 64), { in: 64 }).buffers.in;
    expect([...limits.subarray(20, 32)]).toEqual(new Array(12).fill(0));
  });

  it('SD-2 VPD B1 is the rotation rate, VPD B2 how blocks are provisioned', async () => {
    const r = await rig('hd', { unit: { rotation_rate: 7200 } });
    const b1 = run(r, vpd(0xb1), { in: 255 });
    expect([b1.moved, b1.buffers.in[3], ...b1.buffers.in.subarray(4, 6)]).toEqual([
      64, 60, 0x1c, 0x20,
    ]);
    const b2 = run(r, vpd(0xb2), { in: 255 });
    expect([...b2.buffers.in.subarray(0, b2.moved)]).toEqual([0, 0xb2, 0, 4, 0, 0xe0, 2, 0]);
    const thick = await rig('hd', { unit: { discard_granularity: 0 } });
    expect(run(thick, vpd(0xb2, 8), { in: 8 }).buffers.in[6]).toBe(1);
  });
});
