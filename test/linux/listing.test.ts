import { describe, expect, it } from 'vitest';
import { assemble } from '#src/cli/linux/listing';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

describe('assembler listing', () => {
  it('turns bytes, strings and addresses into code', () => {
    const code = assemble(
      'start: 90 ; nop\n be text.abs16 b8 text.abs32\ntext: "a;\\n" 00',
      0x7c00,
    );
    expect(hex(code)).toBe('90be097cb8097c0000613b0a00');
  });

  it('counts branches from the end of the operand, both ways', () => {
    expect(hex(assemble('a: eb a.rel8 eb b.rel8 90 b:', 0x100))).toBe('ebfeeb0190');
    expect(hex(assemble('e8 b.rel16 90 b: e9 b.rel32', 0))).toBe('e8010090e9fbffffff');
  });

  it('reaches 127 bytes ahead and 128 back with rel8, and no further', () => {
    const nops = (count: number) => '90 '.repeat(count);
    expect(assemble(`eb far.rel8 ${nops(127)} far:`, 0)[1]).toBe(0x7f);
    expect(() => assemble(`eb far.rel8 ${nops(128)} far:`, 0)).toThrow('128 bytes away');
    expect(assemble(`far: ${nops(126)} eb far.rel8`, 0)[127]).toBe(0x80);
    expect(() => assemble(`far: ${nops(127)} eb far.rel8`, 0)).toThrow('-129 bytes away');
  });

  it('names the line of what it does not understand', () => {
    expect(() => assemble('90\nmov ax', 0)).toThrow('line 2: what is mov?');
    expect(() => assemble('eb nowhere.rel8', 0)).toThrow('line 1: no label nowhere');
    expect(() => assemble('a:\na:', 0)).toThrow('line 2: label a is defined twice');
  });
});
