import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Apt } from '#src/cli/linux/debian';
import { cacheFolder, fetchGuestFiles } from '#src/cli/linux/images';
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
});
