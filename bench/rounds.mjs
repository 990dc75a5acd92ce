/**
 * Times contestants that have threads. As in harness.mjs they take turns, round by round, in an
 * order that rotates. Before and after each turn comes a ruler, a bare ping-pong of two spinning
 * threads, so that a round in which the machine had no cores to spare shows. Whoever's turn it is
 * not, sleeps.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { sharedMemory } from './bare.mjs';
import { bareModule } from './bare-module.mjs';
import { median } from './harness.mjs';
import { GUEST_CORE, SERVER_CORE } from './pin.mjs';
import { Role } from './role.mjs';

const BARE_ROLE = new URL('bare-role.mjs', import.meta.url).href;
/** Round trips of the ruler between two turns. */
const TRIPS = 4000;
/**
 * The machine was ours in a round whose rulers took no longer than this, ns per round trip, and in
 * whose turns our threads waited for a core for no longer than this share of the time.
 */
const QUIET_NS = 500;
const QUIET_WAIT = 0.05;

export const openBare = (options, core) => Role.open(BARE_ROLE, options, core);

/** Two threads that spin for each other. */
export async function openRuler() {
  const memory = sharedMemory(65_536);
  const words = new Int32Array(memory.buffer);
  const open = (side, core) =>
    openBare({ kind: 'spinner', module: bareModule(), memory, side }, core);
  const sides = await Promise.all([open(0, GUEST_CORE), open(1, SERVER_CORE)]);
  return {
    /** ns per round trip. */
    async measure(trips = TRIPS) {
      words.fill(0, 0, 64);
      const [{ ns }] = await Promise.all(sides.map((one) => one.call('turn', trips)));
      return ns / trips;
    },
    async close() {
      await Promise.all(sides.map((one) => one.close()));
    },
  };
}

/** Two threads that sleep for each other, as a contestant: a request is a round trip. */
export async function sleepContestant() {
  const memory = sharedMemory(65_536);
  const side = (number) => openBare({ kind: 'sleeper', memory, side: number });
  const sides = await Promise.all([side(0), side(1)]);
  return {
    name: 'wait',
    turn: async (milliseconds) =>
      (await Promise.all(sides.map((one) => one.call('turn', milliseconds))))[0],
    check: async () => {},
    close: async () => void (await Promise.all(sides.map((one) => one.close()))),
  };
}

/** The ruler as a contestant. */
export function spinContestant(ruler) {
  const turn = async () => ({ requests: TRIPS, ns: TRIPS * (await ruler.measure()) });
  return { name: 'spin', turn, check: async () => {}, close: async () => {} };
}

/** ns for which threads of this process have waited for a core; 0 where Linux does not say. */
function waitedForCores() {
  let sum = 0;
  try {
    for (const task of readdirSync('/proc/self/task')) {
      sum += Number(readFileSync(`/proc/self/task/${task}/schedstat`, 'utf8').split(' ')[1]);
    }
  } catch {
    return 0; // no such file, or a thread that has ended meanwhile
  }
  return sum;
}

/** One turn of a contestant: ns per request, and the share of the time that threads waited. */
async function take({ begin, turn, end }, milliseconds) {
  await begin?.();
  const before = waitedForCores();
  const { requests, ns } = await turn(milliseconds);
  const waited = waitedForCores() - before;
  await end?.();
  if (!(requests > 0)) throw new Error('no work was done');
  return { perRequest: ns / requests, waited: waited / ns };
}

const result = (name, contestant, unit, values) => ({
  case: name,
  contestant,
  unit,
  min: Math.min(...values),
  median: median(values),
  samples: values.length,
  rounds: values,
});

/**
 * @param {string} name the case
 * @param {object[]} contestants `begin()` and `end()`: before and after a turn; `turn(ms)` works
 *   for about so long and resolves with { requests, ns }; `check()` rejects if it was not done
 * @param {{rounds: number, turn: number, warm: number}} options `turn`: ms of each contestant's
 *   turn; `warm`: turns of each before the first round, in which all is to be compiled: by threads
 *   for which there is no core later
 * @returns results: one per contestant; the ruler's; and, as case `name/quiet`, the contestants' in
 *   the rounds in which the machine was ours, if there were any
 */
export async function compareThreads(name, contestants, ruler, { rounds, turn, warm }) {
  const samples = contestants.map(() => []);
  const ticks = [];
  const quiet = [];
  // Turn by turn: what is done at the end of each is compiled, too.
  for (let i = 0; i < warm; i++) {
    for (const contestant of contestants) await take(contestant, turn);
  }
  for (let round = 0; round < rounds; round++) {
    let tick = await ruler.measure();
    let waited = 0;
    for (let i = 0; i < contestants.length; i++) {
      const which = (i + round) % contestants.length;
      const taken = await take(contestants[which], turn);
      samples[which].push(taken.perRequest);
      waited = Math.max(waited, taken.waited);
      tick = Math.max(tick, await ruler.measure());
    }
    ticks.push(tick);
    if (tick < QUIET_NS && waited < QUIET_WAIT) quiet.push(round);
  }
  for (const { check } of contestants) await check();
  const list = contestants.map(({ name: who }, i) => result(name, who, 'ns/request', samples[i]));
  list.push(result(name, 'ruler', 'ns/round trip', ticks));
  if (quiet.length === 0) return list;
  for (const [i, { name: who }] of contestants.entries()) {
    const values = quiet.map((round) => samples[i][round]);
    list.push(result(`${name}/quiet`, who, 'ns/request', values));
  }
  return list;
}

/**
 * How many times as fast `fast` was as `slow`, by rounds, as results of their own: of a case, and
 * of its quiet rounds if there were any.
 */
export function ratioResults(list, name, fast, slow) {
  return [name, `${name}/quiet`].flatMap((which) => {
    const find = (who) => list.find((one) => one.case === which && one.contestant === who);
    const [a, b] = [find(fast), find(slow)];
    if (!a) return [];
    const values = a.rounds.map((ns, round) => b.rounds[round] / ns);
    return [result(which, `${fast}/${slow}`, 'times as fast', values)];
  });
}

export { result };
