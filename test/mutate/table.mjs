/**
 * Each protocol step, broken: a row is a file, a text found in it exactly once, its replacement, and
 * the tests that notice. The rows are made from the lists in rows/.
 *
 * A step of the engines has what to break in each; `wasm` and `js` stand in the rows' names.
 *
 *   suite: titles of test/engine/*-suite.ts     steps: titles of test/engine/steps-*-suite.ts
 *   noticed: titles of other tests, by file of test/
 *
 * A step of the other rooms of src/ has `breaks`, one place or several, and `noticed`; `ts` stands
 * in the name. Names that begin with a historic bug are those of rows that undo its fix.
 */
import { blocks } from './rows/blocks.mjs';
import { bottomHalves } from './rows/bottom-halves.mjs';
import { chain } from './rows/chain.mjs';
import { cluster } from './rows/cluster.mjs';
import { contexts } from './rows/contexts.mjs';
import { coroutine } from './rows/coroutine.mjs';
import { coroutines } from './rows/coroutines.mjs';
import { disks } from './rows/disks.mjs';
import { drainGraph } from './rows/drain-graph.mjs';
import { enable } from './rows/enable.mjs';
import { events } from './rows/events.mjs';
import { gate } from './rows/gate.mjs';
import { graphRaces } from './rows/graph-races.mjs';
import { growth } from './rows/growth.mjs';
import { historicBugs, historicEngineBugs } from './rows/historic-bugs.mjs';
import { lanes } from './rows/lanes.mjs';
import { machine } from './rows/machine.mjs';
import { notify } from './rows/notify.mjs';
import { overlay } from './rows/overlay.mjs';
import { parse } from './rows/parse.mjs';
import { plain } from './rows/plain.mjs';
import { poll } from './rows/poll.mjs';
import { polling } from './rows/polling.mjs';
import { pool } from './rows/pool.mjs';
import { pop } from './rows/pop.mjs';
import { push } from './rows/push.mjs';
import { queueLife } from './rows/queue-life.mjs';
import { removal, removalEngineBugs } from './rows/removal.mjs';
import { scsiCommands } from './rows/scsi-commands.mjs';
import { scsiController } from './rows/scsi-controller.mjs';
import { scsiEngine, scsiGuest } from './rows/scsi-engine.mjs';
import { scsiState } from './rows/scsi-state.mjs';
import { serve } from './rows/serve.mjs';
import { restore, state } from './rows/state.mjs';
import { threadPool } from './rows/thread-pool.mjs';
import { threads } from './rows/threads.mjs';
import { throttle } from './rows/throttle.mjs';
import { timers } from './rows/timers.mjs';
import { v86 } from './rows/v86.mjs';
import { virtio } from './rows/virtio.mjs';
import { wait } from './rows/wait.mjs';

const FOLDERS = { wasm: 'assembly', js: 'src/engine/js', ts: 'src' };
const SUITE = 'test/engine/engine.test.ts';
const STEPS = 'test/engine/steps.test.ts';
/** Contestants that a broken engine takes part as. Of the modules, the unshared one is rebuilt. */
const CONTESTANTS = {
  wasm: "(wasm, (unshared|step)|'?wasm'? engine, '?unshared'? memory)",
  js: "(js, |'?js'? engine)",
};

const list = (titles = []) => [titles].flat();
const quote = (title) => title.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
const anyOf = (titles) => `(${titles.map(quote).join('|')})`;

function editIn(room, [file, text, replacement]) {
  return { file: `${FOLDERS[room]}/${file}.ts`, text, replacement };
}

const filesOf = ({ noticed = {} }) => Object.keys(noticed).map((file) => `test/${file}`);
const titlesOf = ({ noticed = {} }) => Object.values(noticed).flat();

function engineRow(step, engine) {
  const titles = [...list(step.suite), ...list(step.steps), ...titlesOf(step)];
  return {
    name: `${engine}/${step.name}`,
    edits: [editIn(engine, step[engine])],
    tests: [...(step.suite ? [SUITE] : []), ...(step.steps ? [STEPS] : []), ...filesOf(step)],
    titles,
    filter: `${CONTESTANTS[engine]}.*${anyOf(titles)}`,
  };
}

function roomRow(step) {
  const places = Array.isArray(step.breaks[0]) ? step.breaks : [step.breaks];
  const titles = titlesOf(step);
  return {
    name: `ts/${step.name}`,
    edits: places.map((place) => editIn('ts', place)),
    tests: filesOf(step),
    titles,
    filter: anyOf(titles),
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
  ...plain,
  ...pool,
  ...growth,
  ...historicEngineBugs,
  ...removalEngineBugs,
  ...restore,
  ...scsiEngine,
];

export const roomSteps = [
  ...historicBugs,
  ...contexts,
  ...events,
  ...timers,
  ...polling,
  ...coroutines,
  ...threadPool,
  ...threads,
  ...lanes,
  ...drainGraph,
  ...graphRaces,
  ...virtio,
  ...queueLife,
  ...removal,
  ...machine,
  ...disks,
  ...throttle,
  ...overlay,
  ...v86,
  ...state,
  ...scsiGuest,
  ...scsiCommands,
  ...scsiController,
  ...scsiState,
];

export const mutants = [
  ...steps.flatMap((step) =>
    ['wasm', 'js'].filter((engine) => step[engine]).map((engine) => engineRow(step, engine)),
  ),
  ...roomSteps.map(roomRow),
];
