import { describe, expect, it } from 'vitest';
import { flatKernel, payloadOf } from '#src/cli/linux/kernel-image';

const MIB = 1 << 20;
const SETUP_SECTORS = 2;
const SETUP_BYTES = (SETUP_SECTORS + 1) * 512;

/** A bzImage with `payload`, packed or not, 32 bytes into its protected-mode part. */
function bzImage(payload = 'packed', change: (view: DataView) => void = () => {}): Uint8Array {
  const image = new Uint8Array(SETUP_BYTES + 32 + payload.length + 4 + 7);
  image.fill(0x5a, 0x270, SETUP_BYTES); // code that enters 1 MiB
  image.set(Buffer.from(payload), SETUP_BYTES + 32);
  const view = new DataView(image.buffer);
  view.setUint8(0x1f1, SETUP_SECTORS);
  view.setUint32(0x1f4, 3, true);
  view.setUint16(0x1fe, 0xaa55, true);
  image.set(Buffer.from('HdrS'), 0x202);
  view.setUint16(0x206, 0x20f, true);
  view.setUint8(0x234, 1);
  view.setUint32(0x248, 32, true);
  view.setUint32(0x24c, payload.length + 4, true);
  view.setUint32(SETUP_BYTES + 32 + payload.length, 4321, true);
  change(view);
  return image;
}

interface Header {
  readonly type?: number;
  readonly address: number;
  readonly bytes: readonly number[];
  readonly memory: number;
}

const TEXT: Header = { address: 16 * MIB, bytes: [1, 2, 3, 4, 5], memory: 5 };
const DATA: Header = { address: 16 * MIB + 4096, bytes: [6, 7, 8], memory: 103 };
const ENTRY = 16 * MIB + 4;

/** An ELF file for i386, with something behind it as the kernel has relocations. */
function elf(
  headers: readonly Header[] = [TEXT, DATA],
  change: (view: DataView) => void = () => {},
): Uint8Array {
  const file = new Uint8Array(52 + headers.length * 32 + 64).fill(0xee);
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, 1, 1, 1]);
  view.setUint16(18, 3, true);
  view.setUint32(24, ENTRY, true);
  view.setUint32(28, 52, true);
  view.setUint16(42, 32, true);
  view.setUint16(44, headers.length, true);
  let at = 52 + headers.length * 32;
  for (const [n, { type = 1, address, bytes, memory }] of headers.entries()) {
    const words = [type, at, 0xc0000000 + address, address, bytes.length, memory, 5, 4096];
    for (const [i, word] of words.entries()) view.setUint32(52 + 32 * n + 4 * i, word, true);
    file.set(bytes, at);
    at += bytes.length;
  }
  change(view);
  return file;
}

describe('payload of a bzImage', () => {
  it('is what is packed, and the size it unpacks to', () => {
    const { data, unpackedBytes } = payloadOf(bzImage('something'));
    expect(Buffer.from(data).toString()).toBe('something');
    expect(unpackedBytes).toBe(4321);
  });

  it('has four sectors of real-mode code and one more where the header says 0', () => {
    const old = bzImage('', (view) => view.setUint8(0x1f1, 0));
    expect(() => payloadOf(old)).toThrow(`no payload of 4 bytes at ${5 * 512 + 32}`);
  });

  it('may end where the image does, and not later', () => {
    const length = (bytes: number) =>
      bzImage('packed', (view) => view.setUint32(0x24c, bytes, true));
    expect(payloadOf(length(6 + 4 + 7)).data).toHaveLength(13);
    expect(() => payloadOf(length(6 + 4 + 8))).toThrow('no payload of 18 bytes at');
    expect(payloadOf(length(4)).data).toHaveLength(0);
    expect(() => payloadOf(length(3))).toThrow('no payload of 3 bytes at');
  });

  it.each([
    ['boot flag', (view: DataView) => view.setUint16(0x1fe, 0, true), 'no bzImage'],
    ['magic', (view: DataView) => view.setUint32(0x202, 0, true), 'no bzImage'],
    ['version', (view: DataView) => view.setUint16(0x206, 0x207, true), 'is 0x207, not 0x208'],
  ])('refuses a bad %s', (_, change, message) => {
    expect(() => payloadOf(bzImage('packed', change))).toThrow(message);
    expect(() => flatKernel(bzImage('packed', change), elf())).toThrow(message);
  });

  it('needs a whole header', () => {
    const version = (view: DataView) => view.setUint16(0x206, 0x208, true);
    expect(() => payloadOf(bzImage('packed', version).subarray(0, 0x268))).toThrow('no payload');
    expect(() => payloadOf(bzImage('packed', version).subarray(0, 0x267))).toThrow('no bzImage');
  });
});

describe('flat kernel', () => {
  const image = flatKernel(bzImage(), elf());
  const view = new DataView(image.buffer);
  /** Bytes from a physical address on, once a loader has put the image at 1 MiB. */
  const memory = (address: number, length: number) => {
    const at = SETUP_BYTES + address - MIB;
    return [...image.subarray(at, at + length)];
  };

  it('has each segment at its physical address, and zeroes for the rest of it', () => {
    expect(memory(TEXT.address, 6)).toEqual([1, 2, 3, 4, 5, 0]);
    expect(memory(DATA.address, 103)).toEqual([6, 7, 8, ...new Array<number>(100).fill(0)]);
    // To the end of the last segment, in units of 16 bytes.
    expect(image).toHaveLength(SETUP_BYTES + 15 * MIB + 4096 + 112);
    const text = image.subarray(SETUP_BYTES + 5, SETUP_BYTES + TEXT.address - MIB);
    expect(text.every((byte) => byte === 0)).toBe(true);
  });

  it("goes from 1 MiB to the kernel's entry, and does nothing else there", () => {
    expect(memory(MIB, 1)).toEqual([0xe9]); // jmp rel32, from the end of its five bytes
    expect(MIB + 5 + view.getInt32(SETUP_BYTES + 1, true)).toBe(ENTRY);
  });

  it('keeps the real-mode part, but for what the header says about the kernel', () => {
    const expected = bzImage('packed', (header) => {
      header.setUint32(0x1f4, (15 * MIB + 4096 + 112) / 16, true);
      header.setUint8(0x234, 0); // not relocatable
      header.setUint32(0x248, 0, true);
      header.setUint32(0x24c, 0, true); // no payload
    });
    expect(Buffer.from(image.subarray(0, SETUP_BYTES))).toEqual(
      Buffer.from(expected.subarray(0, SETUP_BYTES)),
    );
  });

  it('takes files that lie anywhere in memory, as Buffers do', () => {
    const within = (file: Uint8Array) => Buffer.concat([Buffer.alloc(13), file]).subarray(13);
    expect(flatKernel(within(bzImage()), within(elf()))).toEqual(image);
    const { data } = payloadOf(within(bzImage('something')));
    expect(Buffer.from(data).toString()).toBe('something');
  });

  it('loads nothing but what is to be loaded', () => {
    const note: Header = { type: 4, address: 17 * MIB, bytes: [9], memory: 1 };
    expect(flatKernel(bzImage(), elf([TEXT, note, DATA]))).toEqual(image);
  });

  it.each([
    ['magic', (header: DataView) => header.setUint8(0, 0x7e)],
    ['class', (header: DataView) => header.setUint8(4, 2)],
    ['byte order', (header: DataView) => header.setUint8(5, 2)],
    ['machine', (header: DataView) => header.setUint16(18, 62, true)],
    ['size of program headers', (header: DataView) => header.setUint16(42, 56, true)],
  ])('refuses an ELF file with a bad %s', (_, change) => {
    const other = elf([TEXT], change);
    expect(() => flatKernel(bzImage(), other)).toThrow('is no ELF file for i386');
  });

  it('needs whole headers', () => {
    const none = elf([TEXT], (header) => header.setUint16(44, 0, true));
    expect(() => flatKernel(bzImage(), none.subarray(0, 51))).toThrow('is no ELF file');
    expect(() => flatKernel(bzImage(), none.subarray(0, 52))).toThrow('entry 0x1000004 is in no');
    const one = elf([TEXT]);
    expect(() => flatKernel(bzImage(), one.subarray(0, 83))).toThrow('before its program headers');
    expect(() => flatKernel(bzImage(), one.subarray(0, 84))).toThrow('more bytes than there are');
  });

  it('takes segments of bytes that the file has', () => {
    const one = elf([TEXT]);
    const end = 52 + 32 + TEXT.bytes.length;
    expect(flatKernel(bzImage(), one.subarray(0, end))).toHaveLength(SETUP_BYTES + 15 * MIB + 16);
    expect(() => flatKernel(bzImage(), one.subarray(0, end - 1))).toThrow(
      'segment at 0x1000000 has more bytes than there are',
    );
    expect(() => flatKernel(bzImage(), elf([{ ...TEXT, memory: 4 }]))).toThrow('has more bytes');
  });

  it('takes segments behind its first instruction and below the initrd', () => {
    const flat = (...more: Header[]) => flatKernel(bzImage(), elf([TEXT, ...more]));
    const low = (address: number): Header => ({ address, bytes: [1], memory: 1 });
    expect(flat(low(MIB + 5))[SETUP_BYTES + 5]).toBe(1);
    expect(() => flat(low(MIB + 4))).toThrow('0x100004 is not between 1 MiB and 64 MiB');
    expect(flat(low(64 * MIB - 1))).toHaveLength(SETUP_BYTES + 63 * MIB);
    expect(() => flat(low(64 * MIB))).toThrow('0x4000000 is not between 1 MiB and 64 MiB');
  });

  it.each([TEXT.address - 1, TEXT.address + 5])('refuses an entry outside: 0x%x', (entry) => {
    const outside = elf([TEXT, DATA], (header) => header.setUint32(24, entry, true));
    expect(() => flatKernel(bzImage(), outside)).toThrow("the kernel's entry 0x");
  });
});
