/** The machine stops and goes on, by itself when requests fail: no request may notice. */
import { checkNoneInside, operations } from './drain-here.mjs';
import { pause, turn } from './pause.mjs';

const ERRNOS = ['EIO', 'ENOSPC'];
/** Until then an error must have stopped the machine. */
const PATIENCE_MS = 20_000;

/** The next few requests fail, and stop the machine. */
async function injectErrors({ fault, load }, random, rig) {
  const errno = ERRNOS[random.below(ERRNOS.length)];
  const delayed = random.below(2) === 0;
  // With others the machine's own flush fails as well, and it says so on the console.
  const op = random.below(16) === 0 ? 'flush' : ['read', 'write', 'write-zeroes'];
  const match = { op, errno, skip: random.below(6), count: 1 + random.below(4) };
  const how = delayed ? { action: 'delay', ms: 0 } : { action: 'fail' };
  fault.setRules([{ ...how, ...match }]);
  for (const until = Date.now() + PATIENCE_MS; rig.machine.running; ) {
    if (Date.now() > until) throw new Error('errors have not stopped the machine');
    load.check();
    await turn();
  }
}

/** Stops, goes on, and stops again, with nobody waiting for either. */
async function waver({ machine }, random) {
  const all = [stop(machine)];
  for (let i = random.below(3); i > 0; i--) {
    all.push(machine.cont());
    if (random.below(2) === 0) await pause(random);
    all.push(stop(machine));
  }
  await Promise.all(all);
}

/** Stopped it has, whether or not the disk could be flushed. */
export const stop = (machine) =>
  machine.stop().catch((error) => {
    if (!/^flush failed/.test(error.message)) throw error;
  });

/** Nothing happens while the machine is stopped. */
async function checkStopped({ backend, load }, random) {
  await checkNoneInside(backend);
  const before = operations(backend);
  load.pump();
  await pause(random);
  await turn();
  const ran = operations(backend) - before;
  if (ran !== 0) throw new Error(`${ran} requests ran while the machine was stopped`);
}

export const stopCont = {
  given: { disk: 'fault', machine: true, backend: { werror: 'stop', rerror: 'stop' } },
  before({ load, blk }, _random, rig) {
    let on = false;
    const pauseCpu = () => {
      on = load.on;
      load.pause();
    };
    const resumeCpu = () => {
      if (on) load.start(blk);
    };
    this.remove = rig.machine.addCpu({ pause: pauseCpu, resume: resumeCpu });
  },
  async step(slot, random, rig) {
    const { machine } = rig;
    await pause(random);
    const kind = random.below(4);
    if (kind < 2) await injectErrors(slot, random, rig);
    if (kind > 0) await waver(rig, random);
    else await stop(machine); // it has: now it is drained as well
    await checkStopped(slot, random);
    slot.fault.setRules([]);
    if (random.below(8) === 0) {
      await slot.reset();
      await machine.cont();
      slot.begin();
    } else {
      await machine.cont();
    }
    await slot.load.progress(1 + random.below(8));
  },
  async after(_slot, _random, rig) {
    await rig.machine.cont();
    this.remove();
  },
};
