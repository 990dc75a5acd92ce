/**
 * Cases: memory/4k/{unshared,shared}/{1,4,16,64}: block requests of 4 KiB read from a memory disk
 * into guest memory. Kind of memory, batch. And parse/{1,16,64}: block requests parsed and
 * answered, nothing read.
 */
import { AioContext, BlockBackend } from 'vblk';
import * as layout from '#src/layout';
import * as spec from '#src/spec';
import { alone, compare } from './harness.mjs';
import { openRing } from './rings.mjs';

const REQUESTS = 2048;
const DISK_BYTES = 16 << 20;

/** What the disk holds: each sector is filled with a byte of its own. */
function fillDisk(bytes) {
  for (let at = 0; at < bytes.length; at += 512)
    bytes.fill(((at / 512) * 31 + 7) & 0xff, at, at + 512);
  return bytes;
}

/** A backend over a memory disk with all of `contents`, and a lane into it. */
async function openDisk(core, contents) {
  const context = new AioContext(core, { sleeper: 'hook' });
  const disk = { driver: 'memory', options: { size: DISK_BYTES } };
  const backend = await BlockBackend.open(core, context, disk);
  await backend.io.write(0, contents);
  return { backend, lane: backend.openLane(context) };
}

/** Throws unless each chain's data buffer holds what the disk has at its sector. */
function checkData(ring, contents) {
  for (let chain = 0; chain < ring.chains; chain++) {
    const at = ring.sector(chain) * 512;
    const right = Buffer.compare(ring.data(chain), contents.subarray(at, at + 4096)) === 0;
    if (!right) throw new Error(`chain ${chain} has wrong data`);
    if (ring.status(chain) !== spec.VIRTIO_BLK_S_OK) throw new Error(`chain ${chain} failed`);
  }
}

/** Does all of a ring once more, after its data was wiped, and looks at every byte. */
function checkOnceMore(ring, run, contents) {
  ring.wipe();
  run();
  ring.check(4097);
  checkData(ring, contents);
}

export async function engineContestant(name, shape, batch, contents) {
  const ring = await openRing(name, shape);
  const { core, queue } = ring;
  const { engine } = core;
  const { backend, lane } = await openDisk(core, contents);
  const run = () => {
    const u16 = core.u16;
    for (let done = 0; done < REQUESTS; done += batch) {
      ring.publish(u16, batch);
      const popped = engine.blkPop(queue, batch);
      const left = engine.clusterServe(queue, popped, backend.address, lane.address) & 0xffff;
      if (popped !== batch || left !== 0) throw new Error(`popped ${popped}, left ${left}`);
    }
  };
  return { name, requests: REQUESTS, run, check: () => checkOnceMore(ring, run, contents) };
}

export async function naiveContestant(name, shape, batch, contents) {
  const ring = await openRing(name, shape);
  const { core, naive } = ring;
  const disk = new Uint8Array(contents);
  const run = () => {
    const u16 = core.u16;
    for (let done = 0; done < REQUESTS; done += batch) {
      ring.publish(u16, batch);
      for (let element = naive.pop(); element; element = naive.pop()) {
        naive.serve(naive.parse(element), disk);
      }
    }
  };
  return {
    name: 'naive',
    requests: REQUESTS,
    run,
    check: () => checkOnceMore(ring, run, contents),
  };
}

export async function* memoryCases(modules, options) {
  const contents = fillDisk(new Uint8Array(DISK_BYTES));
  for (const kind of ['unshared', 'shared']) {
    for (const batch of [1, 4, 16, 64]) {
      const name = `memory/4k/${kind}/${batch}`;
      if (!options.wanted(name)) continue;
      const shape = { module: modules[kind], shared: kind === 'shared', diskBytes: DISK_BYTES };
      const own = (contestant) => alone(import.meta.url, name, contestant);
      const contestants = [
        await (await own('wasm')).engineContestant('wasm', shape, batch, contents),
        await (await own('js')).engineContestant('js', shape, batch, contents),
        await (await own('naive')).naiveContestant('naive', shape, batch, contents),
      ];
      yield await compare(name, contestants, options);
    }
  }
}

/** The status that a parsed request gets; the engines' records begin with this one. */
function checkAnswers(ring, run) {
  ring.wipe();
  run();
  ring.check(0);
  for (let chain = 0; chain < ring.chains; chain++) {
    if (ring.status(chain) !== spec.VIRTIO_BLK_S_OK)
      throw new Error(`chain ${chain} has no answer`);
  }
}

export async function parseContestant(name, shape, batch) {
  const ring = await openRing(name, shape);
  const { core, queue } = ring;
  const { engine } = core;
  const records = core.u32[(queue + layout.QUEUE_RECORDS) >>> 2] >>> 2;
  const list = core.u32[(queue + layout.QUEUE_BATCH) >>> 2] >>> 2;
  const run = () => {
    const { u16, u32 } = core;
    for (let done = 0; done < REQUESTS; done += batch) {
      ring.publish(u16, batch);
      const popped = engine.blkPop(queue, batch);
      if (popped !== batch) throw new Error(`popped ${popped}`);
      for (let i = 0; i < popped; i++) {
        const record = records + u32[list + i] * (layout.RECORD_SIZE >>> 2);
        u32[record + (layout.RECORD_STATUS >>> 2)] = spec.VIRTIO_BLK_S_OK;
      }
      engine.blkPush(queue, popped);
    }
  };
  return { name, requests: REQUESTS, run, check: () => checkAnswers(ring, run) };
}

export async function naiveParseContestant(name, shape, batch) {
  const ring = await openRing(name, shape);
  const { core, naive } = ring;
  const run = () => {
    const u16 = core.u16;
    for (let done = 0; done < REQUESTS; done += batch) {
      ring.publish(u16, batch);
      for (let element = naive.pop(); element; element = naive.pop()) {
        naive.answer(naive.parse(element), spec.VIRTIO_BLK_S_OK, 0);
      }
    }
  };
  return { name, requests: REQUESTS, run, check: () => checkAnswers(ring, run) };
}

export async function* parseCases(modules, options) {
  for (const batch of [1, 16, 64]) {
    const name = `parse/${batch}`;
    if (!options.wanted(name)) continue;
    const shape = { module: modules.unshared };
    const own = (contestant) => alone(import.meta.url, name, contestant);
    const contestants = [
      await (await own('wasm')).parseContestant('wasm', shape, batch),
      await (await own('js')).parseContestant('js', shape, batch),
      await (await own('naive')).naiveParseContestant('naive', shape, batch),
    ];
    yield await compare(name, contestants, options);
  }
}
