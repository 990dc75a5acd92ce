/**
 * Times contestants against one another. They take turns, round by round, in an order that rotates,
 * so that a machine whose speed drifts is unfair to nobody; tinybench times each turn. What is
 * compared is the minimum, or the median of the ratios round by round, never two absolute times.
 */
import { cpus, totalmem } from 'node:os';
import { Bench } from 'tinybench';

export const median = (list) => {
  const sorted = [...list].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

/**
 * An instance of a bench's module for one contestant of one case: its call sites see one engine
 * only, as in a program that has one, and V8 compiles them so.
 */
export const alone = (module, name, contestant) => import(`${module}?${name}/${contestant}`);

/**
 * @param {string} name the case, as `ring/split/direct/3/64`
 * @param {{name: string, run: () => void, requests: number, check: () => void}[]} contestants
 *   `run` does `requests` requests; `check` throws if the work was not done.
 * @param {{rounds?: number, milliseconds?: number}} [options] of each contestant's turn
 * @returns {Promise<object[]>} one result per contestant, `unit` ns/request
 */
export async function compare(name, contestants, { rounds = 15, milliseconds = 12 } = {}) {
  const samples = contestants.map(() => []);
  for (const contestant of contestants) {
    // Until the optimizing compilers are done; not timed.
    const until = performance.now() + 120;
    while (performance.now() < until) contestant.run();
  }
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < contestants.length; turn++) {
      const which = (turn + round) % contestants.length;
      const contestant = contestants[which];
      const bench = new Bench({ time: milliseconds, iterations: 3, warmup: false, throws: true });
      bench.add(contestant.name, contestant.run, { async: false });
      bench.runSync();
      const { latency } = bench.tasks[0].result;
      const scale = 1e6 / contestant.requests;
      samples[which].push({ min: latency.min * scale, median: latency.p50 * scale });
    }
  }
  return contestants.map((contestant, which) => {
    contestant.check();
    const list = samples[which];
    return {
      case: name,
      contestant: contestant.name,
      unit: 'ns/request',
      min: Math.min(...list.map((sample) => sample.min)),
      median: median(list.map((sample) => sample.median)),
      samples: list.length,
      rounds: list.map((sample) => sample.median),
    };
  });
}

/** How many times as fast `fast` is as `slow` in one case, by minima and by median of rounds. */
export function ratio(results, name, fast, slow) {
  const find = (contestant) =>
    results.find((result) => result.case === name && result.contestant === contestant);
  const [a, b] = [find(fast), find(slow)];
  if (!a || !b) return null;
  return {
    minima: b.min / a.min,
    rounds: median(b.rounds.map((value, round) => value / a.rounds[round])),
  };
}

/** The same by rounds as a result of its own, or null if one of them has none. */
export function ratioResult(results, name, fast, slow) {
  const find = (contestant) =>
    results.find((result) => result.case === name && result.contestant === contestant);
  const [a, b] = [find(fast), find(slow)];
  if (!a?.rounds || !b?.rounds) return null;
  const rounds = b.rounds.map((value, round) => value / a.rounds[round]);
  return {
    case: name,
    contestant: `${fast}/${slow}`,
    unit: 'times as fast',
    min: Math.min(...rounds),
    median: median(rounds),
    samples: rounds.length,
    rounds,
  };
}

export const machine = () => ({
  cpu: cpus()[0]?.model ?? 'unknown',
  cores: cpus().length,
  memory: totalmem(),
  platform: `${process.platform} ${process.arch}`,
  node: process.version,
  v8: process.versions.v8,
});
