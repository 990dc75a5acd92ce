/**
 * `npm run bench`: what the hot path costs, contestants alternating in one process.
 *
 *   npm run bench -- --against DIR   compare with the build of another checkout, round by round:
 *                                    ring, device, bottom-half and end-to-end cases
 *   npm run bench -- --json FILE     also write all results
 *   npm run bench -- --only ring     cases whose name contains `ring`; several parts: ring,scsi
 *   npm run bench -- --rounds 30     rounds per case (default 15)
 *   npm run bench -- --turn 50       ms of a contestant's turn where threads are compared (25)
 *   npm run bench -- --warm 10       turns of each before, until all is compiled (120)
 *   npm run bench -- --idle 1        seconds for which idle devices are watched (default 5)
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { entrants, ratedPairs } from './against.mjs';
import { bottomHalfCases } from './bottom-half.mjs';
import { deviceCases } from './device.mjs';
import { endToEndCases } from './end-to-end.mjs';
import { figures } from './figures.mjs';
import { fileCases } from './file.mjs';
import { machine, ratio, ratioResult } from './harness.mjs';
import { idlePollCases } from './idle-poll.mjs';
import { kickCases } from './kick.mjs';
import { memoryCases, parseCases } from './memory.mjs';
import { ringCases } from './ring.mjs';
import { scsiCases } from './scsi.mjs';

/** What is compared with what, where a case has both. */
const PAIRS = [
  ['wasm', 'js'],
  ['js', 'naive'],
  ['wasm', 'naive'],
  ['wasm', 'readSync'],
  ['js', 'readSync'],
];

/** What each number may be. */
const NUMBERS = {
  rounds: ['a whole number from 1', (value) => Number.isInteger(value) && value >= 1],
  turn: ['a number above 0', (value) => value > 0],
  warm: ['a whole number from 1', (value) => Number.isInteger(value) && value >= 1],
  idle: ['a number above 0', (value) => value > 0],
};

function options() {
  const { values } = parseArgs({
    options: {
      against: { type: 'string' },
      json: { type: 'string' },
      only: { type: 'string', default: '' },
      rounds: { type: 'string', default: '15' },
      turn: { type: 'string', default: '25' },
      warm: { type: 'string', default: '120' },
      idle: { type: 'string', default: '5' },
    },
  });
  const numbers = {};
  for (const [name, [allowed, fits]] of Object.entries(NUMBERS)) {
    numbers[name] = Number(values[name]);
    if (fits(numbers[name])) continue;
    console.error(`--${name}: '${values[name]}' is not allowed; allowed: ${allowed}`);
    process.exit(2);
  }
  const parts = values.only.split(',');
  return { ...values, ...numbers, wanted: (name) => parts.some((part) => name.includes(part)) };
}

/** Large figures need no digits behind the point, small ones do. */
const number = (value) => value.toFixed(value < 100 ? 3 : 1).padStart(12);

function print(list) {
  console.log(list[0].case);
  for (const { case: name, contestant, min, median, unit } of list) {
    const who = name === list[0].case ? contestant : `${contestant}, quiet`;
    console.log(`  ${who.padEnd(20)} ${number(min)} min ${number(median)} median  ${unit}`);
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

/** The engines that take part; says what is wrong with `--against`. */
function entrantsOf(against) {
  try {
    return entrants(against);
  } catch (error) {
    console.error(error.message);
    return process.exit(2);
  }
}

/** Two builds: how many times as fast ours was, as results of their own. */
function ratings(list, pairs) {
  const names = [...new Set(list.map((one) => one.case))];
  return names.flatMap((name) =>
    pairs.flatMap(([ours, other]) => ratioResult(list, name, ours, other) ?? []),
  );
}

const given = options();
given.entrants = entrantsOf(given.against);
const read = (name) => readFileSync(new URL(`../build/${name}`, import.meta.url));
const modules = { unshared: read('core.wasm'), shared: read('core.shared.wasm') };
const results = [];
const comparable = [ringCases, deviceCases, bottomHalfCases, endToEndCases];
const everything = [
  ringCases,
  parseCases,
  memoryCases,
  deviceCases,
  scsiCases,
  fileCases,
  bottomHalfCases,
  idlePollCases,
  kickCases,
  endToEndCases,
];
const pairs = ratedPairs(given.entrants);
for (const cases of given.against ? comparable : everything) {
  for await (const list of cases(modules, given)) {
    list.push(...ratings(list, pairs));
    results.push(...list);
    print(list);
  }
}
for await (const list of given.against ? [] : figures(given.wanted, given.idle)) {
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
