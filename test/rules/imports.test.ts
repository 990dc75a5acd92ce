/** Who may import whom: the table of README's "rooms", held against every import of every file. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** A room, and what it may import: rooms, or single files as `room/file`. */
const allowed: Record<string, readonly string[]> = {
  spec: [],
  layout: [],
  assembly: ['spec', 'layout'],
  engine: ['spec', 'layout'],
  aio: ['engine/engine', 'engine/core', 'layout'],
  machine: ['aio', 'spec', 'layout', 'engine/engine', 'engine/core'],
  block: ['machine', 'aio', 'spec', 'layout', 'engine/engine', 'engine/core'],
  scsi: [
    'spec',
    'layout',
    'aio',
    'machine',
    'engine/engine',
    'engine/core',
    'block/driver',
    'block/error',
    'block/block-size',
    'block/error-policy',
    'block/operation',
    'block/io-vector',
    'block/backend',
    'block/lane',
    'block/lane-request',
    'block/lane-service',
    'block/direct-batch',
  ],
  virtio: [
    'spec',
    'layout',
    'aio',
    'machine',
    'scsi',
    'engine/engine',
    'engine/core',
    'engine/queue-memory',
    'block/driver',
    'block/error',
    'block/block-size',
    'block/error-policy',
    'block/operation',
    'block/io-vector',
    'block/backend',
    'block/lane',
    'block/lane-request',
    'block/lane-service',
    'block/direct-batch',
  ],
  guest: ['spec', 'layout', 'engine/engine'],
  disk: ['spec', 'layout', 'engine', 'aio', 'machine', 'block', 'scsi', 'virtio', 'guest'],
  index: ['spec', 'layout', 'engine', 'aio', 'machine', 'block', 'scsi', 'virtio', 'guest', 'disk'],
  adapter: ['*'],
  cli: ['*'],
};
/** Rooms that may name a platform: `node:` modules and packages. */
const platforms = new Set(['adapter', 'cli']);
/** Packages the core itself may import. */
const packages: Record<string, readonly string[]> = { engine: ['@assemblyscript/loader'] };

interface Import {
  readonly file: string;
  readonly target: string;
}

function sources(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return sources(path);
    return path.endsWith('.ts') && !path.endsWith('.d.ts') ? [path] : [];
  });
}

/** `src/virtio/device.ts` -> room `virtio`, name `virtio/device`. */
function locate(path: string): { room: string; name: string } {
  const parts = path.replace(/\.ts$/, '').split('/');
  if (parts[0] === 'assembly') return { room: 'assembly', name: path };
  const room = parts[1] as string;
  return { room, name: parts.slice(1).join('/') };
}

function importsOf(file: string, text: string): Import[] {
  const code = text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');
  const quoted = `\\s*['"]([^'"]+)['"]`;
  const pattern = new RegExp(
    `\\b(?:import|export)\\s[^'";=]*?\\bfrom${quoted}|\\bimport${quoted}|\\bimport\\(${quoted}`,
    'g',
  );
  return [...code.matchAll(pattern)].map((match) => ({
    file,
    target: (match[1] ?? match[2] ?? match[3]) as string,
  }));
}

/** Why this import breaks the table, or null. */
function violation({ file, target }: Import): string | null {
  const from = locate(file);
  if (!target.startsWith('.')) {
    if (platforms.has(from.room) || packages[from.room]?.includes(target)) return null;
    return `${file} names the platform or package ${target}`;
  }
  const to = locate(relative(root, resolve(root, dirname(file), target)));
  if (to.room === from.room || allowed[from.room]?.includes('*')) return null;
  const rooms = allowed[from.room];
  if (!rooms) return `${file} is in no room of the table`;
  if (rooms.includes(to.room) || rooms.includes(to.name)) return null;
  return `${file} may not import ${to.name}`;
}

const files = [...sources('assembly'), ...sources('src')];

describe('who may import whom', () => {
  it('holds for every import of every file, type imports too', () => {
    const imports = files.flatMap((file) =>
      importsOf(file, readFileSync(join(root, file), 'utf8')),
    );
    expect(imports.length).toBeGreaterThan(50);
    expect(imports.map(violation).filter(Boolean)).toEqual([]);
  });

  it.each([
    ['src/guest/ring.ts', "import type { VirtioBlk } from '../virtio/virtio-blk.ts';"],
    ['src/virtio/virtio-blk.ts', "import { openMemory } from '../block/memory.ts';"],
    ['src/virtio/virtio-blk.ts', "export * from '../guest/ring.ts';"],
    ['src/block/file.ts', "import { readSync } from 'node:fs';"],
    ['src/aio/context.ts', "const late = await import('../block/backend.ts');"],
    ['src/machine/machine.ts', "import type { BlockBackend } from '../block/backend.ts';"],
    ['src/scsi/unit.ts', "import type { BlkQueue } from '../virtio/blk-queue.ts';"],
    ['src/scsi/unit.ts', "import { openMemory } from '../block/memory.ts';"],
    ['src/guest/scsi.ts', "import { cdbLength } from '../scsi/cdb.ts';"],
    ['src/guest/blk.ts', "import { Machine } from '../machine/machine.ts';"],
    ['src/aio/context.ts', "import { Machine } from '../machine/machine.ts';"],
    ['src/spec.ts', "import { ABI_VERSION } from './layout.ts';"],
    ['src/virtio/virtio-blk.ts', "import type { Disk } from '../disk/disk.ts';"],
    ['src/disk/disk.ts', "import { openCore } from '../adapter/load-module.ts';"],
    ['src/engine/js.ts', "import {\n  AioContext,\n} from '../aio/context.ts';"],
    ['assembly/split.ts', 'import { x } from "../src/engine/engine";'],
    ['src/index.ts', "export { attachVirtioBlk } from './adapter/v86.ts';"],
  ])('finds a planted violation in %s', (file, text) => {
    expect(importsOf(file, text).map(violation).filter(Boolean)).toHaveLength(1);
  });

  it('lets no room but adapter and cli use globals of one platform', () => {
    const banned =
      /(?<![\w.$#'"`-])(process|Buffer|document|window|require|__dirname|Deno|Bun)\b(?=[.([])/;
    const found = files
      .filter((file) => !platforms.has(locate(file).room))
      .flatMap((file) =>
        readFileSync(join(root, file), 'utf8')
          .replace(/\/\*[\s\S]*?\*\//g, '')
          .split('\n')
          .filter((line) =>
            banned.test(line.replace(/\/\/.*$/, '').replace(/'[^']*'|`[^`]*`/g, '')),
          )
          .map((line) => `${file}: ${line.trim()}`),
      );
    expect(found).toEqual([]);
  });
});
