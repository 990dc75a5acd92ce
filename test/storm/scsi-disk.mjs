/** A disk that goes from SCSI host to SCSI host, and what it must hold. */
import { rmSync } from 'node:fs';
import { BlockBackend } from '#src/block/backend';
import { openDriver } from '#src/block/registry';
import { DiskModel, SECTOR } from './model.mjs';
import { pause, turn } from './pause.mjs';

const KINDS = ['memory', 'fault', 'late', 'fault', 'mixed', 'fault', 'memory', 'file'];
const SECTORS = 128;
const PATIENCE_MS = 5000;
const ERRORS = { werror: 'stop', rerror: 'stop' };

export class ScsiDisk {
  backend;
  /** The driver of a disk whose requests can be made to fail. */
  fault = null;
  model = new DiskModel(SECTORS);
  /** Sectors that a command in flight touches. */
  taken = new Uint8Array(SECTORS);
  /** 'out', 'arriving', 'plugged', 'leaving', or 'gone': out, and not looked at yet. */
  state = 'out';
  address = null;
  /** How often it was plugged in. */
  visits = 0;
  /** Of a disk that is plugged in. */
  unit = null;
  kind;
  /** What its requests meet with as a rule. */
  rules = [];
  #file = null;

  constructor(kind) {
    this.kind = kind;
  }

  static async open(rig, random, number) {
    const disk = new ScsiDisk(KINDS[number % KINDS.length]);
    const { core, context, machine } = rig;
    const spec = rig.diskOf(disk.kind, SECTORS);
    disk.#file = spec.options.filename ?? null;
    if (disk.kind === 'fault') {
      disk.fault = await openDriver(core, spec, { main: true, context });
      disk.rules = slowness(random);
      disk.fault.setRules(disk.rules);
    }
    const options = { machine, ...ERRORS };
    disk.backend = await BlockBackend.open(core, context, disk.fault ?? spec, options);
    rig.disks.add(disk);
    return disk;
  }

  get sectors() {
    return this.model.sectors;
  }

  /** Reads and writes that have been done. Flushes are also the machine's, when it stops. */
  get operations() {
    const { read, write } = this.backend.stats();
    return read.operations + write.operations;
  }

  /** It has just been unplugged: nobody does anything to it any more, and its bytes are right. */
  async checkDeparted(random) {
    const { backend } = this;
    this.fault?.setRules([]);
    const before = this.operations;
    await pause(random);
    await this.#flushed();
    const later = this.operations - before;
    if (later !== 0) throw new Error(`${later} operations of a departed disk: ${this.describe()}`);
    const bytes = new Uint8Array(SECTORS * SECTOR);
    await backend.io.read(0, bytes);
    this.model.check(new Uint32Array(bytes.buffer), 0, 0, SECTORS, 'a departed disk');
    this.state = 'out';
  }

  /** The machine may be flushing it, which may take its time; nothing else is in flight. */
  async #flushed() {
    for (const until = Date.now() + PATIENCE_MS; this.backend.inFlight !== 0; ) {
      if (Date.now() > until) throw new Error(`in flight to a departed disk: ${this.describe()}`);
      await turn();
    }
  }

  async close(rig) {
    await this.backend.close();
    rig.disks.delete(this);
    if (this.#file) rmSync(this.#file);
  }

  describe() {
    const { kind, state, address, visits, backend } = this;
    const { inFlight, quiesced } = backend;
    const at = address && [address.target, address.lun];
    return JSON.stringify({ kind, state, at, visits, inFlight, quiesced });
  }
}

/** Some requests take their time. */
function slowness(random) {
  const slow = (ms, match) => ({ action: 'delay', ms, ...match });
  switch (random.below(4)) {
    case 0:
      return [];
    case 1:
      return [slow(0, { offset: 0, length: (SECTORS / 2) * SECTOR })];
    case 2:
      return [slow(1 + random.below(10), { skip: random.below(8), count: 1 + random.below(4) })];
    default:
      return [slow(random.below(3), { op: 'write' }), slow(0, { op: 'flush' })];
  }
}
