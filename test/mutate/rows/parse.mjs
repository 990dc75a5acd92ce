/** virtio-blk requests: header in front, status byte behind, in any framing (BL-1, BG-12, BG-15). */
const SPLIT = 'BL-1 a header split in two';
const FIELDS = 'BL-1 header, data and status in three';

export const parse = [
  {
    name: 'parse/15 bytes are a header',
    suite: 'BG-12 16 readable bytes',
    wasm: [
      'blk',
      'if (readable < <u32>VIRTIO_BLK_OUTHDR_SIZE || ',
      'if (readable < <u32>VIRTIO_BLK_OUTHDR_SIZE - 1 || ',
    ],
    js: ['blk', 'u32[record + OUT_BYTES]! < HEADER;', 'u32[record + OUT_BYTES]! < HEADER - 1;'],
  },
  {
    name: 'parse/16 bytes are no header',
    suite: 'BG-12 16 readable bytes',
    wasm: [
      'blk',
      'if (readable < <u32>VIRTIO_BLK_OUTHDR_SIZE || ',
      'if (readable <= <u32>VIRTIO_BLK_OUTHDR_SIZE || ',
    ],
    js: ['blk', 'u32[record + OUT_BYTES]! < HEADER;', 'u32[record + OUT_BYTES]! <= HEADER;'],
  },
  {
    name: 'parse/no writable part',
    suite: 'BG-12 a request without a readable or without a writable',
    wasm: ['blk', ' || !writable) return BROKEN_HEADERS;', ') return BROKEN_HEADERS;'],
    js: ['blk', 'if (noHeader || u32[record + IN_COUNT] === 0) return', 'if (noHeader) return'],
  },
  {
    name: 'parse/no readable part',
    suite: 'BG-12 a request without a readable or without a writable',
    wasm: ['blk', 'if (readable < <u32>VIRTIO_BLK_OUTHDR_SIZE || ', 'if ('],
    js: ['blk', 'if (noHeader || u32', 'if (u32'],
  },
  {
    name: 'parse/a split header is not gathered',
    suite: SPLIT,
    wasm: [
      'blk',
      'SEGMENT_LENGTH) >= <u32>VIRTIO_BLK_OUTHDR_SIZE) {',
      'SEGMENT_LENGTH) >= <u32>VIRTIO_BLK_OUTHDR_SIZE - 1) {',
    ],
    js: ['blk', ' && u32[first + 1]! >= HEADER) {', ' && u32[first + 1]! >= HEADER - 4) {'],
  },
  {
    name: 'parse/a header at any address',
    suite: 'BL-1 header and data in one descriptor',
    wasm: [
      'blk',
      'load<u32>(first, BLOCK_FIRST + SEGMENT_ADDRESS);',
      'load<u32>(first, BLOCK_FIRST + SEGMENT_ADDRESS) & ~3;',
    ],
    js: ['blk', 'if ((address & 3) === 0 && u32', 'if (u32'],
  },
  {
    name: 'parse/a second block of header bytes',
    suite: 'BL-1 a header of sixteen descriptors',
    wasm: ['blk', 'block = load<u32>(block, BLOCK_NEXT);', ''],
    js: ['blk', 'block = u32[block + NEXT]! >>> 2;', ''],
  },
  {
    name: 'parse/gathered header the wrong way round',
    suite: SPLIT,
    wasm: ['blk', 'if (n < <u32>HEADER_SECTOR) low', 'if (n >= <u32>HEADER_SECTOR) low'],
    js: ['blk', 'v.scratch8[copied++] =', 'v.scratch8[copied++ ^ 8] ='],
  },
  {
    name: 'parse/a gathered header begins in each segment at its end',
    suite: SPLIT,
    wasm: ['blk', '      used = 0;\n', ''],
    js: ['blk', 'v.ram8[address + k]!', 'v.ram8[address + copied]!'],
  },
  {
    name: 'parse/a sector of 32 bits',
    suite: FIELDS,
    wasm: [
      'blk',
      'store<u64>(record, load<u64>(header, HEADER_SECTOR), RECORD_SECTOR_LO);',
      'store<u64>(record, <u64>load<u32>(header, HEADER_SECTOR), RECORD_SECTOR_LO);',
    ],
    js: ['blk', 'u32[record + SECTOR_HI] = words[at + 3]!;', 'u32[record + SECTOR_HI] = 0;'],
  },
  {
    name: 'parse/the sector is the priority',
    suite: FIELDS,
    wasm: ['blk', 'const HEADER_SECTOR = 8;', 'const HEADER_SECTOR = 4;'],
    js: [
      'blk',
      'u32[record + SECTOR_LO] = words[at + 2]!;',
      'u32[record + SECTOR_LO] = words[at + 1]!;',
    ],
  },
  {
    name: 'parse/no type',
    suite: FIELDS,
    wasm: ['blk', 'store<u32>(record, load<u32>(header), RECORD_TYPE);', ''],
    js: ['blk', 'u32[record + TYPE] = words[at]!;', ''],
  },
  {
    name: 'parse/status behind the last byte',
    suite: FIELDS,
    wasm: ['blk', 'load<u32>(last, SEGMENT_LENGTH) - 1;', 'load<u32>(last, SEGMENT_LENGTH);'],
    js: ['blk', 'u32[last]! + u32[last + 1]! - 1;', 'u32[last]! + u32[last + 1]!;'],
  },
  {
    name: 'parse/status in the first byte of the last segment',
    suite: 'BL-1 the status in the last byte',
    wasm: [
      'blk',
      'load<u32>(last, SEGMENT_ADDRESS) + load<u32>(last, SEGMENT_LENGTH) - 1;',
      'load<u32>(last, SEGMENT_ADDRESS);',
    ],
    js: ['blk', 'u32[last]! + u32[last + 1]! - 1;', 'u32[last]!;'],
  },
  {
    name: 'parse/status in the last segment but one',
    suite: 'BL-1 the status in the last byte',
    wasm: ['scatter', 'cursor - SEGMENT_SIZE, writable);', 'cursor - 2 * SEGMENT_SIZE, writable);'],
    js: ['blk', 'const last = v.at - 2;', 'const last = v.at - 4;'],
  },
  {
    name: 'parse/status is OK until somebody says otherwise',
    suite: FIELDS,
    wasm: [
      'blk',
      'store<u32>(record, VIRTIO_BLK_S_IOERR, RECORD_STATUS);',
      'store<u32>(record, 0, RECORD_STATUS);',
    ],
    js: ['blk', 'u32[record + STATUS] = IOERR;', 'u32[record + STATUS] = 0;'],
  },
  {
    name: 'parse/no epoch',
    suite: FIELDS,
    wasm: ['blk', 'store<u32>(record, load<u32>(queue, QUEUE_EPOCH), RECORD_EPOCH);', ''],
    js: ['blk', 'u32[record + OF_EPOCH] = u32[q + EPOCH]!;', ''],
  },
  {
    name: 'parse/a raw pop asks for headers',
    suite: 'BG-12 a raw pop',
    wasm: ['index', 'return pop(queue, max, false);', 'return pop(queue, max, true);'],
    js: ['split', '  if (!blk) return 0;\n', ''],
  },
];
