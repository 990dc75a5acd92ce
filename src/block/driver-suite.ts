/**
 * What every driver must do, as cases to run: for authors of drivers, with any test runner.
 *
 *     for (const { name, run } of driverSuite(openMine)) it(name, run);
 *
 * `open` gives a fresh disk of at least 1 MiB whose contents the cases may overwrite.
 */

import {
  type BlockDriver,
  OP_DISCARD,
  OP_FLUSH,
  OP_READ,
  OP_WRITE,
  OP_WRITE_ZEROES,
  REQ_FUA,
  REQ_MAY_UNMAP,
} from './driver.ts';
import { check, DriverClient } from './driver-client.ts';
import { SegmentVector } from './io-vector.ts';

export interface DriverSuiteOptions {
  /** The disk refuses writes: only the cases that read. */
  readOnly?: boolean;
  /** The disk keeps what is written; default true. The null disk does not. */
  retains?: boolean;
  /** `truncate` works; default true. */
  resizable?: boolean;
  /** Memory for requests; default a plain array. For drivers that want it aligned. */
  buffer?: (bytes: number) => Uint8Array;
}

export interface DriverCase {
  readonly name: string;
  /** Throws, or rejects, if the driver does not do what the name says. */
  run(): Promise<void>;
}

const KIB = 1024;
const MIB = 1024 * 1024;

type Body = (disk: Disk) => Promise<void>;

/** An open driver and the ways the cases use it. */
interface Disk {
  readonly driver: BlockDriver;
  readonly client: DriverClient;
  /** Unit of offsets and lengths: at least a sector. */
  readonly unit: number;
  buffer(bytes: number): Uint8Array;
  /** Bytes that differ everywhere and with `seed`. */
  pattern(bytes: number, seed: number): Uint8Array;
}

/** The cases for a driver. Each opens a disk of its own and closes it. */
export function driverSuite(
  open: () => Promise<BlockDriver> | BlockDriver,
  options: DriverSuiteOptions = {},
): DriverCase[] {
  const { readOnly = false, retains = true, resizable = true } = options;
  const buffer = options.buffer ?? ((bytes: number) => new Uint8Array(bytes));
  const cases: Record<string, Body> = { ...alwaysCases };
  if (!readOnly) Object.assign(cases, writingCases);
  if (!readOnly && retains) Object.assign(cases, keepingCases);
  if (!readOnly && resizable) Object.assign(cases, resizingCases);
  if (!readOnly && resizable && retains) Object.assign(cases, resizedDataCases);
  return Object.entries(cases).map(([name, body]) => ({
    name,
    run: async () => {
      const driver = await open();
      try {
        await body(diskOf(driver, buffer));
      } finally {
        await driver.close();
      }
    },
  }));
}

function diskOf(driver: BlockDriver, buffer: (bytes: number) => Uint8Array): Disk {
  return {
    driver,
    client: new DriverClient(driver),
    unit: Math.max(512, driver.alignment),
    buffer,
    pattern(bytes, seed) {
      const filled = buffer(bytes);
      let state = (seed + 1) * 2_654_435_761;
      for (let i = 0; i < bytes; i++) {
        state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
        filled[i] = state >>> 24;
      }
      return filled;
    },
  };
}

const alwaysCases: Record<string, Body> = {
  async 'says what it is'({ driver }) {
    check(driver.driver.length > 0, 'a driver has a name');
    check(['inline', 'word', 'loop'].includes(driver.settles), `settles: ${driver.settles}`);
    check(['any', 'one'].includes(driver.threads), `threads: ${driver.threads}`);
    check(Number.isSafeInteger(driver.size) && driver.size >= MIB, `size: ${driver.size}`);
    check(Number.isInteger(Math.log2(driver.alignment)), `alignment: ${driver.alignment}`);
  },

  async 'reads the first and the last block'({ driver, client, unit, buffer }) {
    await client.read(0, buffer(unit));
    await client.read(driver.size - unit, buffer(unit));
  },

  async 'reads into its segments and nowhere else'({ client, unit, buffer }) {
    const bytes = buffer(unit * 6).fill(0xa5);
    const vector = new SegmentVector(bytes);
    vector.append(unit, unit);
    vector.append(unit * 3, unit);
    await client.transfer(OP_READ, 0, vector);
    for (const part of [0, 2, 4, 5]) {
      const canary = bytes.subarray(part * unit, (part + 1) * unit);
      check(
        canary.every((byte) => byte === 0xa5),
        `bytes before segment ${part} were written`,
      );
    }
  },

  async 'reads the same twice'({ client, unit, buffer }) {
    const [first, second] = [buffer(unit * 8), buffer(unit * 8)];
    await client.read(unit, first);
    await client.read(unit, second);
    same(second, first, 'second read');
  },
};

const writingCases: Record<string, Body> = {
  async flushes({ client, unit, pattern }) {
    await client.write(0, pattern(unit, 1));
    await client.command(OP_FLUSH);
  },

  async 'takes writes with FUA'({ client, unit, pattern }) {
    await client.write(0, pattern(unit, 1), REQ_FUA);
  },

  async 'leaves the bytes that it writes as they are'({ client, unit, pattern }) {
    const bytes = pattern(unit * 4, 2);
    await client.write(unit, bytes);
    same(bytes, pattern(unit * 4, 2), 'the buffer after the write');
  },

  async 'discards any range'({ driver, client, unit }) {
    await client.command(OP_DISCARD, unit, unit);
    await client.command(OP_DISCARD, unit, 256 * KIB);
    await client.command(OP_DISCARD, 0, driver.size);
  },
};

const keepingCases: Record<string, Body> = {
  async 'reads what was written'({ driver, client, unit, buffer, pattern }) {
    for (const offset of [0, unit, 64 * KIB - unit, driver.size - 4 * unit]) {
      const bytes = pattern(unit * 4, offset);
      await client.write(offset, bytes);
      const back = buffer(bytes.length);
      await client.read(offset, back);
      same(back, bytes, `read at ${offset}`);
    }
  },

  async 'writes its range and nothing else'({ client, unit, buffer, pattern }) {
    const around = pattern(unit * 8, 3);
    await client.write(0, around);
    const bytes = pattern(unit * 2, 4);
    await client.write(unit * 3, bytes);
    around.set(bytes, unit * 3);
    const back = buffer(around.length);
    await client.read(0, back);
    same(back, around, 'read');
  },

  async 'gathers and scatters segments'({ client, unit, buffer, pattern }) {
    const bytes = pattern(unit * 16, 5);
    const out = new SegmentVector(bytes);
    for (const [start, length] of [
      [8, 3],
      [0, 1],
      [12, 4],
    ] as const) {
      out.append(start * unit, length * unit);
    }
    await client.transfer(OP_WRITE, unit * 7, out);
    const back = buffer(unit * 16);
    const into = new SegmentVector(back);
    for (const start of [15, 3, 5, 1, 9, 13, 7, 11]) into.append(start * unit, unit);
    await client.transfer(OP_READ, unit * 7, into);
    const expected = buffer(unit * 16);
    [8, 9, 10, 0, 12, 13, 14, 15].forEach((from, i) => {
      const to = [15, 3, 5, 1, 9, 13, 7, 11][i] as number;
      expected.set(bytes.subarray(from * unit, (from + 1) * unit), to * unit);
    });
    same(back, expected, 'scattered read');
  },

  async 'takes more than 1024 segments'({ client, unit, buffer, pattern }) {
    const count = 1030;
    const bytes = pattern(unit * count * 2, 6);
    const vector = new SegmentVector(bytes);
    for (let i = 0; i < count; i++) vector.append(i * 2 * unit, unit);
    await client.transfer(OP_WRITE, 0, vector);
    const back = buffer(unit * count);
    await client.read(0, back);
    for (const i of [0, 1, 1023, 1024, count - 1]) {
      const expected = bytes.subarray(i * 2 * unit, (i * 2 + 1) * unit);
      same(back.subarray(i * unit, (i + 1) * unit), expected, `segment ${i}`);
    }
  },

  async 'moves large requests'({ driver, client, buffer, pattern }) {
    const bytes = pattern(Math.min(driver.size, 3 * MIB), 7);
    await client.write(0, bytes);
    const back = buffer(bytes.length);
    await client.read(0, back);
    same(back, bytes, 'read');
  },

  async 'does many requests at once'({ client, unit, buffer, pattern }) {
    const count = 64;
    const writes = Array.from({ length: count }, (_, i) => pattern(unit * 2, i));
    await Promise.all(writes.map((bytes, i) => client.write(i * unit * 2, bytes)));
    const reads = writes.map((bytes) => buffer(bytes.length));
    await Promise.all(reads.map((bytes, i) => client.read(i * unit * 2, bytes)));
    reads.forEach((bytes, i) => {
      same(bytes, writes[i] as Uint8Array, `request ${i}`);
    });
  },

  async 'keeps data over a flush'({ client, unit, buffer, pattern }) {
    await client.write(unit, pattern(unit, 8));
    await client.command(OP_FLUSH);
    const back = buffer(unit);
    await client.read(unit, back);
    same(back, pattern(unit, 8), 'read');
  },

  async 'writes zeroes, and only where told'(disk) {
    await zeroRange(disk, disk.unit * 3, 200 * KIB, 0);
    await zeroRange(disk, disk.driver.size - 64 * KIB, 64 * KIB, 0);
  },

  async 'writes zeroes that may be holes, and only where told'(disk) {
    await zeroRange(disk, disk.unit * 3, 200 * KIB, REQ_MAY_UNMAP);
    await zeroRange(disk, disk.unit, disk.unit, REQ_MAY_UNMAP);
    await zeroRange(disk, disk.driver.size - 100 * KIB, 100 * KIB, REQ_MAY_UNMAP);
  },

  async 'discards nothing but what it is told to'({ driver, client, unit, buffer, pattern }) {
    const { size } = driver;
    const around = pattern(MIB, 10);
    await client.write(size - MIB, around);
    await client.command(OP_DISCARD, size - MIB + unit * 3, 300 * KIB);
    await client.command(OP_DISCARD, size - 128 * KIB - unit, 128 * KIB + unit);
    check(driver.size === size, 'a discard changed the size of the disk');
    const back = buffer(MIB);
    await client.read(size - MIB, back);
    const [from, to] = [unit * 3, unit * 3 + 300 * KIB];
    same(back.subarray(0, from), around.subarray(0, from), 'before the first range');
    const end = MIB - 128 * KIB - unit;
    same(back.subarray(to, end), around.subarray(to, end), 'between the ranges');
  },
};

const resizingCases: Record<string, Body> = {
  async 'changes its size'({ driver, client, unit, buffer }) {
    const { size } = driver;
    check(driver.truncate(size + MIB) === 0, 'cannot grow');
    check(driver.size === size + MIB, `size after growing: ${driver.size}`);
    await client.read(size + MIB - unit, buffer(unit));
    check(driver.truncate(512 * KIB) === 0, 'cannot shrink');
    check(driver.size === 512 * KIB, `size after shrinking: ${driver.size}`);
  },

  async 'refuses a size that makes no sense'({ driver }) {
    const { size } = driver;
    for (const wrong of [-512, 0.5, Number.NaN]) {
      check(driver.truncate(wrong) < 0, `took the size ${wrong}`);
      check(driver.size === size, `has the size ${driver.size} after refusing ${wrong}`);
    }
  },
};

const resizedDataCases: Record<string, Body> = {
  async 'reads zeroes where it was cut off and grew again'({
    driver,
    client,
    unit,
    buffer,
    pattern,
  }) {
    const { size } = driver;
    const cut = size - 128 * KIB - unit;
    const bytes = pattern(256 * KIB, 11);
    await client.write(size - bytes.length, bytes);
    check(driver.truncate(cut) === 0, 'cannot shrink');
    check(driver.truncate(size) === 0, 'cannot grow');
    const back = buffer(bytes.length);
    await client.read(size - bytes.length, back);
    const kept = bytes.length - (size - cut);
    same(back.subarray(0, kept), bytes.subarray(0, kept), 'what was not cut off');
    same(back.subarray(kept), buffer(size - cut), 'what was cut off');
  },
};

/** Fills a range and its surroundings, zeroes the range, and looks at all of it. */
async function zeroRange(disk: Disk, offset: number, length: number, flags: number): Promise<void> {
  const { driver, client, unit, buffer, pattern } = disk;
  const from = Math.max(0, offset - unit * 2);
  const to = Math.min(driver.size, offset + length + unit * 2);
  const expected = pattern(to - from, 9);
  await client.write(from, expected);
  await client.command(OP_WRITE_ZEROES, offset, length, flags);
  expected.fill(0, offset - from, offset - from + length);
  const back = buffer(to - from).fill(0x5a);
  await client.read(from, back);
  same(back, expected, `read around ${length} zeroes at ${offset}`);
}

/** Compares and names the first byte that differs. */
function same(actual: Uint8Array, expected: Uint8Array, what: string): void {
  check(actual.length === expected.length, `${what}: ${actual.length} of ${expected.length} bytes`);
  for (let i = 0; i < expected.length; i++) {
    if (actual[i] === expected[i]) continue;
    throw new Error(`${what}: byte ${i} is ${actual[i]}, not ${expected[i]}`);
  }
}
