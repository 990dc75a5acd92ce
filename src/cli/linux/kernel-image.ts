/**
 * Linux's kernel as an image that starts at once. A bzImage unpacks itself, which in an emulator
 * takes a quarter of the boot. The image made here has the unpacked kernel in the packed one's
 * place, each segment where a loader's plain copy to 1 MiB puts it at its physical address:
 *
 *     file   0 ..                real-mode part of the bzImage, which goes on at 1 MiB
 *     1 MiB  jmp entry           one instruction: no register changes on the way
 *            zeroes              up to the first segment; 15 MiB in Debian's kernel
 *            segments            bytes of the ELF file, and zeroes where it has none (.bss)
 *
 * The relocations behind the ELF file are left alone: the kernel stays where it was linked to run.
 *
 * Sources: Linux's Documentation/x86/boot.rst (field names, registers at the 32-bit entry) and the
 * System V ABI (ELF).
 */

const LOAD_ADDRESS = 0x100000;
/** Where v86 puts the initrd. */
const LIMIT = 0x4000000;

// struct setup_header, by its offsets in the file.
const SETUP_SECTS = 0x1f1; // u8
const SYSSIZE = 0x1f4; // u32, units of 16 bytes
const BOOT_FLAG = 0x1fe; // u16
const HEADER = 0x202; // u32
const VERSION = 0x206; // u16
const RELOCATABLE_KERNEL = 0x234; // u8
const PAYLOAD_OFFSET = 0x248; // u32, from the end of the real-mode part
const PAYLOAD_LENGTH = 0x24c; // u32
const SETUP_HEADER_END = 0x268;

const BOOT_FLAG_MAGIC = 0xaa55;
const HDRS = 0x53726448;
/** The first version that says where the payload is. */
const VERSION_PAYLOAD = 0x208;
const SECTOR = 512;
const PARAGRAPH = 16;
const DEFAULT_SETUP_SECTS = 4;
const PAYLOAD_SIZE_BYTES = 4;

// Elf32_Ehdr and Elf32_Phdr.
const ELF_MAGIC = 0x464c457f;
const ELFCLASS32_LSB = 0x0101;
const EM_386 = 3;
const E_IDENT_CLASS = 4;
const E_MACHINE = 18;
const E_ENTRY = 24;
const E_PHOFF = 28;
const E_PHENTSIZE = 42;
const E_PHNUM = 44;
const ELF_HEADER_BYTES = 52;
const PROGRAM_HEADER_BYTES = 32;
const P_TYPE = 0;
const P_OFFSET = 4;
const P_PADDR = 12;
const P_FILESZ = 16;
const P_MEMSZ = 20;
const PT_LOAD = 1;

const JMP_REL32 = 0xe9;
const JMP_BYTES = 5;

/** A part of the kernel, as a program header describes it. */
interface Segment {
  /** Physical address. */
  readonly address: number;
  /** Its bytes in the file. */
  readonly data: Uint8Array;
  /** Bytes in memory: those behind `data` are zeroes. */
  readonly memoryBytes: number;
}

/** What a bzImage holds compressed. */
export interface Payload {
  /** The compressed stream; its first bytes tell the format. */
  readonly data: Uint8Array;
  /** Bytes that it unpacks to: an ELF file and relocations. */
  readonly unpackedBytes: number;
}

/** The compressed kernel of a bzImage. Throws an Error when there is none to be found. */
export function payloadOf(bzImage: Uint8Array): Payload {
  const setupBytes = setupBytesOf(bzImage);
  const view = viewOf(bzImage);
  const from = setupBytes + view.getUint32(PAYLOAD_OFFSET, true);
  const length = view.getUint32(PAYLOAD_LENGTH, true);
  if (length < PAYLOAD_SIZE_BYTES || from + length > bzImage.length) {
    throw new Error(`the kernel image has no payload of ${length} bytes at ${from}`);
  }
  const end = from + length - PAYLOAD_SIZE_BYTES;
  return { data: bzImage.subarray(from, end), unpackedBytes: view.getUint32(end, true) };
}

/**
 * The image that boots `elf`, the unpacked payload of `bzImage`, through the real-mode part of
 * `bzImage`. Throws an Error that says what is wrong with either.
 */
export function flatKernel(bzImage: Uint8Array, elf: Uint8Array): Uint8Array<ArrayBuffer> {
  const setupBytes = setupBytesOf(bzImage);
  const { entry, segments } = parseElf(elf);
  const end = Math.max(...segments.map(({ address, memoryBytes }) => address + memoryBytes));
  const kernelBytes = Math.ceil((end - LOAD_ADDRESS) / PARAGRAPH) * PARAGRAPH;
  const image = new Uint8Array(setupBytes + kernelBytes);
  image.set(bzImage.subarray(0, setupBytes));
  const view = viewOf(image);
  view.setUint32(SYSSIZE, kernelBytes / PARAGRAPH, true);
  view.setUint8(RELOCATABLE_KERNEL, 0);
  view.setUint32(PAYLOAD_OFFSET, 0, true);
  view.setUint32(PAYLOAD_LENGTH, 0, true);
  view.setUint8(setupBytes, JMP_REL32);
  view.setInt32(setupBytes + 1, entry - LOAD_ADDRESS - JMP_BYTES, true);
  for (const { address, data } of segments) image.set(data, setupBytes + address - LOAD_ADDRESS);
  return image;
}

/** Bytes of a bzImage's real-mode part. Throws an Error if it is none, or too old. */
function setupBytesOf(bzImage: Uint8Array): number {
  const view = viewOf(bzImage);
  const isBzImage =
    bzImage.length >= SETUP_HEADER_END &&
    view.getUint16(BOOT_FLAG, true) === BOOT_FLAG_MAGIC &&
    view.getUint32(HEADER, true) === HDRS;
  if (!isBzImage) throw new Error('the kernel image is no bzImage');
  const version = view.getUint16(VERSION, true);
  if (version < VERSION_PAYLOAD) {
    throw new Error(`the kernel image's boot protocol is 0x${version.toString(16)}, not 0x208`);
  }
  const sectors = view.getUint8(SETUP_SECTS) || DEFAULT_SETUP_SECTS;
  return (sectors + 1) * SECTOR;
}

function parseElf(elf: Uint8Array): { entry: number; segments: readonly Segment[] } {
  const view = viewOf(elf);
  const isOurs =
    elf.length >= ELF_HEADER_BYTES &&
    view.getUint32(0, true) === ELF_MAGIC &&
    view.getUint16(E_IDENT_CLASS, true) === ELFCLASS32_LSB &&
    view.getUint16(E_MACHINE, true) === EM_386 &&
    view.getUint16(E_PHENTSIZE, true) === PROGRAM_HEADER_BYTES;
  if (!isOurs) throw new Error('the unpacked kernel is no ELF file for i386');
  const table = view.getUint32(E_PHOFF, true);
  const count = view.getUint16(E_PHNUM, true);
  if (table + count * PROGRAM_HEADER_BYTES > elf.length) {
    throw new Error('the unpacked kernel ends before its program headers do');
  }
  const segments = Array.from({ length: count }, (_, n) =>
    segmentAt(elf, table + n * PROGRAM_HEADER_BYTES),
  ).filter((segment) => segment !== undefined);
  const entry = view.getUint32(E_ENTRY, true);
  const entered = segments.some(
    ({ address, data }) => entry >= address && entry < address + data.length,
  );
  if (!entered) throw new Error(`the kernel's entry 0x${entry.toString(16)} is in no segment`);
  return { entry, segments };
}

/** The segment of the program header at `at`; undefined if it is not one to load. */
function segmentAt(elf: Uint8Array, at: number): Segment | undefined {
  const view = viewOf(elf);
  if (view.getUint32(at + P_TYPE, true) !== PT_LOAD) return undefined;
  const offset = view.getUint32(at + P_OFFSET, true);
  const address = view.getUint32(at + P_PADDR, true);
  const fileBytes = view.getUint32(at + P_FILESZ, true);
  const memoryBytes = view.getUint32(at + P_MEMSZ, true);
  const where = `the kernel's segment at 0x${address.toString(16)}`;
  if (fileBytes > memoryBytes || offset + fileBytes > elf.length) {
    throw new Error(`${where} has more bytes than there are`);
  }
  if (address < LOAD_ADDRESS + JMP_BYTES || address + memoryBytes > LIMIT) {
    throw new Error(`${where} is not between 1 MiB and ${LIMIT >> 20} MiB`);
  }
  return { address, data: elf.subarray(offset, offset + fileBytes), memoryBytes };
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
