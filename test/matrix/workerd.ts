/** The real workerd on a loopback port, serving `worker.js` and the project's build. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, posix, relative } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Edge } from './edge-suite.ts';
import { packageExport } from './package-exports.ts';

const require = createRequire(import.meta.url);
const CONDITIONS = ['workerd', 'worker', 'import'];
const WORKER = ['worker.js', 'respond.js', 'handler.js', 'traps.js'];

/** One module of the worker: its name, and its content as a capnp expression. */
type Module = { name: string; kind: 'esModule' | 'wasm'; content: string };

function builtFiles(root: string): string[] {
  return readdirSync(join(root, 'build'), { recursive: true, encoding: 'utf8' })
    .map((file) => posix.join('build', file))
    .filter((file) => /^build\/(dist\/[^/]+\.js|core(\.shared)?\.wasm)$/.test(file));
}

/**
 * The worker's modules. Names are paths below `root`, so that relative imports resolve as on disk.
 * workerd looks a bare specifier up beside the module that imports it, so a package is named once
 * for each folder that imports it.
 */
function modules(root: string): Module[] {
  const here = relative(root, fileURLToPath(new URL('.', import.meta.url)));
  const files = [...WORKER.map((file) => posix.join(here, file)), ...builtFiles(root)];
  const list = files.map(
    (file): Module => ({
      name: file,
      kind: file.endsWith('.wasm') ? 'wasm' : 'esModule',
      content: `embed ${JSON.stringify(`/${file}`)}`,
    }),
  );
  const entry = posix.relative(here, packageExport(root, '.', CONDITIONS));
  const core = packageExport(root, './core.wasm', CONDITIONS);
  list.push(
    {
      name: posix.join(here, 'vblk'),
      kind: 'esModule',
      content: JSON.stringify(`export * from ${JSON.stringify(entry)};`),
    },
    {
      name: posix.join(here, 'vblk/core.wasm'),
      kind: 'wasm',
      content: `embed ${JSON.stringify(`/${core}`)}`,
    },
  );
  const loader = 'node_modules/@assemblyscript/loader/index.js';
  const importers = files.filter(
    (file) =>
      file.endsWith('.js') &&
      /['"]@assemblyscript\/loader['"]/.test(readFileSync(join(root, file), 'utf8')),
  );
  for (const folder of new Set(importers.map((file) => posix.dirname(file)))) {
    list.push({
      name: posix.join(folder, '@assemblyscript/loader'),
      kind: 'esModule',
      content: `embed ${JSON.stringify(`/${loader}`)}`,
    });
  }
  return list;
}

/** Embedded paths are looked up below workerd's import path, which is `root`. */
function config(root: string, compatibilityDate: string): string {
  // workerd takes the first module for the worker's entry.
  const lines = modules(root).map(
    ({ name, kind, content }) => `    (name = ${JSON.stringify(name)}, ${kind} = ${content}),`,
  );
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .worker)],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")]
);
const worker :Workerd.Worker = (
  compatibilityDate = ${JSON.stringify(compatibilityDate)},
  modules = [
${lines.join('\n')}
  ]
);
`;
}

/** Resolves to the port once workerd listens; rejects with its complaint if it ends before. */
function listening(child: ChildProcess): Promise<number> {
  let complaint = '';
  child.stderr?.on('data', (text) => (complaint += text));
  return new Promise((resolve, reject) => {
    const control = child.stdio[3] as NodeJS.ReadableStream;
    createInterface(control).on('line', (line) => {
      const { event, port } = JSON.parse(line);
      if (event === 'listen') resolve(port);
    });
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`workerd ended with ${code}: ${complaint}`)));
  });
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}

/** Starts workerd on the package at `root`. */
export async function startWorkerd(root: string): Promise<Edge> {
  const { default: binary, compatibilityDate } = require('workerd');
  const folder = mkdtempSync(join(tmpdir(), 'vblk-workerd-'));
  const file = join(folder, 'config.capnp');
  writeFileSync(file, config(root, compatibilityDate));
  const child = spawn(binary, ['serve', `--import-path=${root}`, '--control-fd=3', file], {
    stdio: ['ignore', 'inherit', 'pipe', 'pipe'],
  });
  const close = async () => {
    await stop(child);
    rmSync(folder, { recursive: true });
  };
  try {
    const port = await listening(child);
    return { fetch: (path, init) => fetch(`http://127.0.0.1:${port}${path}`, init), close };
  } catch (error) {
    await close();
    throw error;
  }
}
