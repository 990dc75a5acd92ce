/**
 * 100,000 states that were cut off or altered, their check sums mended: each is refused, or loads
 * and is served, and nothing but guest memory is touched. The same ones in each run.
 */

import { expect, it } from 'vitest';
import { OP_WRITE } from '#src/block/driver';
import { QUEUE_INUSE } from '#src/layout';
import { crc32 } from '#src/machine/crc32';
import { MachineState } from '#src/machine/machine-state';
import { StateError } from '#src/machine/state-error';
import { blkState } from '#src/virtio/blk-state';
import { Random } from '../fuzz/random.ts';
import type { ProbeDriver } from '../virtio/probe-driver.ts';
import { StateRig, type Transport } from './state-rig.ts';

const STATES = 100_000;
const GUARD_BYTES = 4096;
const GUARD = 0x5a;
const engines = ['js', 'wasm'] as const;
const transports: Transport[] = ['pci', 'pci msi', 'mmio', 'mmio legacy', 'none'];

/** A device with requests that wait, whose states are altered and loaded again and again. */
class Target {
  readonly rig: StateRig;
  readonly parts = new MachineState();
  readonly guards: number[];
  readonly ram: Uint8Array;
  readonly allocated: number;
  state = new Uint8Array(0);

  static async open(engine: 'js' | 'wasm', transport: Transport): Promise<Target> {
    const rig = await StateRig.open({ engine, transport, backend: { werror: 'stop' } });
    const target = new Target(rig);
    await target.#prepare();
    return target;
  }

  private constructor(rig: StateRig) {
    const { core } = rig;
    this.rig = rig;
    this.guards = [core.allocate(GUARD_BYTES), core.allocate(GUARD_BYTES)];
    for (const guard of this.guards) core.u8.fill(GUARD, guard, guard + GUARD_BYTES);
    this.parts.add('disk', blkState(rig.blk, rig.pci ?? rig.mmio));
    this.ram = rig.ram.slice();
    this.allocated = core.allocatedBytes;
  }

  /** Two requests wait, one was answered, one has not been seen. */
  async #prepare(): Promise<void> {
    const { rig } = this;
    const disk = rig.disk as ProbeDriver;
    rig.start().ask(0, 0, 1);
    rig.kick();
    disk.answer = ({ op }) => (op === OP_WRITE ? -5 : undefined);
    rig.ask(3, 1, 2, 0x22);
    rig.ask(6, 1, 9, 0x33);
    rig.kick();
    await rig.stop();
    disk.answer = () => undefined;
    disk.calls.length = 0;
    rig.ask(9, 1, 4, 0x44);
    this.state = (await this.parts.save()).slice();
    this.ram.set(rig.ram);
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
    const broken = rig.blk.brokenReason !== 0;
    if (serve) {
      rig.blk.vmStateChanged(true);
      rig.kick();
      rig.blk.vmStateChanged(false);
      rig.turn();
    }
    return broken ? 'broken' : 'served';
  }

  check(): void {
    const { core, blk } = this.rig;
    for (const guard of this.guards) {
      const bytes = core.u8.subarray(guard, guard + GUARD_BYTES);
      expect(bytes.every((byte) => byte === GUARD)).toBe(true);
    }
    expect(core.allocatedBytes).toBe(this.allocated);
    // What is below guest RAM, and between it and our own memory, belongs to nobody.
    const { offset } = core.regionList[0]!;
    expect(core.u8.subarray(0, Math.min(offset, 8)).every((byte) => byte === 0)).toBe(true);
    blk.reset();
    expect(this.rig.queueWord(QUEUE_INUSE)).toBe(0);
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

it.each(engines)(
  'BL-19 VM-6 altered states are refused or load safely: %s',
  async (engine) => {
    const random = new Random(engine === 'js' ? 4711 : 815);
    const verdicts = new Map<string, number>();
    const each = STATES / engines.length / transports.length;
    for (const transport of transports) {
      const target = await Target.open(engine, transport);
      expect(await target.try(target.state, true)).toBe('served');
      expect(target.rig.collect()).toEqual([0, 3, 6, 9]);
      for (let i = 0; i < each; i++) {
        const verdict = await target.try(altered(random, target.state), i % 4 === 0);
        verdicts.set(verdict, (verdicts.get(verdict) ?? 0) + 1);
        if (i % 500 === 0) target.check();
      }
      target.check();
      expect(await target.try(target.state, true)).toBe('served');
    }
    expect([...verdicts.values()].reduce((sum, n) => sum + n)).toBe(STATES / engines.length);
    // All three are reached, or nothing was tried.
    for (const verdict of ['refused', 'broken', 'served']) {
      expect(verdicts.get(verdict), verdict).toBeGreaterThan(100);
    }
  },
  240_000,
);
