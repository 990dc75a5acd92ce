/**
 * Case: idle-poll/64: one look of busy polling at 64 flags and 64 rings in which nothing is, of a
 * context with 64 handlers, each with a notifier and a queue.
 */
import { AioContext, Core } from 'vblk';
import { createQueue } from '#src/engine/queue-memory';
import * as layout from '#src/layout';
import * as spec from '#src/spec';
import { alone, compare } from './harness.mjs';

const COUNT = 64;
/** Looks of a run, and of one call, as an IOThread calls it. */
const REQUESTS = 1024;
const ROUNDS = 32;
const RING_SIZE = 64;
const RING_BYTES = 4096;

function openRing(core, index) {
  const { address } = createQueue(core, RING_SIZE);
  const at = 4096 + index * RING_BYTES;
  const [desc, avail, used] = [at, at + 1024, at + 2048];
  const { engine } = core;
  const error = engine.queueEnable(address, RING_SIZE, 0, desc, 0, avail, 0, used, 0);
  if (error) throw new Error(`ring refused: ${error}`);
  const availIdx = (core.regionList[0].offset + avail + spec.VIRTQ_AVAIL_IDX) >>> 1;
  return { queue: address, setAvailable: (count) => Atomics.store(core.u16, availIdx, count) };
}

export async function contestant(engine, module) {
  const ramBytes = (COUNT + 2) * RING_BYTES;
  const core = await Core.open({ engine, module, shared: true, ramBytes });
  if (core.engine.kind !== engine) throw new Error(`meant ${engine}, got ${core.engine.kind}`);
  const context = new AioContext(core, { sleeper: 'hook', handlers: COUNT });
  const watched = Array.from({ length: COUNT }, (_, index) => {
    const ring = openRing(core, index);
    const notifier = context.notifier(`${index}`);
    context.setHandler(notifier, { read: () => {}, poll: { queue: ring.queue, ready: () => {} } });
    notifier.set(); // a handler is polled from its first event on
    return { ...ring, notifier };
  });
  context.poll();
  const { address } = context;
  core.engine.accept(address);
  const run = () => {
    for (let done = 0; done < REQUESTS; done += ROUNDS) {
      const place = core.engine.pollSpin(address, ROUNDS);
      if (place !== -1) throw new Error(`found ${place} where nothing is`);
    }
  };
  const expect = (what, expected) => {
    const found = core.engine.pollSpin(address, ROUNDS);
    if (found !== expected) throw new Error(`${what}: ${found}, not ${expected}`);
  };
  /** It finds a buffer in the last ring, a flag that is set, and a notify. */
  const check = () => {
    expect('nothing', -1);
    const last = watched[COUNT - 1];
    last.setAvailable(1);
    expect('the last ring', COUNT - 1);
    last.setAvailable(0);
    const flag = (last.notifier.address + layout.NOTIFIER_FLAG) >>> 2;
    Atomics.store(core.i32, flag, 1);
    expect('the last flag', COUNT - 1);
    Atomics.store(core.i32, flag, 0);
    core.engine.notify(address);
    expect('a notify', -2);
    core.engine.accept(address);
  };
  return { name: engine, requests: REQUESTS, run, check };
}

export async function* idlePollCases(modules, options) {
  const name = `idle-poll/${COUNT}`;
  if (!options.wanted(name)) return;
  const contestants = [];
  for (const engine of ['wasm', 'js']) {
    const own = await alone(import.meta.url, name, engine);
    contestants.push(await own.contestant(engine, modules.shared));
  }
  yield await compare(name, contestants, options);
}
