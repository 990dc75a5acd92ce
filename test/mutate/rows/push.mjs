/** Giving chains back through the used ring (VQ-5, VQ-6). */
const LOOP_ELEMENT = 'if (status) writeStatus(record);';

export const push = [
  {
    name: 'push/element has no length',
    suite: 'VQ-5 VQ-6 requests may end in any order',
    wasm: ['split', '(<u64>load<u32>(record, RECORD_WRITTEN)) << 32', '(<u64>0)'],
    js: ['split', 'v.ram32[element + 1] = u32[record + WRITTEN]!;', 'v.ram32[element + 1] = 0;'],
  },
  {
    name: 'push/element has no head',
    suite: 'VQ-5 VQ-6 requests may end in any order',
    wasm: ['split', 'store<u64>(element, <u64>head | ', 'store<u64>(element, '],
    js: ['split', 'v.ram32[element] = head;', 'v.ram32[element] = 0;'],
  },
  {
    name: 'push/used ring does not wrap',
    suite: 'VQ-5 the used ring wraps',
    wasm: ['split', 'used + ((index & mask) << 3)', 'used + (index << 3)'],
    js: ['split', 'ring + (((used + pushed) & mask) << 1)', 'ring + ((used + pushed) << 1)'],
  },
  {
    name: 'push/a head beyond the records is believed',
    suite: 'VQ-5 a head beyond the records',
    wasm: [
      'split',
      'if (head >= load<u32>(queue, QUEUE_CAPACITY)) {',
      'if (head > load<u32>(queue, QUEUE_CAPACITY)) {',
    ],
    js: ['split', 'if (head >= capacity || ', 'if (head > capacity || '],
  },
  {
    name: 'push/a head that is not in flight is pushed',
    suite: 'VQ-5 a head that is not in flight',
    wasm: ['split', 'if (load<u32>(record, RECORD_STATE) != RECORD_IN_FLIGHT) {', 'if (false) {'],
    js: [
      'split',
      'if (head >= capacity || u32[record + STATE] !== IN_FLIGHT) continue;',
      'if (head >= capacity) continue;',
    ],
  },
  {
    name: 'push/a stray head is not told',
    suite: 'VQ-5 a head that is not in flight',
    wasm: ['split', 'return stray ? -1 : i32(interrupt);', 'return i32(interrupt);'],
    js: ['split', 'if (pushed < length) return -1;', ''],
  },
  {
    name: 'push/a broken ring is written',
    suite: 'VQ-5 push on a broken queue',
    wasm: ['split', '    if (live) {', '    if (true) {'],
    js: ['split', '    if (usable) {', '    if (true) {'],
  },
  {
    name: 'push/used.idx of a broken ring is written',
    suite: 'VQ-5 push on a broken queue',
    wasm: ['split', '  if (!live) return 0;', ''],
    js: ['split', '  if (!usable) return 0;', ''],
  },
  {
    name: 'push/record stays in flight',
    suite: ['VQ-5 push on a broken queue', 'VQ-5 a head that is not in flight'],
    wasm: ['split', 'store<u32>(record, RECORD_FREE, RECORD_STATE);', ''],
    js: [
      'split',
      '    u32[record + STATE] = FREE;\n    freeBlocks(u32, q, record);\n    pushed',
      '    freeBlocks(u32, q, record);\n    pushed',
    ],
  },
  {
    name: 'push/blocks not given back',
    suite: 'VQ-5 push on a broken queue',
    wasm: ['split', 'giveBlocksBack(queue, record);', ''],
    js: ['split', '    freeBlocks(u32, q, record);\n    pushed', '    pushed'],
  },
  {
    name: 'push/requests in use not counted down',
    suite: 'VQ-5 push on a broken queue',
    wasm: ['split', 'store<u32>(queue, load<u32>(queue, QUEUE_INUSE) - pushed, QUEUE_INUSE);', ''],
    js: ['split', 'u32[q + INUSE]! -= pushed;', ''],
  },
  {
    name: 'push/used index not kept',
    suite: 'VQ-5 VQ-6 requests may end in any order',
    wasm: ['split', 'store<u32>(queue, index, QUEUE_USED_IDX);', ''],
    js: ['split', 'v.u32[(queue + QUEUE_USED_IDX) >>> 2] = used;', ''],
  },
  {
    name: 'push/used.idx not stored',
    suite: 'VQ-5 VQ-6 requests may end in any order',
    wasm: ['notify', 'store16(load<u32>(queue, QUEUE_USED), VIRTQ_USED_IDX, index);', ''],
    js: ['split', 'store16(v.ram16, u32[q + (QUEUE_USED >>> 2)]! + VIRTQ_USED_IDX, used);', ''],
  },
  {
    name: 'push/used index not cut to 16 bits',
    suite: 'VQ-3 VQ-5 70,000 requests',
    wasm: ['split', '  index &= 0xffff;', ''],
    js: ['split', 'ended(v, queue, (used + pushed) & 0xffff)', 'ended(v, queue, used + pushed)'],
  },
  {
    name: 'push/used.idx before the element',
    steps: 'VQ-5 elements and status bytes stand in memory',
    wasm: [
      'split',
      'const element = used + ',
      'publish(queue, (index + 1) & 0xffff);\n      const element = used + ',
    ],
    js: [
      'split',
      'const element = ring + ',
      'store16(v.ram16, u32[q + (QUEUE_USED >>> 2)]! + VIRTQ_USED_IDX, (used + pushed + 1) & 0xffff);\n      const element = ring + ',
    ],
  },
  {
    name: 'push/used.idx before the status byte',
    steps: 'VQ-5 elements and status bytes stand in memory',
    wasm: ['split', LOOP_ELEMENT, `publish(queue, index + 1);\n      ${LOOP_ELEMENT}`],
    js: [
      'split',
      '      if (blk) v.ram8[',
      '      store16(v.ram16, u32[q + (QUEUE_USED >>> 2)]! + VIRTQ_USED_IDX, used + pushed + 1);\n      if (blk) v.ram8[',
    ],
  },
  {
    name: 'push/status byte not written',
    suite: 'VQ-6 blkPush writes each status byte',
    wasm: ['split', LOOP_ELEMENT, ''],
    js: ['split', 'if (blk) v.ram8[u32[record + STATUS_AT]!] = u32[record + STATUS]!;', ''],
  },
  {
    name: 'push/status byte written by a raw push',
    suite: 'VQ-6 a raw push writes no status byte',
    wasm: ['split', LOOP_ELEMENT, 'writeStatus(record);'],
    js: ['split', 'if (blk) v.ram8[', 'v.ram8['],
  },
  {
    name: 'push/interrupts not counted',
    suite: 'VQ-7 the first completion after a reset',
    wasm: [
      'notify',
      'load<u64>(queue, QUEUE_INTERRUPTS_LO) + 1',
      'load<u64>(queue, QUEUE_INTERRUPTS_LO)',
    ],
    js: ['split', 'q + (QUEUE_INTERRUPTS_HI >>> 2), 1);', 'q + (QUEUE_INTERRUPTS_HI >>> 2), 0);'],
  },
  {
    name: 'push/held: used.idx is stored at once',
    noticed: { 'engine/held.test.ts': 'VQ-5 push writes elements and status' },
    wasm: ['split', 'load<u32>(queue, QUEUE_FEATURES) & QUEUE_F_HELD', '0'],
    js: ['split', '(v.u32[(queue + QUEUE_FEATURES) >>> 2]! & QUEUE_F_HELD) !== 0', 'false'],
  },
  {
    name: 'push/held: nobody is told what was pushed',
    noticed: { 'engine/held.test.ts': 'VQ-7 push returns 1 though the driver wants none' },
    wasm: ['split', 'held != 0 || publish(queue, index)', 'held == 0 && publish(queue, index)'],
    js: ['split', 'QUEUE_F_HELD) !== 0) return true;', 'QUEUE_F_HELD) !== 0) return false;'],
  },
  {
    name: 'push/held: published on a queue that was reset',
    noticed: { 'engine/held.test.ts': 'publishes nothing on a queue that is broken' },
    wasm: ['notify', 'usable(queue) && publish(queue, index & 0xffff)', 'publish(queue, index)'],
    js: [
      'split',
      'isUsable(v, queue) && publish(v, queue, used & 0xffff)',
      'publish(v, queue, used)',
    ],
  },
];
