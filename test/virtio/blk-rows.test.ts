/** Plain requests that a driver does in a loop of its own, and what becomes of the odd ones. */

import { describe, expect, it } from 'vitest';
import { OP_READ, type OP_WRITE, type RequestTable } from '#src/block/driver';
import { EIO } from '#src/spec';
import { Bench, engines, IOERR, OK } from './blk-bench.ts';
import { ProbeDriver } from './probe-driver.ts';

/** Does rows as `answerRow` says; undefined: as the disk does. */
class RowDriver extends ProbeDriver {
  readonly rows: number[] = [];
  answerRow: (row: number) => number | undefined = () => undefined;
  /** Rows before which it finds the gate closed. */
  stopAt = 32;

  submitAll(
    op: typeof OP_READ | typeof OP_WRITE,
    { count, offsets, starts, lengths, results }: RequestTable,
    ram: Uint8Array,
  ): number {
    this.rows.push(count);
    for (let i = 0; i < count; i++) {
      if (i === this.stopAt) return i;
      const [offset, start, length] = [offsets[i]!, starts[i]!, lengths[i]!];
      const result = this.answerRow(i) ?? length;
      results[i] = result;
      if (result < 0) continue;
      if (op === OP_READ) ram.set(this.bytes.subarray(offset, offset + result), start);
      else this.bytes.set(ram.subarray(start, start + result), offset);
    }
    return count;
  }
}

describe.each(engines)('rows of plain requests, engine %s', (engine) => {
  async function open() {
    const driver = new RowDriver(65_536);
    for (let i = 0; i < driver.bytes.length; i++) driver.bytes[i] = i >>> 9;
    const bench = await Bench.open({ engine, driver });
    bench.start();
    return { bench, driver };
  }

  it('one call of the driver for all, counted as any (BB-27)', async () => {
    const { bench, driver } = await open();
    const asked = [3, 9, 1, 20].map((sector) => bench.read(sector, 512));
    expect(bench.run()).toBe(4);
    expect([driver.rows, driver.calls]).toEqual([[4], []]);
    expect(asked.map((one) => bench.status(one))).toEqual([OK, OK, OK, OK]);
    const { read, write } = bench.backend.stats();
    expect([read.operations, read.bytes, write.operations]).toEqual([4, 2048, 0]);
  });

  it('writes, too; and neighbours are merged instead (BL-6)', async () => {
    const { bench, driver } = await open();
    const asked = [3, 9].map((sector) => bench.write(sector, new Uint8Array(512).fill(0x5a)));
    bench.run();
    expect([driver.rows, driver.calls, driver.bytes[3 * 512]]).toEqual([[2], [], 0x5a]);
    const near = [bench.read(5, 512), bench.read(4, 512)];
    bench.run();
    expect([driver.rows, driver.calls.length]).toEqual([[2], 1]);
    expect([...asked, ...near].every((one) => bench.status(one) === OK)).toBe(true);
  });

  it('a short row is done from its beginning, a failed one fails, the others end', async () => {
    const { bench, driver } = await open();
    driver.answerRow = (row) => [undefined, 100, -EIO, undefined][row];
    const asked = [3, 9, 1, 20].map((sector) => bench.read(sector, 512));
    expect(bench.run()).toBe(4);
    expect(asked.map((one) => bench.status(one))).toEqual([OK, OK, IOERR, OK]);
    expect(driver.calls.map(({ offset, length }) => [offset, length])).toEqual([[9 * 512, 512]]);
    const { read, failed } = bench.backend.stats();
    expect([read.operations, read.bytes, failed]).toEqual([3, 1536, 1]);
  });

  it('BB-8 rows behind a closed gate wait, and come back', async () => {
    const { bench, driver } = await open();
    driver.stopAt = 1;
    const asked = [3, 9, 1].map((sector) => bench.read(sector, 512));
    bench.kick();
    expect(bench.collect()).toBe(1);
    driver.stopAt = 32;
    asked.push(bench.read(7, 512)); // its kick finds them parked
    bench.kick();
    expect(bench.collect()).toBe(3);
    expect(asked.map((one) => bench.status(one))).toEqual([OK, OK, OK, OK]);
    expect(driver.rows.length).toBeGreaterThan(1);
  });
});
