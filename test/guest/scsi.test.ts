/** The SCSI initiator against a scripted host (VIRTIO 1.3, 5.6). */

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FRAMINGS } from '#src/guest/frame';
import { SCSI_MISBEHAVIOURS, SCSI_SCRATCH_BYTES } from '#src/guest/misbehave-scsi';
import { GuestRam } from '#src/guest/ram';
import { GuestScsi, type GuestScsiOptions, scsiLun } from '#src/guest/scsi';
import { GuestScsiBatch } from '#src/guest/scsi-batch';
import { RESPONSE_UNWRITTEN } from '#src/guest/scsi-frame';
import { BROKEN_HEADERS } from '#src/layout';
import {
  VIRTIO_SCSI_CONFIG_CDB_SIZE,
  VIRTIO_SCSI_F_HOTPLUG,
  VIRTIO_SCSI_S_ABORTED,
  VIRTIO_SCSI_S_FUNCTION_SUCCEEDED,
  VIRTIO_SCSI_T_AN_QUERY,
  VIRTIO_SCSI_T_TMF_LOGICAL_UNIT_RESET,
} from '#src/spec';
import { type ScriptedScsi, scriptedScsi } from './scripted-scsi.ts';

const LUN = scsiLun(3, 0x1234);

describe('GuestScsi', () => {
  let device: ScriptedScsi;
  let ram: GuestRam;
  let scsi: GuestScsi;

  async function open(options: GuestScsiOptions = {}): Promise<void> {
    scsi = await GuestScsi.open(device, ram, { relax: () => {}, ...options });
  }

  beforeEach(async () => {
    device = await scriptedScsi();
    ram = new GuestRam(device.core);
  });

  afterEach(async () => {
    await scsi?.reset();
    expect(ram.allocatedBytes).toBe(0);
  });

  it('SC-8 a logical unit is addressed by bus 1, its target, and its number, flat', () => {
    expect([...scsiLun(3, 5)]).toEqual([1, 3, 0x40, 5, 0, 0, 0, 0]);
    expect([...scsiLun(255, 16383)]).toEqual([1, 255, 0x7f, 0xff, 0, 0, 0, 0]);
  });

  it('5.6.6.1 the device sees header, CDB and data-out, in any framing and ring form', async () => {
    const dataOut = Uint8Array.from({ length: 5000 }, (_, i) => i * 7);
    const cdb = [0x2a, 1, 2, 3, 4, 5, 6, 7, 8, 9];
    for (const form of ['direct', 'indirect', 'mixed'] as const) {
      await open({ form });
      expect(scsi.has(VIRTIO_SCSI_F_HOTPLUG)).toBe(true);
      for (const framing of FRAMINGS) {
        device.commands.length = 0;
        const tag = 2 ** 40 + 77;
        const result = await scsi.command(LUN, cdb, { dataOut, framing, tag, attribute: 2 });
        expect(device.commands).toHaveLength(1);
        const [seen] = device.commands;
        expect(seen).toMatchObject({ lun: [...LUN], tag, attribute: 2, inBytes: 0 });
        expect(seen!.cdb).toEqual([...cdb, ...new Array<number>(22).fill(0)]);
        expect(Buffer.compare(seen!.dataOut, dataOut)).toBe(0);
        expect(result).toMatchObject({ response: 0, status: 0, residual: 0, written: 12 });
      }
      await scsi.reset();
    }
  });

  it('5.6.6.1 response, sense, residual and data-in come back, in any framing', async () => {
    const dataIn = Uint8Array.from({ length: 3000 }, (_, i) => i * 5 + 1);
    const sense = [0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x24, 0, 0, 0, 0, 0];
    device.onCommand = () => ({ status: 2, residual: 1096, sense, dataIn });
    await open();
    for (const framing of FRAMINGS) {
      const result = await scsi.command(LUN, [0x12], { dataIn: 4096, framing });
      expect(result).toMatchObject({ response: 0, status: 2, residual: 1096, written: 30 });
      expect([...result.sense]).toEqual(sense);
      expect(result.data).toHaveLength(4096);
      expect(Buffer.compare(result.data.subarray(0, 3000), dataIn)).toBe(0);
      expect(result.data.subarray(3000).every((byte) => byte === 0)).toBe(true);
    }
    device.onCommand = () => ({ code: VIRTIO_SCSI_S_ABORTED });
    const { response, sense: none } = await scsi.command(LUN, [0]);
    expect([response, none.length]).toEqual([VIRTIO_SCSI_S_ABORTED, 0]);
  });

  it('SC-21 CDB and sense have the sizes of the configuration', async () => {
    await open();
    expect([scsi.cdbSize, scsi.senseSize, scsi.commandQueues]).toEqual([32, 96, 2]);
    scsi.writeSizes(16, 4);
    expect([device.readConfig(VIRTIO_SCSI_CONFIG_CDB_SIZE), scsi.senseSize]).toEqual([16, 4]);
    device.onCommand = () => ({ status: 2, sense: [1, 2, 3, 4, 5] });
    const cdb = Array.from({ length: 20 }, (_, i) => i + 1);
    const { sense } = await scsi.command(LUN, cdb, { dataIn: 8 });
    expect([...sense]).toEqual([1, 2, 3, 4]);
    expect(device.commands[0]!.cdb).toEqual([...cdb.slice(0, 16), ...new Array(16).fill(0)]);
    expect([device.commands[0]!.inBytes, device.commands[0]!.dataOut.length]).toEqual([8, 0]);
  });

  it('several queues, tags of their own, one doorbell for all started together', async () => {
    await open({ commandQueues: 2 });
    device.kicks = 0;
    await scsi.together(() => [0, 1, 0, 1, 0].map((queue) => scsi.command(LUN, [0], { queue })));
    expect(device.kicks).toBe(2);
    expect(new Set(device.commands.map(({ tag }) => tag)).size).toBe(5);
  });

  it('more commands than the ring has room for wait for it', async () => {
    await open({ form: 'direct' });
    const results = await Promise.all(
      Array.from({ length: 100 }, (_, i) => scsi.command(LUN, [0], { tag: i })),
    );
    expect(results.every(({ response }) => response === 0)).toBe(true);
    expect(device.commands.map(({ tag }) => tag)).toEqual(results.map((_, i) => i));
    const huge = scsi.command(LUN, [0], { framing: 'scattered', dataIn: 1 << 19 });
    expect((await huge).response).toBe(0);
    expect(scsi.pending).toBe(0);
  });

  it('SC-14 task management on the control queue', async () => {
    await open();
    device.onControl = () => Uint8Array.of(VIRTIO_SCSI_S_FUNCTION_SUCCEEDED);
    const type = VIRTIO_SCSI_T_TMF_LOGICAL_UNIT_RESET;
    const answer = await scsi.taskManagement(type, LUN, 2 ** 40 + 5);
    expect(answer).toBe(VIRTIO_SCSI_S_FUNCTION_SUCCEEDED);
    const want = [0, 0, 0, 0, type, 0, 0, 0, ...LUN, 5, 0, 0, 0, 0, 1, 0, 0];
    expect([...device.controls[0]!]).toEqual(want);
    device.onControl = () => new Uint8Array(0);
    expect(await scsi.taskManagement(type, LUN)).toBe(RESPONSE_UNWRITTEN);
  });

  it('SC-22 notification requests', async () => {
    await open();
    device.onControl = () => Uint8Array.of(4, 3, 2, 1, 0);
    const answer = await scsi.notification(VIRTIO_SCSI_T_AN_QUERY, LUN, 0x0a0b0c0d);
    expect(answer).toEqual({ events: 0x01020304, response: 0 });
    expect([...device.controls[0]!]).toEqual([1, 0, 0, 0, ...LUN, 13, 12, 11, 10]);
  });

  it('SC-18 events are told, and their buffers go back', async () => {
    await open({ events: 2 });
    const event = Uint8Array.of(1, 0, 0, 0x80, ...LUN, 2, 0, 0, 0);
    const next = scsi.nextEvent();
    expect(device.sendEvent(event)).toBe(true);
    expect(await next).toEqual({ event: 1, missed: true, lun: LUN, reason: 2, written: 16 });
    const seen: number[] = [];
    scsi.onEvent = ({ reason, missed }) => seen.push(missed ? -1 : reason);
    for (let i = 0; i < 5; i++) {
      event[3] = 0;
      event[12] = i;
      expect(device.sendEvent(event)).toBe(true);
      scsi.poll();
    }
    expect(seen).toEqual([0, 1, 2, 3, 4]);
    scsi.eventBuffers!.refill = false;
    expect([0, 1, 2].map(() => device.sendEvent(event))).toEqual([true, true, false]);
    scsi.poll();
    expect(device.sendEvent(event)).toBe(false);
  });

  it('a reset drops what is under way, and the driver starts again', async () => {
    await open();
    device.kick = () => {};
    const lost = scsi.command(LUN, [0]);
    const task = scsi.taskManagement(0, LUN);
    await scsi.reset();
    await expect(lost).rejects.toMatchObject({ code: 'ERESET' });
    await expect(task).rejects.toMatchObject({ code: 'ERESET' });
    expect(ram.allocatedBytes).toBe(0);
    await scsi.start();
    expect(scsi.eventBuffers).not.toBe(null);
  });

  it('a batch fills a ring, and takes back each slot once', async () => {
    await open({ form: 'indirect' });
    const batch = new GuestScsiBatch(scsi, { depth: 64, bytes: 4096 });
    device.onCommand = ({ cdb, inBytes }) => ({
      status: cdb[5] === 3 ? 2 : 0,
      dataIn: new Uint8Array(inBytes).fill(cdb[5]!),
    });
    const lba = 0x0102_0300;
    for (let round = 0; round < 2; round++) {
      for (let slot = 0; slot < 64; slot++) {
        expect(batch.transfer(slot, LUN, slot % 2 === 1, lba + slot, 8)).toBe(true);
      }
      expect(batch.add(0, LUN, new Uint8Array(6), 0, 0)).toBe(false);
      device.commands.length = device.kicks = 0;
      batch.submit();
      expect([device.kicks, device.commands.length]).toEqual([1, 64]);
      const slots = Array.from({ length: 64 }, () => batch.take());
      expect(new Set(slots).size).toBe(64);
      expect(batch.take()).toBe(-1);
      expect(slots.filter((slot) => !batch.succeeded(slot))).toEqual([3]);
      expect(batch.frames[4]!.getData().every((byte) => byte === 4)).toBe(true);
      expect(batch.written[4]).toBe(12);
      expect(device.commands[5]!.cdb.slice(0, 10)).toEqual([0x2a, 0, 1, 2, 3, 5, 0, 0, 8, 0]);
      expect([device.commands[4]!.cdb[0], device.commands[5]!.dataOut.length]).toEqual([
        0x28, 4096,
      ]);
    }
    batch.close();
  });

  it('a device of another kind is refused', async () => {
    const { name, legacy, ringAlign } = device;
    const other = { name, legacy, ringAlign, deviceId: 2 } as unknown as ScriptedScsi;
    expect(() => new GuestScsi(other, ram)).toThrow('ENODEV');
  });

  describe('SCSI_MISBEHAVIOURS', () => {
    for (const { row, name, queue, expect: outcome, answers, run } of SCSI_MISBEHAVIOURS) {
      if (queue < 2) continue;
      it(`${row} ${name}: ${outcome}`, async () => {
        await open();
        const scratch = ram.allocate(SCSI_SCRATCH_BYTES, 16);
        const used = () => scsi.rings[queue]!.inFlight;
        run(scsi, scratch);
        const sent = used();
        expect(sent).toBeGreaterThan(0);
        scsi.poll();
        expect(sent - used()).toBe(answers);
        expect(device.broken(queue)).toBe(outcome === 'breaks' ? BROKEN_HEADERS : 0);
        await scsi.reset();
        ram.free(scratch);
      });
    }
  });
});
