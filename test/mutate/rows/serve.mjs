/** Requests served from a cluster disk inside the engine (BL-2, BL-4, BL-5, VQ-6, BB-27). */
const END = 'BL-4 a request may end where the disk ends';
const BLOCK = 'BL-4 length and start are multiples';
const MOST = 'BL-4 a request has at most INT_MAX';
const LENGTH = 'VQ-6 used length: all of a read';
const LEFT = 'BL-2 the barrier bit of old drivers';

export const serve = [
  {
    name: 'serve/type with its barrier bit',
    suite: LEFT,
    wasm: [
      'serve',
      'load<u32>(record, RECORD_TYPE) & ~(<u32>VIRTIO_BLK_T_BARRIER);',
      'load<u32>(record, RECORD_TYPE);',
    ],
    js: [
      'serve',
      'u32[record + (RECORD_TYPE >>> 2)]! & TYPE_MASK;',
      'u32[record + (RECORD_TYPE >>> 2)]!;',
    ],
  },
  {
    name: 'serve/any other type is a write',
    suite: LEFT,
    wasm: ['serve', '} else if (type == VIRTIO_BLK_T_OUT) {', '} else if (true) {'],
    js: ['serve', 'if (type !== VIRTIO_BLK_T_IN && type !== VIRTIO_BLK_T_OUT) return false;', ''],
  },
  {
    name: 'serve/one sector behind the disk',
    suite: END,
    wasm: ['serve', 'sectors <= capacity - sector;', 'sectors <= capacity - sector + 1;'],
    js: ['serve', 'sector <= capacity - sectors;', 'sector <= capacity - sectors + 1;'],
  },
  {
    name: 'serve/the last sector is refused',
    suite: END,
    wasm: ['serve', 'sectors <= capacity - sector;', 'sectors < capacity - sector;'],
    js: ['serve', 'sector <= capacity - sectors;', 'sector < capacity - sectors;'],
  },
  {
    name: 'serve/a start behind the disk',
    only: 'js compares numbers that may be negative',
    suite: ['BL-4 sector numbers near 2^64', END],
    wasm: ['serve', 'return sector <= capacity && sectors', 'return sectors'],
  },
  {
    name: 'serve/a sector of 32 bits',
    suite: ['BL-4 sector numbers near 2^64', 'BL-4 a capacity above 2^32'],
    wasm: [
      'serve',
      'const sector = load<u64>(record, RECORD_SECTOR_LO);',
      'const sector = <u64>load<u32>(record, RECORD_SECTOR_LO);',
    ],
    js: [
      'serve',
      'const sector = u32[record + (RECORD_SECTOR_HI >>> 2)]! * TWO_32 + sectorLo;',
      'const sector = sectorLo;',
    ],
  },
  {
    name: 'serve/a capacity of 32 bits',
    suite: 'BL-4 a capacity above 2^32',
    wasm: [
      'serve',
      'const capacity = load<u64>(backend, BACKEND_CAPACITY_LO);',
      'const capacity = <u64>load<u32>(backend, BACKEND_CAPACITY_LO);',
    ],
    js: ['serve', 'u32[(backend + BACKEND_CAPACITY_HI) >>> 2]! * TWO_32 +', ''],
  },
  {
    name: 'serve/more than INT_MAX',
    suite: MOST,
    wasm: [
      'serve',
      'sectors > REQUEST_SECTORS_MAX) return false;',
      'sectors > REQUEST_SECTORS_MAX + 1) return false;',
    ],
    js: ['serve', 'return sectors <= SECTORS_MAX && ', 'return sectors <= SECTORS_MAX + 1 && '],
  },
  {
    name: 'serve/INT_MAX is too much',
    suite: MOST,
    wasm: [
      'serve',
      'sectors > REQUEST_SECTORS_MAX) return false;',
      'sectors >= REQUEST_SECTORS_MAX) return false;',
    ],
    js: ['serve', 'return sectors <= SECTORS_MAX && ', 'return sectors < SECTORS_MAX && '],
  },
  {
    name: 'serve/part of a sector',
    suite: BLOCK,
    wasm: ['serve', 'if (bytes & (SECTOR_SIZE - 1) || sectors', 'if (sectors'],
    js: ['serve', 'if ((bytes & (SECTOR_SIZE - 1)) !== 0) return false;', ''],
  },
  {
    name: 'serve/part of a logical block',
    suite: BLOCK,
    wasm: ['serve', '(<u32>sectors % block != 0 || sector % block != 0)', '(sector % block != 0)'],
    js: ['serve', '(sectors % block !== 0 || sectorLo % block !== 0)', '(sectorLo % block !== 0)'],
  },
  {
    name: 'serve/start inside a logical block',
    suite: BLOCK,
    wasm: [
      'serve',
      '(<u32>sectors % block != 0 || sector % block != 0)',
      '(<u32>sectors % block != 0)',
    ],
    js: ['serve', '(sectors % block !== 0 || sectorLo % block !== 0)', '(sectors % block !== 0)'],
  },
  {
    name: 'serve/a read is not checked',
    suite: END,
    wasm: [
      'serve',
      'if (!inRange(record, inBytes - 1, backend)) return refuse(record, inBytes, lane);',
      '',
    ],
    js: [
      'serve',
      '!inRange(u32, record, backend, bytes)) {',
      '(out && !inRange(u32, record, backend, bytes))) {',
    ],
  },
  {
    name: 'serve/a write is not checked',
    suite: 'BL-4 sector numbers near 2^64',
    wasm: [
      'serve',
      'if (readOnly || !inRange(record, bytes, backend)) return',
      'if (readOnly) return',
    ],
    js: [
      'serve',
      '!inRange(u32, record, backend, bytes)) {',
      '(!out && !inRange(u32, record, backend, bytes))) {',
    ],
  },
  {
    name: 'serve/a read-only disk is written',
    suite: 'BL-5 a read-only disk refuses writes',
    wasm: ['serve', 'if (readOnly || !inRange', 'if (!inRange'],
    js: ['serve', 'if ((out && readOnly) || !inRange', 'if (!inRange'],
  },
  {
    name: 'serve/a refusal is not counted',
    suite: END,
    wasm: ['serve', 'load<u64>(lane, LANE_INVALID) + 1,', 'load<u64>(lane, LANE_INVALID),'],
    js: ['serve', 'countWords(u32, lane + LANE_INVALID, 1);', ''],
  },
  {
    name: 'serve/a refusal is OK',
    suite: END,
    wasm: [
      'serve',
      'store<u32>(record, VIRTIO_BLK_S_IOERR, RECORD_STATUS);',
      'store<u32>(record, VIRTIO_BLK_S_OK, RECORD_STATUS);',
    ],
    js: ['serve', 'status = VIRTIO_BLK_S_IOERR;', 'status = VIRTIO_BLK_S_OK;'],
  },
  {
    name: 'serve/success is no OK',
    suite: END,
    wasm: ['serve', '  store<u32>(record, VIRTIO_BLK_S_OK, RECORD_STATUS);', ''],
    js: ['serve', 'u32[record + (RECORD_STATUS >>> 2)] = status;', ''],
  },
  {
    name: 'serve/reads are not counted',
    suite: 'writes and reads through the ring',
    wasm: ['serve', 'count(lane, LANE_READ_OPS, LANE_READ_BYTES, inBytes - 1);', ''],
    js: ['serve', '(out ? LANE_WRITE_OPS : LANE_READ_OPS)', 'LANE_WRITE_OPS'],
  },
  {
    name: 'serve/bytes written are not counted',
    suite: 'writes and reads through the ring',
    wasm: [
      'serve',
      'count(lane, LANE_WRITE_OPS, LANE_WRITE_BYTES, bytes);',
      'count(lane, LANE_WRITE_OPS, LANE_WRITE_BYTES, 0);',
    ],
    js: ['serve', '(out ? LANE_WRITE_BYTES : LANE_READ_BYTES)', 'LANE_READ_BYTES'],
  },
  {
    name: 'serve/figures of 32 bits',
    suite: 'BB-27 figures carry',
    wasm: [
      'serve',
      'store<u64>(lane + bytes, load<u64>(lane + bytes) + length);',
      'store<u32>(lane + bytes, load<u32>(lane + bytes) + length);',
    ],
    js: ['count', 'if (sum >= CARRY) u32[hi]! += 1;', ''],
  },
  {
    name: 'serve/used length of a read without its status',
    suite: LENGTH,
    wasm: [
      'serve',
      'store<u32>(record, inBytes, RECORD_WRITTEN);',
      'store<u32>(record, inBytes - 1, RECORD_WRITTEN);',
    ],
    js: ['serve', 'const written = filled ? writable : ', 'const written = filled ? bytes : '],
  },
  {
    name: 'serve/used length of a write counts a gap',
    suite: LENGTH,
    wasm: [
      'serve',
      'store<u32>(record, u32(inBytes == 1), RECORD_WRITTEN);\n  } else',
      'store<u32>(record, 1, RECORD_WRITTEN);\n  } else',
    ],
    js: ['serve', 'writable === STATUS_BYTES ? STATUS_BYTES : 0;', 'STATUS_BYTES;'],
  },
  {
    name: 'serve/used length of a failed read',
    suite: LENGTH,
    wasm: [
      'serve',
      'store<u32>(record, u32(inBytes == 1), RECORD_WRITTEN);\n  store<u64>',
      'store<u32>(record, inBytes, RECORD_WRITTEN);\n  store<u64>',
    ],
    js: ['serve', 'const filled = !out && status === VIRTIO_BLK_S_OK;', 'const filled = !out;'],
  },
  {
    name: 'serve/header is written to the disk',
    suite: 'BL-1 header and data in one descriptor, data and status',
    wasm: ['serve', 'let skip: u32 = VIRTIO_BLK_OUTHDR_SIZE;', 'let skip: u32 = 0;'],
    js: ['serve', 'let skip = out ? VIRTIO_BLK_OUTHDR_SIZE : 0;', 'let skip = 0;'],
  },
  {
    name: 'serve/status counts as payload',
    suite: 'BL-1 header and data in one descriptor, data and status',
    wasm: [
      'serve',
      'if (!inRange(record, inBytes - 1, backend))',
      'if (!inRange(record, inBytes, backend))',
    ],
    js: ['serve', ': writable - STATUS_BYTES;', ': writable;'],
  },
  {
    name: 'serve/payload in one block of segments',
    suite: 'payload that begins in a second block',
    wasm: ['serve', 'let block = blockOf(record, first);', 'let block = blockOf(record, 0);'],
    js: [
      'serve',
      'let block = blockOf(u32, record, first);',
      'let block = blockOf(u32, record, 0);',
    ],
  },
  {
    name: 'serve/a write that finds no room is served',
    suite: 'a write that finds the arena empty is left',
    wasm: ['serve', 'if (!writeAll(record, disk)) return false;', 'writeAll(record, disk);'],
    js: ['serve', 'if (copied < piece) return false;', ''],
  },
  {
    name: 'serve/what is left stays where it was',
    suite: LEFT,
    wasm: ['serve', 'else store<u32>(batch + (left++ << 2), head);', 'else left++;'],
    js: ['serve', 'else u32[batch + left++] = head;', 'else left++;'],
  },
  {
    name: 'serve/what is left is turned round',
    suite: LEFT,
    wasm: [
      'serve',
      'const head = load<u32>(batch + (n << 2));',
      'const head = load<u32>(batch + ((count - 1 - n) << 2));',
    ],
    js: ['serve', 'const head = u32[batch + i]!;', 'const head = u32[batch + length - 1 - i]!;'],
  },
  {
    name: 'serve/batch keeps its old count',
    suite: LEFT,
    wasm: ['serve', 'store<u32>(queue, left, QUEUE_BATCH_COUNT);', ''],
    js: ['serve', 'u32[(queue + QUEUE_BATCH_COUNT) >>> 2] = left;', ''],
  },
  {
    name: 'serve/interrupt not told',
    suite: 'writes and reads through the ring',
    wasm: ['serve', 'result |= SERVE_INTERRUPT;', 'result |= 0;'],
    js: ['serve', 'result += SERVE_INTERRUPT;', 'result += 0;'],
  },
  {
    name: 'serve/interrupt for nothing',
    suite: ['nothing served, nothing said', 'requests popped before the queue broke'],
    wasm: ['serve', 'push(queue, served, true) == 1)', 'push(queue, served, true) >= 0)'],
    js: ['serve', 'push(v, queue, served, true) === 1)', 'push(v, queue, served, true) >= 0)'],
  },
  {
    name: 'serve/no gate',
    suite: 'a closed gate leaves all',
    wasm: [
      'serve',
      'if (!gateEnter(lane, backend, count)) return count | SERVE_WAKE;',
      'gateEnter(lane, backend, count);',
    ],
    js: [
      'serve',
      'if (gateEnter(v.i32, lane, backend, length) === 0) return length + SERVE_WAKE;',
      'gateEnter(v.i32, lane, backend, length);',
    ],
  },
  {
    name: 'serve/a closed gate wakes nobody',
    suite: 'a closed gate leaves all',
    wasm: ['serve', 'return count | SERVE_WAKE;', 'return count;'],
    js: ['serve', 'return length + SERVE_WAKE;', 'return length;'],
  },
  {
    name: 'serve/the last out wakes nobody',
    steps: 'a batch is served inside the gate',
    wasm: [
      'serve',
      'if (gateLeave(lane, backend, count)) result |= SERVE_WAKE;',
      'gateLeave(lane, backend, count);',
    ],
    js: [
      'serve',
      'if (gateLeave(v.i32, lane, backend, length) === 1) result += SERVE_WAKE;',
      'gateLeave(v.i32, lane, backend, length);',
    ],
  },
  {
    name: 'serve/only the served leave the gate',
    suite: ['a closed gate leaves all', 'what is left has left the gate'],
    wasm: [
      'serve',
      'if (gateLeave(lane, backend, count))',
      'if (gateLeave(lane, backend, served))',
    ],
    js: [
      'serve',
      'if (gateLeave(v.i32, lane, backend, length) === 1)',
      'if (gateLeave(v.i32, lane, backend, served) === 1)',
    ],
  },
  {
    name: 'serve/out of the gate before the answers',
    steps: 'a batch is served inside the gate',
    wasm: [
      'serve',
      `  if (served && push(queue, served, true) == 1) result |= SERVE_INTERRUPT;
  if (gateLeave(lane, backend, count)) result |= SERVE_WAKE;`,
      `  if (gateLeave(lane, backend, count)) result |= SERVE_WAKE;
  if (served && push(queue, served, true) == 1) result |= SERVE_INTERRUPT;`,
    ],
    js: [
      'serve',
      `  if (push(v, queue, served, true) === 1) result += SERVE_INTERRUPT;
  if (gateLeave(v.i32, lane, backend, length) === 1) result += SERVE_WAKE;`,
      `  if (gateLeave(v.i32, lane, backend, length) === 1) result += SERVE_WAKE;
  if (push(v, queue, served, true) === 1) result += SERVE_INTERRUPT;`,
    ],
  },
  {
    name: 'serve/without a medium',
    suite: 'without a disk or a medium',
    wasm: ['serve', ' || disk == 0 || empty) return count;', ' || disk == 0) return count;'],
    js: ['serve', '!== 0 && (flags & BACKEND_F_NO_MEDIUM) === 0;', '!== 0;'],
  },
  {
    name: 'serve/without a disk',
    suite: 'without a disk or a medium',
    wasm: ['serve', ' || disk == 0 || empty) return count;', ' || empty) return count;'],
    js: ['serve', 'v.u32[(backend + BACKEND_DISK) >>> 2] !== 0 && (flags', '(flags'],
  },
];
