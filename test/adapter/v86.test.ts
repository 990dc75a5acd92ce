import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { loadCoreModule } from '#src/adapter/load-module';
import { attachVirtioBlk, type V86BlkOptions, V86Core } from '#src/adapter/v86';
import { BlockBackend } from '#src/block/backend';
import { GuestBlk } from '#src/guest/blk';
import { GuestPci } from '#src/guest/pci';
import { GuestRam } from '#src/guest/ram';
import { ProbeDriver } from '../virtio/probe-driver.ts';
import { FakeV86, functionIn, RAM_BYTES, RAM_OFFSET } from './fake-v86.ts';

const memoryDisk = { driver: 'memory', options: { size: 1 << 20 } };
const sector = (seed: number) => Uint8Array.from({ length: 512 }, (_, n) => n * seed);

/** A disk on a fake v86, and a driver that reaches it through v86's bus. */
async function attach(options: Partial<V86BlkOptions> = {}) {
  const v86 = new FakeV86();
  const disk = await attachVirtioBlk(v86, { disk: memoryDisk, ...options });
  onTestFinished(() => disk.detach());
  const transport = GuestPci.open(functionIn(v86, disk.slot));
  const ram = new GuestRam(disk.core);
  return { v86, disk, transport, ram };
}

/** The level that v86 was told last. */
const line = (v86: FakeV86) => v86.irqs.at(-1)?.level ?? false;

describe.each(['wasm', 'js'] as const)('virtio-blk on v86, %s', (engine) => {
  it.each(['io', 'memory'] as const)('serves a driver, %s BAR', async (bar) => {
    const { v86, disk, transport, ram } = await attach({ engine, bar, serial: 'on v86' });
    expect(disk.core.choice.engine).toBe(engine);
    expect(disk.core.memory).toBe(v86.memory);
    const kinds = disk.pci.bars.map(({ kind }) => kind);
    expect(kinds).toEqual(bar === 'io' ? ['io', 'io'] : ['io', 'memory']);
    const guest = await GuestBlk.open(transport, ram, { relax: () => void v86.poll() });
    await guest.write(3, sector(7));
    expect(await guest.read(3, 512)).toEqual(sector(7));
    expect(await guest.getId()).toBe('on v86');
    const held = new Uint8Array(512);
    await disk.backend.io.read(3 * 512, held);
    expect(held).toEqual(sector(7));
  });

  it('HN-13 answers at the poll point, to a driver that only looks at the ring', async () => {
    const { v86, transport, ram } = await attach({ engine, kick: 'poll' });
    v86.v86.idle = false; // the CPU runs, and does not come back to the JavaScript loop
    const guest = await GuestBlk.open(transport, ram, { interrupts: true });
    let looked = 0;
    const answer = guest.write(0, sector(1)).then(() => true);
    while (guest.poll() === 0) {
      if (++looked > 2) throw new Error('two poll points, and no answer');
      v86.poll();
    }
    expect(looked).toBe(1);
    expect(await answer).toBe(true);
  });

  it('HN-13 answers inside a doorbell that is a port', async () => {
    const { v86, transport, ram } = await attach({ engine });
    v86.v86.idle = false;
    v86.interruptsOn = true;
    const guest = await GuestBlk.open(transport, ram, { interrupts: true });
    const written = guest.write(0, sector(1));
    expect(line(v86)).toBe(true);
    expect(guest.poll()).toBe(1);
    await written;
  });

  it('HN-13 answers inside a doorbell in memory, interrupts at the poll point', async () => {
    const { v86, transport, ram } = await attach({ engine, bar: 'memory' });
    const guest = await GuestBlk.open(transport, ram, { interrupts: true });
    v86.poll(); // what setting up has left to do
    v86.v86.idle = false;
    v86.interruptsOn = true;
    v86.counter = 5;
    const written = guest.write(0, sector(1));
    expect(line(v86)).toBe(false);
    expect(v86.counter).toBe(100_008); // the slice ends at once
    expect(guest.poll()).toBe(1);
    await written;
    v86.poll();
    expect(line(v86)).toBe(true);
    expect(v86.counter).toBe(5);
    v86.interruptsOn = false; // the guest is in its handler
    guest.interrupt();
    expect(line(v86)).toBe(false);
  });

  it('has the slice end soon after a kick, and puts the count back', async () => {
    const { v86, transport, ram } = await attach({ engine, bar: 'memory', kick: 'poll' });
    const guest = await GuestBlk.open(transport, ram, { interrupts: true });
    v86.poll(); // what setting up has left to do
    v86.v86.idle = false;
    v86.counter = 0xffff_ffff;
    const answers = [guest.write(0, sector(1)), guest.write(8, sector(2))];
    transport.kick(0);
    expect(v86.counter).toBe(100_002); // the limit of a slice, once
    v86.counter += 7;
    v86.poll();
    expect(v86.counter).toBe(6);
    guest.interrupt();
    await Promise.all(answers);
    v86.poll();
    expect(v86.counter).toBe(6);
  });

  it.each(['sync', 'poll'] as const)('interrupts at the poll point, kick=%s', async (kick) => {
    const { v86, transport, ram } = await attach({ engine, bar: 'memory', kick });
    v86.v86.idle = false;
    v86.interruptsOn = true;
    const guest = await GuestBlk.open(transport, ram, { interrupts: true });
    const written = guest.write(0, sector(1));
    expect(line(v86)).toBe(false);
    v86.poll();
    expect(line(v86)).toBe(true);
    guest.interrupt();
    v86.poll();
    expect(line(v86)).toBe(false);
    await written;
  });

  it('tells v86 of what it wrote to guest RAM', async () => {
    const { v86, transport, ram } = await attach({ engine });
    const guest = await GuestBlk.open(transport, ram, { relax: () => void v86.poll() });
    await guest.write(0, sector(3));
    v86.dirtied.length = 0;
    const { status } = await guest.request({ type: 0, in: 512 });
    const [data, end] = v86.dirtied as [[number, number], [number, number]];
    expect(v86.cpu.mem8.slice(...data)).toEqual(sector(3));
    expect(v86.cpu.mem8.slice(...end)).toEqual(Uint8Array.of(status));
    expect(v86.dirtied).toHaveLength(2);
  });
});

describe('core on v86', () => {
  it('takes all of guest RAM but the screen', async () => {
    const v86 = new FakeV86();
    const { core } = await V86Core.open(v86);
    expect(core.regionList).toEqual([
      { guest: 0, size: 0xa0000, offset: RAM_OFFSET },
      { guest: 0xc0000, size: RAM_BYTES - 0xc0000, offset: RAM_OFFSET + 0xc0000 },
    ]);
  });

  it('keeps its state behind the end of what v86 had', async () => {
    const v86 = new FakeV86();
    const end = v86.memory.buffer.byteLength;
    new Uint8Array(v86.memory.buffer).fill(0xa5);
    const { core, context } = await V86Core.open(v86);
    expect(Math.min(core.header, core.regions, context.address)).toBeGreaterThanOrEqual(end);
    expect(new Uint8Array(v86.memory.buffer, 0, end).every((byte) => byte === 0xa5)).toBe(true);
  });

  it('refuses guest RAM that begins inside a page', async () => {
    await expect(V86Core.open(new FakeV86(RAM_OFFSET + 512))).rejects.toThrow(
      `offset ${RAM_OFFSET + 512}`,
    );
  });

  it('takes a module that it is given', async () => {
    const module = await loadCoreModule(false);
    const { core } = await V86Core.open(new FakeV86(), { module });
    expect(core.handle().module).toBe(module);
  });

  it('asks v86 to come back for what is due', async () => {
    const v86 = new FakeV86();
    const host = await V86Core.open(v86);
    expect(v86.poll()).toBe(100);
    const timer = host.context.timer('soon', () => {});
    timer.mod(host.context.clock.now() + 20e6);
    expect(v86.poll()).toBeLessThanOrEqual(20);
    timer.del();
    const again = host.context.bottomHalf('again', () => again.schedule());
    again.schedule();
    expect(v86.poll()).toBe(0); // and it returned
    again.delete();
    host.close();
    expect(v86.poll()).toBe(100);
  });
});

describe('disk that settles later', () => {
  it('answers from the JavaScript loop while the guest halts', async () => {
    const driver = new ProbeDriver(1 << 20, 'loop');
    const { v86, transport, ram } = await attach({ disk: driver });
    const guest = await GuestBlk.open(transport, ram, { interrupts: true });
    v86.v86.idle = false;
    const written = guest.write(0, sector(5));
    v86.poll();
    v86.v86.idle = true; // HLT
    expect([driver.held.length, line(v86)]).toEqual([1, false]);
    driver.settle();
    while (!line(v86)) await new Promise((resolve) => setImmediate(resolve));
    guest.interrupt();
    await written;
    expect(driver.bytes.subarray(0, 512)).toEqual(sector(5));
  });

  it('is waited for by detach', async () => {
    const driver = new ProbeDriver(1 << 20, 'loop');
    const { v86, disk, transport, ram } = await attach({ disk: driver });
    const guest = await GuestBlk.open(transport, ram, { interrupts: true });
    const lost = guest.write(0, sector(5));
    v86.poll();
    const detached = disk.detach();
    expect(v86.cpu.devices.pci.device_spaces[disk.slot << 3]).toBeUndefined();
    let over = false;
    void detached.then(() => {
      over = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(over).toBe(false);
    driver.settle();
    await detached;
    lost.catch(() => {});
  });
});

describe('attachVirtioBlk', () => {
  it('lets several disks share a core, and gives everything back', async () => {
    const v86 = new FakeV86();
    const host = await V86Core.open(v86);
    const bytes = host.core.allocatedBytes;
    const first = await attachVirtioBlk(v86, { host, disk: memoryDisk });
    const backend = await BlockBackend.open(host.core, host.context, memoryDisk);
    const second = await attachVirtioBlk(v86, { host, disk: backend, slot: 20, mode: 'modern' });
    expect([first.slot, second.slot]).toEqual([8, 20]);
    expect(second.backend).toBe(backend);
    await second.detach();
    await backend.io.write(0, sector(1)); // still open: it was not ours
    await backend.close();
    await first.detach();
    expect(host.core.allocatedBytes).toBe(bytes);
    host.close();
  });

  it('refuses a disk whose bytes lie in another core', async () => {
    const v86 = new FakeV86();
    const host = await V86Core.open(v86);
    const backend = await BlockBackend.open(host.core, host.context, memoryDisk);
    await expect(attachVirtioBlk(v86, { disk: backend })).rejects.toThrow('another core');
    await expect(attachVirtioBlk(v86, { disk: backend.driver })).rejects.toThrow('another core');
    await backend.close();
  });

  it('leaves nothing behind when an option is wrong', async () => {
    const v86 = new FakeV86();
    const wrong = { disk: memoryDisk, 'queue-size': 3 };
    await expect(attachVirtioBlk(v86, wrong)).rejects.toThrow('queue-size');
    await expect(attachVirtioBlk(v86, { disk: memoryDisk, slot: 32 })).rejects.toThrow('slot 32');
    await expect(attachVirtioBlk(v86, { disk: { driver: 'tape' } })).rejects.toThrow('tape');
    expect(v86.cpu.devices.pci.device_spaces.some(Boolean)).toBe(false);
    expect((await attachVirtioBlk(v86, { disk: memoryDisk })).slot).toBe(8);
  });

  it('must wait for emulator-ready', async () => {
    await expect(attachVirtioBlk({}, { disk: memoryDisk })).rejects.toThrow('emulator-ready');
  });

  it('makes a read-only disk of any', async () => {
    const { v86, transport, ram } = await attach({ readonly: true });
    const guest = await GuestBlk.open(transport, ram, { relax: () => void v86.poll() });
    expect(guest.readOnly).toBe(true);
    await expect(guest.write(0, sector(1))).rejects.toThrow();
  });

  it('reaches no module of Node', () => {
    const build = fileURLToPath(new URL('../../build', import.meta.url));
    const seen = new Set<string>();
    const visit = (file: string): void => {
      if (seen.has(file)) return;
      seen.add(file);
      for (const [, target] of readFileSync(file, 'utf8').matchAll(
        /from '([^']+)'|import '(.+)'/g,
      )) {
        if (target?.startsWith('.')) visit(join(dirname(file), target));
        else if (target) expect(target).toBe('@assemblyscript/loader');
      }
    };
    visit(join(build, 'adapter/v86.js'));
    expect(seen.size).toBeGreaterThan(30);
    expect(readdirSync(build)).toContain('core.wasm');
  });
});
