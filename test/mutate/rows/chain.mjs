/** Walking a chain (VQ-4, VQ-12, BG-2, BG-3, BG-6 to BG-11). Both engines have a fast way for the
 * common chain and a long one for all others: where a check stands in both, it is broken in each. */
const END = 'BG-10 a buffer may end where RAM ends';

export const chain = [
  {
    name: 'chain/next is not bounded',
    suite: 'BG-2 what lies behind a table',
    wasm: ['chain', 'if (next >= entries) return', 'if (next > entries) return'],
    js: ['near', 'if (next >= entries || left', 'if (next > entries || left'],
  },
  {
    name: 'chain/next is not bounded, the long way',
    suite: 'BG-2 next in an indirect table',
    wasm: [
      'chain',
      'first ? load<u32>(queue, QUEUE_NUM) : load<u32>(queue, QUEUE_WALK_ENTRIES);',
      'first ? load<u32>(queue, QUEUE_NUM) : load<u32>(queue, QUEUE_WALK_ENTRIES) + 1;',
    ],
    js: ['chain', 'if (next >= entries) return', 'if (next > entries) return'],
  },
  {
    name: 'chain/the last of a table is refused',
    suite: 'BG-2 next in an indirect table',
    wasm: ['chain', 'if (next >= entries) return', 'if (next + 1 >= entries) return'],
    js: ['chain', 'if (next >= entries) return', 'if (next + 1 >= entries) return'],
  },
  {
    name: 'chain/a loop is not noticed',
    suite: 'BG-3 a descriptor that follows itself',
    wasm: ['detour', 'if (left == 0) return BROKEN_LOOP;', ''],
    js: [
      'chain',
      'if (++steps > entries) return BROKEN_LOOP;',
      'if (++steps > 0xffff) return BROKEN_NEXT;',
    ],
  },
  {
    name: 'chain/a loop is noticed one step late',
    suite: 'BG-3 a loop is noticed before a descriptor is read again',
    wasm: [
      'detour',
      'if (left == 0) return BROKEN_LOOP;',
      'if (<i32>left == -1) return BROKEN_LOOP;',
    ],
    js: ['chain', 'if (++steps > entries) return', 'if (++steps > entries + 1) return'],
  },
  {
    name: 'chain/a table used up is a loop',
    suite: 'BG-3 a table of its own length is no loop',
    wasm: ['detour', 'if (left == 0) return BROKEN_LOOP;', 'if (left <= 1) return BROKEN_LOOP;'],
    js: ['chain', 'if (++steps > entries) return', 'if (++steps >= entries) return'],
  },
  {
    name: 'chain/a table has no count of its own',
    suite: 'BG-3 a loop in an indirect table',
    wasm: ['detour', 'left = load<u32>(queue, QUEUE_WALK_ENTRIES);', ''],
    js: ['chain', 'next = steps = 0;', 'next = 0;'],
  },
  {
    name: 'chain/no length is a length',
    suite: 'BG-6 a buffer of one byte',
    wasm: ['chain', 'if (to <= from) return', 'if (to < from) return'],
    js: ['near', 'if (length <= 0 || ', 'if (length < 0 || '],
  },
  {
    name: 'chain/no length is a length, the long way',
    suite: 'BG-6 a buffer of one byte',
    wasm: ['detour', 'if (length == 0) return BROKEN_ZERO_LENGTH;', ''],
    js: ['chain', 'if (length === 0) return BROKEN_ZERO_LENGTH;', ''],
  },
  {
    name: 'chain/readable behind writable',
    suite: 'BG-7 a readable buffer behind a writable',
    wasm: [
      'chain',
      'if (!(flags & VIRTQ_DESC_F_WRITE)) return orTooLong(total, BROKEN_ORDER);',
      '',
    ],
    js: ['near', 'if (writing !== 0) return false;', ''],
  },
  {
    name: 'chain/readable behind writable, the long way',
    suite: ['BG-7 the order holds in every region', 'BG-7 the order holds across'],
    wasm: ['detour', 'if (!(flags & VIRTQ_DESC_F_WRITE)) return BROKEN_ORDER;', ''],
    js: ['chain', 'if (readable && outCount !== count) return BROKEN_ORDER;', ''],
  },
  {
    name: 'chain/4 GiB are not too long',
    suite: 'BG-11 a chain is shorter than 4 GiB',
    wasm: ['chain', 'if (total > <u64>u32.MAX_VALUE) return BROKEN_TOO_LONG;', ''],
    js: [
      'chain',
      'if (total >= TWO_32) return BROKEN_TOO_LONG;',
      'if (total > TWO_32) return BROKEN_TOO_LONG;',
    ],
  },
  {
    name: 'chain/4 GiB less one byte are too long',
    suite: 'BG-11 a chain is shorter than 4 GiB',
    wasm: [
      'chain',
      'if (total > <u64>u32.MAX_VALUE) return BROKEN_TOO_LONG;',
      'if (total >= <u64>u32.MAX_VALUE) return BROKEN_TOO_LONG;',
    ],
    js: [
      'chain',
      'if (total >= TWO_32) return BROKEN_TOO_LONG;',
      'if (total >= TWO_32 - 1) return BROKEN_TOO_LONG;',
    ],
  },
  {
    name: 'chain/too long is told late',
    suite: ['BG-11 a chain of 4 GiB is too long', 'BG-11 too long is told before'],
    wasm: [
      'chain',
      'return total > <u64>u32.MAX_VALUE ? BROKEN_TOO_LONG : reason;',
      'return reason;',
    ],
    js: [
      'chain',
      `    if (total >= TWO_32) return BROKEN_TOO_LONG;
    count = addBuffer(v, q, lo, hi, length, count);
    if (count < 0) return -count;`,
      `    count = addBuffer(v, q, lo, hi, length, count);
    if (count < 0) return -count;
    if (total >= TWO_32) return BROKEN_TOO_LONG;`,
    ],
  },
  {
    name: 'chain/1025 segments',
    suite: 'BG-11 VQ-4 1024 segments are a chain',
    wasm: ['detour', 'if (before == SEGMENTS_MAX) return BROKEN_TOO_LONG;', ''],
    js: [
      'chain',
      'if (count === MAX) return -BROKEN_TOO_LONG;',
      'if (count === MAX + 1) return -BROKEN_TOO_LONG;',
    ],
  },
  {
    name: 'chain/a table not negotiated',
    suite: 'BG-9 an indirect table that was not negotiated',
    wasm: [
      'detour',
      'if (!(load<u32>(queue, QUEUE_FEATURES) & QUEUE_F_INDIRECT)) return BROKEN_INDIRECT;',
      '',
    ],
    js: ['chain', 'if ((u32[q + FEATURES]! & QUEUE_F_INDIRECT) === 0) return BROKEN_INDIRECT;', ''],
  },
  {
    name: 'chain/a table with a next',
    suite: 'BG-9 an indirect table that was not negotiated',
    wasm: ['detour', 'if (flags & VIRTQ_DESC_F_NEXT) return BROKEN_INDIRECT;', ''],
    js: ['chain', 'if ((tail & F_NEXT) !== 0) return BROKEN_INDIRECT;', ''],
  },
  {
    name: 'chain/a table in a table',
    suite: 'BG-9 an indirect table that was not negotiated',
    wasm: ['detour', 'if (indirect) return BROKEN_INDIRECT;', ''],
    js: ['chain', 'if (!direct) return BROKEN_INDIRECT;', ''],
  },
  {
    name: 'chain/an empty table',
    suite: 'BG-8 an indirect table is a multiple of 16',
    wasm: ['detour', 'if (length == 0 || length & 15) return', 'if (length & 15) return'],
    js: [
      'chain',
      'if (length === 0 || (length & 15) !== 0) return',
      'if ((length & 15) !== 0) return',
    ],
  },
  {
    name: 'chain/half a descriptor',
    suite: 'BG-8 an indirect table is a multiple of 16',
    wasm: [
      'detour',
      'if (length == 0 || length & 15) return',
      'if (length == 0 || length & 7) return',
    ],
    js: [
      'chain',
      'if (length === 0 || (length & 15) !== 0) return',
      'if (length === 0 || (length & 7) !== 0) return',
    ],
  },
  {
    name: 'chain/a table outside RAM',
    suite: 'BG-8 an indirect table may end where RAM ends',
    wasm: ['detour', 'if (table == NOWHERE) return BROKEN_ADDRESS;', ''],
    js: ['chain', 'if (place < 0) return BROKEN_ADDRESS;', ''],
  },
  {
    name: 'chain/a table as long as the ring',
    suite: 'BG-2 next in an indirect table',
    wasm: ['detour', 'store<u32>(queue, length >> VIRTQ_DESC_SIZE_SHIFT, QUEUE_WALK_ENTRIES);', ''],
    js: ['chain', 'entries = length >>> VIRTQ_DESC_SIZE_SHIFT;', ''],
  },
  {
    name: 'chain/WRITE of a table counts',
    suite: 'VQ-12 an indirect table after normal descriptors',
    wasm: [
      'detour',
      "link &= VIRTQ_DESC_F_WRITE; // next is the table's first",
      'link = flags & VIRTQ_DESC_F_WRITE;',
    ],
    js: [
      'chain',
      'if (!direct) return BROKEN_INDIRECT;',
      'if ((tail & F_WRITE) !== 0) outCount = -1;',
    ],
  },
  {
    name: 'chain/a table begins at its second descriptor',
    suite: 'VQ-12 an indirect table after normal descriptors',
    wasm: [
      'detour',
      "link &= VIRTQ_DESC_F_WRITE; // next is the table's first",
      'link = (link & VIRTQ_DESC_F_WRITE) | 0x10000;',
    ],
    js: ['chain', 'next = steps = 0;', 'next = 1; steps = 0;'],
  },
  {
    name: 'chain/a table is aligned',
    suite: 'BG-8 an indirect table may end where RAM ends',
    wasm: [
      'detour',
      'store<u32>(queue, <u32>table, QUEUE_WALK_TABLE);',
      'store<u32>(queue, <u32>table & ~3, QUEUE_WALK_TABLE);',
    ],
    js: ['chain', 'v.skew = place & 3;', 'v.skew = 0;'],
  },
  {
    name: 'chain/one byte behind RAM',
    suite: END,
    wasm: ['chain', 'if (to > size) return', 'if (to > size + 1) return'],
    js: ['near', 'length > nearBytes - distance', 'length > nearBytes - distance + 1'],
  },
  {
    name: 'chain/one byte before RAM',
    suite: 'BG-10 a buffer may begin where RAM begins',
    wasm: [
      'chain',
      'const from = load<u64>(descriptor) - load<u64>(region, REGION_GUEST_LO);',
      'const from = load<u64>(descriptor) + 1 - load<u64>(region, REGION_GUEST_LO);',
    ],
    js: ['near', 'length <= 0 || distance < 0 || ', 'length <= 0 || distance < -1 || '],
  },
  {
    name: 'chain/only the low word of an address',
    suite: 'BG-10 a buffer above 4 GiB whose low word',
    wasm: [
      'chain',
      'const from = load<u64>(descriptor) - load<u64>(region, REGION_GUEST_LO);',
      'const from = <u64>load<u32>(descriptor) - load<u64>(region, REGION_GUEST_LO);',
    ],
    js: ['near', 'if ((ram32[at + 1]! | 0) !== nearHi) return false;', ''],
  },
  {
    name: 'chain/only the low word of an address, the long way',
    suite: ['BG-10 a region above 4 GiB', 'BG-10 an indirect table is bounded in 64 bits'],
    wasm: [
      'regions',
      'export function regionOf(table: u32, guest: u64): u32 {\n',
      'export function regionOf(table: u32, guest: u64): u32 {\n  guest &= 0xffffffff;\n',
    ],
    js: ['regions', '(hi - u32[(region + REGION_GUEST_HI) >>> 2]! - borrow) >>> 0', '0'],
  },
  {
    name: 'chain/no borrow from the high word',
    suite: 'BG-10 a first region that crosses 4 GiB',
    wasm: [
      'regions',
      'const at = guest - load<u64>(region, REGION_GUEST_LO);\n    if',
      'const at = <u64>(<u32>guest - load<u32>(region, REGION_GUEST_LO));\n    if',
    ],
    js: ['regions', 'const borrow = lo < guestLo ? 1 : 0;', 'const borrow = 0;'],
  },
  {
    name: 'chain/an address in no region',
    suite: END,
    wasm: ['detour', 'if (region == 0) return BROKEN_ADDRESS;', ''],
    js: ['chain', 'if (region === 0) return -BROKEN_ADDRESS;', ''],
  },
  {
    name: 'chain/the byte behind a region is in it',
    suite: [END, 'VQ-4 a buffer over adjacent regions'],
    wasm: [
      'regions',
      'if (at < load<u64>(region, REGION_SIZE_LO)) return region;',
      'if (at <= load<u64>(region, REGION_SIZE_LO)) return region;',
    ],
    js: [
      'regions',
      'return offset < regionBytes(u32, region) ? offset : -1;',
      'return offset <= regionBytes(u32, region) ? offset : -1;',
    ],
  },
  {
    name: 'chain/the last region is not looked at',
    suite: [
      'BG-10 a region above 4 GiB',
      'VQ-4 a buffer over adjacent regions',
      'memory that grows',
    ],
    wasm: [
      'regions',
      'for (let left = load<u32>(table, REGIONS_COUNT); left != 0; --left) {',
      'for (let left = load<u32>(table, REGIONS_COUNT); left > 1; --left) {',
    ],
    js: [
      'regions',
      'for (let i = 0; i < count; i++, region',
      'for (let i = 1; i < count; i++, region',
    ],
  },
  {
    name: 'chain/a buffer goes on in no region',
    suite: 'VQ-4 a buffer over adjacent regions',
    wasm: ['detour', '<u32>min(<u64>length, load<u64>(region, REGION_SIZE_LO) - at)', 'length'],
    js: ['chain', 'Math.min(left, regionBytes(u32, region) - offset)', 'left'],
  },
  {
    name: 'chain/2^64 is 0',
    suite: 'BG-10 a buffer at the very top',
    wasm: ['detour', 'if (address == 0 && length != 0) return BROKEN_ADDRESS;', ''],
    js: ['chain', 'if (hi === 0) return -BROKEN_ADDRESS;', ''],
  },
  {
    name: 'chain/where RAM lies does not count',
    suite: 'VQ-4 a buffer over adjacent regions',
    wasm: [
      'detour',
      '<u32>at + load<u32>(region, REGION_OFFSET)',
      '<u32>at + load<u32>(region, REGION_GUEST_LO)',
    ],
    js: ['chain', 'regionStart(u32, region) + offset', 'lo'],
  },
  {
    name: 'chain/a table not negotiated, the fast way',
    only: 'the fast way of wasm leaves tables to the other',
    suite: 'BG-9 an indirect table that was not negotiated',
    js: ['near', 'if (!tables || (tail', 'if ((tail'],
  },
  {
    name: 'chain/a table with a next, the fast way',
    only: 'the fast way of wasm leaves tables to the other',
    suite: 'BG-9 an indirect table that was not negotiated',
    js: ['near', '!tables || (tail & F_NEXT) !== 0 || ', '!tables || '],
  },
  {
    name: 'chain/half a descriptor, the fast way',
    only: 'the fast way of wasm leaves tables to the other',
    suite: 'BG-8 an indirect table is a multiple of 16',
    js: ['near', '| (length & 15)) !== 0)', '| (length & 7)) !== 0)'],
  },
  {
    name: 'chain/a misaligned table, the fast way',
    only: 'the fast way of wasm leaves tables to the other',
    suite: 'BG-8 a misaligned table is read where it lies',
    js: ['near', '((table & 3) | (length & 15)) !== 0)', '(length & 15) !== 0)'],
  },
  {
    name: 'chain/a table twice, the fast way',
    only: 'the fast way of wasm leaves tables to the other',
    suite: 'BG-9 a good table inside a good table',
    js: ['near', '      tables = false;\n', ''],
  },
  {
    name: 'chain/1025 segments, the fast way',
    only: 'the fast way of wasm ends with each block',
    suite: 'BG-11 VQ-4 1024 segments are a chain',
    js: ['near', ' || count === MAX) return false;', ') return false;'],
  },
  {
    name: 'chain/2 GiB, the fast way',
    only: 'the fast way of wasm has u64',
    suite: 'BG-11 a chain is shorter than 4 GiB',
    js: ['near', 'if (total > 0x7fffffff) return false;', ''],
  },
];
