/** What the bench can find wrong: each way in which a disk could be wrong is planted. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { FileContents, StampedContents } from '#src/cli/bench/contents';
import { findWrong, stamp } from '#src/cli/bench/stamp';

const BLOCK = 4096;
const AT = 1024;

describe('stamps', () => {
  const stamped = (): Uint32Array => {
    const memory = new Uint32Array(4096);
    stamp(memory, AT / 4, BLOCK, 7 * BLOCK, 3);
    return memory;
  };
  const find = (memory: Uint32Array, generation = 3) =>
    findWrong(memory, AT / 4, BLOCK, 7 * BLOCK, generation);

  it('find nothing wrong with what was stamped, and touch nothing around it', () => {
    const memory = stamped();
    expect(find(memory)).toBe(-1);
    expect(memory.subarray(0, AT / 4).every((word) => word === 0)).toBe(true);
    expect(memory.subarray((AT + BLOCK) / 4).every((word) => word === 0)).toBe(true);
  });

  it.each([0, 3, 7])('find sector %d of a block replaced by another', (sector) => {
    const memory = stamped();
    const at = AT / 4 + sector * 128;
    stamp(memory, at, 512, 1_000_000 * 512, 3);
    expect(find(memory)).toBe(7 * BLOCK + sector * 512);
  });

  it.each([0, 1, 2, 127])('find word %d of a sector flipped', (word) => {
    const memory = stamped();
    memory[AT / 4 + 5 * 128 + word]! ^= 0x8000;
    expect(find(memory)).toBe(7 * BLOCK + 5 * 512);
  });

  it('find a block that is one write too old', () => {
    expect(find(stamped(), 4)).toBe(7 * BLOCK);
  });

  it('tell sectors apart beyond 2 TiB of disk', () => {
    const memory = new Uint32Array(4096);
    const offset = 2 ** 42 + BLOCK;
    stamp(memory, 0, BLOCK, offset, 1);
    expect(findWrong(memory, 0, BLOCK, offset, 1)).toBe(-1);
    expect(findWrong(memory, 0, BLOCK, offset + BLOCK, 1)).toBe(offset + BLOCK);
  });
});

describe('contents that the bench has written', () => {
  it('are right only for the newest write of a block', () => {
    const contents = new StampedContents(8, BLOCK);
    const [first, second] = [new Uint32Array(4096), new Uint32Array(4096)];
    contents.write(first, AT, 5);
    expect(contents.findWrong(first, AT, 5)).toBe(-1);
    expect(contents.findWrong(first, AT, 4)).toBe(4 * BLOCK);
    contents.write(second, AT, 5);
    expect(contents.findWrong(first, AT, 5)).toBe(5 * BLOCK);
    expect(contents.findWrong(second, AT, 5)).toBe(-1);
  });
});

describe('contents of a file that is only read', () => {
  const folder = mkdtempSync(join(tmpdir(), 'vblk-contents-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const filename = join(folder, 'disk');
  const bytes = Uint8Array.from({ length: 2 * BLOCK - 1000 }, (_, i) => (i * 7) % 251);
  writeFileSync(filename, bytes);
  const read = (block: number) => {
    const memory = new Uint32Array(4096);
    new Uint8Array(memory.buffer).set(bytes.subarray(block * BLOCK, (block + 1) * BLOCK), AT);
    return memory;
  };

  it('are what the file holds, and zeroes behind its end', () => {
    const contents = new FileContents(filename, BLOCK);
    expect(contents.findWrong(read(0), AT, 0)).toBe(-1);
    expect(contents.findWrong(read(1), AT, 1)).toBe(-1);
    const wrong = read(1);
    new Uint8Array(wrong.buffer)[AT + 17]! ^= 1;
    expect(contents.findWrong(wrong, AT, 1)).toBe(BLOCK + 17);
    const behind = read(1);
    new Uint8Array(behind.buffer)[AT + BLOCK - 1] = 1;
    expect(contents.findWrong(behind, AT, 1)).toBe(2 * BLOCK - 1);
    contents.close();
  });

  it('cannot be written', () => {
    const contents = new FileContents(filename, BLOCK);
    expect(() => contents.write()).toThrow('only read');
    contents.close();
  });
});
