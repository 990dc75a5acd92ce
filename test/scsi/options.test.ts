import { describe, expect, it } from 'vitest';
import { BlockBackend } from '#src/block/backend';
import { OptionError } from '#src/block/error';
import { readScsiUnitOptions, type ScsiUnitOptions } from '#src/scsi/unit-options';
import { ScriptDriver } from '../block/script-driver.ts';
import { openBus } from './rig.ts';

async function read(type: 'hd' | 'cd', options: object, alignment = 1) {
  const { core, context } = await openBus();
  const driver = Object.assign(new ScriptDriver('inline'), { alignment });
  const size = Math.max(512, alignment);
  const backend = BlockBackend.attach(core, context, driver, {
    name: 'disk0',
    logicalBlockSize: size,
  });
  return readScsiUnitOptions(core, type, backend, options as ScsiUnitOptions);
}

describe('options of a unit', () => {
  it('have the defaults of QEMU, and are plain data', async () => {
    const hd = await read('hd', {});
    expect(structuredClone(hd)).toEqual({
      type: 'hd',
      id: null,
      scsiId: null,
      lun: null,
      serial: '',
      wwn: null,
      portWwn: null,
      portIndex: 0,
      vendor: 'QEMU',
      product: 'QEMU HARDDISK',
      version: '2.5+',
      deviceId: 'disk0',
      logicalBlockSize: 512,
      physicalBlockSize: 512,
      discardGranularity: 4096,
      rotationRate: 0,
      removable: false,
    });
    expect(await read('cd', {})).toMatchObject({
      product: 'QEMU CD-ROM',
      logicalBlockSize: 2048,
      physicalBlockSize: 2048,
      removable: true,
    });
    expect(await read('hd', { logical_block_size: 8192 })).toMatchObject({
      discardGranularity: 8192,
    });
  });

  it.each([
    ['channel', 0, 1],
    ['scsi-id', 255, 256],
    ['scsi-id', 0, -1],
    ['lun', 16_383, 16_384],
    ['lun', 0, 1.5],
    ['serial', 'x'.repeat(36), 'x'.repeat(37)],
    ['serial', 'a b', 'ä'],
    ['wwn', '0xffffffffffffffff', '0x10000000000000000'],
    ['wwn', 1, -1],
    ['port_wwn', '18446744073709551615', 'none'],
    ['port_index', 65_535, 65_536],
    ['vendor', '12345678', '123456789'],
    ['product', '1234567890123456', '12345678901234567'],
    ['ver', '1234', '12345'],
    ['device_id', 'x'.repeat(247), 'x'.repeat(248)],
    ['logical_block_size', 4096, 4097],
    ['logical_block_size', 512, 256],
    ['logical_block_size', 2_097_152, 4_194_304],
    ['physical_block_size', 4096, 256],
    ['discard_granularity', 0, 100],
    ['discard_granularity', 1024, -512],
    ['rotation_rate', 65_535, 65_536],
    ['removable', true, 'yes'],
    ['id', 'disk-1.a', '1disk'],
    ['id', undefined, 'spindle!'],
  ])('%s: %j is allowed, %j is not', async (option, right, wrong) => {
    await read('hd', { [option]: right });
    const error = await read('hd', { [option]: wrong }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(OptionError);
    expect(error).toMatchObject({ option, value: wrong });
    expect((error as OptionError).allowed.length).toBeGreaterThan(0);
  });

  it.each([
    ['an option that there is not', 'hd', { spindles: 1 }, 1, 'spindles'],
    ['a CD with blocks of 512', 'cd', { logical_block_size: 512 }, 1, 'logical_block_size'],
    ['a CD that cannot be taken out', 'cd', { removable: false }, 1, 'removable'],
    ['blocks that the disk has not', 'hd', { logical_block_size: 512 }, 4096, 'logical_block_size'],
    [
      'physical blocks that are smaller',
      'hd',
      { logical_block_size: 4096, physical_block_size: 512 },
      1,
      'physical_block_size',
    ],
  ] as const)('refuse %s', async (_name, type, options, alignment, option) => {
    await expect(read(type, options, alignment)).rejects.toMatchObject({ option });
  });

  it('need a drive, and an hd needs a medium in it', async () => {
    const { core, context } = await openBus();
    const empty = BlockBackend.empty(core, context);
    expect(() => readScsiUnitOptions(core, 'hd', null, {})).toThrow('drive: null');
    expect(() => readScsiUnitOptions(core, 'hd', empty, {})).toThrow("drive: 'empty'");
    expect(readScsiUnitOptions(core, 'cd', empty, {}).logicalBlockSize).toBe(2048);
  });

  it('take a world wide name as two words', async () => {
    const { wwn, portWwn } = await read('hd', { wwn: '0x5000c500a1b2c3d4', port_wwn: 0 });
    expect([wwn, portWwn]).toEqual([[0x5000c500, 0xa1b2c3d4], null]);
  });
});
