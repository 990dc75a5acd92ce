/** Records and segment blocks: what a good chain takes and what comes back (VQ-4, VQ-11). */
const SECOND = 'BG-11 a block of 15 segments';

export const blocks = [
  {
    name: 'blocks/record not in flight',
    suite: 'VQ-11 unpop gives the newest back',
    wasm: ['scatter', 'store<u32>(record, RECORD_IN_FLIGHT, RECORD_STATE);', ''],
    js: ['record', 'u32[record + STATE] = IN_FLIGHT;', ''],
  },
  {
    name: 'blocks/writable segments counted with the readable',
    suite: 'VQ-4 readable segments first',
    wasm: ['scatter', 'count - load<u32>(record, RECORD_OUT_COUNT)', 'count'],
    js: ['record', 'u32[record + IN_COUNT] = count - outCount;', 'u32[record + IN_COUNT] = count;'],
  },
  {
    name: 'blocks/writable bytes counted with the readable',
    suite: 'VQ-4 readable segments first',
    wasm: ['scatter', '<u32>total - load<u32>(record, RECORD_OUT_BYTES)', '<u32>total'],
    js: ['record', 'u32[record + IN_BYTES] = total - outBytes;', 'u32[record + IN_BYTES] = total;'],
  },
  {
    name: 'blocks/used length of the request before',
    suite: 'VQ-4 readable segments first',
    wasm: ['scatter', 'store<u32>(record, 0, RECORD_WRITTEN);', ''],
    js: ['record', 'u32[record + WRITTEN] = 0;', ''],
  },
  {
    name: 'blocks/a readable chain has no end',
    suite: 'VQ-4 a chain of only readable or only writable',
    wasm: ['scatter', 'if (!writable) endReadable(queue, record, cursor, total, first);', ''],
    js: ['near', '  if (writing === 0) {\n    outCount = count;\n    outBytes = total;\n  }', ''],
  },
  {
    name: 'blocks/not counted',
    suite: SECOND,
    wasm: [
      'scatter',
      'load<u32>(queue, QUEUE_FREE_COUNT) - blocks',
      'load<u32>(queue, QUEUE_FREE_COUNT)',
    ],
    js: ['record', 'u32[q + FREE_COUNT]! -= count <= ROOM ? 1 : Math.ceil(count / ROOM);', ''],
  },
  {
    name: 'blocks/second block not counted',
    suite: SECOND,
    wasm: [
      'scatter',
      'load<u32>(queue, QUEUE_FREE_COUNT) - blocks',
      'load<u32>(queue, QUEUE_FREE_COUNT) - 1',
    ],
    js: ['record', 'Math.ceil(count / ROOM)', 'Math.floor(count / ROOM)'],
  },
  {
    name: 'blocks/last link not cut',
    suite: 'VQ-4 the last block of a chain links to none',
    wasm: ['scatter', 'store<u32>(last, 0, BLOCK_NEXT);', ''],
    js: ['record', 'u32[block + NEXT] = 0;', ''],
  },
  {
    name: 'blocks/not taken off the free list',
    suite: 'VQ-4 two chains in flight share no block',
    wasm: ['scatter', 'store<u32>(queue, load<u32>(last, BLOCK_NEXT), QUEUE_FREE);', ''],
    js: ['record', 'u32[q + FREE] = u32[block + NEXT]!;', ''],
  },
  {
    name: 'blocks/sixteen segments in a block',
    suite: SECOND,
    wasm: [
      'scatter',
      'QUEUE_WALK_BEFORE), BLOCK_SEGMENTS);',
      'QUEUE_WALK_BEFORE), BLOCK_SEGMENTS + 1);',
    ],
    js: [
      'near',
      'if (place === block + BLOCK_WORDS) {',
      'if (place === block + BLOCK_WORDS + 2) {',
    ],
  },
  {
    name: 'blocks/sixteen segments in a block, the other way',
    suite: ['BG-11 VQ-4 1024 segments', SECOND],
    wasm: ['split', 'BLOCK_SEGMENTS) * SEGMENT_SIZE;', 'BLOCK_SEGMENTS + 1) * SEGMENT_SIZE;'],
    js: ['blocks', 'if (v.at === v.block + WORDS) {', 'if (v.at === v.block + WORDS + 2) {'],
  },
  {
    name: 'blocks/a bad request keeps its blocks',
    suite: 'BG-12 16 readable bytes',
    wasm: [
      'scatter',
      'if (reason) return reason;',
      'if (reason) {\n      store<u32>(queue, load<u32>(queue, QUEUE_FREE_COUNT) - 1, QUEUE_FREE_COUNT);\n      return reason;\n    }',
    ],
    js: ['split', '  freeBlocks(u32, q, record);\n  return reason;', '  return reason;'],
  },
  {
    name: 'blocks/a bad request stays in flight',
    suite: 'BG-12 16 readable bytes',
    wasm: [
      'scatter',
      'if (reason) return reason;',
      'if (reason) {\n      store<u32>(record, RECORD_IN_FLIGHT, RECORD_STATE);\n      return reason;\n    }',
    ],
    js: [
      'split',
      '  u32[record + STATE] = FREE;\n  freeBlocks(u32, q, record);\n  return reason;',
      '  freeBlocks(u32, q, record);\n  return reason;',
    ],
  },
  {
    name: 'blocks/one of many comes back',
    suite: 'BG-11 VQ-4 1024 segments',
    wasm: [
      'blocks',
      'load<u32>(queue, QUEUE_FREE_COUNT) + count',
      'load<u32>(queue, QUEUE_FREE_COUNT) + 1',
    ],
    js: ['blocks', 'u32[q + FREE_COUNT]! += blocks;', 'u32[q + FREE_COUNT]! += 1;'],
  },
  {
    name: 'blocks/what was free is forgotten',
    suite: 'VQ-4 blocks come back in front of those that are free',
    wasm: [
      'blocks',
      '  store<u32>(first, load<u32>(queue, QUEUE_FREE), BLOCK_NEXT);\n',
      '  store<u32>(first, 0, BLOCK_NEXT);\n',
    ],
    js: ['blocks', 'u32[last + NEXT] = u32[q + FREE]!;', 'u32[last + NEXT] = 0;'],
  },
  {
    name: 'blocks/the first of many is free next',
    suite: 'VQ-4 blocks come back in front of those that are free',
    wasm: ['blocks', '  const last = blockOf(record, segments - 1);', '  const last = first;'],
    js: [
      'blocks',
      '  u32[last + NEXT] = u32[q + FREE]!;',
      '  u32[(first >>> 2) + NEXT] = u32[q + FREE]!;',
    ],
  },
  {
    name: 'blocks/reset links none',
    suite: 'VQ-11 reset with three in flight',
    wasm: ['setup', '  linkBlocks(queue);', ''],
    js: ['queue', '  linkBlocks(v, queue);\n}', '}'],
  },
  {
    name: 'blocks/reset links all but the last',
    suite: 'VQ-11 after a reset every block is free',
    wasm: [
      'blocks',
      'store<u32>(block, left == 1 ? 0 : next, BLOCK_NEXT);',
      'store<u32>(block, left <= 2 ? 0 : next, BLOCK_NEXT);',
    ],
    js: [
      'queue',
      'i + 1 < count ? block + BLOCK_SIZE : 0',
      'i + 2 < count ? block + BLOCK_SIZE : 0',
    ],
  },
  {
    name: 'blocks/reset keeps records',
    suite: 'VQ-11 reset with three in flight',
    wasm: ['setup', 'store<u32>(record, RECORD_FREE, RECORD_STATE);', ''],
    js: ['queue', 'words[(records + head * RECORD_SIZE + RECORD_STATE) >>> 2] = RECORD_FREE;', ''],
  },
];
