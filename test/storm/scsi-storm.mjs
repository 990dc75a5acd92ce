/**
 * SCSI hosts and disks come and go in any order while four command queues ask for all LUNs, read and
 * write; tasks are ended, drivers reset, queues go to other threads, the machine stops and goes on.
 * A step is the life of a host, or of two at a time.
 */
import { TRANSPORTS } from './bus-slot.mjs';
import {
  checkIdle,
  checkIdleCost,
  expectDeaf,
  expectSameInventory,
  inventory,
} from './checker.mjs';
import { pause, turn } from './pause.mjs';
import { ScsiDisk } from './scsi-disk.mjs';
import { hostOptions, MAPPINGS, ScsiHost } from './scsi-host.mjs';
import { stop } from './stop-cont.mjs';

const DISKS_MAX = 3;
const ERRNOS = ['EIO', 'ENOSPC'];
/** So many turns of the loop an error has to stop the machine; then its disk is left alone. */
const PATIENCE = 40;
/** Hosts and disks so far: what they are goes by turns. */
let hosts = 0;
let disks = 0;

const pick = (random, list) => list[random.below(list.length)];
const inState = ({ map }, state) => map.disks.filter((disk) => disk.state === state);

// ---- What happens to a host ---------------------------------------------------------------------

const ACTIONS = {
  async plug(host, _random, spare) {
    const disk = spare.find(({ state }) => state === 'out');
    if (disk) await host.plug(disk);
  },
  async unplug(host, random) {
    const plugged = inState(host, 'plugged');
    if (plugged.length === 0) return;
    const disk = pick(random, plugged);
    await host.unplug(disk);
    await disk.checkDeparted(random);
    disk.fault?.setRules(disk.rules);
  },
  async tasks(host, random) {
    for (let i = 1 + random.below(12); i > 0; i--) {
      host.ask();
      if (random.below(2) === 0) await pause(random);
    }
  },
  async restart(host) {
    await host.start();
  },
  async move(host, random) {
    await host.changeMapping(pick(random, MAPPINGS));
  },
  async work(host, random) {
    await host.progress(1 + random.below(16));
  },
};
const LIKELY = ['plug', 'plug', 'unplug', 'unplug', 'tasks', 'tasks', 'tasks', 'work', 'work'];
const ANY = [...LIKELY, 'restart', 'move'];

/** One thing after the other, beside others who do the same. */
async function walk(host, random, spare) {
  for (let i = 1 + random.below(4); i > 0; i--) {
    await pause(random);
    await ACTIONS[pick(random, ANY)](host, random, spare);
    host.load.check();
  }
}

/** In either order: disks first, the host with its disks still on, or both at once. */
async function depart(host, random) {
  const order = random.below(3);
  const going = order === 1 ? [] : inState(host, 'plugged').map((disk) => host.unplug(disk));
  if (order === 0) await Promise.all(going);
  if (random.below(2) === 0) await pause(random);
  await host.close();
  await Promise.all(going);
}

async function life(rig, random, totals) {
  const options = hostOptions(random, hosts++, TRANSPORTS);
  const own = [];
  for (let i = 1 + random.below(DISKS_MAX); i > 0; i--) {
    own.push(await ScsiDisk.open(rig, random, disks++));
  }
  const host = await ScsiHost.open(rig, random, options);
  const early = own.slice(random.below(own.length + 1)).map((disk) => host.plug(disk));
  if (random.below(2) === 0) await Promise.all(early);
  await host.start();
  await host.progress(1 + random.below(8));
  const walkers = Array.from({ length: 1 + random.below(3) }, () => walk(host, random, own));
  await Promise.all([...early, ...walkers]);
  await depart(host, random);
  try {
    for (const disk of own) await disk.checkDeparted(random);
    for (const disk of own) await disk.close(rig);
  } catch (error) {
    throw new Error(JSON.stringify(host.describe()), { cause: error });
  }
  totals.completed += host.load.completed;
  totals.dropped += host.load.droppedCount;
  totals.tasks += host.tasks.answered;
}

// ---- What happens to the machine ----------------------------------------------------------------

/** Some requests of a disk fail, which stops the machine if they come before the disk goes. */
async function injectErrors({ machine, disks: all }, random) {
  const able = [...all].filter(({ fault, state }) => fault && state === 'plugged');
  if (able.length === 0) return;
  const disk = pick(random, able);
  const how = random.below(2) === 0 ? { action: 'delay', ms: 0 } : { action: 'fail' };
  const match = { op: ['read', 'write'], skip: random.below(3), count: 1 + random.below(3) };
  disk.fault.setRules([{ ...how, ...match, errno: pick(random, ERRNOS) }]);
  for (let i = 0; i < PATIENCE && machine.running && disk.state === 'plugged'; i++) await turn();
  if (disk.state === 'plugged') disk.fault.setRules(disk.rules);
}

/** Nothing is done to the disks while the machine is stopped. Those that go are looked at. */
async function checkStopped({ disks: all }, random) {
  const plugged = [...all].filter(({ state }) => state === 'plugged');
  const before = plugged.map(({ visits, operations }) => ({ visits, operations }));
  await pause(random);
  await turn();
  for (const [i, disk] of plugged.entries()) {
    const { visits, operations } = before[i];
    if (disk.state !== 'plugged' || disk.visits !== visits) continue;
    if (disk.operations === operations) continue;
    throw new Error(`requests ran while the machine was stopped: ${disk.describe()}`);
  }
}

async function stopAndGo(rig, random) {
  const { machine } = rig;
  for (let i = 1 + random.below(3); i > 0; i--) {
    await pause(random);
    if (random.below(2) === 0) await injectErrors(rig, random);
    if (random.below(4) > 0) {
      await stop(machine);
      await checkStopped(rig, random);
    }
    await machine.cont();
  }
}

/** Errors that were on their way may have stopped it once more. */
async function keepGoing({ machine }, over) {
  while (!over()) {
    if (!machine.running) await machine.cont();
    await turn();
  }
}

// ---- Steps --------------------------------------------------------------------------------------

async function step(rig, random, totals) {
  const lives = [life(rig, random, totals)];
  if (random.below(4) === 0) lives.push(life(rig, random, totals));
  let over = false;
  const ended = Promise.all(lives).finally(() => {
    over = true;
  });
  const machine = random.below(2) === 0 ? stopAndGo(rig, random) : Promise.resolve();
  await Promise.all([ended, machine.then(() => keepGoing(rig, () => over))]);
  if (!rig.machine.running) await rig.machine.cont();
}

async function checkHomes(rig) {
  const homes = await Promise.all(rig.threads.map((thread) => thread.call('scsi-homes')));
  if (homes.some((count) => count !== 0)) throw new Error(`SCSI buses left behind: ${homes}`);
}

export const scsi = {
  /** `count` steps, and everything that must be true after each, and at their end. */
  async round(rig, random, count, totals, { empty, idle, strict }) {
    totals.tasks ??= 0;
    const remove = rig.machine.addCpu(rig.cpu);
    const before = inventory(rig);
    for (let i = 0; i < count; i++) {
      await step(rig, random, totals);
      await expectSameInventory(rig, before);
      totals.steps++;
    }
    remove();
    await checkHomes(rig);
    await (strict ? checkIdleCost : checkIdle)(rig, idle);
    await expectDeaf(rig, empty);
  },
};
