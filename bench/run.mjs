/**
 * `npm run bench`: what the hot path costs, contestants alternating in one process.
 *
 *   npm run bench -- --json FILE     also write all results
 *   npm run bench -- --only ring     cases whose name contains `ring`
 *   npm run bench -- --rounds 30     rounds per case (default 15)
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { deviceCases } from './device.mjs';
import { figures } from './figures.mjs';
import { fileCases } from './file.mjs';
import { machine, ratio } from './harness.mjs';
import { memoryCases, parseCases } from './memory.mjs';
import { ringCases } from './ring.mjs';

/** What is compared with what, where a case has both. */
const PAIRS = [
  ['wasm', 'js'],
  ['js', 'naive'],
  ['wasm', 'naive'],
  ['wasm', 'readSync'],
  ['js', 'readSync'],
];

function options() {
  const { values } = parseArgs({
    options: {
      json: { type: 'string' },
      only: { type: 'string', default: '' },
      rounds: { type: 'string', default: '15' },
    },
  });
  const rounds = Number(values.rounds);
  if (Number.isInteger(rounds) && rounds >= 1) {
    return { ...values, rounds, wanted: (name) => name.includes(values.only) };
  }
  console.error(`--rounds: '${values.rounds}' is not allowed; allowed: a whole number from 1`);
  process.exit(2);
}

function print(list) {
  console.log(list[0].case);
  for (const { contestant, min, median, unit } of list) {
    const [least, middle] = [min.toFixed(1).padStart(9), median.toFixed(1).padStart(9)];
    console.log(`  ${contestant.padEnd(10)} ${least} min ${middle} median  ${unit}`);
  }
  for (const [fast, slow] of PAIRS) {
    const times = ratio(list, list[0].case, fast, slow);
    if (!times) continue;
    const [minima, rounds] = [times.minima.toFixed(2), times.rounds.toFixed(2)];
    console.log(`  ${fast} is ${minima}x as fast as ${slow} by minima, ${rounds}x by rounds`);
  }
}

function printFigure({ case: name, contestant, unit, min, median, samples }) {
  const digits = { maximumFractionDigits: 2 };
  const value = min.toLocaleString('en', digits);
  const more = samples > 1 ? ` at least, median ${median.toLocaleString('en', digits)}` : '';
  console.log(`${name} ${contestant}: ${value} ${unit}${more}`);
}

const given = options();
const read = (name) => readFileSync(new URL(`../build/${name}`, import.meta.url));
const modules = { unshared: read('core.wasm'), shared: read('core.shared.wasm') };
const results = [];
for (const cases of [ringCases, parseCases, memoryCases, deviceCases, fileCases]) {
  for await (const list of cases(modules, given)) {
    results.push(...list);
    print(list);
  }
}
for await (const list of figures(given.wanted)) {
  results.push(...list);
  for (const figure of list) printFigure(figure);
}
if (results.length === 0) {
  console.error(`--only: no case contains '${given.only}'`);
  process.exit(2);
}
if (given.json) {
  const stripped = results.map(({ rounds: _, ...result }) => result);
  const file = { version: 1, machine: machine(), results: stripped };
  writeFileSync(given.json, `${JSON.stringify(file, null, 2)}\n`);
}
