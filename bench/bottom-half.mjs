/**
 * Cases: bottom-half/one/{1,64}: bottom halves scheduled and run on one thread, so many per poll.
 * Contestant array: closures pushed to an array and called, which is what a program without an
 * event loop would do.
 *
 * Cases: bottom-half/two/{1,64}: bottom halves that schedule one another across two IOThreads, so
 * many turns going to and fro at once; a request is one run. Contestant wait, with one: a bare
 * ping-pong of two threads that sleep, of which a round trip is two runs.
 */
import { Worker } from 'node:worker_threads';
import { AioContext, Core } from 'vblk';
import { startIOThread } from 'vblk/node';
import { alone, compare } from './harness.mjs';
import { compareThreads, openRuler, ratioResults, sleepContestant } from './rounds.mjs';

const REQUESTS = 4096;
const THREAD = new URL('bottom-half-thread.mjs', import.meta.url);

// ---- One thread ---------------------------------------------------------------------------------

export async function oneContestant(engine, module, count) {
  const core = await Core.open({ engine, module, shared: true, ramBytes: 65_536 });
  if (core.engine.kind !== engine) throw new Error(`meant ${engine}, got ${core.engine.kind}`);
  const context = new AioContext(core, { sleeper: 'hook', slots: count });
  let runs = 0;
  const callback = () => {
    runs += 1;
  };
  const halves = Array.from({ length: count }, (_, i) => context.bottomHalf(`${i}`, callback));
  const run = () => {
    for (let done = 0; done < REQUESTS; done += count) {
      for (let i = 0; i < count; i++) halves[i].schedule();
      context.poll();
    }
  };
  const check = () => {
    runs = 0;
    run();
    if (runs !== REQUESTS) throw new Error(`${runs} runs of ${REQUESTS}`);
  };
  return { name: engine, requests: REQUESTS, run, check };
}

export async function arrayContestant(count) {
  let runs = 0;
  const callbacks = Array.from({ length: count }, () => () => {
    runs += 1;
  });
  let pending = [];
  const run = () => {
    for (let done = 0; done < REQUESTS; done += count) {
      for (let i = 0; i < count; i++) pending.push(callbacks[i]);
      const list = pending;
      pending = [];
      for (const callback of list) callback();
    }
  };
  const check = () => {
    runs = 0;
    run();
    if (runs !== REQUESTS) throw new Error(`${runs} runs of ${REQUESTS}`);
  };
  return { name: 'array', requests: REQUESTS, run, check };
}

async function oneCase(name, count, options) {
  const contestants = [];
  for (const entrant of options.entrants) {
    const own = await entrant.own(import.meta.url, name);
    const one = await own.oneContestant(entrant.engine, entrant.modules.shared, count);
    contestants.push({ ...one, name: entrant.name });
  }
  if (!options.against) {
    contestants.push(await (await alone(import.meta.url, name, 'array')).arrayContestant(count));
  }
  return compare(name, contestants, options);
}

// ---- Two threads --------------------------------------------------------------------------------

/** Two IOThreads with `count` bottom halves each: each schedules its peer, until time is over. */
export async function openPair(engine, module, count) {
  const core = await Core.open({ engine, module, shared: true, ramBytes: 65_536 });
  if (core.engine.kind !== engine) throw new Error(`meant ${engine}, got ${core.engine.kind}`);
  const context = new AioContext(core);
  const createWorker = () => new Worker(THREAD);
  const start = () => startIOThread(core, { createWorker, slots: count + 8, 'poll-max-ns': 0 });
  const [left, right] = await Promise.all([start(), start()]);
  const there = await left.call('open', { count, leads: true });
  const back = await right.call('open', { count, leads: false });
  await left.call('aim', back);
  await right.call('aim', there);
  const turn = async (milliseconds) => {
    context.ref(); // an event alone keeps no process alive
    const over = new Promise((resolve) => {
      const deaf = left.on('over', (found) => {
        deaf();
        resolve(found);
      });
    });
    await left.call('begin', milliseconds);
    const found = await over;
    context.unref();
    return found;
  };
  /** Each turn that came back had been sent: as many runs on either side. */
  const check = async () => {
    const [led, followed] = [await left.call('runs'), await right.call('runs')];
    if (led !== followed || led === 0) throw new Error(`${led} runs and ${followed}`);
  };
  const close = async () => {
    for (const thread of [left, right]) await thread.call('close');
    for (const thread of [left, right]) await thread.stop();
    context.close();
  };
  return { name: engine, turn, check, close };
}

async function twoCase(name, count, options, ruler) {
  const contestants = [];
  for (const entrant of options.entrants) {
    const own = await entrant.own(import.meta.url, name);
    const one = await own.openPair(entrant.engine, entrant.modules.shared, count);
    contestants.push({ ...one, name: entrant.name });
  }
  const bare = count === 1 && !options.against;
  if (bare) {
    const { turn, ...wait } = await sleepContestant();
    const runs = async (ms) => {
      const { requests, ns } = await turn(ms);
      return { requests: 2 * requests, ns };
    };
    contestants.push({ ...wait, turn: runs });
  }
  const list = await compareThreads(name, contestants, ruler, options);
  if (bare) {
    for (const one of options.entrants) list.push(...ratioResults(list, name, one.name, 'wait'));
  }
  for (const { close } of contestants) await close();
  return list;
}

export async function* bottomHalfCases(_modules, options) {
  for (const count of [1, 64]) {
    const name = `bottom-half/one/${count}`;
    if (options.wanted(name)) yield await oneCase(name, count, options);
  }
  const counts = [1, 64].filter((count) => options.wanted(`bottom-half/two/${count}`));
  if (counts.length === 0) return;
  const ruler = await openRuler();
  for (const count of counts) {
    yield await twoCase(`bottom-half/two/${count}`, count, options, ruler);
  }
  await ruler.close();
}
