/**
 * The guest's images: fetched once into a cache outside the checkout, and from then on read from
 * there without a question to anybody.
 *
 *     $VBLK_CACHE (or ~/.cache/vblk)/
 *         apt/          apt's own state, and the packages as downloaded
 *         guest/        the files that make the guest, and manifest.json with their SHA-256
 */

import {
  cp,
  link,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  writeFile,
} from 'node:fs/promises';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';

import { Apt, MissingError, requireCommands, sha256OfFile, unpack, unpackXz } from './debian.ts';
import type { GuestImages, V86Constructor } from './guest.ts';
import { buildInitramfs, type ModuleGroup } from './initramfs.ts';
import { flatKernel, payloadOf } from './kernel-image.ts';

/** Modules of Debian's kernel by group, in load order: each comes after those that it needs. */
const GROUPS: Record<ModuleGroup, string> = {
  virtio: 'virtio_ring virtio_pci_modern_dev virtio_pci_legacy_dev virtio virtio_pci virtio_blk',
  scsi:
    'scsi_common scsi_mod crct10dif_common crc_t10dif crc64 crc64_rocksoft t10_pi sd_mod ' +
    'cdrom sr_mod virtio_scsi',
  ata: 'libata ata_piix',
  ext4: 'crc32c_generic jbd2 mbcache crc16 ext4',
};
const MODULES = Object.entries(GROUPS).flatMap(([group, names]) =>
  names.split(' ').map((name) => ({ group: group as ModuleGroup, name })),
);

/** Names in the cache of the files that are not modules, and where the packages have them. */
const FILES: Record<string, RegExp> = {
  vmlinuz: /^boot\/vmlinuz-/,
  busybox: /^bin\/busybox$/,
  'bios-256k.bin': /^usr\/share\/seabios\/bios-256k\.bin$/,
  'vgabios-stdvga.bin': /^usr\/share\/seabios\/vgabios-stdvga\.bin$/,
};

/** The kernel, unpacked: made of vmlinuz when it is first wanted. */
const UNPACKED_KERNEL = 'vmlinux';

const MANIFEST = 'manifest.json';

interface Manifest {
  readonly version: 1;
  /** Package file names, for people. */
  readonly packages: readonly string[];
  /** File name to SHA-256. */
  readonly files: Record<string, string>;
}

/** The folder of everything fetched. */
export function cacheFolder(): string {
  const { VBLK_CACHE, XDG_CACHE_HOME } = process.env;
  return VBLK_CACHE ?? join(XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'vblk');
}

/**
 * The images of the guest, fetched if the cache does not hold them. Throws a MissingError that
 * says what this machine lacks.
 */
export async function linuxImages(
  log: (line: string) => void = () => {},
): Promise<Required<GuestImages>> {
  const folder = await fetchGuestFiles(log);
  const file = async (name: string) => exactBuffer(await readFile(join(folder, name)));
  const modules = MODULES.map(async ({ group, name }) => ({
    group,
    name: `${name}.ko`,
    data: new Uint8Array(await file(`${name}.ko`)),
  }));
  const initrd = buildInitramfs({
    busybox: new Uint8Array(await file('busybox')),
    modules: await Promise.all(modules),
  });
  return {
    wasm: exactBuffer(await readFile(v86Path('v86.wasm'))),
    bios: await file('bios-256k.bin'),
    vgaBios: await file('vgabios-stdvga.bin'),
    kernel: await kernelIn(folder, log),
    initrd: initrd.buffer,
  };
}

/** The kernel as an image that starts at once; one that unpacks itself if that is not possible. */
async function kernelIn(guest: string, log: (line: string) => void): Promise<ArrayBuffer> {
  const bzImage = await readFile(join(guest, 'vmlinuz'));
  if (await isRecorded(guest, [UNPACKED_KERNEL])) {
    return flatKernel(bzImage, await readFile(join(guest, UNPACKED_KERNEL))).buffer;
  }
  const elf = await unpackKernel(bzImage);
  if (typeof elf === 'string') {
    log(`${elf}: the kernel unpacks itself, at each boot`);
    return exactBuffer(bzImage);
  }
  const kept = withLock(join(guest, '../lock'), async () => {
    const now = await readFile(join(guest, 'vmlinuz')); // somebody may have fetched a newer one
    if (now.equals(bzImage)) await record(guest, UNPACKED_KERNEL, elf);
  });
  await kept.catch((error) => log(`the unpacked kernel is not kept: ${(error as Error).message}`));
  return flatKernel(bzImage, elf).buffer;
}

const XZ_MAGIC = '\xfd7zXZ\0';

/** What a bzImage holds packed, or why it cannot be unpacked here. */
async function unpackKernel(bzImage: Uint8Array): Promise<Uint8Array | string> {
  const { data, unpackedBytes } = payloadOf(bzImage);
  const magic = String.fromCharCode(...data.subarray(0, XZ_MAGIC.length));
  if (magic !== XZ_MAGIC) return 'the kernel is not packed with xz';
  const unpacked = await unpackXz(data);
  if (!unpacked) return 'no xz on this machine';
  if (unpacked.length !== unpackedBytes) {
    throw new Error(`the kernel unpacks to ${unpacked.length} bytes, not to ${unpackedBytes}`);
  }
  return unpacked;
}

/** Adds a file to those in the manifest. The caller holds the lock. */
async function record(guest: string, name: string, data: Uint8Array): Promise<void> {
  const scratch = await mkdtemp(join(guest, '../unpacking-'));
  try {
    await writeFile(join(scratch, name), data);
    await rename(join(scratch, name), join(guest, name));
    const manifest = JSON.parse(await readFile(join(guest, MANIFEST), 'utf8')) as Manifest;
    const files = { ...manifest.files, [name]: (await sha256OfFile(join(guest, name)))! };
    await writeFile(join(scratch, MANIFEST), manifestText({ ...manifest, files }));
    await rename(join(scratch, MANIFEST), join(guest, MANIFEST));
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** v86 itself, from the packages installed beside us. */
export async function loadV86(): Promise<V86Constructor> {
  v86Path('v86.wasm');
  const name = 'v86'; // not a literal: tsc would follow it into declarations that want a browser
  const { V86 } = (await import(name)) as { V86: V86Constructor };
  return V86;
}

/** A file of v86's build folder. Throws a MissingError when v86 is not installed. */
export function v86Path(file: string): string {
  try {
    return createRequire(import.meta.url).resolve(`v86/build/${file}`);
  } catch (cause) {
    throw new MissingError('the npm package v86 is not installed: npm install v86', { cause });
  }
}

/** Fills the cache unless it is whole, and returns the folder with the guest's files. */
export async function fetchGuestFiles(log: (line: string) => void = () => {}): Promise<string> {
  const cache = cacheFolder();
  const guest = join(cache, 'guest');
  if (await isWhole(guest)) return guest;
  await requireCommands(['apt-get', 'apt-cache', 'dpkg-deb']);
  await mkdir(cache, { recursive: true });
  return withLock(join(cache, 'lock'), async () => {
    if (await isWhole(guest)) return guest; // somebody else's work, while we waited
    await fill(cache, guest, log);
    return guest;
  });
}

async function fill(cache: string, guest: string, log: (line: string) => void): Promise<void> {
  const apt = new Apt(join(cache, 'apt'));
  log(`fetching Debian's i386 kernel, busybox and SeaBIOS into ${cache}`);
  const failed = await apt.update();
  const scratch = await mkdtemp(join(cache, 'unpacking-'));
  try {
    const root = join(scratch, 'root');
    const packages: string[] = [];
    const kernel = await apt.dependency('linux-image-686:i386', /^linux-image-.*-686$/);
    for (const name of [`${kernel}:i386`, 'busybox-static:i386', 'seabios']) {
      const file = await apt.download(name);
      log(`${name}: SHA-256 ${file.sha256} as in apt's index`);
      await unpack(file, root);
      packages.push(file.path.slice(file.path.lastIndexOf('/') + 1));
    }
    const made = join(scratch, 'guest');
    await collect(root, made, packages);
    await rm(guest, { recursive: true, force: true });
    await rename(made, guest); // whole, or not at all
  } catch (error) {
    if (failed && error instanceof MissingError) error.message += `\n${failed}`;
    throw error;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Copies the files that the guest needs from the unpacked packages, and lists them. */
async function collect(root: string, made: string, packages: string[]): Promise<void> {
  const wanted = { ...FILES };
  for (const { name } of MODULES) {
    wanted[`${name}.ko`] = new RegExp(`/kernel/.*/${name.replaceAll('_', '[-_]')}\\.ko$`);
  }
  await mkdir(made);
  const files: Record<string, string> = {};
  const paths = await readdir(root, { recursive: true });
  for (const [name, pattern] of Object.entries(wanted)) {
    const path = paths.find((candidate) => pattern.test(candidate));
    if (!path) throw new MissingError(`none of ${packages.join(', ')} has a file ${pattern}`);
    await cp(join(root, path), join(made, name));
    files[name] = (await sha256OfFile(join(made, name)))!;
  }
  const manifest: Manifest = { version: 1, packages, files };
  await writeFile(join(made, MANIFEST), manifestText(manifest));
}

function manifestText(manifest: Manifest): string {
  return `${JSON.stringify(manifest, null, 2)}\n`;
}

/** Are all files that we want there? */
function isWhole(guest: string): Promise<boolean> {
  return isRecorded(guest, [...Object.keys(FILES), ...MODULES.map(({ name }) => `${name}.ko`)]);
}

/** Are the files of `names` there, with the contents that were recorded? */
async function isRecorded(guest: string, names: readonly string[]): Promise<boolean> {
  const text = await readFile(join(guest, MANIFEST), 'utf8').catch(() => undefined);
  if (text === undefined) return false;
  const { files } = JSON.parse(text) as Manifest;
  for (const name of names) {
    const recorded = files[name];
    if (!recorded || (await sha256OfFile(join(guest, name))) !== recorded) return false;
  }
  return true;
}

const LOCK_POLL_MS = 200;
/** Locks that this process has asked for. */
let locks = 0;

/** Runs `work` while no other process does: the lock is a file that holds its owner's pid. */
async function withLock<T>(lock: string, work: () => Promise<T>): Promise<T> {
  const signed = `${lock}.${process.pid}.${locks++}`;
  await writeFile(signed, String(process.pid));
  try {
    while (!(await hasLinked(signed, lock))) {
      if (!(await ownerLives(lock))) await rm(lock, { force: true });
      await new Promise((resolve) => setTimeout(resolve, LOCK_POLL_MS));
    }
  } finally {
    await rm(signed, { force: true });
  }
  try {
    return await work();
  } finally {
    await rm(lock, { force: true });
  }
}

/** Linking, unlike creating, makes the lock appear together with its owner's name. */
async function hasLinked(signed: string, lock: string): Promise<boolean> {
  try {
    await link(signed, lock);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

async function ownerLives(lock: string): Promise<boolean> {
  const pid = Number(await readFile(lock, 'utf8').catch(() => Number.NaN));
  if (Number.isNaN(pid)) return true; // just released
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'; // alive, another user's
  }
}

/** The bytes as a buffer of exactly their length: v86 takes nothing else. */
function exactBuffer(data: Uint8Array): ArrayBuffer {
  const copy = new Uint8Array(data.length);
  copy.set(data);
  return copy.buffer;
}
