/** Steps of the overlay: claims, flush order, what is bound to what. */

const OVERLAY = 'block/overlay.test.ts';
const MODEL = 'block/overlay-model.test.ts';
const THREADS = 'block/overlay-threads.test.ts';
const CUTS = 'at every write: what was flushed is there, and no sector is one that nobody wrote';
const CLAIM = 'a write waits for the thread that fills its cluster, and neither loses a byte';
const ONE_WRITER =
  'one thread at a time writes the map, and none takes back what another has put there';

export const overlay = [
  {
    name: 'overlay/a claim is no claim',
    breaks: [
      'block/overlay-map',
      'return this.#change(cluster, ABSENT, BUSY);',
      'return this.#change(cluster, ABSENT, BUSY) || this.state(cluster) === BUSY;',
    ],
    noticed: { [THREADS]: CLAIM },
  },
  {
    name: 'overlay/present before it is written',
    breaks: [
      'block/overlay-clusters',
      '    let count = 1;\n',
      '    map.release(first, true);\n    let count = 1;\n',
    ],
    noticed: {
      [THREADS]: 'what one thread has written the other reads, and reads the base until then',
    },
  },
  {
    name: 'overlay/a write that failed counts as there',
    breaks: [
      'block/overlay-clusters',
      'this.#map.release(first + i, result >= 0);',
      'this.#map.release(first + i, true);',
    ],
    noticed: {
      [OVERLAY]: 'a request that fails leaves its clusters absent, and the next one does it again',
    },
  },
  {
    name: 'overlay/the rest of the cluster is not copied',
    breaks: [
      'block/overlay-clusters',
      'this.readBase(offset, buffer.use(clusterSize), clusterSize, (result) => {',
      'this.readBase(offset, buffer.use(clusterSize), 0, (result) => {',
    ],
    noticed: { [OVERLAY]: 'reads the base where nothing was written, and never writes to it' },
  },
  {
    name: 'overlay/the map is noted after the data was flushed',
    breaks: [
      'block/overlay-flush',
      'writeAll(parts, metadata, (written)',
      'writeAll(parts, collect(parts.map), (written)',
    ],
    noticed: { [THREADS]: ONE_WRITER },
  },
  {
    name: 'overlay/the map goes before the data',
    breaks: [
      'block/overlay-flush',
      'flush(parts.top, (flushed) => {',
      '((ended: End) => ended(0))((flushed) => {',
    ],
    noticed: { [MODEL]: CUTS },
  },
  {
    name: 'overlay/the map is written and not flushed',
    breaks: [
      'block/overlay-flush',
      'flush(parts.top, (result) => {',
      '((ended: End) => ended(0))((result) => {',
    ],
    noticed: { [MODEL]: CUTS },
  },
  {
    name: 'overlay/two threads write the map',
    breaks: ['block/overlay-flush', '() => map.beginFlush(),', '() => map.beginFlush() || true,'],
    noticed: { [THREADS]: ONE_WRITER },
  },
  {
    name: 'overlay/the map counts as durable when it is on its way',
    breaks: [
      'block/overlay-flush',
      '  const metadata = collect(parts.map); // before the data is flushed\n',
      '  const metadata = collect(parts.map);\n  for (const { durable } of metadata) durable();\n',
    ],
    noticed: {
      [THREADS]: 'a flush is not done while the map that it needs is on its way by another',
    },
  },
  {
    name: 'overlay/changes are counted by what is there: one that goes hides one that comes',
    breaks: [
      'block/overlay-map',
      'Atomics.add(this.#core.u32, this.#countAt(blockOf(cut)), 1);',
      'Atomics.sub(this.#core.u32, this.#countAt(blockOf(cut)), 1);',
    ],
    noticed: {
      [MODEL]: 'random requests, sizes and openings',
    },
  },
  {
    name: 'overlay/a base that has changed is taken',
    breaks: ['block/overlay-open', 'if (identity !== header.base) {', 'if (identity === "") {'],
    noticed: { [OVERLAY]: 'a base that has changed, by its digest' },
  },
  {
    name: 'overlay/a truncated top is taken',
    breaks: [
      'block/overlay-open',
      'if (map.state(cluster) === PRESENT) throw truncated(top, header);',
      '',
    ],
    noticed: { [OVERLAY]: 'a truncated top' },
  },
  {
    name: 'overlay/a header over the one that counts',
    breaks: [
      'block/overlay-header',
      'return ((sequence - 1) % 2) * SLOT_BYTES;',
      'return sequence * 0;',
    ],
    noticed: {
      [OVERLAY]: 'changes its size: zeroes where it was cut off, in base and top',
    },
  },
  {
    name: 'overlay/what was cut off comes back from the base',
    breaks: [
      'block/overlay',
      'baseLimit: Math.min(header.baseLimit, size)',
      'baseLimit: header.baseLimit',
    ],
    noticed: { [OVERLAY]: 'changes its size: zeroes where it was cut off, in base and top' },
  },
  {
    name: 'overlay/a commit does not say that it has begun',
    breaks: [
      'block/overlay-jobs',
      'await rebind(overlay, { ...header, committing: true });',
      'await rebind(overlay, header);',
    ],
    noticed: { [MODEL]: 'in a commit, of base and top: it reads as it did' },
  },
  {
    name: 'overlay/a rebase names the new base before it has copied what differs',
    breaks: [
      'block/overlay-jobs',
      'await flushed(overlay); // the map must be there before the header names the other base',
      '',
    ],
    noticed: { [MODEL]: 'in a rebase: with the base that the header names it reads as it did' },
  },
  {
    name: 'overlay/nobody looks again',
    breaks: ['block/overlay-wait', '    if (this.#waiters.length > 0) this.#arm();\n', ''],
    noticed: { [THREADS]: CLAIM },
  },
];
