/** The core: whose bytes are whose, growth by either side, guest regions, and attaching. */

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { Core, type CoreOptions, type Region } from '#src/engine/core';
import { PAGE_BYTES, PAGES_MAX } from '#src/engine/linear-memory';
import { createQueue } from '#src/engine/queue-memory';
import {
  ABI_VERSION,
  CORE_HEADER_ABI,
  CORE_HEADER_LAYOUT,
  CORE_HEADER_MAGIC,
  CORE_MAGIC,
  LAYOUT_SUM,
  QUEUE_BATCH,
  QUEUE_DONE,
  QUEUE_RECORDS,
  QUEUE_SCSI,
  RECORD_OUT_BYTES,
  RECORD_SEGMENTS,
  RECORD_SIZE,
  REGIONS_COUNT,
  REGIONS_FIRST,
  SCSI_REQUEST_SIZE,
  SCSI_RESPONSE_SIZE,
} from '#src/layout';

const root = new URL('../../build/', import.meta.url);
const bytesOf = (name: string) => readFileSync(fileURLToPath(new URL(name, root)));
const unshared = new WebAssembly.Module(bytesOf('core.wasm'));
const shared = new WebAssembly.Module(bytesOf('core.shared.wasm'));

/** Every way to have a core whose state is where its guest is. */
const kinds: [string, CoreOptions][] = [
  ['wasm', { engine: 'wasm', module: unshared }],
  ['wasm, shared', { engine: 'wasm', module: shared, shared: true }],
  ['js', { engine: 'js' }],
  ['js, shared', { engine: 'js', shared: true }],
];

/** An emulator's memory of `pages`, every byte of it marked. */
function emulatorMemory(pages: number, maximum?: number): WebAssembly.Memory {
  const memory = new WebAssembly.Memory({ initial: pages, ...(maximum && { maximum }) });
  new Uint8Array(memory.buffer).fill(0xa5);
  return memory;
}

function isMarked(memory: WebAssembly.Memory, from: number, to: number): boolean {
  return new Uint8Array(memory.buffer, from, to - from).every((byte) => byte === 0xa5);
}

/** Numbers that look random and are always the same. */
function sequence(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

describe.each(kinds)('memory of a core (%s)', (_name, options) => {
  it('is zeroed, aligned, and nobody else’s', () => {
    const core = Core.openSync(options);
    const next = sequence(1);
    const blocks: { at: number; bytes: number; mark: number }[] = [];
    for (let turn = 0; turn < 600; turn++) {
      const victim = next(3) === 0 ? blocks.splice(next(blocks.length), 1)[0] : undefined;
      if (victim) core.free(victim.at);
      const bytes = 1 + next(next(8) === 0 ? 100_000 : 300);
      const align = 8 << next(6);
      const at = core.allocate(bytes, align);
      expect(at % align).toBe(0);
      expect(core.u8.subarray(at, at + bytes).every((byte) => byte === 0)).toBe(true);
      const mark = 1 + next(255);
      core.u8.fill(mark, at, at + bytes);
      blocks.push({ at, bytes, mark });
    }
    for (const { at, bytes, mark } of blocks) {
      expect(core.u8.subarray(at, at + bytes).every((byte) => byte === mark)).toBe(true);
    }
  });

  it('is counted exactly, and all of it comes back', () => {
    const core = Core.openSync(options);
    const before = core.allocatedBytes;
    const a = core.allocate(1);
    expect(core.allocatedBytes).toBe(before + 8);
    const b = core.allocate(8, 4096);
    const c = core.allocate(70_001);
    expect(core.allocatedBytes).toBe(before + 8 + 8 + 70_008);
    for (const at of [b, a, c]) core.free(at);
    expect(core.allocatedBytes).toBe(before);
    // Nothing was lost between the blocks: the same again takes no more memory.
    const length = core.memory.buffer.byteLength;
    for (let turn = 0; turn < 50; turn++) {
      const all = [core.allocate(1), core.allocate(8, 4096), core.allocate(70_001)];
      for (const at of all) core.free(at);
    }
    expect(core.memory.buffer.byteLength).toBe(length);
  });

  it('never begins at 0, which is null', () => {
    const core = Core.openSync(options);
    expect(core.header).toBeGreaterThan(0);
    expect(core.regions).toBeGreaterThan(0);
    for (let turn = 0; turn < 100; turn++) expect(core.allocate(8)).toBeGreaterThan(0);
  });

  it('refuses what is no block or no size', () => {
    const core = Core.openSync(options);
    const at = core.allocate(16);
    core.free(at);
    for (const wrong of [at, at + 8, 0, -1]) {
      expect(() => core.free(wrong)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    }
    for (const bytes of [0, -8, 1.5, Number.NaN]) {
      expect(() => core.allocate(bytes)).toThrow(/cannot allocate/);
    }
    for (const align of [0, 3, 24, 131072]) {
      expect(() => core.allocate(8, align)).toThrow(/no power of two/);
    }
  });

  it('grows up to maxBytes and says ENOMEM then, with nothing lost', () => {
    const core = Core.openSync({ ...options, maxBytes: 4 * PAGE_BYTES });
    const before = core.allocatedBytes;
    const big = core.allocate(2 * PAGE_BYTES);
    expect(() => core.allocate(2 * PAGE_BYTES)).toThrow(
      expect.objectContaining({ code: 'ENOMEM' }),
    );
    core.free(big);
    expect(core.allocatedBytes).toBe(before);
    expect(core.allocate(2 * PAGE_BYTES)).toBe(big);
    expect(core.memory.buffer.byteLength).toBeLessThanOrEqual(4 * PAGE_BYTES);
  });

  it('views follow the memory', () => {
    const core = Core.openSync({ ...options, ramBytes: PAGE_BYTES });
    const at = core.allocate(8);
    core.u32[at >>> 2] = 0x01020304;
    core.memory.grow(3);
    const length = core.memory.buffer.byteLength;
    expect([core.u8.length, core.u16.length, core.u32.length, core.i32.length]).toEqual(
      [1, 2, 4, 4].map((size) => length / size),
    );
    expect(core.ramU8.length).toBe(length);
    expect(core.u32[at >>> 2]).toBe(0x01020304);
    expect(core.i32[at >>> 2]).toBe(0x01020304);
    expect(core.u16[at >>> 1]).toBe(0x0304);
  });

  it('a device with one queue of 256 takes less than 64 KiB', () => {
    const core = Core.openSync(options);
    const before = core.allocatedBytes;
    const queue = createQueue(core, 256);
    expect(core.allocatedBytes).toBeLessThan(65536);
    queue.free();
    expect(core.allocatedBytes).toBe(before);
  });

  it('SC-12 a queue for SCSI commands has a table of its own, another has none', () => {
    const core = Core.openSync(options);
    const bytesOf = (scsi: boolean) => {
      const before = core.allocatedBytes;
      const queue = createQueue(core, 64, scsi);
      const bytes = core.allocatedBytes - before;
      const table = core.u32[(queue.address + QUEUE_SCSI) >>> 2]!;
      if (scsi) {
        // Whatever is written there, the queue's other structures stay.
        const length = 64 * (SCSI_REQUEST_SIZE + SCSI_RESPONSE_SIZE);
        expect(table + length).toBeLessThanOrEqual(queue.address + bytes);
        const other = core.u8.slice(queue.address, table);
        core.u8.fill(0xff, table, table + length);
        core.engine.queueReset(queue.address);
        expect(Buffer.compare(core.u8.subarray(queue.address, table), other)).toBe(0);
      } else expect(table).toBe(0);
      queue.free();
      expect(core.allocatedBytes).toBe(before);
      return bytes;
    };
    const more = bytesOf(true) - bytesOf(false);
    expect(more).toBe(64 * (SCSI_REQUEST_SIZE + SCSI_RESPONSE_SIZE));
  });

  it('a queue has 1 to 1024 descriptors', () => {
    const core = Core.openSync(options);
    for (const capacity of [1, 1024]) createQueue(core, capacity).free();
    for (const capacity of [0, 1025, 2.5]) {
      expect(() => createQueue(core, capacity)).toThrow(
        expect.objectContaining({ code: 'EINVAL' }),
      );
    }
  });
});

describe('a core in an emulator’s memory', () => {
  it('lives in what it grew at the end, while the emulator grows, too', () => {
    const memory = emulatorMemory(4);
    const core = Core.openSync({ engine: 'wasm', module: unshared, memory });
    expect(core.memory).toBe(memory);
    expect(core.header).toBeGreaterThanOrEqual(4 * PAGE_BYTES);
    const blocks = [core.header];
    const foreign: number[] = [];
    for (let turn = 0; turn < 10; turn++) {
      const page = memory.grow(1) * PAGE_BYTES;
      foreign.push(page);
      new Uint8Array(memory.buffer).fill(0xa5, page, page + PAGE_BYTES);
      for (let n = 0; n < 5; n++) {
        const at = core.allocate(30_000);
        core.u8.fill(0x11, at, at + 30_000);
        blocks.push(at);
      }
    }
    expect(isMarked(memory, 0, 4 * PAGE_BYTES)).toBe(true);
    for (const page of foreign) expect(isMarked(memory, page, page + PAGE_BYTES)).toBe(true);
    for (const at of blocks.slice(1)) core.free(at);
    // Arenas are not contiguous, and no block may reach from one over the emulator's page.
    const again = core.allocate(3 * PAGE_BYTES);
    core.u8.fill(0x11, again, again + 3 * PAGE_BYTES);
    for (const page of foreign) expect(isMarked(memory, page, page + PAGE_BYTES)).toBe(true);
  });

  it('says ENOMEM where the emulator’s memory is full', () => {
    const memory = emulatorMemory(2, 3);
    const core = Core.openSync({ engine: 'wasm', module: unshared, memory });
    expect(() => core.allocate(PAGE_BYTES)).toThrow(expect.objectContaining({ code: 'ENOMEM' }));
    expect(() => Core.openSync({ engine: 'wasm', module: unshared, memory })).toThrow(
      expect.objectContaining({ code: 'ENOMEM' }),
    );
  });

  it('makes guest RAM at the end if asked to', () => {
    const memory = emulatorMemory(2);
    const core = Core.openSync({ engine: 'js', memory, ramBytes: 100_000 });
    expect(core.regionList).toEqual([{ guest: 0, size: 100_000, offset: 2 * PAGE_BYTES }]);
    expect(core.header).toBeGreaterThanOrEqual(4 * PAGE_BYTES);
  });
});

describe('guest regions', () => {
  const page = 4096;
  const open = () => Core.openSync({ engine: 'wasm', module: unshared, ramBytes: 16 * page });
  const ram = PAGE_BYTES;

  it('are kept sorted, as numbers of 64 bits', () => {
    const core = open();
    const high = 2 ** 40 + page;
    core.setRegions([
      { guest: high, size: page, offset: ram + page },
      { guest: 0, size: page, offset: ram },
    ]);
    expect(core.regionList.map(({ guest }) => guest)).toEqual([0, high]);
    const words = core.u32.subarray(core.regions >>> 2);
    expect(words[REGIONS_COUNT >>> 2]).toBe(2);
    const second = (REGIONS_FIRST >>> 2) + 6;
    expect([...words.subarray(second, second + 5)]).toEqual([page, 256, page, 0, ram + page]);
    // What is not there any more leaves no trace: an engine may look at a place behind the count.
    core.setRegions([]);
    expect(words.subarray(0, 26).every((word) => word === 0)).toBe(true);
  });

  const refusals: [string, string, RegExp, { guest: number; size: number; offset: number }[]][] = [
    [
      'offset and address differ modulo 4096',
      'EALIGN',
      /region 0x0 \+ 0x1000 lies at offset 0x10008: it must equal its address modulo 4096/,
      [{ guest: 0, size: page, offset: ram + 8 }],
    ],
    [
      'two share a guest byte',
      'EOVERLAP',
      /region 0xfff \+ 0x1 overlaps region 0x0 \+ 0x1000/,
      [
        { guest: 0, size: page, offset: ram },
        { guest: page - 1, size: 1, offset: ram + page - 1 },
      ],
    ],
    [
      'one ends a byte beyond the memory',
      'ERANGE',
      /ends beyond the memory of 0x20000 bytes/,
      [{ guest: 0, size: 16 * page + 1, offset: ram }],
    ],
    [
      'one reaches into the core’s memory',
      'EOVERLAP',
      /covers the core's memory at 0x0/,
      [{ guest: page - 1, size: 2, offset: ram - 1 }],
    ],
    ['no size', 'EINVAL', /whole numbers/, [{ guest: 0, size: 0, offset: ram }]],
    ['a negative address', 'EINVAL', /whole numbers/, [{ guest: -page, size: page, offset: ram }]],
    ['a fraction', 'EINVAL', /whole numbers/, [{ guest: 0, size: 0.5, offset: ram }]],
    [
      'an end beyond what a number holds',
      'EINVAL',
      /whole numbers/,
      [{ guest: 2 ** 53 - page, size: 2 * page, offset: ram }],
    ],
    [
      'more than 16',
      'EINVAL',
      /17 regions; at most 16/,
      Array.from({ length: 17 }, (_, n) => ({ guest: n * page, size: 1, offset: ram })),
    ],
  ];

  it.each(refusals)('%s: %s, and nothing changes', (_name, code, message, list) => {
    const core = open();
    const before = [...core.u8.subarray(core.regions, core.regions + 400)];
    const listed = core.regionList;
    expect(() => core.setRegions(list)).toThrow(expect.objectContaining({ code }));
    expect(() => core.setRegions(list)).toThrow(message);
    expect([...core.u8.subarray(core.regions, core.regions + 400)]).toEqual(before);
    expect(core.regionList).toBe(listed);
  });

  it('may touch each other and the end of memory, 16 of them', () => {
    const core = open();
    const list = Array.from({ length: 16 }, (_, n) => ({
      guest: n * page,
      size: page,
      offset: ram + n * page,
    }));
    core.setRegions(list);
    expect(core.regionList).toEqual(list);
  });

  it('count from the guest’s own buffer if it has one', () => {
    const guest = new WebAssembly.Memory({ initial: 1 });
    const core = Core.openSync({ engine: 'js', ram: guest, ramBytes: PAGE_BYTES });
    expect(core.regionList).toEqual([{ guest: 0, size: PAGE_BYTES, offset: 0 }]);
    expect(core.ramU8.buffer).toBe(guest.buffer);
    const list = [{ guest: 0, size: PAGE_BYTES + 1, offset: 0 }];
    expect(() => core.setRegions(list)).toThrow(expect.objectContaining({ code: 'ERANGE' }));
  });
});

describe('a module of the wrong kind', () => {
  const cases: [string, CoreOptions, RegExp][] = [
    [
      'unshared memory, shared module',
      { engine: 'wasm', module: shared },
      /memory is unshared and needs core\.wasm; the module given is core\.shared\.wasm/,
    ],
    [
      'shared memory, unshared module',
      { engine: 'auto', module: unshared, shared: true },
      /memory is shared and needs core\.shared\.wasm; the module given is core\.wasm/,
    ],
    [
      'bytes that are no module',
      { engine: 'wasm', module: new Uint8Array([1, 2, 3]) },
      /the module cannot be instantiated/,
    ],
  ];
  it.each(cases)('%s', async (_name, options, message) => {
    await expect(Core.open(options)).rejects.toMatchObject({ code: 'EMODULE' });
    await expect(Core.open(options)).rejects.toThrow(message);
    expect(() => Core.openSync(options)).toThrow(message);
  });
});

/** Makes a ring of 4 at the guest's address 0 and offers a chain of `length` bytes at head 2. */
function offer(core: Core, length: number): number {
  const region = core.regionList[0] as Region;
  const view = new DataView(core.ram.buffer, region.offset);
  view.setBigUint64(2 * 16, BigInt(region.guest + 0x400), true);
  view.setUint32(2 * 16 + 8, length, true);
  view.setUint16(0x100 + 4, 2, true);
  const queue = createQueue(core, 4);
  const { engine } = core;
  const at = (offset: number): [number, number] => [
    (region.guest + offset) % 2 ** 32,
    Math.floor((region.guest + offset) / 2 ** 32),
  ];
  expect(engine.queueEnable(queue.address, 4, 0, ...at(0), ...at(0x100), ...at(0x200))).toBe(0);
  view.setUint16(0x100 + 2, 1, true);
  return queue.address;
}

/** Pops that chain, checks its record and pushes it. */
function serve(core: Core, queue: number, length: number): void {
  expect(core.engine.queuePop(queue, 4)).toBe(1);
  const word = (at: number) => core.u32[at >>> 2] as number;
  const record = word(queue + QUEUE_RECORDS) + 2 * RECORD_SIZE;
  expect(word(record + RECORD_OUT_BYTES)).toBe(length);
  const region = core.regionList[0] as Region;
  expect(word(word(record + RECORD_SEGMENTS) + 8)).toBe(region.offset + 0x400);
  core.u32[word(queue + QUEUE_DONE) >>> 2] = word(word(queue + QUEUE_BATCH));
  expect(core.engine.queuePush(queue, 1)).toBe(1);
  expect(core.ramU8[region.offset + 0x202]).toBe(1);
}

describe('attaching', () => {
  const pairs: [string, CoreOptions][] = [
    kinds[1] as [string, CoreOptions],
    kinds[2] as [string, CoreOptions],
  ];

  it.each(pairs)('another instance serves the same queue (%s)', async (_name, options) => {
    const core = await Core.open({ ...options, ramBytes: PAGE_BYTES });
    const queue = offer(core, 77);
    const other = await Core.attach(core.handle());
    expect(other.engine).not.toBe(core.engine);
    expect(other.choice).toEqual(core.choice);
    expect(other.regionList).toEqual(core.regionList);
    serve(other, queue, 77);
    for (const call of [() => other.allocate(8), () => other.free(8), () => other.setRegions([])]) {
      expect(call).toThrow(expect.objectContaining({ code: 'EPERM' }));
    }
  });

  it('works from another thread, from a cloned handle', async () => {
    const core = await Core.open({ module: shared, shared: true, ramBytes: PAGE_BYTES });
    const queue = offer(core, 5);
    const worker = new Worker(
      `const { parentPort, workerData } = require('node:worker_threads');
       import(workerData.core).then(async ({ Core }) => {
         const core = await Core.attach(workerData.handle);
         parentPort.postMessage([core.engine.kind, core.engine.queuePop(workerData.queue, 4)]);
       });`,
      {
        eval: true,
        workerData: { core: new URL('engine/core.js', root).href, handle: core.handle(), queue },
      },
    );
    const answer = await new Promise((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
    await worker.terminate();
    expect(answer).toEqual(['wasm', 1]);
  });

  const words: [string, number, number, RegExp][] = [
    ['no core at all', CORE_HEADER_MAGIC, 0x1234, /there is no core at \d+: magic is 0x1234/],
    [
      'another ABI',
      CORE_HEADER_ABI,
      ABI_VERSION + 1,
      new RegExp(`the memory is of ABI ${ABI_VERSION + 1}, this program of ABI ${ABI_VERSION}`),
    ],
    [
      'another layout',
      CORE_HEADER_LAYOUT,
      LAYOUT_SUM - 1,
      new RegExp(`structures add up to ${LAYOUT_SUM - 1}, not ${LAYOUT_SUM}`),
    ],
  ];
  it.each(words)('to %s is refused and named', async (_name, field, value, message) => {
    const core = await Core.open({ engine: 'js' });
    const at = (core.header + field) >>> 2;
    const right = core.u32[at] as number;
    core.u32[at] = value;
    await expect(Core.attach(core.handle())).rejects.toMatchObject({ code: 'EABI' });
    await expect(Core.attach(core.handle())).rejects.toThrow(message);
    core.u32[at] = right;
    await expect(Core.attach(core.handle())).resolves.toBeInstanceOf(Core);
  });

  it('to an address that cannot be a header is refused', async () => {
    const core = await Core.open({ engine: 'js' });
    for (const header of [0, 2, core.memory.buffer.byteLength - 60, 2 ** 32]) {
      const handle = { ...core.handle(), header };
      await expect(Core.attach(handle)).rejects.toMatchObject({ code: 'EINVAL' });
    }
    expect(core.u32[(core.header + CORE_HEADER_MAGIC) >>> 2]).toBe(CORE_MAGIC);
  });
});

describe('a memory of nearly 4 GiB', () => {
  it('is served to its end, and its last page is nobody’s', () => {
    const memory = new WebAssembly.Memory({ initial: PAGES_MAX - 3 });
    const core = Core.openSync({ engine: 'wasm', module: unshared, memory });
    expect(core.header).toBe((PAGES_MAX - 3) * PAGE_BYTES);
    const offset = (PAGES_MAX - 4) * PAGE_BYTES;
    core.setRegions([{ guest: 2 ** 40, size: PAGE_BYTES, offset }]);
    serve(core, offer(core, 9), 9);
    core.allocate(PAGE_BYTES);
    expect(() => core.allocate(2 * PAGE_BYTES)).toThrow(
      expect.objectContaining({ code: 'ENOMEM' }),
    );
    expect(memory.buffer.byteLength).toBeLessThanOrEqual(PAGES_MAX * PAGE_BYTES);
  });
});
