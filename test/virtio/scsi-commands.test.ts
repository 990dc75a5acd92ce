/** Commands of a virtio-scsi host: every transport, both engines, on main and elsewhere. */

import { describe, expect, it } from 'vitest';
import { OP_READ, type RequestTable } from '#src/block/driver';
import type { Framing } from '#src/guest/frame';
import { FRAMINGS } from '#src/guest/frame';
import { ProbeDriver } from './probe-driver.ts';
import {
  CHECK_CONDITION,
  engines,
  GOOD,
  pattern,
  places,
  ScsiRig,
  scsiLun,
  senseOf,
  TEST_UNIT_READY,
  transfer10,
  transports,
} from './scsi-rig.ts';

const MEMORY = { driver: 'memory', options: { size: 1 << 20 } };
const OK = 0;
const OVERRUN = 1;
const BAD_TARGET = 3;
const FAILURE = 9;
const UNIT = scsiLun(0, 0);

/** Fails all that comes by the rows of a table. */
class RowDisk extends ProbeDriver {
  rows = 0;

  submitAll(_op: number, { count, results }: RequestTable): number {
    results.fill(-5, 0, count);
    this.rows += count;
    return count;
  }
}

/** Does nothing, and writes down what comes by the rows of a table. */
class RowLog extends ProbeDriver {
  readonly batches: string[] = [];

  submitAll(op: number, { count, offsets, lengths, results }: RequestTable): number {
    const places = Array.from(offsets.subarray(0, count), (offset) => offset / 512);
    this.batches.push(`${op === OP_READ ? 'read' : 'write'} ${places.join(' ')}`);
    for (let i = 0; i < count; i++) results[i] = lengths[i]!;
    return count;
  }
}

describe.each(transports)('commands behind %s', (transport) => {
  for (const engine of engines) {
    for (const place of places) {
      it(`SC-12 SD-1 what is written is read back, in any framing: ${engine}, ${place}`, async () => {
        const rig = await ScsiRig.open({ engine, transport, place });
        await rig.plug({ disk: MEMORY });
        await rig.plug({ disk: MEMORY, 'scsi-id': 3, lun: 300 });
        const guest = await rig.start();
        // Without ANY_LAYOUT data begin in a buffer of their own (SC-20).
        const joined = rig.bus.legacy ? ['joined'] : [];
        const framings = (FRAMINGS as readonly Framing[]).filter((one) => !joined.includes(one));
        for (const [i, framing] of framings.entries()) {
          for (const lun of [UNIT, scsiLun(3, 300)]) {
            const dataOut = pattern(4096, i + lun[1]!);
            const write = transfer10(true, 8 * i, 8);
            const written = await guest.command(lun, write, { dataOut, framing });
            expect([written.response, written.status, written.residual]).toEqual([OK, GOOD, 0]);
            const read = await guest.command(lun, transfer10(false, 8 * i, 8), {
              dataIn: 4096,
              framing,
            });
            expect([read.response, read.status, read.residual]).toEqual([OK, GOOD, 0]);
            expect(read.data).toEqual(dataOut);
          }
        }
        expect(guest.needsReset).toBe(false);
      });
    }
  }
});

describe.each(engines)('commands, %s', (engine) => {
  it('SC-8 LUNs and targets that are not there, and addresses that none can have', async () => {
    const rig = await ScsiRig.open({ engine });
    await rig.plug({ 'scsi-id': 2, lun: 1 });
    const guest = await rig.start();
    const ask = (lun: Uint8Array) => guest.command(lun, TEST_UNIT_READY);
    expect((await ask(scsiLun(2, 1))).status).toBe(GOOD);
    expect(await ask(scsiLun(1, 0))).toMatchObject({ response: BAD_TARGET, written: 12 });
    const absent = await ask(scsiLun(2, 0));
    expect([absent.response, absent.status]).toEqual([OK, CHECK_CONDITION]);
    expect(senseOf(absent)).toEqual([5, 0x25, 0]);
    for (const bad of [
      [0, 2, 0, 1],
      [2, 2, 0, 1],
      [1, 2, 0x80, 1],
      [1, 2, 0x3f, 1],
    ]) {
      const lun = Uint8Array.from([...bad, 0, 0, 0, 0]);
      expect((await ask(lun)).response, `${bad}`).toBe(BAD_TARGET);
    }
    expect((await ask(Uint8Array.from([1, 2, 0, 1, 0, 0, 0, 0]))).status).toBe(GOOD);
  });

  it('SC-12 more than the buffers is OVERRUN, both directions are FAILURE', async () => {
    const rig = await ScsiRig.open({ engine });
    await rig.plug();
    const guest = await rig.start();
    const over = await guest.command(UNIT, transfer10(false, 0, 2), { dataIn: 1023 });
    expect([over.response, over.residual]).toEqual([OVERRUN, 0]);
    const exact = await guest.command(UNIT, transfer10(false, 0, 2), { dataIn: 1024 });
    expect(exact.response).toBe(OK);
    const both = await guest.command(UNIT, transfer10(false, 0, 1), {
      dataIn: 512,
      dataOut: new Uint8Array(512),
    });
    expect(both.response).toBe(FAILURE);
  });

  it('SC-13 L11 a buffer longer than the CDB asks for keeps its bytes, and the residual says so', async () => {
    const rig = await ScsiRig.open({ engine });
    const driver = new ProbeDriver(1 << 20);
    driver.bytes.set(pattern(4096));
    await rig.plug({ disk: driver });
    const guest = await rig.start();
    const read = await guest.command(UNIT, transfer10(false, 0, 1), { dataIn: 4096 });
    expect([read.response, read.status, read.residual]).toEqual([OK, GOOD, 3584]);
    expect(read.data.subarray(0, 512)).toEqual(pattern(512));
    expect(driver.calls.at(-1)).toMatchObject({ op: 'read', length: 512 });
    const dataOut = pattern(4096, 2);
    const written = await guest.command(UNIT, transfer10(true, 9, 1), { dataOut });
    expect(written.residual).toBe(3584);
    expect(driver.bytes.subarray(9 * 512, 10 * 512)).toEqual(dataOut.subarray(0, 512));
    expect(driver.bytes.subarray(10 * 512, 11 * 512).every((byte) => byte === 0)).toBe(true);
  });

  it('SD-1 a range that ends at the last block is read, one block further is not', async () => {
    const rig = await ScsiRig.open({ engine });
    await rig.plug({ disk: MEMORY });
    const guest = await rig.start();
    const read = (lba: number) => guest.command(UNIT, transfer10(false, lba, 8), { dataIn: 4096 });
    expect((await read(2040)).status).toBe(GOOD);
    const beyond = await read(2041);
    expect([beyond.status, ...senseOf(beyond)]).toEqual([CHECK_CONDITION, 5, 0x21, 0]);
  });

  it('SC-11 a unit attention is told once, by whoever comes first', async () => {
    const rig = await ScsiRig.open({ engine });
    const unit = await rig.plug();
    const guest = await rig.start();
    unit.words.capacityChanged();
    const read = { dataIn: 512 };
    const answers = await guest.together(() =>
      [0, 1, 2].map((lba) => guest.command(UNIT, transfer10(false, lba, 1), read)),
    );
    const checks = answers.filter(({ status }) => status === CHECK_CONDITION);
    expect(checks.map(senseOf)).toEqual([[6, 0x2a, 9]]);
  });

  it('BB-19 a failing read is told to the guest once, after the policy was asked once', async () => {
    const rig = await ScsiRig.open({ engine, machine: true });
    const driver = new ProbeDriver(1 << 20);
    await rig.plug({ disk: driver, id: 'disk' });
    const guest = await rig.start();
    const errors: unknown[] = [];
    rig.machine!.events.on('BLOCK_IO_ERROR', ({ data }) => errors.push(data));
    driver.answer = ({ op }) => (op === OP_READ ? -5 : undefined);
    driver.take();
    const read = await guest.command(UNIT, transfer10(false, 0, 1), { dataIn: 512 });
    expect([read.status, ...senseOf(read)]).toEqual([CHECK_CONDITION, 0xb, 0, 6]);
    expect(driver.take()).toHaveLength(1);
    await rig.quiet();
    expect(errors).toMatchObject([
      { operation: 'read', action: 'report', 'qom-path': '/machine/peripheral/disk' },
    ]);
  });

  it('BB-19 a read that fails by the short way is not done again by the long one', async () => {
    const rig = await ScsiRig.open({ engine });
    const driver = new RowDisk(1 << 20);
    await rig.plug({ disk: driver });
    const guest = await rig.start();
    driver.take();
    const read = await guest.command(UNIT, transfer10(false, 0, 1), { dataIn: 512 });
    expect([read.status, ...senseOf(read)]).toEqual([CHECK_CONDITION, 0xb, 0, 6]);
    expect([driver.rows, driver.take().length]).toEqual([1, 0]);
  });

  it('commands of a mixed batch go to each LUN together, in their order', async () => {
    const rig = await ScsiRig.open({ engine });
    const disks = [0, 1, 2].map(() => new RowLog(1 << 20));
    for (const [lun, disk] of disks.entries()) await rig.plug({ 'scsi-id': 0, lun, disk });
    const guest = await rig.start();
    const ask = (lun: number, kind: string, lba: number) => {
      const data = kind === 'write' ? { dataOut: pattern(512) } : { dataIn: 512 };
      const cdb = transfer10(kind === 'write', lba, 1);
      return kind === 'ready'
        ? guest.command(scsiLun(0, lun), TEST_UNIT_READY)
        : guest.command(scsiLun(0, lun), cdb, data);
    };
    const kinds = ['read', 'read', 'write', 'ready', 'write', 'read'];
    const answers = await guest.together(() =>
      kinds.flatMap((kind, i) => [2, 0, 1, 0].map((lun, j) => ask(lun, kind, 100 * i + 10 * j))),
    );
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => GOOD));
    expect(disks.map(({ batches }) => batches)).toEqual([
      ['read 10 30 110 130', 'write 210 230', 'write 410 430', 'read 510 530'],
      ['read 20 120', 'write 220', 'write 420', 'read 520'],
      ['read 0', 'read 100', 'write 200', 'write 400', 'read 500'],
    ]);
  });

  it('several LUNs in one batch, some of which are not plain, are each answered', async () => {
    const rig = await ScsiRig.open({ engine });
    for (let lun = 0; lun < 3; lun++) await rig.plug({ 'scsi-id': 0, lun, disk: MEMORY });
    const guest = await rig.start();
    const write = (lun: number, lba: number) =>
      guest.command(scsiLun(0, lun), transfer10(true, lba, 1), { dataOut: pattern(512, lba) });
    const answers = await guest.together(() => [
      write(0, 1),
      write(0, 2),
      write(1, 3),
      guest.command(scsiLun(1, 0), TEST_UNIT_READY),
      guest.command(scsiLun(0, 2), TEST_UNIT_READY),
      write(2, 4),
      guest.command(scsiLun(0, 7), TEST_UNIT_READY),
      write(2, 5000),
    ]);
    expect(answers.map(({ response, status }) => [response, status])).toEqual([
      [OK, GOOD],
      [OK, GOOD],
      [OK, GOOD],
      [BAD_TARGET, 0],
      [OK, GOOD],
      [OK, GOOD],
      [OK, CHECK_CONDITION],
      [OK, CHECK_CONDITION],
    ]);
    for (const [lun, lba] of [
      [0, 1],
      [0, 2],
      [1, 3],
      [2, 4],
    ] as const) {
      const read = await guest.command(scsiLun(0, lun), transfer10(false, lba, 1), { dataIn: 512 });
      expect(read.data).toEqual(pattern(512, lba));
    }
  });
});
