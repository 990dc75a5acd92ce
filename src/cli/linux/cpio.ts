/**
 * Archives in cpio's "newc" format, as Linux unpacks them into its first root file system.
 * Source: Documentation/driver-api/early-userspace/buffer-format.rst of the kernel.
 */

/** A file, directory or device of the archive, under a path without a leading slash. */
export type CpioEntry =
  | { readonly path: string; readonly kind: 'directory' }
  | {
      readonly path: string;
      readonly kind: 'file';
      readonly data: Uint8Array;
      readonly executable?: boolean;
    }
  | {
      readonly path: string;
      readonly kind: 'character-device';
      readonly major: number;
      readonly minor: number;
    };

const TRAILER = 'TRAILER!!!';

/** Packs `entries` in order; a directory must come before what lies in it. */
export function packCpio(entries: readonly CpioEntry[]): Uint8Array<ArrayBuffer> {
  const parts = entries.map((entry, index) => member(entry.path, mode(entry), index + 1, entry));
  parts.push(member(TRAILER, 0, 0));
  const archive = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    archive.set(part, at);
    at += part.length;
  }
  return archive;
}

/** File type and permissions as in `stat`. */
function mode(entry: CpioEntry): number {
  if (entry.kind === 'directory') return 0o040755;
  if (entry.kind === 'character-device') return 0o020600;
  return entry.executable ? 0o100755 : 0o100644;
}

/** Header, name and data of one member, the last two padded with zeroes to 4 bytes. */
function member(path: string, mode: number, inode: number, entry?: CpioEntry): Uint8Array {
  const data = entry?.kind === 'file' ? entry.data : new Uint8Array();
  const device = entry?.kind === 'character-device' ? entry : { major: 0, minor: 0 };
  const name = new TextEncoder().encode(`${path}\0`);
  // inode, mode, uid, gid, links, mtime, file size, device of the file system (major, minor),
  // device of the node (major, minor), name size, checksum (none in this format)
  const fields = [inode, mode, 0, 0, 1, 0, data.length, 0, 0, device.major, device.minor];
  const hex = [...fields, name.length, 0].map((field) => field.toString(16).padStart(8, '0'));
  const header = new TextEncoder().encode(`070701${hex.join('')}`);
  const dataAt = align4(header.length + name.length);
  const bytes = new Uint8Array(align4(dataAt + data.length));
  bytes.set(header);
  bytes.set(name, header.length);
  bytes.set(data, dataAt);
  return bytes;
}

function align4(length: number): number {
  return (length + 3) & ~3;
}
