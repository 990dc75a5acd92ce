/** A drained section under I/O, and what must hold in it. */
import { pause, turn } from './pause.mjs';

/** Requests that the driver has done. */
export const operations = (backend) => {
  const { read, write, flush } = backend.stats();
  return read.operations + write.operations + flush.operations;
};

/** Who finds the gate closed is counted for a moment before he leaves: one look may see him. */
export async function checkNoneInside(backend) {
  for (let looks = 0; backend.inFlight !== 0; looks++) {
    if (looks === 1000) throw new Error(`in flight while drained: ${backend.inFlight}`);
    await turn();
  }
}

/** One place that drains, perhaps more than once, one inside the other. */
export async function drainHere({ backend, load }, random) {
  await pause(random);
  backend.drainedBegin();
  try {
    if (random.below(2) === 0) await pause(random);
    await backend.idle();
    await checkNoneInside(backend);
    const before = operations(backend);
    if (random.below(3) === 0) await drainHere({ backend, load }, random);
    await pause(random);
    const ran = operations(backend) - before;
    if (ran !== 0) throw new Error(`${ran} requests ran in a drained section`);
  } finally {
    backend.drainedEnd();
  }
}
