/**
 * Case: file/randread/4k/64: random 4 KiB reads of a file of 256 MiB, which is in the host's page
 * cache but not in a processor's, on one thread.
 * Contestants wasm and js: the whole device, 64 requests at once, file driver with aio=sync; the
 * guest's driver costs next to nothing.
 * Contestant readSync: a bare loop of fs.readSync, same offsets, same sizes, into one buffer.
 */
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import 'vblk/node';
import { GuestChain } from 'vblk';
import * as spec from '#src/spec';
import { BLOCK, blockOf, randomBlocks } from './blocks.mjs';
import { openMachine } from './device.mjs';
import { alone, compare } from './harness.mjs';

const SECTORS = BLOCK / spec.SECTOR_SIZE;
export const FILE_BLOCKS = 65_536;
/** Requests of a run, and of all runs until they begin again. */
const REQUESTS = 1024;
const OFFSETS = 65_536;
const DEPTH = 64;

/**
 * A driver that costs next to nothing, so that the device is what is timed: the chains stand in the
 * ring once and for all, and a batch takes a sector number each, one store of avail.idx and the
 * doorbell. Like `worker` of device.mjs otherwise.
 */
function readyWorker({ core, guest }, blocks) {
  const [ring] = guest.rings;
  const { ram } = guest;
  const offset = core.regionList[0].offset;
  const { u16, u32 } = core;
  // Pages, as a kernel's page cache hands them out; headers of 16 bytes, status bytes behind them.
  const pages = ram.allocate(DEPTH * BLOCK, BLOCK);
  const headers = ram.allocate(DEPTH * 32, 32);
  const slots = Array.from({ length: DEPTH }, (_, slot) => slot);
  const heads = slots.map((slot) => {
    const header = headers + slot * 32;
    ram.setU32(header, spec.VIRTIO_BLK_T_IN);
    ram.setU64(header + 8, 0);
    const chain = new GuestChain().out(header, spec.VIRTIO_BLK_OUTHDR_SIZE);
    return ring.add(chain.in(pages + slot * BLOCK, BLOCK).in(header + 16, 1));
  });
  const availRing = (offset + ring.avail + spec.VIRTQ_AVAIL_RING) >>> 1;
  for (let slot = 0; slot < ring.size; slot++) u16[availRing + slot] = heads[slot % DEPTH];
  const availIdx = (offset + ring.avail + spec.VIRTQ_AVAIL_IDX) >>> 1;
  const usedIdx = (offset + ring.used + spec.VIRTQ_USED_IDX) >>> 1;
  const sectors = (offset + headers + 8) >>> 2;
  let published = 0;
  let at = 0;
  const run = () => {
    at %= blocks.length;
    for (const end = at + REQUESTS; at < end; at += DEPTH) {
      for (let slot = 0; slot < DEPTH; slot++)
        u32[sectors + slot * 8] = blocks[at + slot] * SECTORS;
      published = (published + DEPTH) & 0xffff;
      Atomics.store(u16, availIdx, published);
      guest.transport.kick(0);
      if (Atomics.load(u16, usedIdx) !== published) throw new Error('not served');
    }
  };
  /** Throws unless the last batch of a run has left the file's blocks in its buffers. */
  const check = () => {
    ram.fill(pages, DEPTH * BLOCK, 0xee);
    for (const slot of slots) ram.setU8(headers + slot * 32 + 16, 0xee);
    run();
    blocks.subarray(at - DEPTH, at).forEach((block, slot) => {
      const right = Buffer.compare(ram.read(pages + slot * BLOCK, BLOCK), blockOf(block)) === 0;
      const status = ram.getU8(headers + slot * 32 + 16);
      if (!right || status !== spec.VIRTIO_BLK_S_OK) throw new Error(`block ${block} is wrong`);
    });
  };
  return { run, check };
}

export async function deviceContestant(engine, module, filename) {
  const disk = { driver: 'file', options: { filename } };
  const machine = await openMachine(engine, module, disk, false);
  const { run, check } = readyWorker(machine, randomBlocks(OFFSETS, FILE_BLOCKS));
  return { name: engine, requests: REQUESTS, run, check, close: machine.close };
}

export async function bareContestant(filename) {
  const fd = openSync(filename, 'r');
  const blocks = randomBlocks(OFFSETS, FILE_BLOCKS);
  const buffer = new Uint8Array(BLOCK);
  let at = 0;
  const run = () => {
    at %= OFFSETS;
    for (const end = at + REQUESTS; at < end; at++) {
      const count = readSync(fd, buffer, 0, BLOCK, blocks[at] * BLOCK);
      if (count !== BLOCK) throw new Error(`read ${count} bytes`);
    }
  };
  const check = () => {
    buffer.fill(0xee);
    run();
    if (Buffer.compare(buffer, blockOf(blocks[at - 1])) !== 0) throw new Error('wrong data');
  };
  return { name: 'readSync', requests: REQUESTS, run, check, close: () => closeSync(fd) };
}

export function writeFile(filename) {
  const fd = openSync(filename, 'wx');
  const chunk = new Uint8Array(256 * BLOCK);
  for (let block = 0; block < FILE_BLOCKS; block += 256) {
    for (let i = 0; i < 256; i++) chunk.set(blockOf(block + i), i * BLOCK);
    writeSync(fd, chunk);
  }
  closeSync(fd);
}

export async function* fileCases(modules, options) {
  const name = `file/randread/4k/${DEPTH}`;
  if (!options.wanted(name)) return;
  const folder = mkdtempSync(join(tmpdir(), 'vblk-file-'));
  try {
    const filename = join(folder, 'disk.img');
    writeFile(filename);
    const own = (contestant) => alone(import.meta.url, name, contestant);
    const contestants = [
      await (await own('wasm')).deviceContestant('wasm', modules.unshared, filename),
      await (await own('js')).deviceContestant('js', modules.unshared, filename),
      await (await own('readSync')).bareContestant(filename),
    ];
    // Its ratio is one of medians round by round: no fewer than 15.
    yield await compare(name, contestants, { ...options, rounds: Math.max(15, options.rounds) });
    for (const { close } of contestants) await close();
  } finally {
    rmSync(folder, { recursive: true });
  }
}
