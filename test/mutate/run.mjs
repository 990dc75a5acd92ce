/**
 * `npm run mutate`: breaks each protocol step on purpose, one at a time, and reports how many of
 * the breaks a test noticed. A mutant is a row of table.mjs: a file of assembly/ or src/, a text
 * found in it exactly once, what replaces it, and the tests that must turn red.
 *
 *   npm run mutate                        all
 *   npm run mutate -- --only js/gate      those whose name contains `js/gate`; may be repeated
 *   npm run mutate -- --workers 1         one at a time (default: 2, or as many as there are cores)
 *
 * Works on copies in a temporary folder; the checkout stays as it is. First the tests must pass on
 * an unbroken copy, which says how long they may take: a mutant that hangs them is dead, too. Exits
 * 1 if a mutant survives, does not compile, or was not found.
 */
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Copy } from './copy.mjs';
import { killAll } from './process-group.mjs';
import { mutants } from './table.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const { values: options } = parseArgs({
  options: {
    only: { type: 'string', multiple: true, default: [''] },
    workers: { type: 'string', default: String(Math.min(2, availableParallelism())) },
  },
});
const chosen = mutants.filter(({ name }) => options.only.some((part) => name.includes(part)));
/** No run of a mutant takes longer than its test files do unbroken, by this factor. */
const PATIENCE = 3;
const SHORTEST_LIMIT_MS = 60_000;
const UNBROKEN_LIMIT_MS = 900_000;
/** Longer arguments are cut off by the system. */
const LONGEST_FILTER = 100_000;

const copies = [];

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => process.exit(130));
}
process.on('exit', () => {
  killAll();
  for (const copy of copies) copy.remove();
});

const testFiles = [...new Set(chosen.flatMap(({ tests }) => tests))];

/** Runs all tests that the mutants name on an unbroken copy. Returns ms that each file took. */
async function runUnbroken(copy) {
  const filter = [...new Set(chosen.map((mutant) => mutant.filter))].join('|');
  const titles = filter.length < LONGEST_FILTER ? filter : undefined;
  const { code, output, took } = await copy.runTests(testFiles, titles, UNBROKEN_LIMIT_MS);
  if (code !== 0) throw new Error(`the tests do not pass unbroken\n${output}`);
  return took;
}

async function main() {
  if (chosen.length === 0) throw new Error(`no mutant is called *${options.only.join('*, *')}*`);
  const queue = [...chosen];
  const failures = [];
  let killed = 0;
  while (copies.length < Number(options.workers)) {
    copies.push(await Copy.make(root, testFiles));
  }
  const took = await runUnbroken(copies[0]);
  const limitOf = ({ tests }) => {
    const unbroken = tests.reduce((sum, file) => sum + (took.get(file) ?? 0), 0);
    return Math.max(SHORTEST_LIMIT_MS, PATIENCE * unbroken);
  };
  await Promise.all(
    copies.map(async (copy) => {
      for (let mutant = queue.shift(); mutant; mutant = queue.shift()) {
        const started = performance.now();
        const { dead, verdict } = await copy.tryMutant(mutant, limitOf(mutant));
        if (dead) killed += 1;
        else failures.push(`${mutant.name}: ${verdict}`);
        const seconds = ((performance.now() - started) / 1000).toFixed(1);
        process.stdout.write(`${verdict.padEnd(8)} ${seconds.padStart(5)} s  ${mutant.name}\n`);
      }
    }),
  );
  process.stdout.write(`\nkilled ${killed} of ${chosen.length}\n`);
  for (const failure of failures) process.stdout.write(`  ${failure}\n`);
  process.exitCode = failures.length > 0 ? 1 : 0;
}

try {
  await main();
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
