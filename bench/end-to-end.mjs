/**
 * Cases: end-to-end/{null,memory,file}/{1,4,16,64}: random reads of 4 KiB from a guest's thread to
 * an IOThread and back. Disk, requests in flight. Contestants wasm and js: all of it, the IOThread
 * with its adaptive polling. Contestant memcpy: a bare loop of copies of the same blocks in one
 * thread; readSync: a bare loop of reads of the same blocks of the same file in one Worker.
 * Contestants kicks/wasm and so on: how many of them there were per request.
 *
 * Case: end-to-end/file/64/two: the same with one and with two IOThreads, each with a queue, and
 * with one and with two bare readers beside a thread that does the guest's share. What two gain
 * over one is compared, round by round: gain/wasm, gain/js, gain/readSync.
 */
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bareModule } from './bare-module.mjs';
import { BLOCK, blockOf, randomBlocks } from './blocks.mjs';
import { FILE_BLOCKS, writeFile } from './file.mjs';
import { GUEST_CORE, SERVER_CORE } from './pin.mjs';
import { compareThreads, openBare, openRuler, ratioResults, result } from './rounds.mjs';
import { DEPTH_MAX, machineContestant, openThreadMachine } from './thread-machine.mjs';

const MEMORY_BYTES = 16 << 20;
const DEPTHS = [1, 4, 16, 64];
const OFFSETS = 65_536;
const ENGINES = ['wasm', 'js'];
/** Looks of a guest that has a core of its own, and of one that has to share. */
const SPIN = 50_000;
const SPIN_SHARED = 200;

async function fillMemory(io) {
  for (let block = 0; block < MEMORY_BYTES / BLOCK; block++) {
    await io.write(block * BLOCK, blockOf(block));
  }
}

/** A bare loop in a Worker as a contestant. */
function bareContestant(name, role) {
  return {
    name,
    turn: (milliseconds) => role.call('turn', milliseconds),
    check: () => role.call('check'),
    close: () => role.close(),
  };
}

/** What is driven: DriverSpec, the blocks, and the bare contestants beside it. */
function diskOf(kind, filename, fd) {
  if (kind === 'file') {
    const blocks = randomBlocks(OFFSETS, FILE_BLOCKS);
    const bare = async () =>
      bareContestant('readSync', await openBare({ kind: 'reader', fd, blocks }, SERVER_CORE));
    return { disk: { driver: 'file', options: { filename } }, blocks, bare: [bare] };
  }
  const blocks = randomBlocks(OFFSETS, MEMORY_BYTES / BLOCK);
  const disk = { driver: kind, options: { size: MEMORY_BYTES } };
  if (kind === 'null') return { disk, blocks, bare: [], checked: false };
  const copier = { kind: 'copier', module: bareModule(), blocks, diskBytes: MEMORY_BYTES };
  const bare = async () => bareContestant('memcpy', await openBare(copier, SERVER_CORE));
  return { disk, blocks, bare: [bare], fill: fillMemory };
}

function figuresOf(name, { name: who, totals }) {
  const { requests, kicks, interrupts } = totals;
  return [
    result(name, `kicks/${who}`, 'kicks/request', [kicks / requests]),
    result(name, `interrupts/${who}`, 'interrupts/request', [interrupts / requests]),
  ];
}

async function compareDepth(name, depth, machines, bare, ruler, options) {
  const devices = machines.map(({ machine, own, name: who }) =>
    own.machineContestant(machine, depth, who),
  );
  const list = await compareThreads(name, [...devices, ...bare], ruler, options);
  const beside = bare.map((one) => one.name);
  for (const { name: who } of machines) {
    for (const other of beside) list.push(...ratioResults(list, name, who, other));
  }
  return [...list, ...devices.flatMap((device) => figuresOf(name, device))];
}

/** The machine of each entrant, and the module that made it. */
async function openMachines(name, entrants, shape) {
  const machines = [];
  for (const entrant of entrants) {
    const own = await entrant.own(new URL('thread-machine.mjs', import.meta.url), name);
    const full = { module: entrant.modules.shared, ...shape };
    const machine = await own.openThreadMachine(entrant.engine, full);
    machines.push({ machine, own, name: entrant.name, close: machine.close });
  }
  return machines;
}

async function* depthCases(options, kind, file, ruler) {
  const depths = DEPTHS.filter((depth) => options.wanted(`end-to-end/${kind}/${depth}`));
  if (depths.length === 0) return;
  const { bare, ...driven } = diskOf(kind, file.filename, file.fd);
  const shape = { spin: SPIN, ...driven };
  const machines = await openMachines(`end-to-end/${kind}`, options.entrants, shape);
  const others = options.against ? [] : await Promise.all(bare.map((open) => open()));
  for (const depth of depths) {
    const name = `end-to-end/${kind}/${depth}`;
    yield await compareDepth(name, depth, machines, others, ruler, options);
  }
  for (const { close } of [...machines, ...others]) await close();
}

// ---- One and two --------------------------------------------------------------------------------

/** `count` bare readers beside a thread that does the guest's share. */
async function readersContestant(count, fd, blocks) {
  const stop = new Int32Array(new SharedArrayBuffer(64));
  const done = Array.from({ length: count }, () => new SharedArrayBuffer(64));
  const readers = await Promise.all(
    done.map((one, i) => openBare({ kind: 'reader', fd, blocks, done: one }, SERVER_CORE + i)),
  );
  const spin = count === 1 ? SPIN : SPIN_SHARED;
  const share = await openBare({ kind: 'guestShare', done, stop: stop.buffer, spin }, GUEST_CORE);
  const turn = async (milliseconds) => {
    Atomics.store(stop, 0, 0);
    const beside = share.call('turn');
    const found = await Promise.all(readers.map((reader) => reader.call('turn', milliseconds)));
    Atomics.store(stop, 0, 1);
    await beside;
    const requests = found.reduce((sum, one) => sum + one.requests, 0);
    return { requests, ns: Math.max(...found.map(({ ns }) => ns)) };
  };
  const check = () => Promise.all(readers.map((reader) => reader.call('check')));
  const close = () => Promise.all([...readers, share].map((role) => role.close()));
  return { name: `readSync-${count}`, turn, check, close };
}

/** What two gain over one, by rounds, and that in units of what bare readers gain. */
function gains(list, name) {
  const rounds = (who) => list.find((one) => one.case === name && one.contestant === who).rounds;
  const gain = (who) => {
    const two = rounds(`${who}-2`);
    return rounds(`${who}-1`).map((ns, round) => ns / two[round]);
  };
  const bare = gain('readSync');
  const found = [result(name, 'gain/readSync', 'times as fast', bare)];
  for (const engine of ENGINES) {
    const own = gain(engine);
    found.push(result(name, `gain/${engine}`, 'times as fast', own));
    const shares = own.map((value, round) => value / bare[round]);
    found.push(result(name, `gain/${engine}/readSync`, 'of its gain', shares));
  }
  return found;
}

async function* twoCase(modules, options, file, ruler) {
  const name = 'end-to-end/file/64/two';
  if (!options.wanted(name) || options.against) return;
  const { disk, blocks } = diskOf('file', file.filename, file.fd);
  const machines = [];
  const contestants = [];
  for (const engine of ENGINES) {
    for (const threads of [1, 2]) {
      const spin = threads === 1 ? SPIN : SPIN_SHARED;
      const shape = { module: modules.shared, disk, blocks, threads, spin };
      const machine = await openThreadMachine(engine, shape);
      machines.push(machine);
      contestants.push(machineContestant(machine, DEPTH_MAX, `${engine}-${threads}`));
    }
  }
  const bare = [];
  for (const count of [1, 2]) bare.push(await readersContestant(count, file.fd, blocks));
  const list = await compareThreads(name, [...contestants, ...bare], ruler, options);
  yield [...list, ...gains(list, name), ...contestants.flatMap((one) => figuresOf(name, one))];
  for (const { close } of [...machines, ...bare]) await close();
}

// ---- All ----------------------------------------------------------------------------------------

const names = [
  ...['null', 'memory', 'file'].flatMap((kind) => DEPTHS.map((n) => `end-to-end/${kind}/${n}`)),
  'end-to-end/file/64/two',
];

export async function* endToEndCases(modules, options) {
  const wanted = names.filter((name) => options.wanted(name));
  if (wanted.length === 0) return;
  const folder = mkdtempSync(join(tmpdir(), 'vblk-end-to-end-'));
  const ruler = await openRuler();
  try {
    const file = { filename: join(folder, 'disk.img'), fd: -1 };
    if (wanted.some((name) => name.includes('file'))) {
      writeFile(file.filename);
      file.fd = openSync(file.filename, 'r');
    }
    for (const kind of ['null', 'memory', 'file']) {
      yield* depthCases(options, kind, file, ruler);
    }
    yield* twoCase(modules, options, file, ruler);
    if (file.fd >= 0) closeSync(file.fd);
  } finally {
    await ruler.close();
    rmSync(folder, { recursive: true });
  }
}
