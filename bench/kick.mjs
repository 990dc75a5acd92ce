/**
 * Cases: kick/{asleep,polling,oversubscribed}: one request to a null disk, from the guest's kick
 * until it has its completion, the guest and the IOThread in threads of their own.
 *   asleep          neither polls: a kick and an interrupt each time. Beside it, contestant wait:
 *                   a bare ping-pong of two threads that sleep the same way
 *   polling         both poll, each on a core of its own. Contestant spin: a bare ping-pong of two
 *                   threads that spin
 *   oversubscribed  as they come, beside as many busy threads as the machine has cores; contestant
 *                   wait beside them, too
 */
import { availableParallelism } from 'node:os';
import {
  compareThreads,
  openBare,
  openRuler,
  ratioResults,
  sleepContestant,
  spinContestant,
} from './rounds.mjs';
import { machineContestant, openThreadMachine, POLL_MAX_NS } from './thread-machine.mjs';

const ENGINES = ['wasm', 'js'];
const SPIN = 50_000;

/** How long the IOThread polls, how many looks the guest takes before it sleeps. */
const MODES = {
  asleep: { pollMaxNs: 0, spin: 0, bare: 'wait', pinned: false },
  polling: { pollMaxNs: POLL_MAX_NS, spin: SPIN, bare: 'spin', pinned: true },
  oversubscribed: { pollMaxNs: POLL_MAX_NS, spin: 0, bare: 'wait', pinned: false, busy: true },
};

/** Threads that do nothing but take the cores while somebody's turn lasts. */
async function openHogs(count) {
  const stop = new Int32Array(new SharedArrayBuffer(64));
  const hogs = await Promise.all(
    Array.from({ length: count }, () => openBare({ kind: 'hog', stop: stop.buffer })),
  );
  const beside = (contestant) => {
    let busy = [];
    const begin = async () => {
      Atomics.store(stop, 0, 0);
      busy = hogs.map((hog) => hog.call('turn'));
      await contestant.begin?.();
    };
    const end = async () => {
      Atomics.store(stop, 0, 1);
      await Promise.all(busy);
      await contestant.end?.();
    };
    return { ...contestant, begin, end };
  };
  return { beside, close: () => Promise.all(hogs.map((hog) => hog.close())) };
}

async function runMode(name, mode, modules, options, ruler) {
  const { pollMaxNs, spin, bare, pinned, busy } = mode;
  const disk = { driver: 'null', options: { size: 1 << 20 } };
  const shape = { module: modules.shared, disk, blocks: Uint32Array.of(0, 1) };
  const way = { pollMaxNs, spin, pinned, checked: false };
  const machines = [];
  for (const engine of ENGINES) {
    machines.push(await openThreadMachine(engine, { ...shape, ...way }));
  }
  const other = bare === 'wait' ? await sleepContestant() : spinContestant(ruler);
  const hogs = await openHogs(busy ? availableParallelism() : 0);
  const contestants = [...machines.map((machine) => machineContestant(machine, 1)), other];
  const list = await compareThreads(name, contestants.map(hogs.beside), ruler, options);
  for (const engine of ENGINES) list.push(...ratioResults(list, name, engine, bare));
  for (const { close } of [...machines, other, hogs]) await close();
  return list;
}

export async function* kickCases(modules, options) {
  const wanted = Object.keys(MODES).filter((mode) => options.wanted(`kick/${mode}`));
  if (wanted.length === 0) return;
  const ruler = await openRuler();
  for (const mode of wanted) {
    yield await runMode(`kick/${mode}`, MODES[mode], modules, options, ruler);
  }
  await ruler.close();
}
