/**
 * Each protocol step, broken: a row is a file, a text found in it exactly once, its replacement, and
 * the tests that notice. The rows are made from the lists in rows/, where a step has a name, the
 * titles of its tests, and what to break in each engine; `wasm` and `js` stand in the rows' names.
 *
 *   suite: titles of test/engine/*-suite.ts     steps: titles of test/engine/steps-*-suite.ts
 */
import { blocks } from './rows/blocks.mjs';
import { bottomHalves } from './rows/bottom-halves.mjs';
import { chain } from './rows/chain.mjs';
import { cluster } from './rows/cluster.mjs';
import { coroutine } from './rows/coroutine.mjs';
import { enable } from './rows/enable.mjs';
import { gate } from './rows/gate.mjs';
import { growth } from './rows/growth.mjs';
import { notify } from './rows/notify.mjs';
import { parse } from './rows/parse.mjs';
import { poll } from './rows/poll.mjs';
import { pool } from './rows/pool.mjs';
import { pop } from './rows/pop.mjs';
import { push } from './rows/push.mjs';
import { serve } from './rows/serve.mjs';
import { wait } from './rows/wait.mjs';

const FOLDERS = { wasm: 'assembly', js: 'src/engine/js' };
const SUITE = 'test/engine/engine.test.ts';
const STEPS = 'test/engine/steps.test.ts';
/** Contestants that a broken engine takes part as. Of the modules, the unshared one is rebuilt. */
const CONTESTANTS = { wasm: 'wasm, (unshared|step)', js: 'js, ' };

const list = (titles = []) => [titles].flat();
const quote = (title) => title.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

function rowOf(step, engine) {
  const [file, text, replacement] = step[engine];
  const titles = [...list(step.suite), ...list(step.steps)];
  return {
    name: `${engine}/${step.name}`,
    file: `${FOLDERS[engine]}/${file}.ts`,
    text,
    replacement,
    tests: [...(step.suite ? [SUITE] : []), ...(step.steps ? [STEPS] : [])],
    titles,
    filter: `${CONTESTANTS[engine]}.*(${titles.map(quote).join('|')})`,
  };
}

export const steps = [
  ...pop,
  ...chain,
  ...blocks,
  ...parse,
  ...push,
  ...notify,
  ...enable,
  ...gate,
  ...serve,
  ...cluster,
  ...bottomHalves,
  ...wait,
  ...poll,
  ...coroutine,
  ...pool,
  ...growth,
];

export const mutants = steps.flatMap((step) => {
  return ['wasm', 'js'].filter((engine) => step[engine]).map((engine) => rowOf(step, engine));
});
