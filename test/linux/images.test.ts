import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Apt } from '#src/cli/linux/debian';
import { cacheFolder, fetchGuestFiles, linuxImages } from '#src/cli/linux/images';
import { flatKernel, payloadOf } from '#src/cli/linux/kernel-image';
import { describeOn, findMachine } from './available.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vblk-images-'));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

/** Puts a shell script in front of the real command of that name. */
function fakeCommand(name: string, script: string): void {
  const bin = join(folder, 'bin');
  mkdirSync(bin, { recursive: true });
  writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`);
  chmodSync(join(bin, name), 0o755);
  vi.stubEnv('PATH', `${bin}:/usr/bin:/bin`);
}

describe('apt', () => {
  const content = 'the package';
  const sha256 = createHash('sha256').update(content).digest('hex');
  /** apt-get that lists one package and counts its downloads in a file. */
  const aptGet = (downloaded: string) => `
    case "$*" in
      *--print-uris*) echo "'http://mirror/box.deb' box_1_i386.deb 11 SHA256:${sha256}" ;;
      *download*) printf '%s' '${downloaded}' >box_1_i386.deb; echo >>${folder}/downloads ;;
      *update) echo 'E: one source is away' >&2; exit 100 ;;
    esac`;
  const downloads = () => readFileSync(join(folder, 'downloads'), 'utf8').length;

  it("downloads a package once, and again when its bytes are not the index's", async () => {
    fakeCommand('apt-get', aptGet(content));
    const apt = new Apt(join(folder, 'apt'));
    expect(await apt.update()).toBe('E: one source is away');
    const file = await apt.download('box');
    expect(file).toEqual({ path: join(folder, 'apt/debs/box_1_i386.deb'), sha256 });
    await apt.download('box');
    expect(downloads()).toBe(1);
    writeFileSync(file.path, 'the packagE');
    await apt.download('box');
    expect(downloads()).toBe(2);
    expect(readFileSync(file.path, 'utf8')).toBe(content);
  });

  it('refuses a file that is not the one in the index', async () => {
    fakeCommand('apt-get', aptGet('another package'));
    const apt = new Apt(join(folder, 'apt'));
    await apt.update();
    await expect(apt.download('box')).rejects.toThrow(`not the file of apt's index`);
  });

  it('says which package the sources lack', async () => {
    fakeCommand('apt-get', 'case "$*" in *update) exit 0;; esac; echo "E: No such" >&2; exit 100');
    fakeCommand('apt-cache', 'echo "Depends: libc6 (>= 2), linux-image-6-686 (= 6.1) | x"');
    const apt = new Apt(join(folder, 'apt'));
    await apt.update();
    expect(await apt.dependency('kernel', /^linux-image-.*-686$/)).toBe('linux-image-6-686');
    await expect(apt.dependency('kernel', /^perl$/)).rejects.toThrow('have no kernel');
    await expect(apt.download('box')).rejects.toThrow(/have no box:\nE: No such/);
  });
});

describe('cache folder', () => {
  it("is VBLK_CACHE, or vblk in the user's cache", () => {
    vi.stubEnv('VBLK_CACHE', '/a');
    expect(cacheFolder()).toBe('/a');
    vi.stubEnv('VBLK_CACHE', undefined);
    vi.stubEnv('XDG_CACHE_HOME', '/b');
    expect(cacheFolder()).toBe('/b/vblk');
  });

  it('says what is missing on a machine without apt', async () => {
    vi.stubEnv('VBLK_CACHE', join(folder, 'cache'));
    vi.stubEnv('PATH', folder);
    await expect(fetchGuestFiles()).rejects.toThrow(
      'no apt-get and apt-cache and dpkg-deb on this',
    );
  });
});

const machine = await findMachine();

describeOn(machine, 'filled cache', () => {
  it('is used without running anything, until a file in it changes', async () => {
    const copy = join(folder, 'cache');
    cpSync(join(cacheFolder(), 'guest'), join(copy, 'guest'), { recursive: true });
    vi.stubEnv('VBLK_CACHE', copy);
    vi.stubEnv('PATH', folder);
    expect(await fetchGuestFiles()).toBe(join(copy, 'guest'));
    writeFileSync(join(copy, 'guest/crc16.ko'), 'damaged');
    await expect(fetchGuestFiles()).rejects.toThrow('no apt-get');
  });

  /** A copy of the cache in which the kernel is as Debian packs it. */
  const copyOfCache = (): string => {
    const guest = join(folder, 'cache/guest');
    cpSync(join(cacheFolder(), 'guest'), guest, { recursive: true });
    rmSync(join(guest, 'vmlinux'), { force: true });
    vi.stubEnv('VBLK_CACHE', join(folder, 'cache'));
    return guest;
  };
  const kernelAndLog = async () => {
    const log: string[] = [];
    const { kernel } = await linuxImages((line) => log.push(line));
    return { kernel: Buffer.from(kernel), log };
  };

  it.runIf(existsSync('/usr/bin/xz'))('has the kernel unpacked once', async () => {
    const guest = copyOfCache();
    const packed = readFileSync(join(guest, 'vmlinuz'));
    const first = await kernelAndLog();
    vi.stubEnv('PATH', folder);
    const second = await kernelAndLog();
    const unpacked = readFileSync(join(guest, 'vmlinux'));
    expect(unpacked).toHaveLength(payloadOf(packed).unpackedBytes);
    for (const { kernel, log } of [first, second]) {
      expect(log).toEqual([]);
      expect(kernel.equals(flatKernel(packed, unpacked))).toBe(true);
    }
    expect(readdirSync(join(folder, 'cache'))).toEqual(['guest']);
  });

  it.runIf(existsSync('/usr/bin/xz'))('unpacks for itself where it cannot keep it', async () => {
    const guest = copyOfCache();
    mkdirSync(join(guest, 'vmlinux/in the way'), { recursive: true });
    const packed = readFileSync(join(guest, 'vmlinuz'));
    const { kernel, log } = await kernelAndLog();
    expect(log).toEqual([expect.stringMatching(/^the unpacked kernel is not kept: E/)]);
    expect(kernel.length).toBeGreaterThan(packed.length);
    expect(readdirSync(join(folder, 'cache'))).toEqual(['guest']);
  });

  it('has the kernel as it came where there is no xz, and says so', async () => {
    const guest = copyOfCache();
    const packed = readFileSync(join(guest, 'vmlinuz'));
    vi.stubEnv('PATH', folder);
    const { kernel, log } = await kernelAndLog();
    expect(log).toEqual(['no xz on this machine: the kernel unpacks itself, at each boot']);
    expect(kernel.equals(packed)).toBe(true);
  });

  it('has the kernel as it came if another program has packed it, and says so', async () => {
    const guest = copyOfCache();
    const packed = readFileSync(join(guest, 'vmlinuz'));
    payloadOf(packed).data[0]! ^= 1;
    writeFileSync(join(guest, 'vmlinuz'), packed);
    const manifest = JSON.parse(readFileSync(join(guest, 'manifest.json'), 'utf8'));
    manifest.files.vmlinuz = createHash('sha256').update(packed).digest('hex');
    writeFileSync(join(guest, 'manifest.json'), JSON.stringify(manifest));
    const { kernel, log } = await kernelAndLog();
    expect(log[0]).toMatch(/^the kernel is not packed with xz: /);
    expect(kernel.equals(packed)).toBe(true);
  });

  it('refuses a kernel that does not unpack to its size, or not at all', async () => {
    const guest = copyOfCache();
    fakeCommand('xz', 'cat >/dev/null; echo short');
    await expect(linuxImages()).rejects.toThrow('the kernel unpacks to 6 bytes, not to ');
    fakeCommand('xz', 'echo "xz: corrupt" >&2; exit 1');
    await expect(linuxImages()).rejects.toThrow('xz cannot unpack the kernel:\nxz: corrupt');
    expect(existsSync(join(guest, 'vmlinux'))).toBe(false);
  });
});
