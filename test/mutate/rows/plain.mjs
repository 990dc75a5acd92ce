/** Plain requests collected and ended in the engine (BL-4 to BL-6, VQ-6, BB-27). */
const INSIDE = 'BL-4 only within the disk';
const SEGMENT = 'only data that lies in one segment';
const NEIGHBOURS = 'BL-6 says whether one begins where another ends';
const ENDED = 'VQ-6 rows that succeeded end with OK';
const WRITTEN = 'VQ-6 BB-27 of a write only the status byte';

export const plain = [
  {
    name: 'plain/one sector behind the disk',
    suite: INSIDE,
    wasm: ['plain', 'if (sector > capacity - sectors)', 'if (sector > capacity - sectors + 1)'],
    js: ['plain', 'sector <= capacity - bytes', 'sector <= capacity + 1 - bytes'],
  },
  {
    name: 'plain/parts of a logical block',
    suite: INSIDE,
    wasm: ['plain', '(bytes | <u32>sector << SECTOR_SHIFT) & (block - 1)', 'bytes & 511'],
    js: ['plain', '((bytes | (lo << SECTOR_SHIFT)) & (block - 1)) !== 0', '(bytes & 511) !== 0'],
  },
  {
    name: 'plain/writes to a read-only disk',
    suite: 'BL-5 no writes to a read-only disk',
    wasm: ['plain', 'if (out && load<u32>(backend, BACKEND_FLAGS)', 'if (load<u32>(backend, 0)'],
    js: ['plain', '& BACKEND_F_READ_ONLY) !== 0) return 0;', '& 0) !== 0) return 0;'],
  },
  {
    name: 'plain/data beyond its segment',
    suite: SEGMENT,
    wasm: ['plain', 'if (load<u32>(segment, SEGMENT_LENGTH) < bytes) return false;', ''],
    js: ['plain', 'segment === 0 || u32[segment + 1]! < bytes', 'segment === 0'],
  },
  {
    name: 'plain/data in the header of a write',
    suite: SEGMENT,
    wasm: ['plain', 'SEGMENT_LENGTH) == VIRTIO_BLK_OUTHDR_SIZE ?', 'SEGMENT_LENGTH) ?'],
    js: ['plain', 'u32[first + 1] === HEADER ?', 'u32[first + 1] ?'],
  },
  {
    name: 'plain/no neighbours',
    suite: NEIGHBOURS,
    wasm: ['plain', 'PLAIN_OFFSETS) == offset) return true;', 'PLAIN_OFFSETS) == offset) break;'],
    js: ['plain', '=== end) return true;', '=== end) break;'],
  },
  {
    name: 'plain/an odd result is a good one',
    suite: ENDED,
    wasm: ['plain', 'if (load<f64>(row, PLAIN_RESULTS) != length) continue;', ''],
    js: ['plain', 'if (f64[table + RESULTS + i] !== length) continue;', ''],
  },
  {
    name: 'plain/used length of a write',
    suite: WRITTEN,
    wasm: ['plain', 'out ? u32(inBytes == 1) : inBytes', 'inBytes'],
    js: ['plain', 'out && inBytes > 1 ? 0 : inBytes', 'inBytes'],
  },
  {
    name: 'plain/bytes of a figure',
    suite: WRITTEN,
    wasm: ['plain', 'bytes += <u64>length;', 'bytes = <u64>length;'],
    js: ['plain', 'bytes += length;', 'bytes = length;'],
  },
];
