/** v86's own states carry our disks: device, unfinished requests, contents (behaviour VM-5, BL-19). */

import { describe, expect, it, onTestFinished } from 'vitest';
import {
  attachVirtioBlk,
  attachVirtioScsi,
  type V86BlkOptions,
  type V86Scsi,
  type V86ScsiOptions,
} from '#src/adapter/v86';
import { STATE_SLOT } from '#src/adapter/v86-state';
import type { BlockBackend } from '#src/block/backend';
import { GuestBlk } from '#src/guest/blk';
import { GuestPci } from '#src/guest/pci';
import { GuestRam } from '#src/guest/ram';
import { GuestScsi, scsiLun } from '#src/guest/scsi';
import { QUEUE_LAST_AVAIL } from '#src/layout';
import { StateError } from '#src/machine/state-error';
import { ProbeDriver } from '../virtio/probe-driver.ts';
import { FakeV86, functionIn, RAM_BYTES, RAM_OFFSET } from './fake-v86.ts';

const memoryDisk = { driver: 'memory', options: { size: 1 << 20 } };
const sector = (seed: number) => Uint8Array.from({ length: 512 }, (_, n) => n * seed + seed);

interface Stateful {
  get_state(): unknown[];
  set_state(state: unknown[]): void;
}

/** A v86 that keeps its RAM, and whose states are what was cloned of them. */
class StatefulV86 extends FakeV86 {
  /** What it was told, in order. */
  readonly log: string[] = [];
  running = false;

  constructor(shared = false) {
    super(RAM_OFFSET, shared);
    Object.assign(this.cpu, {
      get_state: (): unknown[] => [this.ram.slice()],
      set_state: (state: unknown[]) => this.ram.set(state[0] as Uint8Array),
    });
  }

  get ram(): Uint8Array {
    return new Uint8Array(this.memory.buffer, RAM_OFFSET, RAM_BYTES);
  }

  get stateful(): Stateful {
    return this.cpu as unknown as Stateful;
  }

  is_running(): boolean {
    return this.running;
  }

  async stop(): Promise<void> {
    this.log.push('stop');
    this.running = false;
  }

  async run(): Promise<void> {
    this.log.push('run');
    this.running = true;
  }

  async save_state(): Promise<ArrayBuffer> {
    this.log.push('save');
    return structuredClone(this.stateful.get_state()) as unknown as ArrayBuffer;
  }

  async restore_state(state: ArrayBuffer): Promise<void> {
    this.log.push('restore');
    this.stateful.set_state(structuredClone(state) as unknown as unknown[]);
  }
}

async function attach(options: Partial<V86BlkOptions> = {}, v86 = new StatefulV86()) {
  const disk = await attachVirtioBlk(v86, { disk: memoryDisk, ...options });
  onTestFinished(() => disk.detach());
  return { v86, disk };
}

type Attached = Awaited<ReturnType<typeof attach>>;

/** A driver on it that has written `sector(3)` to sector 3. */
async function use({ v86, disk }: Attached): Promise<GuestBlk> {
  const transport = GuestPci.open(functionIn(v86, disk.slot));
  const guest = await GuestBlk.open(transport, new GuestRam(disk.core), {
    relax: () => {
      v86.poll();
      return new Promise((resolve) => setImmediate(resolve));
    },
  });
  await guest.write(3, sector(3));
  return guest;
}

/** The sector as the host reads it. */
function held({ disk }: Attached, number: number): Promise<Uint8Array> {
  return heldBy(disk.backend, number);
}

async function heldBy({ io }: BlockBackend, number: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(512);
  await io.read(number * 512, bytes);
  return bytes;
}

describe.each(['wasm', 'js'] as const)('v86 saved and restored, %s', (engine) => {
  it.each(['io', 'memory'] as const)(
    'VM-5 the disk and its driver go back in time, %s BAR',
    async (bar) => {
      const one = await attach({ engine, bar });
      const guest = await use(one);
      const state = await one.v86.save_state();
      await guest.write(3, sector(9));
      await guest.write(500, sector(5));
      one.disk.pci.configWrite(4, 2, 0); // BARs are gone, bus mastering is off
      await one.v86.restore_state(state);
      expect(await held(one, 3)).toEqual(sector(3));
      expect(await held(one, 500)).toEqual(new Uint8Array(512));
      // The BARs answer where they did: the status register, to v86's own accesses.
      expect(functionIn(one.v86, one.disk.slot).barRead(4, 20, 1)).toBe(15);
      expect(one.disk.blk.started).toBe(true);
    },
  );

  it('VM-5 a fresh emulator with the same disk goes on, saved by the one or the other engine', async () => {
    for (const other of ['wasm', 'js'] as const) {
      const one = await attach({ engine });
      await use(one);
      const state = await one.v86.save_state();
      const two = await attach({ engine: other });
      await two.v86.restore_state(state);
      expect(two.disk.core.choice.engine).toBe(other);
      expect(await held(two, 3)).toEqual(sector(3));
      expect(Buffer.compare(two.v86.ram, one.v86.ram)).toBe(0);
      expect([two.disk.blk.status, two.disk.blk.started]).toEqual([15, true]);
    }
  });

  it('VM-5 an interrupt that the guest has not taken is raised again', async () => {
    const one = await attach({ engine });
    const transport = GuestPci.open(functionIn(one.v86, one.disk.slot));
    const ram = new GuestRam(one.disk.core);
    const guest = await GuestBlk.open(transport, ram, { interrupts: true });
    const writing = guest.write(4, sector(4));
    expect(one.v86.irqs.at(-1)?.level).toBe(true);
    const state = await one.v86.save_state();
    const two = await attach({ engine });
    await two.v86.restore_state(state);
    expect(two.v86.irqs.at(-1)).toEqual({ id: two.disk.slot << 3, level: true });
    guest.interrupt();
    await writing;
  });
});

describe('v86 saved and restored', () => {
  it('stops the CPU meanwhile, if it runs, and lets it go on', async () => {
    const one = await attach();
    await one.v86.save_state();
    one.v86.running = true;
    const state = await one.v86.save_state();
    await one.v86.restore_state(state);
    expect(one.v86.log.join(' ')).toBe('save stop save run stop restore run');
  });

  it('VM-8 waits for requests in flight; asked at once the CPU refuses', async () => {
    const disk = new ProbeDriver(1 << 20, 'loop');
    const one = await attach({ disk });
    const settle = setInterval(() => disk.settleAll(), 1);
    onTestFinished(() => clearInterval(settle));
    const guest = await use(one);
    clearInterval(settle);
    const writing = guest.write(4, sector(4));
    expect(disk.held).toHaveLength(1);
    expect(() => one.v86.stateful.get_state()).toThrow(StateError);
    const saving = one.v86.save_state();
    let saved = false;
    void saving.then(() => {
      saved = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(saved).toBe(false);
    disk.settleAll();
    await saving;
    await writing;
    expect(disk.bytes.subarray(4 * 512, 5 * 512)).toEqual(sector(4));
  });

  it('VM-8 asked at once the CPU answers if nothing waits', async () => {
    const one = await attach();
    await use(one);
    const slot = one.v86.stateful.get_state()[STATE_SLOT] as Uint8Array;
    expect(new TextDecoder().decode(slot.subarray(0, 4))).toBe('vblk');
    expect(one.disk.backend.quiesced).toBe(false);
  });

  it('refuses a state with another disk, by name, before anything has changed', async () => {
    const one = await attach();
    await use(one);
    const state = await one.v86.save_state();
    const options = { size: 2 << 20 };
    const two = await attach({ disk: { driver: 'memory', options } });
    const before = two.v86.ram.slice();
    await expect(two.v86.restore_state(state)).rejects.toThrow(
      "section 'virtio-blk in PCI slot 8', capacity: the state was saved with 2048 sectors, " +
        'here it is 4096 sectors',
    );
    expect(Buffer.compare(two.v86.ram, before)).toBe(0);
    const three = await attach({ slot: 9 });
    await expect(three.v86.restore_state(state)).rejects.toThrow(/PCI slot 8': this machine has/);
  });

  it('resets the disk for a state that was saved without it', async () => {
    const bare = await new StatefulV86().save_state();
    const one = await attach();
    await use(one);
    await one.v86.restore_state(bare);
    expect([one.disk.blk.status, one.disk.pci.configRead(4, 2)]).toEqual([0, 0]);
    expect(await held(one, 3)).toEqual(sector(3));
  });

  it('VM-5 what the driver had published is served from the contents that it comes back with', async () => {
    const one = await attach();
    const guest = await use(one);
    one.disk.blk.vmStateChanged(false);
    const writing = guest.write(4, sector(4)); // in the ring, and not taken
    const state = structuredClone(one.v86.stateful.get_state());
    one.disk.blk.vmStateChanged(true);
    await writing;
    await one.disk.backend.io.write(4 * 512, sector(9));
    one.v86.stateful.set_state(state);
    for (let i = 0; i < 3; i++) await guest.relax();
    expect(await held(one, 4)).toEqual(sector(4));
    expect(await held(one, 3)).toEqual(sector(3));
  });

  it('VM-6 a state that does not go with its guest memory: told of, and the slot is as after reset', async () => {
    const v86 = new StatefulV86();
    const { set_state: set } = v86.stateful;
    const spaces = v86.cpu.devices.pci.device_spaces;
    // As v86 does it: configuration spaces are back before ours is asked.
    v86.stateful.set_state = (saved) => {
      set(saved);
      spaces[one.disk.slot << 3]![1] = 7;
    };
    const one = await attach({}, v86);
    await use(one);
    const state = (await v86.save_state()) as unknown as unknown[];
    (state[0] as Uint8Array).fill(0x77);
    const restoring = one.v86.restore_state(state as unknown as ArrayBuffer);
    await expect(restoring).rejects.toThrow(/guest memory must be as it was/);
    expect(one.disk.pci.configRead(4, 2)).toBe(0);
    expect(spaces[one.disk.slot << 3]![1]! & 0xffff).toBe(0);
    expect([one.disk.blk.status, one.disk.backend.quiesced]).toEqual([0, false]);
  });

  it('VM-5 another medium: the state has the contents of the one that is in', async () => {
    const one = await attach();
    const guest = await use(one);
    await one.disk.backend.replaceNode(memoryDisk);
    await guest.write(5, sector(5));
    const state = await one.v86.save_state();
    await guest.write(5, sector(9));
    await one.v86.restore_state(state);
    expect(await held(one, 5)).toEqual(sector(5));
    expect(await held(one, 3)).toEqual(new Uint8Array(512));
  });

  it('carries several disks, and gives v86 its functions back when the last one goes', async () => {
    const v86 = new StatefulV86();
    const { get_state: get, set_state: set } = v86.stateful;
    const first = await attach({}, v86);
    const wrapped = v86.stateful.get_state;
    const second = await attach({}, v86);
    expect(v86.stateful.get_state).toBe(wrapped);
    const state = await v86.save_state();
    await first.disk.detach();
    await expect(v86.restore_state(state)).rejects.toThrow(/PCI slot 8/);
    await second.disk.detach();
    expect([v86.stateful.get_state, v86.stateful.set_state]).toEqual([get, set]);
    expect(Object.keys(v86)).not.toContain('save_state');
    expect((await v86.save_state()) as unknown).toHaveLength(1);
  });
});

describe('a virtio-scsi host in states of v86', () => {
  const units = [
    { disk: memoryDisk, 'scsi-id': 0 },
    { disk: memoryDisk, 'scsi-id': 3, lun: 5 },
  ];
  const write = (lba: number) => [0x2a, 0, 0, 0, 0, lba, 0, 0, 1, 0];

  const BAD_TARGET = 3;
  /** Index of the next command in the ring. */
  const popped = ({ core, scsi }: V86Scsi): number => {
    return core.u32[(scsi.queueConfigs[2]!.queue + QUEUE_LAST_AVAIL) >>> 2]!;
  };

  async function attachHost(options: V86ScsiOptions = {}, v86 = new StatefulV86()) {
    const host = await attachVirtioScsi(v86, { units, ...options });
    onTestFinished(() => host.detach());
    return { v86, host };
  }

  /** A driver that has written `sector(3)` to sector 3 of each unit. */
  async function drive(v86: StatefulV86, host: V86Scsi): Promise<GuestScsi> {
    const transport = GuestPci.open(functionIn(v86, host.slot));
    const guest = await GuestScsi.open(transport, new GuestRam(host.core), {
      relax: () => {
        v86.poll();
        return new Promise((resolve) => setImmediate(resolve));
      },
    });
    for (const { config } of host.units) {
      const lun = scsiLun(config.scsiId, config.lun);
      while ((await guest.command(lun, [0, 0, 0, 0, 0, 0])).status !== 0);
      await guest.command(lun, write(3), { dataOut: sector(3) });
    }
    return guest;
  }

  it.each([
    ['wasm', 'js', undefined],
    ['js', 'wasm', undefined],
    ['wasm', 'wasm', 2],
  ] as const)(
    'VM-9 from %s into a fresh one with %s, %s IOThreads',
    async (engine, other, iothreads) => {
      const threads = iothreads === undefined ? {} : { iothreads };
      const make = () => new StatefulV86(iothreads !== undefined);
      const one = await attachHost({ engine, ...threads }, make());
      const guest = await drive(one.v86, one.host);
      const state = await one.v86.save_state();
      await guest.command(scsiLun(3, 5), write(3), { dataOut: sector(9) });
      const reversed = [...units].reverse();
      const two = await attachHost({ engine: other, units: reversed, ...threads }, make());
      await two.v86.restore_state(state);
      await one.v86.restore_state(state);
      for (const { host, v86 } of [one, two]) {
        for (const { backend } of host.units) {
          expect(await heldBy(backend, 3)).toEqual(sector(3));
          expect(backend.quiesced).toBe(false);
        }
        expect([host.scsi.status, host.scsi.serving]).toEqual([15, true]);
        expect(host.units.map(({ words }) => words.hasAttention)).toEqual([false, false]);
        expect(functionIn(v86, host.slot).barRead(4, 20, 1)).toBe(15);
      }
    },
  );

  it('VM-9 a command that waits for its disk is done where the state is restored', async () => {
    const one = await attachHost();
    const guest = await drive(one.v86, one.host);
    const { backend } = one.host.units[1]!;
    backend.drainedBegin();
    const writing = guest.command(scsiLun(3, 5), write(4), { dataOut: sector(4) });
    expect(() => one.v86.stateful.get_state()).toThrow('save with emulator.save_state');
    expect(() => one.v86.stateful.get_state()).toThrow('save with emulator.save_state');
    const state = await one.v86.save_state();
    const two = await attachHost();
    await two.v86.restore_state(state);
    for (let i = 0; i < 3; i++) two.v86.poll();
    expect(await heldBy(two.host.units[1]!.backend, 4)).toEqual(sector(4));
    backend.drainedEnd();
    expect((await writing).status).toBe(0);
    expect(await heldBy(backend, 4)).toEqual(sector(4));
  });

  it('VM-9 what was published and not kicked when the CPU stopped is not answered meanwhile', async () => {
    for (const list of [units, []]) {
      const one = await attachHost({ units: list });
      const guest = await drive(one.v86, one.host);
      const { transport } = guest;
      const kick = transport.kick.bind(transport);
      const doorbells: number[] = [];
      transport.kick = (queue) => void doorbells.push(queue);
      const asked = guest.command(scsiLun(0, 0), [0, 0, 0, 0, 0, 0]);
      const state = await one.v86.save_state();
      transport.kick = kick;
      for (const queue of doorbells) kick(queue);
      expect((await asked).response).toBe(list.length > 0 ? 0 : BAD_TARGET);
      const two = await attachHost({ units: list });
      await two.v86.restore_state(state);
      two.v86.poll();
      expect(popped(two.host)).toBe(popped(one.host));
      expect([two.host.scsi.status, two.host.scsi.serving]).toEqual([15, true]);
    }
  });

  it('VM-9 asked at once the CPU answers, disks or none, and the host goes on', async () => {
    for (const list of [units, []]) {
      const { v86, host } = await attachHost({ units: list });
      await drive(v86, host);
      const slot = v86.stateful.get_state()[STATE_SLOT] as Uint8Array;
      expect(new TextDecoder().decode(slot.subarray(0, 4))).toBe('vblk');
      expect(host.scsi.serving).toBe(true);
    }
  });

  it('VM-9 what was plugged in since is carried; other units are refused by name', async () => {
    const one = await attachHost();
    const guest = await drive(one.v86, one.host);
    const plugged = await one.host.plug({ disk: memoryDisk, 'scsi-id': 9 });
    while ((await guest.command(scsiLun(9, 0), [0, 0, 0, 0, 0, 0])).status !== 0);
    await guest.command(scsiLun(9, 0), write(3), { dataOut: sector(7) });
    const state = await one.v86.save_state();
    const two = await attachHost();
    const before = two.v86.ram.slice();
    const refused = two.v86.restore_state(state);
    await expect(refused).rejects.toThrow(
      "section 'memory disk 0 of LUN 0, target 9, in PCI slot 8': this machine has nothing",
    );
    expect(Buffer.compare(two.v86.ram, before)).toBe(0);
    await two.host.plug({ disk: memoryDisk, 'scsi-id': 9 });
    await two.v86.restore_state(state);
    expect(await heldBy(two.host.units[2]!.backend, 3)).toEqual(sector(7));
    await one.host.unplug(plugged);
    const three = await attachHost({ units: [...units, { disk: new ProbeDriver(1 << 20) }] });
    await expect(three.v86.restore_state(await one.v86.save_state())).rejects.toThrow(
      "section 'virtio-scsi in PCI slot 8', units: the state was saved with hd 0:0, hd 3:5, " +
        'here it is hd 0:0, hd 1:0, hd 3:5',
    );
  });
});
