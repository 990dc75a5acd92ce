/** virtio-scsi commands in the engine (SC-12, SC-13, SC-20, SC-21, BG-13, BG-15, BG-18, VQ-6). */
const FIELDS = 'SC-12 header, response and data in three descriptors';
const SIZES = 'SC-21 the CDB has the size';
const HEADER = 'BG-13 a whole header is one';
const ROOM = 'BG-13 a response has room';
const BATCH = 'BG-13 three good and a bad one';
const PADDED = 'SC-20 padded';
const SPLIT = '2.7.4 a header split in two';
const ANSWER = 'SC-12 a response in one descriptor';
const ANSWER_SPLIT = '2.7.4 a response split in two';
const SENSE = 'SC-12 sense is cut';
const USED = 'VQ-6 data-in count as used';
const STRAY = 'VQ-5 a head that is not in flight gets no response';
const RESTORE = 'VM-9 a restored request is what pop';
const RESTORE_BAD = 'VM-9 BG-13 a restored request with a short header';
const COMMANDS = 'READ and WRITE of 6, 10, 12 and 16 bytes';
const FLAGS = 'SD-1 protection, FUA, group and control';
const EXTENT = 'SD-1 only within the disk';
const SEGMENT = 'only data that are a segment of their own';
const ENDED = 'SC-12 BB-27 rows that succeeded';
const GOOD = 'VQ-6 BB-27 of a write nothing but the response';

export const scsiEngine = [
  {
    name: 'scsi/a header one byte short',
    suite: HEADER,
    wasm: ['scsi', 'if (readable < header ||', 'if (readable + 1 < header ||'],
    js: ['scsi', 'if (readable < header ||', 'if (readable + 1 < header ||'],
  },
  {
    name: 'scsi/a header and no more is refused',
    suite: HEADER,
    wasm: ['scsi', 'if (readable < header ||', 'if (readable <= header ||'],
    js: ['scsi', 'if (readable < header ||', 'if (readable <= header ||'],
  },
  {
    name: 'scsi/a response one byte short',
    suite: ROOM,
    wasm: ['scsi', '|| writable < room) return', '|| writable + 1 < room) return'],
    js: ['scsi', '|| writable < room) return', '|| writable + 1 < room) return'],
  },
  {
    name: 'scsi/a response and no more is refused',
    suite: ROOM,
    wasm: ['scsi', '|| writable < room) return', '|| writable <= room) return'],
    js: ['scsi', '|| writable < room) return', '|| writable <= room) return'],
  },
  {
    name: 'scsi/a bad request and those behind it stay popped',
    suite: BATCH,
    wasm: ['scsi', '    queueUnpop(queue, popped - n);\n', ''],
    js: ['scsi', '    queueUnpop(v, queue, popped - n);\n', ''],
  },
  {
    name: 'scsi/only the bad request is given back',
    suite: BATCH,
    wasm: ['scsi', 'queueUnpop(queue, popped - n);', 'queueUnpop(queue, 1);'],
    js: ['scsi', 'queueUnpop(v, queue, popped - n);', 'queueUnpop(v, queue, 1);'],
  },
  {
    name: 'scsi/a bad request does not break the queue',
    suite: BATCH,
    wasm: ['scsi', '    queueBreak(queue, BROKEN_HEADERS);\n    return n', '    return n'],
    js: ['scsi', '    queueBreak(v, queue, BROKEN_HEADERS);\n    return n', '    return n'],
  },
  {
    name: 'scsi/the good requests before a bad one are lost',
    suite: BATCH,
    wasm: ['scsi', 'return n ? n : POP_BROKEN;', 'return POP_BROKEN;'],
    js: ['scsi', 'return n === 0 ? POP_BROKEN : n;', 'return POP_BROKEN;'],
  },
  {
    name: 'scsi/a split header is not gathered',
    suite: SPLIT,
    wasm: ['scsi', 'load<u32>(first, SEGMENT_LENGTH) >= KEPT) {', 'true) {'],
    js: ['scsi', '&& u32[first + 1]! >= KEPT &&', '&&'],
  },
  {
    name: 'scsi/a CDB longer than the configuration says',
    suite: SIZES,
    wasm: ['scsi', 'if (cdbSize >= <u32>SCSI_CDB_BYTES && ', 'if ('],
    js: ['scsi', 'if (cdbSize >= CDB_BYTES && ', 'if ('],
  },
  {
    name: 'scsi/the rest of an earlier CDB',
    suite: SIZES,
    wasm: ['scsi', '    memory.fill(row, 0, KEPT);\n', ''],
    js: ['scsi', '    v.u8.fill(0, at, at + KEPT);\n', ''],
  },
  {
    name: 'historic bug 25/more of a CDB is kept than there is room for',
    suite: 'historic bug 25 BG-18 a CDB that is longer than its row',
    wasm: ['scsi', 'row, min(header, KEPT));', 'row, header);'],
    js: ['scsi', 'Math.min(header, KEPT)', 'header'],
  },
  {
    name: 'scsi/a header at any address',
    only: 'wasm loads and stores words at any address',
    suite: '2.7.4 a header at any address',
    js: ['scsi', ' && (address & 3) === 0) {', ') {'],
  },
  {
    name: 'scsi/the byte behind a CDB',
    only: 'wasm copies no whole word there',
    suite: FIELDS,
    js: ['scsi', 'words[at + (KEPT >>> 2)]! & 0xff_ffff', 'words[at + (KEPT >>> 2)]!'],
  },
  {
    name: 'scsi/the end of a CDB',
    suite: FIELDS,
    wasm: ['scsi', '  store<u32>(row, load<u32>(header, 47), 47);\n', ''],
    js: ['scsi', '  u32[row + (KEPT >>> 2)] = words[at + (KEPT >>> 2)]! & 0xff_ffff;\n', ''],
  },
  {
    name: 'scsi/data begin with the second descriptor always',
    suite: PADDED,
    wasm: ['scsi', 'if (load<u32>(queue, QUEUE_FEATURES) & QUEUE_F_PADDED) {', 'if (true) {'],
    js: ['scsi', 'if ((u32[q + FEATURES]! & PADDED) !== 0) {', 'if (q > 0) {'],
  },
  {
    name: 'scsi/data begin behind the header always',
    suite: PADDED,
    wasm: ['scsi', 'if (load<u32>(queue, QUEUE_FEATURES) & QUEUE_F_PADDED) {', 'if (false) {'],
    js: ['scsi', 'if ((u32[q + FEATURES]! & PADDED) !== 0) {', 'if (q < 0) {'],
  },
  {
    name: 'scsi/data begin inside a header that is in pieces',
    suite: PADDED,
    wasm: ['scsi', 'header = max(header, load<u32>(first', 'header = (load<u32>(first'],
    js: ['scsi', 'header = Math.max(header, u32[first + 1]!);', 'header = u32[first + 1]!;'],
  },
  {
    name: 'scsi/GOOD until somebody says otherwise',
    suite: FIELDS,
    wasm: ['scsi', 'store<u32>(response, FAILURE,', 'store<u32>(response, 0,'],
    js: ['scsi', 'u32[response + QUALIFIER] = FAILURE;', 'u32[response + QUALIFIER] = 0;'],
  },
  {
    name: 'scsi/no epoch',
    suite: FIELDS,
    wasm: ['scsi', '  store<u32>(record, load<u32>(queue, QUEUE_EPOCH), RECORD_EPOCH);\n', ''],
    js: ['scsi', '  u32[record + OF_EPOCH] = u32[q + EPOCH]!;\n', ''],
  },
  {
    name: 'scsi/a response in pieces is written in one',
    suite: ANSWER_SPLIT,
    wasm: ['scsi', '|| short) {', '&& short) {'],
    js: ['scsi', '|| u32[segment + 1]! < RESPONSE_HEADER ||', '||'],
  },
  {
    name: 'scsi/a response at any address',
    only: 'wasm loads and stores words at any address',
    suite: ANSWER,
    js: ['scsi', ' || (address & 3) !== 0) {', ') {'],
  },
  {
    name: 'scsi/no residual',
    suite: ANSWER,
    wasm: [
      'scsi',
      'store<u32>(at, load<u32>(response, SCSI_RESPONSE_RESIDUAL),',
      'store<u32>(at, 0,',
    ],
    js: ['scsi', 'v.ram32[at + 1] = u32[response + RESIDUAL]!;', 'v.ram32[at + 1] = 0;'],
  },
  {
    name: 'scsi/more sense than the driver asked for',
    suite: SENSE,
    wasm: [
      'scsi',
      'min<u32>(load<u32>(request, SCSI_REQUEST_SENSE_SIZE), SCSI_SENSE_BYTES)',
      '<u32>SCSI_SENSE_BYTES',
    ],
    js: ['scsi', 'u32[request + SENSE_SIZE]!, SCSI_SENSE_BYTES', 'SCSI_SENSE_BYTES'],
  },
  {
    name: 'scsi/more sense than there is',
    suite: SENSE,
    wasm: ['scsi', 'SCSI_REQUEST_SENSE_SIZE), SCSI_SENSE_BYTES)', 'SCSI_REQUEST_SENSE_SIZE), 64)'],
    js: ['scsi', 'u32[request + SENSE_SIZE]!, SCSI_SENSE_BYTES', 'u32[request + SENSE_SIZE]!'],
  },
  {
    name: 'scsi/data counted behind a gap',
    suite: USED,
    wasm: ['scsi', 'if (length == room) length +=', 'if (true) length +='],
    js: ['scsi', 'length === room ? length +', 'length > 0 ? length +'],
  },
  {
    name: 'scsi/data never counted',
    suite: USED,
    wasm: ['scsi', 'if (length == room) length +=', 'if (false) length +='],
    js: ['scsi', 'length === room ? length +', 'length < 0 ? length +'],
  },
  {
    name: 'scsi/a response for a head that is not in flight',
    suite: STRAY,
    wasm: ['scsi', 'if (inFlight(queue, head)) writeResponse', 'if (head < 16) writeResponse'],
    js: ['scsi', 'head >= capacity || u32[record + STATE] !== IN_FLIGHT', 'head >= capacity'],
  },
  {
    name: 'scsi/responses of a broken queue',
    suite: BATCH,
    wasm: ['scsi', '  if (!usable(queue)) return;\n', ''],
    js: ['scsi', '  if (isUsable(v, queue)) {', '  if (isUsable(v, queue) || queue) {'],
  },
  {
    name: 'scsi/a restored request has no header',
    suite: RESTORE,
    wasm: [
      'restore',
      ' || readHeader(queue, head, cdbSize, senseSize)) return',
      ' || cdbSize) return',
    ],
    js: [
      'scsi',
      ' || readHeader(v, queue, head, cdbSize, senseSize)) return',
      ' || cdbSize) return',
    ],
  },
  {
    name: 'scsi/a restored request that is bad stays',
    suite: RESTORE_BAD,
    wasm: ['restore', '  queueDetach(queue, head);\n', ''],
    js: ['scsi', '  queueDetach(v, queue, head);\n', ''],
  },
  {
    name: 'scsi-plain/another unit',
    suite: 'rows end before another unit or direction',
    wasm: ['scsi-plain', '  if (load<u32>(request) != lun) return false;\n', ''],
    js: ['scsi-plain', '    if (u32[request >>> 2] !== lun >>> 0) break;\n', ''],
  },
  {
    name: 'scsi-plain/bits of a command that are not plain',
    suite: FLAGS,
    wasm: ['scsi-plain', 'let odd = <u32>load<u8>(cdb, 1) & ~SCSI_DPO;', 'let odd: u32 = 0;'],
    js: ['scsi-plain', '  if ((flags & ~CACHE_HINT) !== 0) return -1;\n', ''],
  },
  {
    name: 'scsi-plain/a cache hint is not plain',
    suite: FLAGS,
    wasm: ['scsi-plain', 'load<u8>(cdb, 1) & ~SCSI_DPO;', 'load<u8>(cdb, 1);'],
    js: ['scsi-plain', '(flags & ~CACHE_HINT) !== 0', 'flags !== 0'],
  },
  {
    name: 'scsi-plain/group and control of READ (10)',
    suite: FLAGS,
    wasm: ['scsi-plain', '    odd |= load<u8>(cdb, 6) | load<u8>(cdb, 9);\n', ''],
    js: ['scsi-plain', '    if ((u8[cdb + 6]! | u8[cdb + 9]!) !== 0) return -1;\n', ''],
  },
  {
    name: 'scsi-plain/READ (6) of no blocks',
    suite: 'SD-1 a length of 0 is 256 blocks',
    wasm: ['scsi-plain', 'blocks = length ? length : 256;', 'blocks = length;'],
    js: ['scsi-plain', 'u8[cdb + 4]! || 256;', 'u8[cdb + 4]!;'],
  },
  {
    name: 'scsi-plain/21 bits of an address',
    suite: COMMANDS,
    wasm: ['scsi-plain', '& 0x1fffff;', '& 0xffff;'],
    js: ['scsi-plain', '& 0x1f_ffff;', '& 0xffff;'],
  },
  {
    name: 'scsi-plain/one block behind the disk',
    suite: EXTENT,
    wasm: ['scsi-plain', 'if (lba > capacity - blocks)', 'if (lba > capacity - blocks + 1)'],
    js: ['scsi-plain', 'if (lba > capacity - blocks)', 'if (lba > capacity - blocks + 1)'],
  },
  {
    name: 'scsi-plain/addresses in sectors',
    suite: EXTENT,
    wasm: ['scsi-plain', 'lba << (shift - SECTOR_SHIFT), load', 'lba, load'],
    js: ['scsi-plain', 'lba * perBlock', 'lba'],
  },
  {
    name: 'scsi-plain/more data than the command moves',
    suite: 'SC-13 only as many bytes of data',
    wasm: ['scsi-plain', 'if (blocks << shift != bytes)', 'if (blocks << shift > bytes)'],
    js: ['scsi-plain', 'if (blocks * block !== bytes ||', 'if (blocks * block > bytes ||'],
  },
  {
    name: 'scsi-plain/data for the other direction',
    suite: 'SC-12 no data for the other direction',
    wasm: ['scsi-plain', 'if (odd | (out ? inBytes : outBytes)) return', 'if (odd) return'],
    js: ['scsi-plain', 'return outBytes === 0 ? inBytes : -1;', 'return inBytes;'],
  },
  {
    name: 'scsi-plain/data in the segment of the response',
    suite: SEGMENT,
    wasm: [
      'scsi-plain',
      '  if (load<u32>(segment, SEGMENT_LENGTH) != all - bytes) return 0;\n',
      '',
    ],
    js: ['scsi-plain', '  if (u32[segment + 1] !== all - bytes) return 0;\n', ''],
  },
  {
    name: 'scsi-plain/data in two segments',
    suite: SEGMENT,
    wasm: [
      'scsi-plain',
      'SEGMENT_SIZE + SEGMENT_LENGTH) == bytes ?',
      'SEGMENT_SIZE + SEGMENT_LENGTH) ?',
    ],
    js: ['scsi-plain', 'u32[segment + 3] === bytes ?', 'u32[segment + 3] ?'],
  },
  {
    name: 'scsi-plain/writes to a read-only disk',
    suite: 'SD-10 nothing without medium',
    wasm: [
      'scsi-plain',
      'out ? BACKEND_F_NO_MEDIUM | BACKEND_F_READ_ONLY :',
      'out ? BACKEND_F_NO_MEDIUM :',
    ],
    js: [
      'scsi-plain',
      'out ? BACKEND_F_NO_MEDIUM | BACKEND_F_READ_ONLY :',
      'out ? BACKEND_F_NO_MEDIUM :',
    ],
  },
  {
    name: 'scsi-plain/an odd result is a good one',
    suite: ENDED,
    wasm: ['scsi-plain', '    if (load<f64>(row, PLAIN_RESULTS) != length) continue;\n', ''],
    js: ['scsi-plain', '    if (f64[table + RESULTS + i] !== length) continue;\n', ''],
  },
  {
    name: 'scsi-plain/sense and residual of earlier',
    suite: GOOD,
    wasm: ['scsi-plain', '    store<u64>(response, 0);\n', ''],
    js: ['scsi-plain', '    u32[response] = 0;\n', ''],
  },
  {
    name: 'scsi-plain/FAILURE as pop left it',
    suite: ENDED,
    wasm: [
      'scsi-plain',
      '    store<u32>(response, 0, SCSI_RESPONSE_QUALIFIER); // OK and GOOD\n',
      '',
    ],
    js: [
      'scsi-plain',
      '    u32[response + (SCSI_RESPONSE_QUALIFIER >>> 2)] = 0; // OK and GOOD\n',
      '',
    ],
  },
  {
    name: 'scsi-plain/bytes of data-in that were written',
    suite: ENDED,
    wasm: [
      'scsi-plain',
      'load<u32>(request, SCSI_REQUEST_IN_BYTES), RECORD_WRITTEN);',
      '0, RECORD_WRITTEN);',
    ],
    js: ['scsi-plain', '+ WRITTEN] = u32[request + DATA_IN]!;', '+ WRITTEN] = 0;'],
  },
];

/** The initiator. */
const GUEST = 'guest/scsi.test.ts';

export const scsiGuest = [
  {
    name: 'scsi guest/CDBs of the size that the driver thinks',
    noticed: { [GUEST]: 'SC-21 CDB and sense have the sizes' },
    breaks: ['guest/scsi', '      cdb: this.cdbSize,\n', '      cdb: 32,\n'],
  },
  {
    name: 'scsi guest/event buffers are not given back',
    noticed: { [GUEST]: 'SC-18 events are told' },
    breaks: ['guest/scsi-events', '    if (this.refill) {', '    if (!this.refill) {'],
  },
  {
    name: 'scsi guest/the upper half of a tag',
    noticed: { [GUEST]: 'SC-14 task management on the control queue' },
    breaks: ['guest/scsi', 'Math.floor(tag / 2 ** 32)]', '0]'],
  },
];
