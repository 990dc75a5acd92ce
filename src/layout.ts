// Every structure in shared memory: offsets and sizes in bytes, little-endian, 4-aligned.
//
// Compiled by tsc and by asc alike, hence untyped constants only. An "address" is an offset into
// the core's memory, 0 is null. "Lo/hi" is a u64 as two words. Who writes a field, and from which
// thread, stands beside it; "home" is the thread that serves the queue or context.

/** Count up whenever a structure below changes: a module and its memory must agree. */
export const ABI_VERSION = 1;

// ---- Core header: the first bytes of the first arena ------------------------------------------
//   0        4        8        12        16
//   | magic  |  abi   |  size  | waiters |
export const CORE_MAGIC = 0x6b6c6276; // "vblk"
export const CORE_HEADER_MAGIC = 0;
export const CORE_HEADER_ABI = 4;
/** Bytes of all structures together (`LAYOUT_SUM`): a second witness of the layout. */
export const CORE_HEADER_LAYOUT = 8;
/** How many waits for a condition are going on (QEMU: AioWait.num_waiters). Any thread. */
export const CORE_HEADER_WAITERS = 12;
export const CORE_HEADER_SIZE = 64;

// ---- Guest memory: a table of regions ---------------------------------------------------------
//   | count | pad | region 0 | region 1 | ...        sorted by guest address, disjoint
// Places behind the last region are zeroes: an engine may look there and finds nothing.
// A region: { guest address u64, size u64, core address of its first byte u32, pad u32 }.
// Main writes, and only while no queue is being served.
export const REGIONS_COUNT = 0;
export const REGIONS_FIRST = 8;
export const REGION_GUEST_LO = 0;
export const REGION_GUEST_HI = 4;
export const REGION_SIZE_LO = 8;
export const REGION_SIZE_HI = 12;
export const REGION_OFFSET = 16;
export const REGION_SIZE = 24;
/** A region's core address equals its guest address modulo this, so that alignment carries over. */
export const REGION_ALIGN = 4096;

// ---- Queue: one virtqueue, device side --------------------------------------------------------
export const QUEUE_DESC = 0; // core address of the descriptor table; latched at enable
export const QUEUE_AVAIL = 4;
export const QUEUE_USED = 8;
export const QUEUE_NUM = 12; // descriptors in the ring; a power of two
export const QUEUE_FEATURES = 16; // QUEUE_F_*
export const QUEUE_READY = 20; // 1 while the ring may be touched. Main
export const QUEUE_LAST_AVAIL = 24; // free-running u16: the next head to pop. Home
export const QUEUE_SHADOW_AVAIL = 28; // free-running u16: avail.idx as last read. Home
export const QUEUE_USED_IDX = 32; // free-running u16. Home
export const QUEUE_SIGNALLED_USED = 36; // used idx at the last interrupt decision. Home
export const QUEUE_SIGNALLED_VALID = 40; // 0: the next completion interrupts
export const QUEUE_NOTIFICATION = 44; // 1: the driver is asked to kick. Home
export const QUEUE_INUSE = 48; // heads popped and not pushed or detached. Home
export const QUEUE_BROKEN = 52; // BROKEN_*, 0 while well. Home writes, any reads (atomic)
export const QUEUE_EPOCH = 56; // counts resets; a completion of an old one touches nothing. Main
export const QUEUE_REGIONS = 60; // address of the region table
export const QUEUE_RECORDS = 64; // address of the records, one per head
export const QUEUE_BATCH = 68; // address of u32[QUEUE_CAPACITY]: heads popped by the last call
export const QUEUE_DONE = 72; // address of u32[QUEUE_CAPACITY]: heads to push, filled by home
export const QUEUE_CAPACITY = 76; // largest QUEUE_NUM these tables serve
export const QUEUE_FREE = 80; // address of the first free segment block, 0 if none. Home
export const QUEUE_FREE_COUNT = 84;
export const QUEUE_BLOCKS = 88; // address of the segment blocks
export const QUEUE_BLOCK_COUNT = 92;
export const QUEUE_POPPED_LO = 96; // requests popped since creation. Home
export const QUEUE_POPPED_HI = 100;
export const QUEUE_INTERRUPTS_LO = 104; // times push asked for an interrupt. Home
export const QUEUE_INTERRUPTS_HI = 108;
export const QUEUE_KICKS_LO = 112; // kicks served. Home
export const QUEUE_KICKS_HI = 116;
export const QUEUE_SERVING = 120; // 1 while home is inside a handler of this queue (atomic)
export const QUEUE_BATCH_COUNT = 124; // heads that the last pop listed in QUEUE_BATCH. Home
// A chain while the wasm engine walks it, kept here when its loop must leave the CPU's registers.
// Meaningless between two calls, and engines may leave different bytes.
export const QUEUE_WALK_REGION = 128; // address of the region to try first
export const QUEUE_WALK_CURSOR = 132; // address behind the last segment
export const QUEUE_WALK_TOTAL = 136; // u64: bytes so far
export const QUEUE_WALK_LINK = 144; // upper half of the last descriptor's second half: flags, next
export const QUEUE_WALK_BLOCK = 148; // the segment block it has reached
export const QUEUE_WALK_BEFORE = 152; // segments in the blocks before that one
export const QUEUE_WALK_TABLE = 156; // core address of the descriptor table it is in
export const QUEUE_WALK_ADDRESS = 160; // u64: a descriptor's first half, as loaded
export const QUEUE_WALK_REST = 168; // u64: and its second
export const QUEUE_WALK_ENTRIES = 176; // descriptors of the table it is in
export const QUEUE_WALK_END = 180; // up to where segments may be added
export const QUEUE_SIZE = 192;
// QUEUE_FEATURES
export const QUEUE_F_EVENT_IDX = 1;
export const QUEUE_F_INDIRECT = 2;
export const QUEUE_F_NOTIFY_ON_EMPTY = 4;

// Why a queue broke. The numbers are the contract's: both engines answer the same.
export const BROKEN_HEAD = 1; // head >= num, BG-1
export const BROKEN_NEXT = 2; // next >= table size, BG-2
export const BROKEN_LOOP = 3; // chain longer than its table, BG-3
export const BROKEN_AVAIL_IDX = 4; // avail.idx more than num ahead, BG-4
export const BROKEN_INUSE = 5; // more buffers than num outstanding, BG-5
export const BROKEN_HEAD_TWICE = 6; // a head that is in flight already
export const BROKEN_ZERO_LENGTH = 7; // BG-6
export const BROKEN_ORDER = 8; // readable after writable, BG-7
export const BROKEN_INDIRECT_SIZE = 9; // table length 0 or no multiple of 16, BG-8
export const BROKEN_INDIRECT = 10; // nested, with NEXT, or not negotiated, BG-9
export const BROKEN_ADDRESS = 11; // outside guest memory or wrapping, BG-10
export const BROKEN_TOO_LONG = 12; // more than 1024 segments, or 4 GiB and more, BG-11
export const BROKEN_HEADERS = 13; // blk: no readable or no writable part, header short, BG-12
export const BROKEN_MISALIGNED = 14; // ring address not aligned
export const BROKEN_RING_ADDRESS = 15; // ring outside one region
export const BROKEN_SIZE = 16; // ring size 0, odd, or beyond capacity
export const BROKEN_ENGINE = 17; // the engine itself failed (a RuntimeError)
export const BROKEN_ENABLE = 18; // queue_enable written with something else than 1, BG-19

// ---- Record: one popped request, at QUEUE_RECORDS + head * RECORD_SIZE ------------------------
export const RECORD_STATE = 0; // RECORD_FREE or RECORD_IN_FLIGHT. Home
export const RECORD_SEGMENTS = 4; // address of its first segment block
export const RECORD_OUT_COUNT = 8; // device-readable segments; they come first
export const RECORD_IN_COUNT = 12; // device-writable segments
export const RECORD_OUT_BYTES = 16; // bytes of all readable segments, header included
export const RECORD_IN_BYTES = 20; // bytes of all writable segments, status included
export const RECORD_WRITTEN = 24; // used length to report: bytes really written (VQ-6)
// Below: filled by the block parser (blkPop); raw pops leave it alone.
export const RECORD_TYPE = 28; // type as the driver wrote it
export const RECORD_SECTOR_LO = 32;
export const RECORD_SECTOR_HI = 36;
export const RECORD_STATUS_AT = 40; // core address of the status byte
export const RECORD_STATUS = 44; // status byte to write at completion
export const RECORD_NEXT = 48; // free for home: links of merged or parked requests
export const RECORD_EPOCH = 52; // QUEUE_EPOCH at the pop
export const RECORD_SIZE = 64;
export const RECORD_FREE = 0;
export const RECORD_IN_FLIGHT = 1;

// ---- Segment block: 15 segments of a scatter list and a link ----------------------------------
//   | next u32 | pad u32 | { address u32, length u32 } x 15 |
export const BLOCK_NEXT = 0;
export const BLOCK_FIRST = 8;
export const BLOCK_SEGMENTS = 15;
export const SEGMENT_ADDRESS = 0;
export const SEGMENT_LENGTH = 4;
export const SEGMENT_SIZE = 8;
export const BLOCK_SIZE = 128;
/** Longest scatter list of one chain, in segments (VQ-4). */
export const SEGMENTS_MAX = 1024;
/** Blocks that the longest chain takes: ceil(1024 / 15). Pop takes no head with fewer free. */
export const CHAIN_BLOCKS_MAX = 69;

// ---- Backend: what all lanes of one disk share ------------------------------------------------
export const BACKEND_QUIESCE = 0; // > 0: the gate is closed. Main (atomic)
export const BACKEND_FLAGS = 4; // BACKEND_F_*. Main
export const BACKEND_CAPACITY_LO = 8; // in sectors. Main, inside a drained section
export const BACKEND_CAPACITY_HI = 12;
export const BACKEND_BLOCK_SECTORS = 16; // logical block size in sectors (range checks, BL-4)
export const BACKEND_DISK = 20; // address of a cluster disk, or 0
export const BACKEND_WAKE = 24; // address of main's context: whom a leave to zero wakes
export const BACKEND_LANES = 28; // how many lanes are open
export const BACKEND_SIZE = 64;
export const BACKEND_F_READ_ONLY = 1;
export const BACKEND_F_WRITE_CACHE = 2;
export const BACKEND_F_NO_MEDIUM = 4;

// ---- Lane: one thread's way into a backend ----------------------------------------------------
// One writer each (home), read by main: the figures need no atomics. Lo/hi words.
export const LANE_IN_FLIGHT = 0; // atomic
export const LANE_READ_OPS = 8;
export const LANE_WRITE_OPS = 16;
export const LANE_FLUSH_OPS = 24;
export const LANE_DISCARD_OPS = 32;
export const LANE_READ_BYTES = 40;
export const LANE_WRITE_BYTES = 48;
export const LANE_DISCARD_BYTES = 56;
export const LANE_FAILED = 64; // reached the driver and failed
export const LANE_INVALID = 72; // refused before the driver: range, read-only
export const LANE_MERGED = 80; // requests saved by merging
export const LANE_SIZE = 128;

// ---- Cluster disk: a memory disk served in place ----------------------------------------------
//   disk.l1 -> u32[ceil(size / 1 GiB)] of core addresses of level-2 tables (0: all holes)
//   level-2 table: one cluster, u32[16384] of core addresses of clusters (0: a hole, reads zero)
// Clusters and tables are 64 KiB, 64 KiB-aligned, claimed from the arena by compare-and-swap.
export const CLUSTER_SHIFT = 16;
export const CLUSTER_BYTES = 65536;
export const CLUSTER_L2_ENTRIES = 16384;
export const CLUSTER_L1_SHIFT = 30; // bytes that one level-2 table covers
export const DISK_L1 = 0; // address of the level-1 table
export const DISK_SIZE_LO = 4; // bytes
export const DISK_SIZE_HI = 8;
export const DISK_ARENA = 12; // address of its arena
export const DISK_CLUSTERS = 16; // clusters in use, tables included (atomic)
export const DISK_SIZE = 32;

// ---- Cluster arena: where clusters come from --------------------------------------------------
// FRESH packs the next never-used cluster number and the end of the range, 16 bits each
// (next | end << 16); FREE is a stack of returned clusters: number of the top and a tag that
// counts up, 16 bits each. A free cluster's first word links to the next (its number, 0: none).
export const ARENA_FRESH = 0; // atomic
export const ARENA_FREE = 4; // atomic
export const ARENA_CLAIMED = 8; // clusters handed out and not returned (atomic)
export const ARENA_LIMIT = 12; // clusters that may be claimed in all; 0: no limit
export const ARENA_SIZE = 16;

// ---- AioContext -------------------------------------------------------------------------------
export const CONTEXT_WAKE = 0; // the word a sleeper waits on; counts up. Any (atomic)
export const CONTEXT_NOTIFIED = 4; // any sets, home clears (atomic)
export const CONTEXT_NOTIFY_ME = 8; // bit 0: foreign loop; +2 per blocking poll. Home (atomic)
export const CONTEXT_BH_LIST = 12; // slot number + 1 of the newest scheduled. Any (atomic)
export const CONTEXT_READY_HEAD = 16; // slot number + 1; taken from the list, oldest first. Home
export const CONTEXT_READY_TAIL = 20; // Home
export const CONTEXT_SLOTS = 24; // address of the bottom-half slots
export const CONTEXT_SLOT_COUNT = 28;
export const CONTEXT_MAIL_SENT = 32; // any (atomic)
export const CONTEXT_STOP = 36; // any (atomic)
export const CONTEXT_TURNS = 40; // turns of the loop. Home
export const CONTEXT_RUNS = 44; // bottom halves run. Home
export const CONTEXT_SIZE = 64;

// ---- Bottom-half slot -------------------------------------------------------------------------
// FLAGS: BH_* in the low 8 bits, the slot's generation above. Any thread (atomic)
export const SLOT_FLAGS = 0;
export const SLOT_NEXT = 4; // slot number + 1 of the next in a list
export const SLOT_SIZE = 8;
export const BH_PENDING = 1; // in a list
export const BH_SCHEDULED = 2; // the callback is to run
export const BH_DELETED = 4; // free the slot instead
export const BH_ONESHOT = 8; // free the slot after the run
export const BH_IDLE = 16; // the run is no progress
export const BH_FLAGS_MASK = 0xff;
export const BH_GENERATION_SHIFT = 8;

// ---- Event notifier ---------------------------------------------------------------------------
export const NOTIFIER_FLAG = 0; // 1: set. Any (atomic)
export const NOTIFIER_WATCHER = 4; // address of the context to notify, 0: nobody. Main (atomic)
export const NOTIFIER_SIZE = 8;

/** Second witness of the layout, kept in the core header. */
export const LAYOUT_SUM =
  CORE_HEADER_SIZE +
  REGION_SIZE * 3 +
  QUEUE_SIZE * 5 +
  RECORD_SIZE * 7 +
  BLOCK_SIZE * 11 +
  BACKEND_SIZE * 13 +
  LANE_SIZE * 17 +
  DISK_SIZE * 19 +
  ARENA_SIZE * 23 +
  CONTEXT_SIZE * 29 +
  SLOT_SIZE * 31 +
  NOTIFIER_SIZE * 37;
