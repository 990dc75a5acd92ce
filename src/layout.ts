// Every structure in shared memory: offsets and sizes in bytes, little-endian, 4-aligned.
//
// Compiled by tsc and by asc alike, hence untyped constants only. An "address" is an offset into
// the core's memory, 0 is null. "Lo/hi" is a u64 as two words. Who writes a field, and from which
// thread, stands beside it; "home" is the thread that serves the queue or context.

/** Count up whenever a structure below changes: a module and its memory must agree. */
export const ABI_VERSION = 4;

// ---- Core header: the first bytes of the first arena ------------------------------------------
//   0        4        8        12        16        20       24       28       32
//   | magic  |  abi   |  size  | waiters | threads | ranges |  main  |  pad   | spare (ARENA_*) |
export const CORE_MAGIC = 0x6b6c6276; // "vblk"
export const CORE_HEADER_MAGIC = 0;
export const CORE_HEADER_ABI = 4;
/** Bytes of all structures together (`LAYOUT_SUM`): a second witness of the layout. */
export const CORE_HEADER_LAYOUT = 8;
/** How many waits for a condition are going on (QEMU: AioWait.num_waiters). Any thread. */
export const CORE_HEADER_WAITERS = 12;
/** Instances over this memory so far: the count gives each its thread number. Any (atomic) */
export const CORE_HEADER_THREADS = 16;
/** Address of the table of ranges by which the memory was grown for clusters (RANGES_*). */
export const CORE_HEADER_RANGES = 20;
/** Address of main's context, which `waitKick` tells (QEMU: aio_wait_kick). Main (atomic) */
export const CORE_HEADER_MAIN = 24;
/** An arena whose free stack holds the clusters of disks that were closed. Any thread. */
export const CORE_HEADER_SPARE = 32;
export const CORE_HEADER_SIZE = 64;

// ---- Ranges that were grown for clusters: core memory, hence never guest RAM -------------------
//   | count | pad | { start page u16, end page u16 } x RANGES_MAX |
// Any thread grows a shared memory; it claims an entry by counting up, then fills it (atomic).
export const RANGES_COUNT = 0;
export const RANGES_FIRST = 8;
export const RANGES_MAX = 512;
export const RANGES_SIZE = 2056;

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
export const QUEUE_READY = 20; // 1 while the ring may be touched. Main (atomic)
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
export const QUEUE_RUNNING = 184; // 1: requests may be taken. Main (atomic)
export const QUEUE_PLAIN = 188; // address of its plain table
export const QUEUE_SCSI = 192; // address of its SCSI table; 0: it takes no SCSI commands
export const QUEUE_SIZE = 256;
// QUEUE_FEATURES
export const QUEUE_F_EVENT_IDX = 1;
export const QUEUE_F_INDIRECT = 2;
export const QUEUE_F_NOTIFY_ON_EMPTY = 4;
export const QUEUE_F_HELD = 8; // used.idx is not stored by push, but by main (`queuePublish`)
export const QUEUE_F_PADDED = 16; // scsi: data begin in the second buffer, not behind the header

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
export const BROKEN_HEADERS = 13; // BG-12, BG-13: header short, no room for status or response
export const BROKEN_MISALIGNED = 14; // ring address not aligned
export const BROKEN_RING_ADDRESS = 15; // ring outside one region
export const BROKEN_SIZE = 16; // ring size 0, odd, or beyond capacity
export const BROKEN_ENGINE = 17; // the engine itself failed (a RuntimeError)
export const BROKEN_ENABLE = 18; // queue_enable written with something else than 1, BG-19
export const BROKEN_CONFIG = 19; // a field of the configuration written with what it cannot be

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

// ---- Plain table: reads or writes of one segment each, for a driver that settles at once -------
// Row i is of head i of the part of QUEUE_BATCH that was collected. Columns of f64. Home.
export const PLAIN_OFFSETS = 0; // first byte on the disk
export const PLAIN_STARTS = 256; // first byte in the buffer of guest RAM
export const PLAIN_LENGTHS = 512; // bytes
export const PLAIN_RESULTS = 768; // by the driver: bytes or a negative errno
export const PLAIN_BITS = 1024; // by a hash of sectors: may a row begin there?
export const PLAIN_BITS_LOG2 = 10; // how many bits
export const PLAIN_SIZE = 1152;
export const PLAIN_ROWS = 32;

// ---- SCSI table: what a command queue of virtio-scsi has beside its records (5.6.6.1) -----------
// | a request for each head | a response for each head |. Home.
// A request begins with the header as the driver wrote it. Pop fills it.
export const SCSI_REQUEST_LUN = 0; // 8 bytes
export const SCSI_REQUEST_TAG = 8; // u64
export const SCSI_REQUEST_ATTRIBUTES = 16; // task_attr, prio, crn: a byte each
export const SCSI_REQUEST_CDB = 19; // SCSI_CDB_BYTES; a shorter one ends in zeroes
export const SCSI_REQUEST_CDB_SIZE = 51; // u8: bytes of CDB that the driver gave. Home begins it
export const SCSI_REQUEST_OUT_BYTES = 52; // of data-out: the last ones of RECORD_OUT_BYTES
export const SCSI_REQUEST_IN_BYTES = 56; // of data-in: the last ones of RECORD_IN_BYTES
export const SCSI_REQUEST_SENSE_SIZE = 60; // sense bytes that the driver asked for
export const SCSI_REQUEST_SIZE = 64;
export const SCSI_CDB_BYTES = 32;
// A response as the driver will read it. Pop says FAILURE, home says better before it pushes.
export const SCSI_RESPONSE_SENSE_LENGTH = 0;
export const SCSI_RESPONSE_RESIDUAL = 4;
export const SCSI_RESPONSE_QUALIFIER = 8; // u16
export const SCSI_RESPONSE_STATUS = 10; // u8
export const SCSI_RESPONSE_CODE = 11; // u8: VIRTIO_SCSI_S_*
export const SCSI_RESPONSE_SENSE = 12; // SCSI_SENSE_BYTES
export const SCSI_RESPONSE_SIZE = 32;
export const SCSI_SENSE_BYTES = 20;

// ---- LUN: what every thread knows of a SCSI logical unit --------------------------------------
// A pending unit attention is asc << 8 | ascq; 0: none. It is set by compare-and-swap, so that the
// most important one stays, and fetched by an exchange, so that one command reports it (SC-11).
export const LUN_STATE = 0; // LUN_HIDDEN, LUN_REALIZED, LUN_LEAVING. Main (atomic)
export const LUN_ATTENTION = 4; // Any (atomic)
export const LUN_FLAGS = 8; // LUN_F_*. Any (atomic)
export const LUN_BLOCK_SIZE = 12; // bytes; MODE SELECT changes it. Any (atomic)
export const LUN_SIZE = 16;
export const LUN_HIDDEN = 0; // its address is taken, and no command finds it (SC-9)
export const LUN_REALIZED = 1;
export const LUN_LEAVING = 2;
export const LUN_F_TRAY_OPEN = 1;
export const LUN_F_LOCKED = 2; // the guest prevents medium removal
export const LUN_F_MEDIUM_CHANGED = 4; // once a unit attention is told, 28/00 follows it
export const LUN_F_MEDIUM_EVENT = 8; // GET EVENT STATUS NOTIFICATION has news
export const LUN_F_EJECT_REQUEST = 16; // the host asks the guest for the medium

// ---- SCSI bus: what its logical units share -----------------------------------------------------
export const SCSI_BUS_ATTENTION = 0; // as LUN_ATTENTION; a unit's own comes first. Any (atomic)
export const SCSI_BUS_SIZES = 4; // cdb_size, and above it sense_size: 16 bits each. Main (atomic)
export const SCSI_BUS_SIZE = 8;

// ---- Backend: what all lanes of one disk share ------------------------------------------------
export const BACKEND_QUIESCE = 0; // > 0: the gate is closed. Main (atomic)
export const BACKEND_FLAGS = 4; // BACKEND_F_*. Main; the write cache any (atomic)
export const BACKEND_CAPACITY_LO = 8; // in sectors. Main, inside a drained section
export const BACKEND_CAPACITY_HI = 12;
export const BACKEND_BLOCK_SECTORS = 16; // logical block size in sectors (range checks, BL-4)
export const BACKEND_DISK = 20; // address of a cluster disk, or 0
export const BACKEND_WAKE = 24; // address of main's context: whom a leave to zero wakes
export const BACKEND_LANES = 28; // how many lanes are open
export const BACKEND_WAKE_SLOT = 32; // main's bottom half for a leave to zero: slot and
export const BACKEND_WAKE_GENERATION = 36; // generation
export const BACKEND_WERROR = 40; // POLICY_* of writes, flushes, discards, zeroes (BB-19). Main
export const BACKEND_RERROR = 44; // POLICY_* of reads. Main
export const BACKEND_DIRTY = 48; // 1: a write has ended since the last flush (BB-24). Any (atomic)
export const BACKEND_FLUSHES_BEGUN = 52; // flushes that drivers were asked for. Any (atomic)
export const BACKEND_FLUSHES_ENDED = 56; // and that have ended. Any (atomic)
export const BACKEND_RANGES = 60; // address of the range locks (BB-23), or 0. Main
export const BACKEND_SIZE = 64;
export const POLICY_REPORT = 0; // the guest is told
export const POLICY_IGNORE = 1; // the guest is told that all is well
export const POLICY_STOP = 2; // the machine stops; the request is tried again when it goes on
export const POLICY_ENOSPC = 3; // stop if the host is out of space, else report
export const BACKEND_F_READ_ONLY = 1;
export const BACKEND_F_WRITE_CACHE = 2;
export const BACKEND_F_NO_MEDIUM = 4;
export const BACKEND_F_SHARED = 8; // other backends write to the disk: no flush is skipped

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
/** Per kind (read, write, flush, discard): ns, and how many requests they are of; two pairs. */
export const LANE_TIMED = 88;
export const LANE_SIZE = 192;

// ---- Write log: what a thread wrote to guest memory for a queue, until main has heard of it -----
//   | tail | lost | used | head | { address u32, length u32 } x WRITE_LOG_ENTRIES |
// Home fills entries as it writes, and counts them when the buffers of which they are have been
// pushed: first TAIL and LOST, then USED. Main reads in the other order.
export const WRITE_LOG_TAIL = 0; // entries so far, free-running. Home (atomic)
export const WRITE_LOG_LOST = 4; // how often entries did not fit, free-running. Home (atomic)
export const WRITE_LOG_USED = 8; // used idx (u16), and the epoch's low half above. Home (atomic)
export const WRITE_LOG_HEAD = 12; // entries that main has read, free-running. Main (atomic)
export const WRITE_LOG_FIRST = 16;
export const WRITE_LOG_ENTRIES = 4096; // a power of two
export const WRITE_LOG_SIZE = 32784;

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
export const DISK_SEVERAL = 20; // 1: several threads are inside, no cluster is freed. Main, drained
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
// Main allocates a context's block and tables; the home thread, the one that polls, claims it.
export const CONTEXT_WAKE = 0; // the word a sleeper waits on; counts up. Any (atomic)
export const CONTEXT_NOTIFIED = 4; // any sets, home clears (atomic)
export const CONTEXT_NOTIFY_ME = 8; // bit 0: foreign loop; +2 per blocking poll. Home (atomic)
export const CONTEXT_BH_LIST = 12; // slot number + 1 of the newest scheduled. Any (atomic)
export const CONTEXT_READY_HEAD = 16; // slot number + 1; taken from the list, oldest first. Home
export const CONTEXT_READY_TAIL = 20; // Home
export const CONTEXT_SLOTS = 24; // address of the bottom-half slots
export const CONTEXT_SLOT_COUNT = 28;
export const CONTEXT_MAIL_SENT = 32; // messages posted to the home thread. Any (atomic)
export const CONTEXT_STOP = 36; // 1: the home thread is to end its run loop. Main (atomic)
export const CONTEXT_TURNS = 40; // turns of the loop. Home
export const CONTEXT_RUNS = 44; // bottom halves run. Home
export const CONTEXT_HOME = 48; // thread number of the home thread; 0: nobody's yet (atomic)
export const CONTEXT_DEPTH = 52; // polls going on, one inside the other. Home
export const CONTEXT_VISITS = 56; // threads inside a call for this context; see VISITS_CLOSED
export const CONTEXT_HANDLERS = 60; // address of the handler places
export const CONTEXT_HANDLER_COUNT = 64; // how many places there are
export const CONTEXT_HANDLER_END = 68; // one past the highest place in use. Home
export const CONTEXT_POLL_DISABLE = 72; // handlers without io_poll (AP-2). Home
export const CONTEXT_POLLING = 76; // 1 while poll mode is on. Home
export const CONTEXT_POLL_MAX = 80; // ns; 0: no busy polling. Main (atomic)
export const CONTEXT_POLL_GROW = 84; // factor; 0: 2. Main (atomic)
export const CONTEXT_POLL_SHRINK = 88; // divisor; 0: to zero. Main (atomic)
export const CONTEXT_MAX_BATCH = 92; // aio-max-batch; 0: the engine's. Main (atomic)
export const CONTEXT_SLEEPS = 96; // times it went to sleep. Home
export const CONTEXT_POLL_HITS = 100; // times busy polling found work. Home
export const CONTEXT_WAKES = 104; // times somebody had to wake it. Any (atomic)
export const CONTEXT_MAIL_RECEIVED = 108; // Home (atomic)
export const CONTEXT_CO_LIST = 112; // coroutine number + 1 of the newest scheduled. Any (atomic)
export const CONTEXT_CO_READY = 116; // the same, taken from the list, oldest first. Home
export const CONTEXT_COROUTINES = 120; // address of the coroutine places
export const CONTEXT_COROUTINE_COUNT = 124;
export const CONTEXT_CO_SLOT = 128; // slot of the bottom half that enters coroutines
export const CONTEXT_CO_GENERATION = 132; // and its generation
export const CONTEXT_POLL_READY = 136; // handlers found ready by polling, not yet served. Home
export const CONTEXT_SIZE = 192;
/** CONTEXT_VISITS: set for good when the context is closed; visitors are counted below it. */
export const VISITS_CLOSED = 0x40000000;

// ---- Handler place: one event notifier that a context watches ---------------------------------
// Home writes all of it; nobody else reads.
export const HANDLER_NOTIFIER = 0; // address of the notifier; 0: the place is free
export const HANDLER_QUEUE = 4; // queue whose ring busy polling looks at; 0: none
export const HANDLER_POLL_NS = 8; // how long to busy-poll for it (AP-5)
export const HANDLER_FLAGS = 12; // HANDLER_F_*
export const HANDLER_SIZE = 16;
export const HANDLER_F_POLLED = 1; // in the polled set (AP-3)
export const HANDLER_F_READY = 2; // found ready by polling, not yet served (FD-4)
export const HANDLER_F_BEGUN = 4; // io_poll_begin ran, io_poll_end did not yet (AP-7)

// ---- Coroutine place --------------------------------------------------------------------------
export const COROUTINE_SCHEDULED = 0; // COROUTINE_*: who has scheduled it. Any (atomic)
export const COROUTINE_NEXT = 4; // number + 1 of the next in a list
export const COROUTINE_SIZE = 8;
export const COROUTINE_IDLE = 0;
export const COROUTINE_BY_SCHEDULE = 1; // aio_co_schedule
export const COROUTINE_BY_SLEEP = 2; // co_sleep

// ---- Thread pool: blocking work for Workers (QEMU: util/thread-pool.c) ------------------------
//   ring of POOL_CAPACITY request numbers; HEAD and TAIL are free-running
export const POOL_WAKE = 0; // the word that idle workers wait on; counts up. Any (atomic)
export const POOL_HEAD = 4; // next request to take. Workers (atomic)
export const POOL_TAIL = 8; // one past the newest. Owner (atomic)
export const POOL_CAPACITY = 12; // requests; a power of two
export const POOL_RING = 16; // address of u32[POOL_CAPACITY]
export const POOL_REQUESTS = 20; // address of the requests
export const POOL_IDLE = 24; // workers that wait. Workers (atomic)
export const POOL_WORKERS = 28; // workers that live. Owner counts up, a leaving one down (atomic)
export const POOL_MAX = 32; // most workers. Owner (atomic)
export const POOL_MIN = 36; // workers that stay though idle. Owner (atomic)
export const POOL_CONTEXT = 40; // whose bottom half is scheduled at completion: context,
export const POOL_SLOT = 44; // slot,
export const POOL_GENERATION = 48; // generation
export const POOL_STOP = 52; // 1: all workers leave. Owner (atomic)
export const POOL_SIZE = 64;

// ---- Request of a thread pool -----------------------------------------------------------------
export const WORK_STATE = 0; // WORK_* (atomic)
export const WORK_RESULT = 4; // i32; written before WORK_DONE
export const WORK_OP = 8; // OP_* of the block layer, or a number that owner and worker agree on
export const WORK_FILE = 12; // which file: a number that owner and worker agree on
export const WORK_OFFSET_LO = 16; // bytes
export const WORK_OFFSET_HI = 20;
export const WORK_ADDRESS = 24; // core address of the buffer
export const WORK_LENGTH = 28; // bytes
export const WORK_LENGTH_HI = 32;
export const WORK_FLAGS = 36;
export const WORK_ENTRY = 40; // where its number was put into the ring: as POOL_TAIL was. Owner
export const WORK_SIZE = 48;
export const WORK_FREE = 0;
export const WORK_QUEUED = 1;
export const WORK_ACTIVE = 2;
export const WORK_DONE = 3;
// Behind the requests: POOL_CAPACITY words, one for each of the first so many Workers: what it is
// doing, or number + 1 of its request. Its own, and the owner's when it has died (atomic)
export const WORKER_LOOKS = 0;
export const WORKER_SLEEPS = -1; // counted in POOL_IDLE

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
  NOTIFIER_SIZE * 37 +
  HANDLER_SIZE * 41 +
  COROUTINE_SIZE * 43 +
  POOL_SIZE * 47 +
  WORK_SIZE * 53 +
  RANGES_SIZE * 59 +
  WRITE_LOG_SIZE * 61 +
  PLAIN_SIZE * 67 +
  SCSI_REQUEST_SIZE * 71 +
  SCSI_RESPONSE_SIZE * 73 +
  LUN_SIZE * 79 +
  SCSI_BUS_SIZE * 83;
