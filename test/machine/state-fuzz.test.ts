/**
 * 150,000 states that were cut off or altered, their check sums mended: each is refused, or loads
 * and is served, and nothing but guest memory is touched. The same ones in each run.
 */

import { describe, expect, it } from 'vitest';
import { OP_WRITE } from '#src/block/driver';
import { QUEUE_INUSE } from '#src/layout';
import { crc32 } from '#src/machine/crc32';
import { MachineState } from '#src/machine/machine-state';
import { StateError } from '#src/machine/state-error';
import { blkState } from '#src/virtio/blk-state';
import { scsiState } from '#src/virtio/scsi-state';
import { Random } from '../fuzz/random.ts';
import type { ProbeDriver } from '../virtio/probe-driver.ts';
import type { SavedRig, Transport } from './saved-rig.ts';
import { COMMANDS, read, ScsiStateRig, type UnitOptions, write } from './scsi-state-rig.ts';
import { StateRig } from './state-rig.ts';

const STATES = 100_000;
const GUARD_BYTES = 4096;
const GUARD = 0x5a;
const engines = ['js', 'wasm'] as const;
type Engine = (typeof engines)[number];
const transports: Transport[] = ['pci', 'pci msi', 'mmio', 'mmio legacy', 'none'];

/** A device with requests that wait, whose states are altered and loaded again and again. */
abstract class Target {
  readonly rig: SavedRig;
  readonly parts = new MachineState();
  readonly guards: number[];
  readonly ram: Uint8Array;
  allocated = 0;
  state = new Uint8Array(0);

  constructor(rig: SavedRig) {
    const { core } = rig;
    this.rig = rig;
    this.guards = [core.allocate(GUARD_BYTES), core.allocate(GUARD_BYTES)];
    for (const guard of this.guards) core.u8.fill(GUARD, guard, guard + GUARD_BYTES);
    this.ram = rig.ram.slice();
  }

  /** Two requests wait, one was answered, one has not been seen. */
  abstract prepare(): Promise<void>;

  /** The queue of the requests. */
  abstract readonly queue: number;

  async save(): Promise<void> {
    for (const disk of this.rig.disks) (disk as ProbeDriver).calls.length = 0;
    this.state = (await this.parts.save()).slice();
    this.ram.set(this.rig.ram);
    this.allocated = this.rig.core.allocatedBytes;
  }

  /** One altered state: 'refused', 'broken' or 'served'. */
  async try(bytes: Uint8Array, serve: boolean): Promise<string> {
    const { rig } = this;
    rig.ram.set(this.ram);
    try {
      await this.parts.load(bytes)();
    } catch (error) {
      if (error instanceof StateError) return 'refused';
      throw error;
    }
    const broken = rig.device.brokenReason !== 0;
    if (serve) {
      rig.device.vmStateChanged(true);
      rig.kick(this.queue);
      rig.device.vmStateChanged(false);
      rig.turn();
    }
    return broken ? 'broken' : 'served';
  }

  check(): void {
    const { core, device } = this.rig;
    for (const guard of this.guards) {
      const bytes = core.u8.subarray(guard, guard + GUARD_BYTES);
      expect(bytes.every((byte) => byte === GUARD)).toBe(true);
    }
    expect(core.allocatedBytes).toBe(this.allocated);
    // What is below guest RAM, and between it and our own memory, belongs to nobody.
    const { offset } = core.regionList[0]!;
    expect(core.u8.subarray(0, Math.min(offset, 8)).every((byte) => byte === 0)).toBe(true);
    device.reset();
    device.queues.forEach((_, index) => {
      expect(this.rig.queueWord(QUEUE_INUSE, index)).toBe(0);
    });
  }
}

class BlkTarget extends Target {
  override readonly queue = 0;

  static async open(engine: Engine, transport: Transport): Promise<Target> {
    return new BlkTarget(await StateRig.open({ engine, transport, backend: { werror: 'stop' } }));
  }

  override async prepare(): Promise<void> {
    const rig = this.rig as StateRig;
    this.parts.add('disk', blkState(rig.blk, rig.pci ?? rig.mmio));
    const disk = rig.disk as ProbeDriver;
    rig.start().ask(0, 0, 1);
    rig.kick();
    disk.answer = ({ op }) => (op === OP_WRITE ? -5 : undefined);
    rig.ask(3, 1, 2, 0x22);
    rig.ask(6, 1, 9, 0x33);
    rig.kick();
    await rig.stop();
    disk.answer = () => undefined;
    rig.ask(9, 1, 4, 0x44);
    await this.save();
  }
}

class ScsiTarget extends Target {
  override readonly queue = COMMANDS;

  static async open(engine: Engine, transport: Transport): Promise<Target> {
    const units: UnitOptions[] = [{ 'scsi-id': 0 }, { 'scsi-id': 3, lun: 1, type: 'cd' }];
    return new ScsiTarget(await ScsiStateRig.open({ engine, transport, units }));
  }

  override async prepare(): Promise<void> {
    const rig = this.rig as ScsiStateRig;
    this.parts.add('disk', scsiState(rig.scsi, rig.pci ?? rig.mmio));
    await rig.begin();
    rig.ask(0, read(1));
    rig.kick(COMMANDS);
    rig.probe().answer = ({ op }) => (op === OP_WRITE ? -5 : undefined);
    rig.ask(3, write(2), { out: new Uint8Array(512) });
    rig.ask(6, write(9), { out: new Uint8Array(512) });
    rig.giveEvent(0);
    rig.kick(COMMANDS);
    await rig.turns();
    await rig.stop();
    rig.probe().answer = () => undefined;
    rig.ask(9, write(4), { out: new Uint8Array(512) });
    rig.askTmf(0, 6, { tag: 203 });
    rig.collect(COMMANDS);
    await this.save();
  }
}

function altered(random: Random, state: Uint8Array): Uint8Array {
  const cut = random.once(5);
  const length = cut ? random.below(state.length) : state.length;
  const copy = state.slice(0, length);
  for (let n = cut ? 0 : 1 + random.below(3); n > 0; n--) {
    // Behind the header and the section's: fields of the device.
    const at = random.once(20) ? random.below(length) : 30 + random.below(length - 34);
    copy[at] = random.pick([0, 1, 2, 0x40, 0x7f, 0x80, 0xff, random.below(256), copy[at]! ^ 1]);
  }
  if (length < 40 || random.once(50)) return copy;
  if (cut) {
    // The section's length says what is left.
    new DataView(copy.buffer).setUint32(26, Math.max(0, length - 34), true);
  }
  new DataView(copy.buffer).setUint32(length - 4, crc32(copy.subarray(0, length - 4)), true);
  return copy;
}

const kinds = [
  ['virtio-blk BL-19 VM-6', BlkTarget.open, STATES, [0, 3, 6, 9]],
  ['virtio-scsi VM-9 VM-6', ScsiTarget.open, STATES / 2, [3, 6, 9]],
] as const;

describe.each(kinds)('%s altered states', (_, open, states, answered) => {
  it.each(engines)(
    'are refused or load safely: %s',
    async (engine) => {
      const random = new Random(engine === 'js' ? 4711 : 815);
      const verdicts = new Map<string, number>();
      const each = states / engines.length / transports.length;
      for (const transport of transports) {
        const target = await open(engine, transport);
        await target.prepare();
        const { seen } = target.rig.drivers[target.queue]!;
        const isServed = async () => {
          expect(await target.try(target.state, true)).toBe('served');
          target.rig.drivers[target.queue]!.seen = seen;
          expect(target.rig.collect(target.queue)).toEqual(answered);
        };
        await isServed();
        for (let i = 0; i < each; i++) {
          const verdict = await target.try(altered(random, target.state), i % 4 === 0);
          verdicts.set(verdict, (verdicts.get(verdict) ?? 0) + 1);
          if (i % 500 === 0) target.check();
        }
        target.check();
        await isServed();
      }
      expect([...verdicts.values()].reduce((sum, n) => sum + n)).toBe(states / engines.length);
      // All three are reached, or nothing was tried.
      for (const verdict of ['refused', 'broken', 'served']) {
        expect(verdicts.get(verdict), verdict).toBeGreaterThan(100);
      }
    },
    240_000,
  );
});
