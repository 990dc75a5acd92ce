/**
 * Debian packages without root: apt with state folders of its own, so that nothing of the
 * machine's package state is read or changed. Only its sources and keys are used.
 */

import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Something the guest needs is not on this machine and cannot be fetched; says what and why. */
export class MissingError extends Error {
  override readonly name = 'MissingError';
}

/** A package file in the cache, as apt's index describes it. */
export interface PackageFile {
  readonly path: string;
  readonly sha256: string;
}

const XZ_MAX_BYTES = 256 << 20;

interface IndexedFile {
  readonly fileName: string;
  readonly sha256: string;
}

/** apt with its lists, caches and package state under `folder`. */
export class Apt {
  readonly #folder: string;
  readonly #options: string[];

  constructor(folder: string) {
    this.#folder = folder;
    this.#options = [
      `-oDir::State=${join(folder, 'state')}`,
      `-oDir::State::lists=${join(folder, 'lists')}`,
      `-oDir::State::status=${join(folder, 'status')}`, // nothing is installed here
      `-oDir::Cache=${join(folder, 'cache')}`,
      '-oAPT::Architectures=i386,amd64',
      '-oAcquire::Languages=none',
      // As root, apt would fetch as a user who may not enter the cache folder.
      ...(process.getuid?.() === 0 ? ['-oAPT::Sandbox::User=root'] : []),
    ];
  }

  /**
   * Reads the indices of the machine's sources. A source that fails is not fatal, since the
   * packages may come from another one; the text says what failed, or is empty.
   */
  async update(): Promise<string> {
    for (const folder of ['state', 'lists/partial', 'cache/archives/partial', 'debs']) {
      await mkdir(join(this.#folder, folder), { recursive: true });
    }
    await writeFile(join(this.#folder, 'status'), '');
    const { status, stderr } = await run('apt-get', [...this.#options, '-q', 'update']);
    return status === 0 ? '' : stderr.trim();
  }

  /** The first package of `name`'s dependencies that matches `pattern`. */
  async dependency(name: string, pattern: RegExp): Promise<string> {
    const { stdout } = await run('apt-cache', [...this.#options, 'show', name]);
    const names = [...stdout.matchAll(/^Depends: (.*)$/gm)].flatMap((match) =>
      match[1]!.split(/[,|]/).map((clause) => clause.trim().split(' ')[0]!),
    );
    const found = names.find((dependency) => pattern.test(dependency));
    if (!found) throw new MissingError(`this machine's apt sources have no ${name}`);
    return found;
  }

  /**
   * Puts the package into the cache, unless it is there, and checks it against the SHA-256 of
   * apt's index (which apt in turn checked against the signed Release file).
   */
  async download(name: string): Promise<PackageFile> {
    const indexed = await this.#lookUp(name);
    const folder = join(this.#folder, 'debs');
    const path = join(folder, indexed.fileName);
    if ((await sha256OfFile(path)) === indexed.sha256) return { path, sha256: indexed.sha256 };
    const result = await run('apt-get', [...this.#options, '-q', 'download', name], folder);
    if (result.status !== 0) {
      throw new MissingError(`apt-get cannot download ${name}:\n${result.stderr.trim()}`);
    }
    if ((await sha256OfFile(path)) !== indexed.sha256) {
      throw new Error(`${path} is not the file of apt's index (SHA-256 ${indexed.sha256})`);
    }
    return { path, sha256: indexed.sha256 };
  }

  async #lookUp(name: string): Promise<IndexedFile> {
    const options = [...this.#options, '-q', '--print-uris', 'download', name];
    const { status, stdout, stderr } = await run('apt-get', options, this.#folder);
    const match = /^'[^']+' (\S+) \d+ SHA256:([0-9a-f]{64})$/m.exec(stdout);
    if (status !== 0 || !match) {
      throw new MissingError(`this machine's apt sources have no ${name}:\n${stderr.trim()}`);
    }
    return { fileName: match[1]!, sha256: match[2]! };
  }
}

/** Unpacks the files of a package under `folder`. */
export async function unpack(file: PackageFile, folder: string): Promise<void> {
  const { status, stderr } = await run('dpkg-deb', ['-x', file.path, folder]);
  if (status !== 0) throw new Error(`dpkg-deb cannot unpack ${file.path}:\n${stderr.trim()}`);
}

/** What an xz stream holds; undefined if this machine has no xz command. */
export function unpackXz(stream: Uint8Array): Promise<Uint8Array | undefined> {
  return new Promise((resolve, reject) => {
    const options = { encoding: 'buffer', maxBuffer: XZ_MAX_BYTES } as const;
    const child = execFile('xz', ['-dc'], options, (error, stdout, stderr) => {
      if (!error) resolve(stdout);
      else if (error.code === 'ENOENT') resolve(undefined);
      else reject(new Error(`xz cannot unpack the kernel:\n${stderr}`, { cause: error }));
    });
    child.stdin!.on('error', () => {}); // xz has ended early, which the callback hears about
    child.stdin!.end(stream);
  });
}

/** Throws a MissingError that names the commands of `names` which are not on this machine. */
export async function requireCommands(names: readonly string[]): Promise<void> {
  const missing: string[] = [];
  for (const name of names) {
    await run(name, ['--version']).catch(() => missing.push(name));
  }
  if (missing.length > 0) {
    const list = missing.join(' and ');
    throw new MissingError(
      `no ${list} on this machine: the guest's kernel, busybox and BIOS are fetched from Debian ` +
        'with apt-get and unpacked with dpkg-deb (Debian, Ubuntu)',
    );
  }
}

/** SHA-256 in hexadecimal; undefined if there is no such file. */
export async function sha256OfFile(path: string): Promise<string | undefined> {
  const data = await readFile(path).catch(() => undefined);
  return data && createHash('sha256').update(data).digest('hex');
}

interface CommandOutput {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command in the C locale. Rejects only if it cannot be started. */
function run(command: string, args: string[], cwd?: string): Promise<CommandOutput> {
  return new Promise((resolve, reject) => {
    const options = { cwd, env: { ...process.env, LC_ALL: 'C' }, maxBuffer: 64 << 20 };
    execFile(command, args, options, (error, stdout, stderr) => {
      if (error && typeof error.code !== 'number') reject(error);
      else resolve({ status: Number(error?.code ?? 0), stdout, stderr });
    });
  });
}
