/**
 * A ring in guest memory whose driver costs nothing: all chains stand ready and the available ring
 * lists them over and over, so that publishing a batch is one store of avail.idx.
 *
 * Guest RAM: | desc, avail, used | indirect tables | header 16, status, .. 32 bytes per chain |
 *            | data, 8 KiB per chain |
 */
import { Core } from 'vblk';
import { createQueue } from '#src/engine/queue-memory';
import * as layout from '#src/layout';
import * as spec from '#src/spec';
import { NaiveQueue } from './naive.mjs';

const GUEST_RAM = 8 << 20;
const DESC = 0x1000;
const AVAIL = 0x8000;
const USED = 0xa000;
const TABLES = 0x10000;
const HEADERS = 0x100000;
const DATA = 0x110000;
const DATA_STRIDE = 8192;

/**
 * @param {'wasm' | 'js' | 'naive'} contestant
 * @param {object} options `module`: core module; `shared`; `size` of the ring in descriptors;
 *   `descriptors` per chain; `indirect`; `dataBytes` that a chain reads; `diskBytes`
 */
export async function openRing(contestant, options) {
  const { module, shared = false, size = 512, descriptors = 3, indirect = false } = options;
  const { dataBytes = 4096, diskBytes = 16 << 20 } = options;
  const engine = contestant === 'wasm' ? 'wasm' : 'js';
  const core = await Core.open({ engine, module, shared, ramBytes: GUEST_RAM });
  if (core.engine.kind !== engine) throw new Error(`meant ${engine}, got ${core.engine.kind}`);
  const ram = core.regionList[0].offset;
  const shape = { size, descriptors, indirect, dataBytes, diskBytes };
  const heads = writeChains(core, ram, shape);
  const ring = { core, ram, chains: heads.length, queue: 0, naive: null };
  if (contestant === 'naive') {
    const at = { num: size, desc: DESC, avail: AVAIL, used: USED };
    ring.naive = new NaiveQueue(core.memory.buffer, core.regionList, at);
  } else {
    ring.queue = enable(core, size, indirect);
  }
  return Object.assign(ring, driver(core, ram, heads, size));
}

function enable(core, size, indirect) {
  const queue = createQueue(core, size).address;
  // A null device completes in the order in which it pops: one list serves as both.
  core.u32[(queue + layout.QUEUE_DONE) >>> 2] = core.u32[(queue + layout.QUEUE_BATCH) >>> 2];
  const features = indirect ? layout.QUEUE_F_INDIRECT : 0;
  const error = core.engine.queueEnable(queue, size, features, DESC, 0, AVAIL, 0, USED, 0);
  if (error) throw new Error(`ring refused: ${error}`);
  return queue;
}

/** The driver's side: publishing a batch, and afterwards looking at all that came back. */
function driver(core, ram, heads, size) {
  const availIdx = (ram + AVAIL + spec.VIRTQ_AVAIL_IDX) >>> 1;
  const usedIdx = (ram + USED + spec.VIRTQ_USED_IDX) >>> 1;
  const usedRing = (ram + USED + spec.VIRTQ_USED_RING) >>> 2;
  let published = 0;
  return {
    /** Makes `count` more chains available. */
    publish(u16, count) {
      published += count;
      Atomics.store(u16, availIdx, published & 0xffff);
    },
    /** Throws unless the device has given back all chains, in order, each with `written` bytes. */
    check(written) {
      const used = Atomics.load(core.u16, usedIdx);
      if (published < size) throw new Error(`no work was done: ${published} chains`);
      if (used !== (published & 0xffff)) throw new Error(`used ${used} of ${published}`);
      for (let slot = 0; slot < size; slot++) {
        const [head, bytes] = core.u32.subarray(usedRing + 2 * slot, usedRing + 2 * slot + 2);
        if (head !== heads[slot % heads.length] || bytes !== written) {
          throw new Error(`used element ${slot} is chain ${head} with ${bytes} bytes`);
        }
      }
    },
    /** First sector that a chain reads; its data, a copy; its status byte. */
    sector: (chain) => core.u32[(ram + HEADERS + chain * 32 + 8) >>> 2],
    data: (chain) => {
      const at = ram + DATA + chain * DATA_STRIDE;
      return core.u8.slice(at, at + 4096);
    },
    status: (chain) => core.u8[ram + HEADERS + chain * 32 + 16],
    /** Overwrites all data and status bytes, so that old ones are not taken for new. */
    wipe() {
      for (let chain = 0; chain < heads.length; chain++) {
        const data = ram + DATA + chain * DATA_STRIDE;
        core.u8.fill(0xee, data, data + 4096);
        core.u8[ram + HEADERS + chain * 32 + 16] = 0xee;
      }
    },
  };
}

/**
 * Writes as many chains as the ring holds, a power of two, so that no head comes twice at a time.
 * Returns their heads.
 */
function writeChains(core, ram, { size, descriptors, indirect, dataBytes, diskBytes }) {
  const perChain = indirect ? 1 : descriptors;
  const count = 2 ** Math.floor(Math.log2(size / perChain));
  const heads = Array.from({ length: count }, (_, chain) => chain * perChain);
  for (let chain = 0; chain < count; chain++) {
    const header = HEADERS + chain * 32;
    const sector = (Math.imul(chain, 2654435761) >>> 0) % (diskBytes / 4096);
    core.u32.set([spec.VIRTIO_BLK_T_IN, 0, sector * 8, 0], (ram + header) >>> 2);
    const buffers = buffersOf(chain, descriptors - 2, dataBytes);
    const table = TABLES + chain * descriptors * 16;
    if (indirect) {
      writeTable(core, ram, table, 0, buffers);
      writeDescriptor(core, ram, DESC, chain, [
        table,
        descriptors * 16,
        spec.VIRTQ_DESC_F_INDIRECT,
        0,
      ]);
    } else {
      writeTable(core, ram, DESC, heads[chain], buffers);
    }
  }
  const ring = (ram + AVAIL + spec.VIRTQ_AVAIL_RING) >>> 1;
  for (let i = 0; i < size; i++) core.u16[ring + i] = heads[i % count];
  return heads;
}

/** Header, `pieces` of data, status: [address, length, written by the device]. */
function buffersOf(chain, pieces, dataBytes) {
  const header = HEADERS + chain * 32;
  const data = DATA + chain * DATA_STRIDE;
  const size = Math.floor(dataBytes / pieces / 64) * 64 || 64;
  const list = [[header, 16, false]];
  for (let i = 0; i < pieces; i++) {
    const length = i === pieces - 1 ? dataBytes - size * (pieces - 1) : size;
    list.push([data + i * size, length, true]);
  }
  list.push([header + 16, 1, true]);
  return list;
}

function writeTable(core, ram, table, first, buffers) {
  buffers.forEach(([address, length, written], i) => {
    const more = i + 1 < buffers.length;
    const write = written ? spec.VIRTQ_DESC_F_WRITE : 0;
    const flags = write | (more ? spec.VIRTQ_DESC_F_NEXT : 0);
    const next = more ? first + i + 1 : 0;
    writeDescriptor(core, ram, table, first + i, [address, length, flags, next]);
  });
}

function writeDescriptor(core, ram, table, index, [address, length, flags, next]) {
  core.u32.set([address, 0, length, flags | (next << 16)], (ram + table + index * 16) >>> 2);
}
