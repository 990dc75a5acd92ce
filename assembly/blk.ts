// virtio-blk requests (VIRTIO 1.3, 5.2.6): a 16-byte header in the first readable bytes, a status
// byte in the last writable one, in any framing (2.7.4).

import {
  BLOCK_FIRST, BLOCK_NEXT, BLOCK_SEGMENTS, BROKEN_HEADERS, QUEUE_EPOCH, QUEUE_FREE, RECORD_EPOCH,
  RECORD_OUT_BYTES, RECORD_SECTOR_LO, RECORD_STATUS, RECORD_STATUS_AT, RECORD_TYPE, SEGMENT_ADDRESS,
  SEGMENT_LENGTH,
} from "../src/layout";
import { VIRTIO_BLK_OUTHDR_SIZE, VIRTIO_BLK_S_IOERR } from "../src/spec";
import { segmentIn } from "./blocks";

const HEADER_SECTOR = 8;

/**
 * Copies the header of a chain into its record, once: what the guest writes there later is not seen
 * (BG-15). The chain lies at the head of the free list, `last` is its last segment; the record has
 * its readable bytes. Returns 0 or BROKEN_HEADERS.
 */
// @ts-ignore: decorator
@inline
export function parseRequest(queue: u32, record: u32, last: u32, writable: u32): u32 {
  const readable = load<u32>(record, RECORD_OUT_BYTES);
  if (readable < <u32>VIRTIO_BLK_OUTHDR_SIZE || !writable) return BROKEN_HEADERS;
  const first = load<u32>(queue, QUEUE_FREE);
  if (load<u32>(first, BLOCK_FIRST + SEGMENT_LENGTH) >= <u32>VIRTIO_BLK_OUTHDR_SIZE) {
    const header = load<u32>(first, BLOCK_FIRST + SEGMENT_ADDRESS);
    store<u32>(record, load<u32>(header), RECORD_TYPE);
    store<u64>(record, load<u64>(header, HEADER_SECTOR), RECORD_SECTOR_LO);
  } else gatherHeader(record, first);
  const status = load<u32>(last, SEGMENT_ADDRESS) + load<u32>(last, SEGMENT_LENGTH) - 1;
  store<u32>(record, status, RECORD_STATUS_AT);
  store<u32>(record, VIRTIO_BLK_S_IOERR, RECORD_STATUS);
  store<u32>(record, load<u32>(queue, QUEUE_EPOCH), RECORD_EPOCH);
  return 0;
}

/** A header in pieces, byte by byte. It may take 16 segments and so reach a second block. */
function gatherHeader(record: u32, first: u32): void {
  let low: u64 = 0;
  let sector: u64 = 0;
  let block = first;
  let place: u32 = 0;
  let segment = segmentIn(block, place);
  let used: u32 = 0;
  for (let n: u32 = 0; n < <u32>VIRTIO_BLK_OUTHDR_SIZE; ++n) {
    while (used == load<u32>(segment, SEGMENT_LENGTH)) {
      used = 0;
      if (++place == BLOCK_SEGMENTS) {
        place = 0;
        block = load<u32>(block, BLOCK_NEXT);
      }
      segment = segmentIn(block, place);
    }
    const byte = <u64>load<u8>(load<u32>(segment, SEGMENT_ADDRESS) + used++);
    const shift = <u64>((n & 7) << 3);
    if (n < <u32>HEADER_SECTOR) low |= byte << shift;
    else sector |= byte << shift;
  }
  store<u32>(record, <u32>low, RECORD_TYPE);
  store<u64>(record, sector, RECORD_SECTOR_LO);
}

/** Writes the status byte that the device decided on. */
// @ts-ignore: decorator
@inline
export function writeStatus(record: u32): void {
  store<u8>(load<u32>(record, RECORD_STATUS_AT), <u8>load<u32>(record, RECORD_STATUS));
}
