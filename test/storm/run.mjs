/**
 * Storms: a device under verified I/O that is started, stopped, drained, moved, resized, plugged and
 * unplugged: `npm run storm`. Needs `npm run build` before.
 *
 *   --cycles N   steps of each storm (default 10000)
 *   --seed N     repeat a run; the seed is printed
 *   --only NAME  storms whose name contains NAME; with --exact, the one that is called so
 *   --engine E   wasm or js (default: both)
 *   --idle MS    how long an idle device is watched after each disk (default 1000)
 *   --queues N   queues of a device (default 4)
 *   --disks N    how many disks share the steps (default 12)
 *
 * Prints one line of JSON for each storm and engine. Ends with 1 if something is lost, doubled or
 * left behind, or if nothing moves for half a minute.
 */
import { inspect, parseArgs } from 'node:util';
import { Random } from '../stress/random.mjs';
import {
  checkIdle,
  checkIdleCost,
  checkMemory,
  checkSlot,
  expectDeaf,
  expectNoLeak,
  expectSameInventory,
  growth,
  heaps,
  inventory,
  leaks,
} from './checker.mjs';
import { Rig } from './rig.mjs';
import { optionsOf, STORMS } from './storms.mjs';

const PATIENCE_MS = 30_000;
/** Stretches of rounds in which a heap must grow each time for it to be a leak. */
const WINDOWS = 3;

const { values } = parseArgs({
  options: {
    cycles: { type: 'string', default: '10000' },
    seed: { type: 'string' },
    only: { type: 'string', default: '' },
    exact: { type: 'boolean', default: false },
    engine: { type: 'string' },
    idle: { type: 'string', default: '1000' },
    queues: { type: 'string', default: '4' },
    disks: { type: 'string', default: '12' },
  },
});
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 32));
const [cycles, idle, queues, disks] = ['cycles', 'idle', 'queues', 'disks'].map((name) =>
  Number(values[name]),
);
if (![seed, cycles, idle, queues, disks].every((one) => Number.isInteger(one) && one >= 0)) {
  throw new RangeError('--seed, --cycles, --idle, --queues and --disks: whole numbers');
}
/** Idle seconds are weighed where one is a second. */
const strict = idle >= 1000;
const engines = values.engine ? [values.engine] : ['wasm', 'js'];
const meant = (name) => (values.exact ? name === values.only : name.includes(values.only));
const storms = Object.entries(STORMS).filter(([name]) => meant(name));
if (storms.length === 0) throw new RangeError(`--only: no storm's name has '${values.only}'`);
console.log(JSON.stringify({ seed, cycles }));

/** Ends the process when nothing moves: a hang is what these runs look for. */
function watch(title, rig, progress) {
  let last = -1;
  let since = Date.now();
  return setInterval(() => {
    const now = progress();
    if (now !== last) [last, since] = [now, Date.now()];
    if (Date.now() - since < PATIENCE_MS) return;
    console.error(`${title}: nothing has moved for half a minute, at ${now}`);
    for (const slot of rig.slots) console.error(JSON.stringify(slot.describe()));
    process.exit(1);
  }, 1000);
}

/** `count` steps on the same disks, and everything that must be true at their end. */
async function onSameDisks(storm, rig, random, count, totals, { empty }) {
  const slots = [];
  for (let i = 0; i < (storm.devices ?? 1); i++) {
    const given = { queues, ...storm.given };
    slots.push(await rig.plug(random, optionsOf({ given }, random, rig)));
  }
  const [slot] = slots;
  await storm.before?.(slot, random, rig);
  for (const one of slots) await one.start();
  for (let i = 0; i < count; i++) {
    await storm.step(slot, random, rig, { idle, strict });
    for (const { load } of rig.slots) load.check();
    totals.steps++;
  }
  await storm.after?.(slot, random, rig);
  for (const one of slots) await checkSlot(one);
  await (strict ? checkIdleCost : checkIdle)(rig, idle);
  for (const one of slots) await one.reset();
  await expectDeaf(rig, empty);
  for (const { load } of slots) {
    totals.completed += load.completed;
    totals.dropped += load.droppedCount;
    totals.failed += load.failed;
  }
  for (const one of slots) await one.unplug();
}

async function rage(name, storm, engine) {
  const title = `${name}, ${engine}, seed ${seed}`;
  const rig = await Rig.open({ engine });
  const random = new Random(seed);
  const totals = { steps: 0, completed: 0, dropped: 0, failed: 0 };
  const load = () => [...rig.slots].reduce((sum, { load }) => sum + (load?.completed ?? 0), 0);
  // Where a step is a life, what goes on meanwhile is no progress.
  const work = () => (storm.round ? 0 : totals.completed + load());
  const timer = watch(title, rig, () => totals.steps + work());
  const begin = performance.now();
  try {
    const wanted = Math.min(cycles, storm.most ?? cycles);
    const rounds = Math.min(disks, wanted);
    const empty = inventory(rig);
    const given = { empty, idle, strict };
    const once = storm.round ?? ((...all) => onSameDisks(storm, ...all));
    const memory = () => rig.core.memory.buffer.byteLength;
    const onDisks = async (count) => {
      for (let round = 0; round < count; round++) {
        await once(rig, random, Math.ceil(wanted / rounds), totals, given);
        await expectSameInventory(rig, empty);
      }
      return heaps(rig);
    };
    // By then most of the code has been compiled, and fills no heap any more.
    let before = await onDisks((rounds >> 1) + 1);
    const bytes = memory();
    const windows = [];
    do {
      const now = await onDisks(Math.ceil(rounds / 2) - 1);
      windows.push(growth(before, now));
      before = now;
    } while (leaks(windows) && windows.length < WINDOWS);
    expectNoLeak(windows);
    checkMemory(bytes, memory());
    const heap = Math.max(0, ...windows.at(-1));
    await rig.close();
    const seconds = Number(((performance.now() - begin) / 1000).toFixed(1));
    console.log(JSON.stringify({ storm: name, engine, ...totals, heap, seconds }));
  } catch (error) {
    console.error(`${title}, after ${totals.steps} steps: ${inspect(error)}`);
    for (const slot of rig.slots) console.error(JSON.stringify(slot.describe()));
    process.exit(1);
  } finally {
    clearInterval(timer);
  }
}

for (const engine of engines) {
  for (const [name, storm] of storms) await rage(name, storm, engine);
}
process.exit(0);
