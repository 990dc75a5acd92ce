/**
 * The long run: `node test/fuzz/run.mjs --rings 10000000 --seed 1`. Alternates between the pairs of
 * engines and memories, says how far it is, and at the end how often each verdict was reached.
 */

import { parseArgs } from 'node:util';
import {
  type Contestant,
  jsOneMemory,
  jsShared,
  jsTwoBuffers,
  wasmShared,
  wasmUnshared,
} from '../engine/machine.ts';
import { Disagreement, Twins } from './twins.ts';
import { unreached, verdicts } from './verdicts.ts';

const pairs: [Contestant, Contestant][] = [
  [wasmUnshared, jsTwoBuffers],
  [wasmShared, jsShared],
  [wasmUnshared, jsOneMemory],
];
const CHUNK = 4096;

function complain(line: string): void {
  process.stderr.write(`${line}\n`);
}

const { values } = parseArgs({
  options: {
    rings: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
  },
});
const rings = Number(values.rings);
const seed = Number(values.seed);
if (!(rings >= 1) || !Number.isInteger(seed)) {
  complain('usage: node test/fuzz/run.mjs [--rings COUNT] [--seed INTEGER]');
  process.exit(2);
}

function report(all: readonly Twins[], seconds: number): void {
  const total = all.reduce((sum, twins) => sum + twins.rings, 0);
  console.log(`\n${total} rings in ${seconds.toFixed(0)} s, seed ${seed}`);
  const sum = (of: (twins: Twins) => number) => all.reduce((n, twins) => n + of(twins), 0);
  for (const [name, number] of [['well to the end', 0] as const, ...verdicts]) {
    console.log(`${name.padEnd(22)} ${sum((twins) => twins.verdicts[number]!)}`);
  }
  for (const figure of ['popped', 'pushed', 'served', 'commands', 'plain'] as const) {
    console.log(`${figure.padEnd(22)} ${sum((twins) => twins[figure])}`);
  }
}

const started = Date.now();
const all = pairs.map(([a, b], i) => new Twins(a, b, seed * pairs.length + i));
let shown = started;
try {
  for (let done = 0; done < rings; ) {
    for (const twins of all) {
      const count = Math.min(CHUNK, rings - done);
      twins.run(count);
      done += count;
    }
    if (Date.now() - shown < 2000) continue;
    shown = Date.now();
    const speed = done / ((shown - started) / 1000);
    process.stderr.write(`\r${done} of ${rings} rings, ${speed.toFixed(0)} per second `);
  }
} catch (error) {
  if (!(error instanceof Disagreement)) throw error;
  complain(`\nNOT EQUAL: ${error.message}`);
  process.exitCode = 1;
}
report(all, (Date.now() - started) / 1000);
const missing = unreached(all);
if (missing.length > 0) {
  complain(`never reached: ${missing.join(', ')}`);
  process.exitCode = 1;
}
