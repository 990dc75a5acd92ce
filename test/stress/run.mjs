/**
 * Threads for as long as it takes to trust them: `npm run stress`. Needs `npm run build` before.
 *
 *   --share N    one Nth of everything (default 1: all of it)
 *   --seed N     repeat a run; the seed is printed
 *   --engine E   wasm or js (default: both)
 *
 * Prints one line of JSON for each scenario and engine. Ends with 1 if a counter is wrong, if a
 * thread still waits at the end, or if nothing moves for a minute.
 */
import { parseArgs } from 'node:util';
import { loadCoreModule } from '#src/adapter/load-module';
import { Core } from '#src/engine/core';
import { bottomHalves } from './bottom-halves.mjs';
import { kicks } from './kicks.mjs';
import { lives } from './lives.mjs';
import { Random } from './random.mjs';
import { watchdog } from './watchdog.mjs';

const { values } = parseArgs({
  options: {
    share: { type: 'string', default: '1' },
    seed: { type: 'string' },
    engine: { type: 'string' },
  },
});
const share = Number(values.share);
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 32));
const engines = values.engine ? [values.engine] : ['wasm', 'js'];
if (!(share >= 1) || !Number.isInteger(seed)) throw new RangeError('--share and --seed: numbers');
console.log(JSON.stringify({ seed, share }));

/** What is done in all, divided among the runs by `share`. */
const SCENARIOS = [
  ['bottom halves', bottomHalves, 1_000_000],
  ['kicks', kicks, 10_000_000],
  ['lives', lives, 1_000],
];

for (const engine of engines) {
  for (const [name, scenario, whole] of SCENARIOS) {
    const count = Math.ceil(whole / share);
    const module = await loadCoreModule(true);
    const core = await Core.open({ engine, module, shared: true });
    const random = new Random(seed);
    const begin = performance.now();
    const bytes = core.allocatedBytes;
    const figures = await watchdog(`${name}, ${engine}, seed ${seed}`, (watch) =>
      scenario({ core, count, random, watch }),
    );
    if (core.allocatedBytes !== bytes) throw new Error(`${name}: not all memory was given back`);
    const seconds = Number(((performance.now() - begin) / 1000).toFixed(1));
    console.log(JSON.stringify({ scenario: name, engine, count, ...figures, seconds }));
  }
}
