/** Clusters: claimed by compare-and-swap, zeroed, given back (design section 6). */
const HOLE = 'one hole, two writers';
const TAG = 'the tag: a stack that looks unchanged';

export const cluster = [
  {
    name: 'cluster/a used one is not zeroed',
    suite: 'a cluster that comes back is zero',
    wasm: ['arena', 'memory.fill(cluster << CLUSTER_SHIFT, 0, CLUSTER_BYTES);', ''],
    js: ['arena', 'v.u8.fill(0, returned, returned + CLUSTER_BYTES);', ''],
  },
  {
    name: 'cluster/half of a used one is zeroed',
    suite: 'a cluster that comes back is zero',
    wasm: [
      'arena',
      'memory.fill(cluster << CLUSTER_SHIFT, 0, CLUSTER_BYTES);',
      'memory.fill(cluster << CLUSTER_SHIFT, 0, CLUSTER_BYTES - 1);',
    ],
    js: [
      'arena',
      'v.u8.fill(0, returned, returned + CLUSTER_BYTES);',
      'v.u8.fill(0, returned, returned + CLUSTER_BYTES - 1);',
    ],
  },
  {
    name: 'cluster/one beyond the limit',
    suite: 'a limit holds: the last cluster',
    wasm: ['arena', 'while (claimed < limit) {', 'while (claimed <= limit) {'],
    js: [
      'arena',
      'if (claimed >>> 0 >= limit) return false;',
      'if (claimed >>> 0 > limit) return false;',
    ],
  },
  {
    name: 'cluster/one less than the limit',
    suite: 'a limit holds: the last cluster',
    wasm: ['arena', 'while (claimed < limit) {', 'while (claimed + 1 < limit) {'],
    js: [
      'arena',
      'if (claimed >>> 0 >= limit) return false;',
      'if ((claimed >>> 0) + 1 >= limit) return false;',
    ],
  },
  {
    name: 'cluster/two within the limit at once',
    steps: 'a limit holds while two claim at once',
    wasm: ['arena', 'if (seen == claimed) return true;', 'return true;'],
    js: [
      'arena',
      'if (compareExchange(words, arena + ARENA_CLAIMED, claimed, claimed + 1) === claimed)\n      return true;',
      'compareExchange(words, arena + ARENA_CLAIMED, claimed, claimed + 1);\n    return true;',
    ],
  },
  {
    name: 'cluster/claims without a limit not counted',
    suite: 'what is written is read again',
    wasm: ['arena', 'add32(arena, ARENA_CLAIMED, 1);', ''],
    js: ['arena', 'add(words, arena + ARENA_CLAIMED, 1);', ''],
  },
  {
    name: 'cluster/a claim that found none stays counted',
    suite: 'a write that finds the arena empty says',
    wasm: ['arena', 'if (cluster == 0) sub32(arena, ARENA_CLAIMED, 1);', ''],
    js: ['arena', 'if (fresh === 0) sub(v.i32, arena + ARENA_CLAIMED, 1);', ''],
  },
  {
    name: 'cluster/a fresh one is taken twice',
    steps: 'fresh clusters: another thread claims meanwhile',
    wasm: [
      'arena',
      'const seen = compareExchange32(arena, ARENA_FRESH, old, old + 1);\n    if (seen == old) return old & 0xffff;\n    old = seen;',
      'store32(arena, ARENA_FRESH, old + 1);\n    return old & 0xffff;',
    ],
    js: [
      'arena',
      'if (compareExchange(words, arena + ARENA_FRESH, range, range + 1) === range) {',
      'store(words, arena + ARENA_FRESH, range + 1);\n    if (range !== 0) {',
    ],
  },
  {
    name: 'cluster/one behind the fresh ones',
    suite: 'a write that finds the arena empty says',
    wasm: [
      'arena',
      'while ((old & 0xffff) < old >>> 16) {',
      'while ((old & 0xffff) <= old >>> 16) {',
    ],
    js: ['arena', 'if (next >= range >>> 16) return 0;', 'if (next > range >>> 16) return 0;'],
  },
  {
    name: 'cluster/a returned one is taken twice',
    steps: 'returned clusters: another thread claims meanwhile',
    wasm: [
      'arena',
      'below | (((old >>> 16) + 1) << 16));\n    if (seen == old) return old & 0xffff;\n    old = seen;',
      'below | (((old >>> 16) + 1) << 16));\n    return old & 0xffff;',
    ],
    js: [
      'arena',
      'if (compareExchange(words, arena + ARENA_FREE, free, top) === free) return cluster;',
      'compareExchange(words, arena + ARENA_FREE, free, top);\n    return cluster;',
    ],
  },
  {
    name: 'cluster/no tag when one is taken',
    steps: TAG,
    suite: 'freed clusters are used again before fresh ones',
    wasm: [
      'arena',
      'ARENA_FREE, old, below | (((old >>> 16) + 1) << 16));',
      'ARENA_FREE, old, below | (old & 0xffff0000));',
    ],
    js: ['arena', 'const top = next | nextTag(free);', 'const top = next | (free & ~0xffff);'],
  },
  {
    name: 'cluster/no tag at all',
    steps: TAG,
    wasm: [
      'arena',
      'const seen = compareExchange32(arena, ARENA_FREE, old, below | (((old >>> 16) + 1) << 16));',
      'const seen = (load32(arena, ARENA_FREE) & 0xffff) == (old & 0xffff) ? old : 0;\n    if (seen == old) store32(arena, ARENA_FREE, below);\n    if (seen != old) return takeFree(arena);',
    ],
    js: ['arena', 'return ((free >>> 16) + 1) << 16;', 'return free & 0;'],
  },
  {
    name: 'cluster/no tag when one is given back',
    steps: 'the tag counts up when a cluster is given back',
    wasm: [
      'arena',
      'const top = cluster | (((old >>> 16) + 1) << 16);',
      'const top = cluster | (old & 0xffff0000);',
    ],
    js: [
      'arena',
      '(cluster >>> CLUSTER_SHIFT) | nextTag(free);',
      '(cluster >>> CLUSTER_SHIFT) | (free & ~0xffff);',
    ],
  },
  {
    name: 'cluster/what was free is forgotten',
    suite: 'freed clusters are used again before fresh ones',
    wasm: ['arena', 'store32(address, 0, old & 0xffff);', 'store32(address, 0, 0);'],
    js: ['arena', 'store(words, cluster, free & 0xffff);', 'store(words, cluster, 0);'],
  },
  {
    name: 'cluster/given back twice at once',
    steps: 'the tag counts up when a cluster is given back',
    wasm: ['arena', '    if (seen == old) break;', '    break;'],
    js: [
      'arena',
      'if (compareExchange(words, arena + ARENA_FREE, free, top) === free) break;',
      'compareExchange(words, arena + ARENA_FREE, free, top);\n    break;',
    ],
  },
  {
    name: 'cluster/a return is not counted',
    suite: 'freeing returns whole clusters',
    wasm: [
      'arena',
      '    old = seen;\n  }\n  sub32(arena, ARENA_CLAIMED, 1);',
      '    old = seen;\n  }',
    ],
    js: [
      'arena',
      '=== free) break;\n  }\n  sub(words, arena + ARENA_CLAIMED, 1);',
      '=== free) break;\n  }',
    ],
  },
  {
    name: 'cluster/hung in without asking',
    steps: HOLE,
    wasm: [
      'cluster',
      'const other = compareExchange32(entry, 0, 0, cluster);',
      'const other: u32 = 0;\n  store32(entry, 0, cluster);',
    ],
    js: [
      'cluster',
      'const winner = compareExchange(v.i32, slot, 0, cluster | 0);',
      'const winner = 0;\n  exchange(v.i32, slot, cluster | 0);',
    ],
  },
  {
    name: 'cluster/the loser keeps its cluster',
    steps: HOLE,
    wasm: ['cluster', '    giveBack(arena, cluster); // another', '    // another'],
    js: ['cluster', '    giveBack(v, arena, cluster);\n', ''],
  },
  {
    name: 'cluster/the loser writes to its own',
    steps: HOLE,
    wasm: ['cluster', 'return other;', 'return cluster;'],
    js: ['cluster', 'return inSight(v, winner >>> 0);', 'return cluster;'],
  },
  {
    name: 'cluster/not counted',
    suite: 'what is written is read again',
    wasm: ['cluster', 'add32(disk, DISK_CLUSTERS, 1);', ''],
    js: ['cluster', 'add(v.i32, disk + DISK_CLUSTERS, 1);', ''],
  },
  {
    name: 'cluster/a hole reads as what was there',
    suite: 'a hole reads as zeroes',
    wasm: ['cluster', 'if (cluster == 0) memory.fill(address, 0, piece);', 'if (cluster == 0) {}'],
    js: [
      'cluster',
      'if (cluster === 0) (ram !== 0 ? v.ram8 : v.u8).fill(0, to, to + piece);',
      'if (cluster === 0) {}',
    ],
  },
  {
    name: 'cluster/a read goes on behind its cluster',
    suite: 'a write over three clusters',
    wasm: [
      'cluster',
      'const piece = min(length, <u32>CLUSTER_BYTES - within);\n    const cluster = lookUp',
      'const piece = length;\n    const cluster = lookUp',
    ],
    js: ['cluster', 'return Math.min(left, CLUSTER - (offset % CLUSTER));', 'return left;'],
  },
  {
    name: 'cluster/a write begins at the start of its cluster',
    suite: 'what is written is read again',
    wasm: [
      'cluster',
      'memory.copy(cluster + within, address, piece);',
      'memory.copy(cluster, address, piece);',
    ],
    js: ['cluster', 'const to = cluster + ((offset + done) % CLUSTER);', 'const to = cluster;'],
  },
  {
    name: 'cluster/one table for the whole disk',
    suite: 'a write over three clusters',
    wasm: [
      'cluster',
      'load<u32>(disk, DISK_L1) + (<u32>(offset >> CLUSTER_L1_SHIFT) << 2)',
      'load<u32>(disk, DISK_L1)',
    ],
    js: [
      'cluster',
      'v.u32[(disk + DISK_L1) >>> 2]! + Math.floor(offset / TABLE_SPAN) * 4',
      'v.u32[(disk + DISK_L1) >>> 2]!',
    ],
  },
  {
    name: 'cluster/how far a write came is not told',
    suite: 'a write that finds the arena empty says',
    wasm: ['cluster', 'return length - left;', 'return length;'],
    js: ['cluster', 'if (cluster === 0) return done;', 'if (cluster === 0) return length;'],
  },
  {
    name: 'cluster/given back and still hung in',
    suite: 'freeing returns whole clusters',
    wasm: ['cluster', '  store32(entry, 0, 0);\n', ''],
    js: [
      'cluster',
      'const cluster = inSight(v, exchange(v.i32, slot, 0) >>> 0);',
      'const cluster = inSight(v, load(v.i32, slot) >>> 0);',
    ],
  },
  {
    name: 'cluster/a part is freed as a whole',
    suite: 'freeing returns whole clusters',
    wasm: [
      'cluster',
      'if (free && whole) giveUp(disk, entry, cluster);',
      'if (free) giveUp(disk, entry, cluster);',
    ],
    js: ['cluster', 'if (free !== 0 && whole) {', 'if (free !== 0) {'],
  },
  {
    name: 'cluster/freed although others may be inside',
    suite: 'zeroing without freeing',
    wasm: [
      'cluster',
      'if (free && whole) giveUp(disk, entry, cluster);',
      'if (whole) giveUp(disk, entry, cluster);',
    ],
    js: ['cluster', 'if (free !== 0 && whole) {', 'if (whole) {'],
  },
  {
    name: 'cluster/the disk’s last cluster is never whole',
    suite: 'the last table and the last cluster go',
    wasm: ['cluster', ' || offset + piece == load<u64>(disk, DISK_SIZE_LO));', ');'],
    js: [
      'cluster',
      '(piece === CLUSTER || offset + piece >= diskBytes(v, disk))',
      'piece === CLUSTER',
    ],
  },
  {
    name: 'cluster/a table goes too soon',
    suite: 'a level-2 table goes when all it reaches is freed',
    wasm: [
      'cluster',
      'if (free && offset == start && stop >= reach)',
      'if (free && stop >= reach)',
    ],
    js: [
      'cluster',
      'if (free !== 0 && offset === start && stop >= reach)',
      'if (free !== 0 && stop >= reach)',
    ],
  },
  {
    name: 'cluster/a table goes a byte too soon',
    suite: 'a level-2 table goes when all it reaches is freed',
    wasm: [
      'cluster',
      'if (free && offset == start && stop >= reach)',
      'if (free && offset == start && stop + 1 >= reach)',
    ],
    js: [
      'cluster',
      'if (free !== 0 && offset === start && stop >= reach)',
      'if (free !== 0 && offset === start && stop + 1 >= reach)',
    ],
  },
];
