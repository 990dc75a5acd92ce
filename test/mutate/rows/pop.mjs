/** Taking a batch of chains off the available ring (VQ-1 to VQ-4, VQ-11, BG-1, BG-4, BG-5). */
export const pop = [
  {
    name: 'pop/ready is not asked',
    suite: 'VQ-1 not ready comes before broken',
    wasm: ['split', 'if (!load32(queue, QUEUE_READY)) return 0;', ''],
    js: ['split', 'if (load(v.i32, queue + QUEUE_READY) === 0) return 0;', ''],
  },
  {
    name: 'pop/broken is not asked',
    suite: 'VQ-1 BG-14 a queue that is not ready or broken',
    wasm: ['split', 'if (load32(queue, QUEUE_BROKEN)) return POP_BROKEN;', ''],
    js: ['split', 'if (u32[q + (QUEUE_BROKEN >>> 2)] !== 0) return POP_BROKEN;', ''],
  },
  {
    name: 'pop/avail.idx one too far is believed',
    suite: 'BG-4 avail.idx num ahead of',
    wasm: [
      'split',
      'if (count > load<u32>(queue, QUEUE_NUM)) {',
      'if (count > load<u32>(queue, QUEUE_NUM) + 1) {',
    ],
    js: [
      'queue',
      'if (distance > get(v, queue, QUEUE_NUM)) {',
      'if (distance > get(v, queue, QUEUE_NUM) + 1) {',
    ],
  },
  {
    name: 'pop/a full ring is refused',
    suite: 'BG-4 avail.idx num ahead of',
    wasm: [
      'split',
      'if (count > load<u32>(queue, QUEUE_NUM)) {',
      'if (count >= load<u32>(queue, QUEUE_NUM)) {',
    ],
    js: [
      'queue',
      'if (distance > get(v, queue, QUEUE_NUM)) {',
      'if (distance >= get(v, queue, QUEUE_NUM)) {',
    ],
  },
  {
    name: 'pop/distance not cut to 16 bits',
    suite: 'BG-4 avail.idx num ahead of',
    wasm: ['split', 'const count = (idx - last) & 0xffff;', 'const count = idx - last;'],
    js: [
      'queue',
      'const distance = (idx - get(v, queue, QUEUE_LAST_AVAIL)) & 0xffff;',
      'const distance = (idx - get(v, queue, QUEUE_LAST_AVAIL)) >>> 0;',
    ],
  },
  {
    name: 'pop/distance to the shadow not cut to 16 bits',
    suite: 'VQ-3 indices wrap at 65536',
    wasm: ['split', 'return (shadow - last) & 0xffff;', 'return shadow - last;'],
    js: [
      'split',
      'let available = (u32[q + SHADOW_AVAIL]! - last) & 0xffff;',
      'let available = (u32[q + SHADOW_AVAIL]! - last) >>> 0;',
    ],
  },
  {
    name: 'pop/shadow not used',
    suite: ['VQ-1 a queue is empty until', 'VQ-3 a batch ends at max'],
    wasm: ['split', 'if (shadow != last) return (shadow - last) & 0xffff;', ''],
    js: ['split', 'if (available === 0) available =', 'available ='],
  },
  {
    name: 'pop/shadow not kept',
    suite: 'VQ-3 a batch ends at max',
    wasm: ['split', 'store<u32>(queue, idx, QUEUE_SHADOW_AVAIL);', ''],
    js: ['queue', 'set(v, queue, QUEUE_SHADOW_AVAIL, idx);', ''],
  },
  {
    name: 'pop/avail.idx out of range is kept',
    suite: 'BG-4 an index out of range is not kept',
    wasm: [
      'split',
      'queueBreak(queue, BROKEN_AVAIL_IDX);',
      'queueBreak(queue, BROKEN_AVAIL_IDX); store<u32>(queue, idx, QUEUE_SHADOW_AVAIL);',
    ],
    js: [
      'queue',
      'queueBreak(v, queue, BROKEN_AVAIL_IDX);',
      'queueBreak(v, queue, BROKEN_AVAIL_IDX); set(v, queue, QUEUE_SHADOW_AVAIL, idx);',
    ],
  },
  {
    name: 'pop/max not heeded',
    suite: 'VQ-3 a batch ends at max',
    wasm: ['split', 'const wanted = min(ahead, max);', 'const wanted = ahead;'],
    js: ['split', 'const goal = Math.min(max, available);', 'const goal = available;'],
  },
  {
    name: 'pop/one request too many outstanding',
    suite: 'BG-5 num requests may be outstanding',
    wasm: [
      'split',
      'load<u32>(queue, QUEUE_NUM) - load<u32>(queue, QUEUE_INUSE));',
      'load<u32>(queue, QUEUE_NUM) + 1 - load<u32>(queue, QUEUE_INUSE));',
    ],
    js: ['split', 'if (inuse + popped > mask) {', 'if (inuse + popped > mask + 1) {'],
  },
  {
    name: 'pop/one request too few outstanding',
    suite: 'BG-5 num requests may be outstanding',
    wasm: [
      'split',
      'load<u32>(queue, QUEUE_NUM) - load<u32>(queue, QUEUE_INUSE));',
      'load<u32>(queue, QUEUE_NUM) - 1 - load<u32>(queue, QUEUE_INUSE));',
    ],
    js: ['split', 'if (inuse + popped > mask) {', 'if (inuse + popped >= mask) {'],
  },
  {
    name: 'pop/a block too few is enough',
    suite: 'VQ-4 a full chain always finds blocks',
    wasm: ['split', '< <u32>CHAIN_BLOCKS_MAX)', '< <u32>CHAIN_BLOCKS_MAX - 1)'],
    js: [
      'split',
      'u32[q + FREE_COUNT]! < BLOCKS_NEEDED',
      'u32[q + FREE_COUNT]! < BLOCKS_NEEDED - 1',
    ],
  },
  {
    name: 'pop/just enough blocks are too few',
    suite: 'VQ-4 a full chain always finds blocks',
    wasm: ['split', '< <u32>CHAIN_BLOCKS_MAX)', '<= <u32>CHAIN_BLOCKS_MAX)'],
    js: ['split', 'u32[q + FREE_COUNT]! < BLOCKS_NEEDED', 'u32[q + FREE_COUNT]! <= BLOCKS_NEEDED'],
  },
  {
    name: 'pop/a stall breaks the queue',
    suite: 'VQ-4 a full chain always finds blocks',
    wasm: [
      'split',
      'if (reason != STALLED) queueBreak(queue, reason);',
      'queueBreak(queue, reason);',
    ],
    js: ['split', 'end = POP_STALLED;', 'end = broken(v, queue, BROKEN_INUSE);'],
  },
  {
    name: 'pop/available ring does not wrap',
    suite: 'VQ-3 the available ring wraps',
    wasm: ['split', '+ ((index & (num - 1)) << 1);', '+ (index << 1);'],
    js: ['split', 'v.ram16[ring + ((last + popped) & mask)]!', 'v.ram16[ring + last + popped]!'],
  },
  {
    name: 'pop/head num is believed',
    suite: 'BG-1 head',
    wasm: ['split', 'if (head >= num) return BROKEN_HEAD;', 'if (head > num) return BROKEN_HEAD;'],
    js: [
      'split',
      'if (head > mask) return BROKEN_HEAD;',
      'if (head > mask + 1) return BROKEN_HEAD;',
    ],
  },
  {
    name: 'pop/head num - 1 is refused',
    suite: 'BG-1 head',
    wasm: [
      'split',
      'if (head >= num) return BROKEN_HEAD;',
      'if (head >= num - 1) return BROKEN_HEAD;',
    ],
    js: ['split', 'if (head > mask) return BROKEN_HEAD;', 'if (head >= mask) return BROKEN_HEAD;'],
  },
  {
    name: 'pop/a head in flight is taken again',
    suite: 'BG-5 a head in flight is refused',
    wasm: [
      'split',
      'if (load<u32>(record, RECORD_STATE) == RECORD_IN_FLIGHT) return BROKEN_HEAD_TWICE;',
      '',
    ],
    js: ['split', 'if (u32[record + STATE] !== FREE) return BROKEN_HEAD_TWICE;', ''],
  },
  {
    name: 'pop/why it broke is not noted',
    suite: 'BG-1 head',
    wasm: ['split', 'if (reason != STALLED) queueBreak(queue, reason);', ''],
    js: ['split', '  queueBreak(v, queue, reason);\n  return POP_BROKEN;', '  return POP_BROKEN;'],
  },
  {
    name: 'pop/good chains before a bad one are lost',
    suite: 'VQ-3 a batch ends at max',
    wasm: ['split', 'if (count) return count;', ''],
    js: ['split', 'if (popped === 0) return end;', 'if (end !== 0) return end;'],
  },
  {
    name: 'pop/last avail not advanced',
    suite: 'VQ-3 a batch ends at max',
    wasm: ['split', 'store<u32>(queue, index, QUEUE_LAST_AVAIL);', ''],
    js: ['split', 'u32[q + LAST_AVAIL] = last;', ''],
  },
  {
    name: 'pop/last avail not cut to 16 bits',
    suite: 'VQ-3 indices wrap at 65536',
    wasm: ['split', 'const index = (last + count) & 0xffff;', 'const index = last + count;'],
    js: ['split', '(last + popped) & 0xffff);', 'last + popped);'],
  },
  {
    name: 'pop/requests in use not counted',
    suite: 'VQ-3 a batch ends at max',
    wasm: ['split', 'store<u32>(queue, load<u32>(queue, QUEUE_INUSE) + count, QUEUE_INUSE);', ''],
    js: ['split', 'u32[q + INUSE]! += popped;', ''],
  },
  {
    name: 'pop/batch not counted',
    suite: 'VQ-11 unpop gives the newest back',
    wasm: ['split', 'store<u32>(queue, count, QUEUE_BATCH_COUNT);', ''],
    js: ['split', 'u32[q + (QUEUE_BATCH_COUNT >>> 2)] = popped;', ''],
  },
  {
    name: 'pop/batch of the call before not forgotten',
    suite: 'VQ-11 a pop that gives nothing leaves nothing to unpop',
    wasm: ['split', 'store<u32>(queue, 0, QUEUE_BATCH_COUNT);', ''],
    js: ['split', 'u32[q + (QUEUE_BATCH_COUNT >>> 2)] = 0;', ''],
  },
  {
    name: 'pop/requests not counted',
    suite: 'VQ-3 VQ-5 70,000 requests',
    wasm: [
      'split',
      'load<u64>(queue, QUEUE_POPPED_LO) + count,',
      'load<u64>(queue, QUEUE_POPPED_LO) + 1,',
    ],
    js: ['split', 'q + (QUEUE_POPPED_HI >>> 2), popped);', 'q + (QUEUE_POPPED_HI >>> 2), 1);'],
  },
  {
    name: 'pop/avail_event not written',
    suite: 'VQ-9 VQ-3 while kicks are on',
    wasm: [
      'split',
      'if (eventIdx && load<u32>(queue, QUEUE_NOTIFICATION)) storeAvailEvent(queue, index);',
      '',
    ],
    js: ['split', 'writeAvailEvent(v, queue, last);', ''],
  },
  {
    name: 'pop/avail_event one behind',
    suite: 'VQ-9 VQ-3 while kicks are on',
    wasm: ['split', 'storeAvailEvent(queue, index);', 'storeAvailEvent(queue, index - 1);'],
    js: ['split', 'writeAvailEvent(v, queue, last);', 'writeAvailEvent(v, queue, last - 1);'],
  },
  {
    name: 'pop/avail_event written while kicks are off',
    suite: 'VQ-9 kicks off and on by avail_event',
    wasm: ['split', 'if (eventIdx && load<u32>(queue, QUEUE_NOTIFICATION))', 'if (eventIdx)'],
    js: ['split', 'if (wanted && (u32[q + (QUEUE_FEATURES', 'if ((u32[q + (QUEUE_FEATURES'],
  },
  {
    name: 'pop/avail_event written without EVENT_IDX',
    suite: 'VQ-9 without EVENT_IDX no event field is written',
    wasm: [
      'split',
      'if (eventIdx && load<u32>(queue, QUEUE_NOTIFICATION))',
      'if (load<u32>(queue, QUEUE_NOTIFICATION))',
    ],
    js: [
      'split',
      'if (wanted && (u32[q + (QUEUE_FEATURES >>> 2)]! & QUEUE_F_EVENT_IDX) !== 0) {',
      'if (wanted) {',
    ],
  },
  {
    name: 'pop/unpop does not go back',
    suite: 'VQ-11 unpop gives the newest back',
    wasm: [
      'split',
      '(load<u32>(queue, QUEUE_LAST_AVAIL) - undone) & 0xffff',
      'load<u32>(queue, QUEUE_LAST_AVAIL)',
    ],
    js: [
      'queue',
      '(get(v, queue, QUEUE_LAST_AVAIL) - back) & 0xffff',
      'get(v, queue, QUEUE_LAST_AVAIL)',
    ],
  },
  {
    name: 'pop/unpop not cut to 16 bits',
    suite: 'VQ-11 unpop across the wrap',
    wasm: [
      'split',
      '(load<u32>(queue, QUEUE_LAST_AVAIL) - undone) & 0xffff',
      'load<u32>(queue, QUEUE_LAST_AVAIL) - undone',
    ],
    js: [
      'queue',
      '(get(v, queue, QUEUE_LAST_AVAIL) - back) & 0xffff',
      '(get(v, queue, QUEUE_LAST_AVAIL) - back) >>> 0',
    ],
  },
  {
    name: 'pop/unpop gives the oldest back',
    suite: 'VQ-11 unpop gives the newest back',
    wasm: [
      'split',
      'load<u32>(batch + (--left << 2));',
      'load<u32>(batch + (undone << 2)); --left;',
    ],
    js: [
      'queue',
      'v.u32[(batch + (listed - back - 1) * 4) >>> 2]!',
      'v.u32[(batch + back * 4) >>> 2]!',
    ],
  },
  {
    name: 'pop/unpop goes beyond the batch',
    suite: 'VQ-11 unpop never goes beyond the last batch',
    wasm: ['split', 'undone < count && left != 0;', 'undone < count;'],
    js: ['queue', 'while (back < count && back < listed) {', 'while (back < count) {'],
  },
  {
    name: 'pop/unpop keeps the requests in use',
    suite: ['VQ-11 unpop gives the newest back', 'VQ-11 detach drops'],
    wasm: ['split', 'load<u32>(queue, QUEUE_INUSE) - undone,', 'load<u32>(queue, QUEUE_INUSE),'],
    js: ['queue', 'v.u32[(queue + QUEUE_INUSE) >>> 2]! -= 1;', ''],
  },
  {
    name: 'pop/unpop keeps the record',
    suite: ['VQ-11 unpop gives the newest back', 'VQ-11 detach drops'],
    wasm: [
      'split',
      'if (!inFlight(queue, head)) break;\n    release(queue, recordOf(queue, head));',
      'if (!inFlight(queue, head)) break;',
    ],
    js: ['queue', 'v.u32[record + (RECORD_STATE >>> 2)] = RECORD_FREE;', ''],
  },
  {
    name: 'pop/detach does not ask whether it is in flight',
    suite: 'VQ-11 detach drops',
    wasm: ['split', 'if (!inFlight(queue, head)) return;', ''],
    js: [
      'queue',
      'if (v.u32[record + (RECORD_STATE >>> 2)] !== RECORD_IN_FLIGHT) return false;',
      '',
    ],
  },
];
