/** Memory that another thread grows in the middle of a call; READY, which main clears. */
const ONLY_JS = 'the module sees all memory there is; only views have a length';
const HUNG_IN = 'a cluster that another thread hung in, in new memory';

export const growth = [
  {
    name: 'growth/a level-2 table or cluster out of sight',
    only: ONLY_JS,
    steps: HUNG_IN,
    js: ['cluster', '  if (cluster !== 0) v.upTo(cluster + CLUSTER);\n', ''],
  },
  {
    name: 'growth/a level-2 table out of sight of who zeroes',
    only: ONLY_JS,
    noticed: { 'engine/clusters.test.ts': 'zeroes what lies in memory that another thread' },
    js: [
      'cluster',
      'const table = inSight(v, load(v.i32, slot) >>> 0);',
      'const table = load(v.i32, slot) >>> 0;',
    ],
  },
  {
    name: 'growth/a fresh cluster out of sight',
    only: ONLY_JS,
    steps: 'a fresh cluster of new memory is claimed',
    js: ['cluster', '  inSight(v, cluster);\n', ''],
  },
  {
    name: 'growth/a returned cluster out of sight',
    only: ONLY_JS,
    steps: 'a returned cluster of new memory is claimed',
    js: ['arena', 'v.upTo(cluster + CLUSTER_BYTES).i32;', 'v.i32;'],
  },
  {
    name: 'ready/pop asks by a plain load',
    steps: 'VQ-1 who serves asks whether the ring is ready first',
    wasm: [
      'split',
      'if (!load32(queue, QUEUE_READY)) return 0;',
      'if (!load<u32>(queue, QUEUE_READY)) return 0;',
    ],
    js: [
      'split',
      'if (load(v.i32, queue + QUEUE_READY) === 0) return 0;',
      'if (u32[q + (QUEUE_READY >>> 2)] === 0) return 0;',
    ],
  },
  {
    name: 'ready/the others ask by a plain load',
    steps: 'VQ-1 who serves asks whether the ring is ready first',
    wasm: [
      'notify',
      'return load32(queue, QUEUE_READY) != 0 &&',
      'return load<u32>(queue, QUEUE_READY) != 0 &&',
    ],
    js: ['queue', 'load(v.i32, queue + QUEUE_READY) !== 0', 'get(v, queue, QUEUE_READY) !== 0'],
  },
];
