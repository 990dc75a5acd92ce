import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { openCore } from '#src/adapter/node';
import { nodeFiles } from '#src/adapter/node-files';
import '#src/block/drivers';
import { AioContext } from '#src/aio/context';
import {
  type BlockDriver,
  type BlockRequest,
  type DriverSpec,
  OP_READ,
  OP_WRITE,
} from '#src/block/driver';
import { type DriverSuiteOptions, driverSuite } from '#src/block/driver-suite';
import { FaultDriver } from '#src/block/fault';
import { zeroVector } from '#src/block/io-vector';
import { MemoryDriver } from '#src/block/memory';
import { NullDriver } from '#src/block/null';
import { openDriver } from '#src/block/registry';
import { Core } from '#src/engine/core';
import { ScriptDriver } from './script-driver.ts';

const MIB = 1024 * 1024;
const folder = mkdtempSync(join(tmpdir(), 'vblk-suite-'));
let files = 0;
afterAll(() => rmSync(folder, { recursive: true }));

const wasm = await openCore({ ramBytes: 65_536 });
const js = await openCore({ engine: 'js', ramBytes: 65_536 });
const shared = await openCore({ shared: true, maxBytes: 256 * MIB });
const attached = await Core.attach(shared.handle());

/** A file disk in a new file of 8 MiB. */
async function file(options: Record<string, unknown>, core: Core = wasm): Promise<BlockDriver> {
  const filename = join(folder, `disk${files++}`);
  const create = { filename, size: 8 * MIB, create: true };
  return openDriver(core, { driver: 'file', options: { ...create, ...options } });
}

/** A memory disk as another thread has it. Its owner outlives it. */
function attachedMemory(): BlockDriver {
  const owner = new MemoryDriver(shared, 8 * MIB);
  const driver = new MemoryDriver(attached, 0, 0, owner.clusterDisk);
  driver.close = () => owner.close();
  return driver;
}

async function readOnlyFile(): Promise<BlockDriver> {
  const filename = join(folder, `disk${files++}`);
  writeFileSync(filename, Buffer.alloc(2 * MIB, 'read only '));
  return openDriver(wasm, { driver: 'file', options: { filename, readonly: true } });
}

/** Does this file system take O_DIRECT? */
async function directError(): Promise<string | null> {
  try {
    await (await file({ direct: true })).close();
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

function alignedBuffer(bytes: number): Uint8Array {
  const pages = Math.ceil(bytes / 65_536);
  return new Uint8Array(new WebAssembly.Memory({ initial: pages }).buffer, 0, bytes);
}

/** Buffers inside core memory, as a guest's are. */
function coreBuffer(core: Core): (bytes: number) => Uint8Array {
  return (bytes) => {
    const address = core.allocate(bytes);
    return new Uint8Array(core.memory.buffer, address, bytes);
  };
}

const context = new AioContext(wasm, { sleeper: 'loop' });
const onMain = { main: true, context };
const memorySpec = { driver: 'memory', options: { size: 8 * MIB } };
const fileSpec = (options = {}) => {
  const filename = join(folder, `disk${files++}`);
  return { driver: 'file', options: { filename, create: true, ...options } };
};

/** A throttle that is wide enough for the suite, and narrow enough to make most requests wait. */
async function throttle(file: DriverSpec): Promise<BlockDriver> {
  const limits = { 'iops-total': 5000, 'bps-total': '100M' };
  return openDriver(wasm, { driver: 'throttle', options: { file, ...limits } }, onMain);
}

async function overlay(base: DriverSpec, top: DriverSpec, more = {}): Promise<BlockDriver> {
  return openDriver(wasm, { driver: 'overlay', options: { base, top, ...more } }, onMain);
}

type Opener = () => Promise<BlockDriver> | BlockDriver;
const disks: [string, Opener, DriverSuiteOptions?][] = [
  ['memory (wasm)', () => new MemoryDriver(wasm, 8 * MIB)],
  ['memory (js)', () => new MemoryDriver(js, 8 * MIB)],
  [
    'memory (shared wasm, buffers in core memory)',
    () => new MemoryDriver(shared, 8 * MIB),
    { buffer: coreBuffer(shared) },
  ],
  ['memory, attached in a second instance', attachedMemory, { resizable: false }],
  ['null', () => new NullDriver(8 * MIB, false), { retains: false }],
  ['null, read-zeroes', () => new NullDriver(8 * MIB, true), { retains: false }],
  ['file, sync', () => file({})],
  ['file, uv', () => file({ aio: 'uv', parallel: 3 })],
  ['file, sync, discard=ignore', () => file({ discard: 'ignore' })],
  ['file, read-only', readOnlyFile, { readOnly: true }],
  ['fault without rules over memory', () => new FaultDriver(new MemoryDriver(wasm, 8 * MIB))],
  [
    'fault over memory: short and late',
    () =>
      new FaultDriver(new MemoryDriver(wasm, 8 * MIB), [
        { action: 'short', bytes: 1024, op: ['read', 'write'], count: 3 },
        { action: 'delay', ms: 0 },
      ]),
  ],
  ['throttle over memory', () => throttle(memorySpec)],
  ['throttle over file', () => throttle(fileSpec({ size: 8 * MIB }))],
  ['overlay, memory over memory', () => overlay(memorySpec, { driver: 'memory' })],
  [
    'overlay, clusters of 4 KiB',
    () => overlay(memorySpec, { driver: 'memory' }, { 'cluster-size': 4096 }),
  ],
  ['overlay, file over file', () => overlay(fileSpec({ size: 8 * MIB }), fileSpec())],
  [
    'overlay, file over file, uv',
    () => overlay(fileSpec({ size: 8 * MIB, aio: 'uv' }), fileSpec({ aio: 'uv' })),
  ],
  [
    'overlay over a throttle',
    () => {
      const options = { file: memorySpec, 'iops-total': 5000 };
      return overlay({ driver: 'throttle', options }, { driver: 'memory' });
    },
  ],
  [
    'overlay, short and late',
    () => {
      const rules = [
        { action: 'short', bytes: 1024, op: ['read', 'write'], count: 3, skip: 2 },
        { action: 'delay', ms: 0 },
      ];
      const fault = (image: DriverSpec) => ({ driver: 'fault', options: { image, rules } });
      const top = { driver: 'memory', options: { size: 24 * MIB } };
      return overlay(fault(memorySpec), fault(top));
    },
  ],
];

for (const [name, open, options] of disks) {
  describe(`driver suite: ${name}`, () => {
    for (const { name: title, run } of driverSuite(open, options)) it(title, run);
  });
}

const refused = await directError();
describe('driver suite: file, O_DIRECT', () => {
  for (const aio of ['sync', 'uv'] as const) {
    const suite = driverSuite(() => file({ direct: true, aio }), { buffer: alignedBuffer });
    for (const { name, run } of suite) {
      const why = refused === null ? '' : ` (skipped: ${refused})`;
      it.skipIf(refused !== null)(`${aio}: ${name}${why}`, run);
    }
  }
});

describe('driver suite, on drivers that are wrong', () => {
  /** A driver in memory whose `submit` a test spoils. */
  class Spoilt extends ScriptDriver {
    readonly bytes = new Uint8Array(2 * MIB);

    constructor(settles: 'inline' | 'loop' = 'inline') {
      super(settles, (request) => this.serve(request), 2 * MIB);
    }

    serve(request: BlockRequest): number {
      const { op, offset, length, vector } = request;
      const end = offset + length;
      if (op === OP_READ || op === OP_WRITE) {
        let at = offset;
        for (let i = 0; i < vector.count; i++) {
          const [start, size] = [vector.starts[i] as number, vector.lengths[i] as number];
          const part = vector.bytes.subarray(start, start + size);
          if (op === OP_READ) part.set(this.bytes.subarray(at, at + size));
          else this.bytes.set(part, at);
          at += size;
        }
        return length;
      }
      if (op > OP_WRITE) this.bytes.fill(0, offset, end);
      return 0;
    }

    override truncate(size: number): number {
      if (!Number.isSafeInteger(size) || size < 0) return -22;
      if (size < this.size) this.bytes.fill(0, size);
      return super.truncate(size);
    }
  }

  /** Names of the cases that a driver fails. */
  async function failures(open: () => BlockDriver): Promise<string[]> {
    const failed: string[] = [];
    for (const { name, run } of driverSuite(open, { resizable: true })) {
      await run().catch(() => failed.push(name));
    }
    return failed;
  }

  it('passes one that is right, so that what follows means something', async () => {
    expect(await failures(() => new Spoilt())).toEqual([]);
  });

  const spoil: [string, (driver: Spoilt) => void, string][] = [
    [
      'writes one byte behind a segment',
      (driver) => {
        const serve = driver.answer;
        driver.answer = (request) => {
          const { bytes, starts, lengths } = request.vector;
          if (request.op === OP_READ) bytes[starts[0]! + lengths[0]!] = 1;
          return serve(request);
        };
      },
      'reads into its segments and nowhere else',
    ],
    [
      'forgets what is written',
      (driver) => {
        driver.answer = (request) => {
          if (request.op === OP_READ) zeroVector(request.vector, 0, request.length);
          return request.op === OP_READ || request.op === OP_WRITE ? request.length : 0;
        };
      },
      'reads what was written',
    ],
    [
      'claims more than was asked',
      (driver) => {
        driver.answer = (request) => request.length + 1;
      },
      'reads the first and the last block',
    ],
    [
      'settles inside submit',
      (driver) => {
        const serve = driver.answer;
        driver.answer = (request) => {
          request.settle(serve(request));
          return -0x80000000;
        };
      },
      'reads the same twice',
    ],
    [
      'discards too much',
      (driver) => {
        const serve = driver.answer;
        driver.answer = (request) => {
          const result = serve(request);
          if (request.op === 3) driver.bytes.fill(0, request.offset - 1, request.offset);
          return result;
        };
      },
      'discards nothing but what it is told to',
    ],
    [
      'keeps what was cut off',
      (driver) => {
        driver.truncate = (size) => {
          if (!Number.isSafeInteger(size) || size < 0) return -22;
          driver.size = size;
          return 0;
        };
      },
      'reads zeroes where it was cut off and grew again',
    ],
  ];
  for (const [what, spoiled, caught] of spoil) {
    it(`catches one that ${what}`, async () => {
      const open = () => {
        const driver = new Spoilt();
        spoiled(driver);
        return driver;
      };
      expect(await failures(open)).toContain(caught);
    });
  }
});

describe('driver suite: what it ran on', () => {
  it('used both engines, and files of this host', () => {
    expect(wasm.choice.engine).toBe('wasm');
    expect(js.choice.engine).toBe('js');
    expect(nodeFiles.fs.constants.O_RDWR).toBe(2);
  });
});
