/** Latching a ring, and reset (VQ-13, VQ-14, BG-17). */
const SIZE = 'BG-17 ring size';
const ALIGN = 'BG-17 rings must be aligned';
const END = 'VQ-14 BG-17 each part of a ring';
const HIGH = 'BG-17 a ring address above 4 GiB';

export const enable = [
  {
    name: 'enable/no descriptors',
    suite: SIZE,
    wasm: ['setup', 'if (num == 0 || num &', 'if (num &'],
    js: ['queue', 'if (num === 0 || (num', 'if ((num'],
  },
  {
    name: 'enable/any size',
    suite: SIZE,
    wasm: ['setup', ' || num & (num - 1) || ', ' || '],
    js: ['queue', ' || (num & (num - 1)) !== 0 || ', ' || '],
  },
  {
    name: 'enable/more than the capacity',
    suite: SIZE,
    wasm: [
      'setup',
      'num > load<u32>(queue, QUEUE_CAPACITY)',
      'num > 2 * load<u32>(queue, QUEUE_CAPACITY)',
    ],
    js: ['queue', 'num > get(v, queue, QUEUE_CAPACITY)', 'num > 2 * get(v, queue, QUEUE_CAPACITY)'],
  },
  {
    name: 'enable/as many as the capacity are too many',
    suite: SIZE,
    wasm: [
      'setup',
      'num > load<u32>(queue, QUEUE_CAPACITY)',
      'num >= load<u32>(queue, QUEUE_CAPACITY)',
    ],
    js: ['queue', 'num > get(v, queue, QUEUE_CAPACITY)', 'num >= get(v, queue, QUEUE_CAPACITY)'],
  },
  {
    name: 'enable/misaligned descriptors',
    suite: ALIGN,
    wasm: ['setup', 'desc & (VIRTQ_DESC_ALIGN - 1)', 'desc & 7'],
    js: ['queue', '(descLo & (VIRTQ_DESC_ALIGN - 1))', '(descLo & 7)'],
  },
  {
    name: 'enable/misaligned available ring',
    suite: ALIGN,
    wasm: ['setup', '    | avail & (VIRTQ_AVAIL_ALIGN - 1)\n', ''],
    js: ['queue', '    (availLo & (VIRTQ_AVAIL_ALIGN - 1)) |\n', ''],
  },
  {
    name: 'enable/misaligned used ring',
    suite: ALIGN,
    wasm: ['setup', 'used & (VIRTQ_USED_ALIGN - 1);', 'used & 1;'],
    js: ['queue', '(usedLo & (VIRTQ_USED_ALIGN - 1));', '(usedLo & 1);'],
  },
  {
    name: 'enable/descriptors outside RAM',
    suite: END,
    wasm: ['setup', 'if (descAt == NOWHERE || ', 'if ('],
    js: ['queue', 'if (desc < 0 || ', 'if ('],
  },
  {
    name: 'enable/available ring outside RAM',
    suite: END,
    wasm: ['setup', ' || availAt == NOWHERE || ', ' || '],
    js: ['queue', ' || avail < 0 || ', ' || '],
  },
  {
    name: 'enable/used ring outside RAM',
    suite: END,
    wasm: ['setup', ' || usedAt == NOWHERE) {', ') {'],
    js: ['queue', ' || used < 0) return', ') return'],
  },
  {
    name: 'enable/event fields not counted',
    suite: END,
    wasm: ['setup', 'features & QUEUE_F_EVENT_IDX ? 2 : 0;', '0;'],
    js: ['queue', '(features & QUEUE_F_EVENT_IDX) !== 0 ? 2 : 0;', '0;'],
  },
  {
    name: 'enable/event fields always counted',
    suite: END,
    wasm: ['setup', 'features & QUEUE_F_EVENT_IDX ? 2 : 0;', '2;'],
    js: ['queue', '(features & QUEUE_F_EVENT_IDX) !== 0 ? 2 : 0;', '2;'],
  },
  {
    name: 'enable/used_event not counted',
    suite: END,
    wasm: ['setup', 'VIRTQ_AVAIL_RING + (num << 1) + event)', 'VIRTQ_AVAIL_RING + (num << 1))'],
    js: ['queue', 'VIRTQ_AVAIL_RING + num * 2 + event)', 'VIRTQ_AVAIL_RING + num * 2)'],
  },
  {
    name: 'enable/avail_event not counted',
    suite: END,
    wasm: ['setup', 'VIRTQ_USED_RING + (num << 3) + event)', 'VIRTQ_USED_RING + (num << 3))'],
    js: [
      'queue',
      'VIRTQ_USED_RING + num * USED_ELEMENT_SIZE + event)',
      'VIRTQ_USED_RING + num * USED_ELEMENT_SIZE)',
    ],
  },
  {
    name: 'enable/a byte behind the region',
    suite: [END, 'BG-8 an indirect table may end where RAM ends'],
    wasm: [
      'regions',
      'if (length > load<u64>(region, REGION_SIZE_LO) - at) return NOWHERE;',
      'if (length > load<u64>(region, REGION_SIZE_LO) - at + 16) return NOWHERE;',
    ],
    js: [
      'regions',
      'if (bytes > regionBytes(u32, region) - offset) return -1;',
      'if (bytes > regionBytes(u32, region) - offset + 16) return -1;',
    ],
  },
  {
    name: 'enable/table address of 32 bits',
    suite: HIGH,
    wasm: ['index', 'u64of(descLo, descHi)', 'u64of(descLo, 0)'],
    js: ['queue', 'place(descLo, descHi, ', 'place(descLo, 0, '],
  },
  {
    name: 'enable/available ring address of 32 bits',
    suite: HIGH,
    wasm: ['index', 'u64of(availLo, availHi)', 'u64of(availLo, 0)'],
    js: ['queue', 'place(availLo, availHi, ', 'place(availLo, 0, '],
  },
  {
    name: 'enable/used ring address of 32 bits',
    suite: HIGH,
    wasm: ['index', 'u64of(usedLo, usedHi)', 'u64of(usedLo, 0)'],
    js: ['queue', 'place(usedLo, usedHi, ', 'place(usedLo, 0, '],
  },
  {
    name: 'enable/why it failed is not noted',
    suite: SIZE,
    wasm: ['setup', 'compareExchange32(queue, QUEUE_BROKEN, 0, reason);', ''],
    js: ['queue', '  queueBreak(v, queue, reason);\n  return reason;', '  return reason;'],
  },
  {
    name: 'enable/the last reason counts',
    suite: 'VQ-1 the first reason to be broken stays',
    wasm: [
      'setup',
      'compareExchange32(queue, QUEUE_BROKEN, 0, reason);',
      'store32(queue, QUEUE_BROKEN, reason);',
    ],
    js: [
      'queue',
      'compareExchange(v.i32, queue + QUEUE_BROKEN, 0, reason);',
      'store(v.i32, queue + QUEUE_BROKEN, reason);',
    ],
  },
  {
    name: 'enable/two who break it at once',
    steps: 'VQ-1 who breaks a queue first is right',
    wasm: [
      'setup',
      'compareExchange32(queue, QUEUE_BROKEN, 0, reason);',
      'if (!load<u32>(queue, QUEUE_BROKEN)) store32(queue, QUEUE_BROKEN, reason);',
    ],
    js: [
      'queue',
      'compareExchange(v.i32, queue + QUEUE_BROKEN, 0, reason);',
      'if (get(v, queue, QUEUE_BROKEN) === 0) store(v.i32, queue + QUEUE_BROKEN, reason);',
    ],
  },
  {
    name: 'enable/ready before it is latched',
    steps: 'VQ-14 a ring counts as ready after all of it is latched',
    wasm: [
      'setup',
      '  store<u32>(queue, <u32>descAt, QUEUE_DESC);',
      '  store32(queue, QUEUE_READY, 1);\n  store<u32>(queue, <u32>descAt, QUEUE_DESC);',
    ],
    js: [
      'queue',
      '  set(v, queue, QUEUE_DESC, desc);',
      '  store(v.i32, queue + QUEUE_READY, 1);\n  set(v, queue, QUEUE_DESC, desc);',
    ],
  },
  {
    name: 'enable/never ready',
    suite: SIZE,
    wasm: ['setup', 'store32(queue, QUEUE_READY, 1);', ''],
    js: ['queue', 'store(v.i32, queue + QUEUE_READY, 1);', ''],
  },
  {
    name: 'enable/reset leaves the queue broken',
    suite: 'VQ-11 reset with three in flight',
    wasm: ['setup', '  store32(queue, QUEUE_BROKEN, 0);', ''],
    js: ['queue', '  store(v.i32, queue + QUEUE_BROKEN, 0);', ''],
  },
  {
    name: 'enable/reset leaves kicks off',
    suite: 'VQ-9 after a reset kicks are on',
    wasm: ['setup', 'store<u32>(queue, 1, QUEUE_NOTIFICATION);', ''],
    js: ['queue', 'set(v, queue, QUEUE_NOTIFICATION, 1);', ''],
  },
  {
    name: 'enable/reset keeps the indices',
    suite: 'VQ-11 reset with three in flight',
    wasm: ['setup', 'QUEUE_BROKEN - QUEUE_DESC);', '24 - QUEUE_DESC);'],
    js: [
      'queue',
      '(queue + QUEUE_DESC) >>> 2, (queue + QUEUE_BROKEN) >>> 2);',
      '(queue + QUEUE_DESC) >>> 2, (queue + QUEUE_LAST_AVAIL) >>> 2);',
    ],
  },
  {
    name: 'enable/reset keeps the requests in use',
    suite: 'VQ-11 reset with three in flight',
    wasm: ['setup', 'QUEUE_BROKEN - QUEUE_DESC);', 'QUEUE_NOTIFICATION - QUEUE_DESC);'],
    js: [
      'queue',
      '(queue + QUEUE_DESC) >>> 2, (queue + QUEUE_BROKEN) >>> 2);',
      '(queue + QUEUE_DESC) >>> 2, (queue + QUEUE_INUSE) >>> 2);',
    ],
  },
  {
    name: 'enable/reset leaves something to unpop',
    suite: 'VQ-11 a pop that gives nothing leaves nothing to unpop',
    wasm: ['setup', '  store<u32>(queue, 0, QUEUE_BATCH_COUNT);', ''],
    js: ['queue', '  set(v, queue, QUEUE_BATCH_COUNT, 0);', ''],
  },
];
