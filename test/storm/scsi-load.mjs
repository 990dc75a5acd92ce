/**
 * Commands to all addresses of a SCSI host: those that ask who is there, and verified reads and
 * writes of the disks. Each is answered or dropped, once; what is answered is judged at once.
 */
import { ScsiFrame } from '#src/guest/scsi-frame';
import * as spec from '#src/spec';
import { ADDRESSES } from './lun-map.mjs';
import { fillSector, SECTOR } from './model.mjs';
import { COMMANDS, judge } from './scsi-answers.mjs';
import { Poison, Traffic } from './traffic.mjs';

const SECTORS_MAX = 4;
const BYTES = SECTORS_MAX * SECTOR;
const FIRST = spec.VIRTIO_SCSI_FIRST_COMMAND_QUEUE;
const SIZES = {
  cdb: spec.VIRTIO_SCSI_CDB_DEFAULT_SIZE,
  sense: spec.VIRTIO_SCSI_SENSE_DEFAULT_SIZE,
  out: BYTES,
  in: BYTES,
};
const PROBES = ['ready', 'inquiry', 'luns', 'capacity'];
const FRAMINGS = ['plain', 'plain', 'plain', 'joined', 'split-header'];
/** So long are the tags of commands that are over remembered. */
const OLD_TAGS = 16;

/** One command at a time, in memory of its own. A `ChainOwner`. */
class Command {
  busy = false;
  /** Command queue, from 0, and which of the commands put there it is. */
  queue;
  place = 0;
  kind = 'ready';
  address = ADDRESSES[0];
  /** For reads, writes and flushes: the disk that was there. */
  disk = null;
  /** The disk went, and this had not reached it: it must not be done. */
  stray = false;
  version = 0;
  tag = 0;
  sector = 0;
  sectors = 0;
  serial = 0;
  frame;
  #load;
  #poison;

  constructor(load, queue, ram) {
    this.#load = load;
    this.queue = queue;
    this.frame = new ScsiFrame(ram, SIZES);
    const end = this.frame.response + spec.VIRTIO_SCSI_RESPONSE_HEADER + SIZES.sense + BYTES;
    this.#poison = new Poison(ram, this.frame.header, end - this.frame.header);
  }

  finished() {
    this.#load.finished(this);
  }

  /** The host was reset. From now on it may not touch a byte of the command. */
  dropped() {
    if (!this.busy) return;
    this.checkPoison();
    this.#load.dropped(this);
    this.#poison.put();
  }

  checkPoison() {
    const error = this.#poison.take();
    if (error) this.#load.fail(error);
  }
}

export class ScsiLoad extends Traffic {
  /** Tags of commands that are over, the last ones. */
  oldTags = [];
  #random;
  #map;
  #tasks;
  #guest;
  #commands = [];
  #serial = 0;
  #tag = 0;
  /** By queue: how many commands were put there, and the last of them that came back. */
  #put;
  #back;
  #cdb = new Uint8Array(16);

  constructor(guest, map, tasks, random, { queues, depth }) {
    super(guest.ram);
    this.#guest = guest;
    this.#map = map;
    this.#tasks = tasks;
    this.#random = random;
    this.#put = new Array(queues).fill(0);
    this.#back = new Array(queues).fill(0);
    for (let queue = 0; queue < queues; queue++) {
      for (let i = 0; i < depth; i++) this.#commands.push(new Command(this, queue, this.ram));
    }
  }

  /** In flight. */
  get busy() {
    return this.#commands.filter(({ busy }) => busy);
  }

  /** The device has taken it: one that was put behind it in its queue has come back. */
  isTaken({ busy, queue, place }) {
    return busy && place < this.#back[queue];
  }

  /** Commands in flight that are meant for a disk which is there no more. */
  straysAt(address) {
    return this.busy.some((command) => command.stray && command.address === address);
  }

  /** The disk has gone: what is in flight to it has not reached it. */
  departed(disk) {
    for (const command of this.busy) if (command.disk === disk) command.stray = true;
    disk.taken.fill(0);
  }

  close() {
    this.pause();
    for (const command of this.#commands) {
      command.checkPoison();
      command.frame.close();
    }
  }

  // ---- Commands ---------------------------------------------------------------------------------

  pump() {
    const guest = this.#guest;
    if (!this.on || guest.rings.length === 0) return;
    const touched = new Set();
    for (const command of this.#commands) {
      if (command.busy || !this.#prepare(command)) continue;
      const queue = FIRST + command.queue;
      if (guest.add(queue, command.frame.chain, command) < 0) {
        this.#release(command);
        continue;
      }
      command.place = ++this.#put[command.queue];
      this.issued++;
      touched.add(queue);
    }
    for (const queue of touched) guest.submit(queue);
  }

  #prepare(command) {
    command.checkPoison();
    const random = this.#random;
    const disks = this.#map.disks.filter(({ state }) => state !== 'arriving');
    const kind = random.below(16);
    const disk = disks.length > 0 && kind < 11 ? disks[random.below(disks.length)] : null;
    command.kind = disk ? kindOf(kind) : PROBES[random.below(PROBES.length)];
    command.disk = disk;
    command.address = disk?.address ?? ADDRESSES[random.below(ADDRESSES.length)];
    command.sectors = command.kind === 'sync' || !disk ? 0 : 1 + random.below(SECTORS_MAX);
    command.sector = disk ? random.below(disk.sectors - SECTORS_MAX + 1) : 0;
    if (!isFree(command)) return false;
    command.version = this.#map.version(command.address);
    command.serial = command.kind === 'write' ? ++this.#serial : 0;
    command.tag = ++this.#tag;
    command.stray = false;
    command.busy = true;
    disk?.taken.fill(1, command.sector, command.sector + command.sectors);
    this.#write(command);
    return true;
  }

  #write(command) {
    const { frame, kind, address, tag, sector, sectors, serial } = command;
    const { write, data = sectors * SECTOR } = COMMANDS[kind];
    const [out, room] = kind === 'write' ? [data, 0] : [0, data];
    const cdb = this.#cdb.fill(0);
    write(cdb, command);
    const framing = FRAMINGS[this.#random.below(FRAMINGS.length)];
    frame.prepare(address.bytes, tag, cdb, out, room, framing);
    const { ram } = this;
    if (room > 0) ram.fill(frame.dataIn, room, 0xee);
    if (out === 0) return;
    // In a joined frame data follow a header of odd length.
    const words = new Uint32Array(data / 4);
    for (let i = 0; i < sectors; i++) fillSector(words, i * (SECTOR / 4), serial, sector + i);
    frame.setData(new Uint8Array(words.buffer));
  }

  #release(command) {
    const { disk, stray, sector, sectors } = command;
    command.busy = false;
    if (disk && !stray) disk.taken.fill(0, sector, sector + sectors);
    command.disk = null;
  }

  // ---- Answers ----------------------------------------------------------------------------------

  finished(command) {
    const { queue, place } = command;
    try {
      if (!command.busy) throw new Error('a command was answered that was not in flight');
      this.#settle(command, judge(command, this.#map, this.#tasks));
    } catch (error) {
      this.fail(error);
    }
    this.#back[queue] = Math.max(this.#back[queue], place);
    this.oldTags.push(command.tag);
    if (this.oldTags.length > OLD_TAGS) this.oldTags.shift();
    this.completed++;
    this.#release(command);
    this.wake();
  }

  /** `done`: true, false, or 'maybe'. */
  #settle({ kind, disk, frame, sector, sectors, serial }, done) {
    if (kind === 'write' && done === true) disk.model.wrote(sector, sectors, serial);
    if (kind === 'write' && done === 'maybe') disk.model.mayHold(sector, sectors, serial);
    if (kind !== 'read' || done !== true) return;
    const words = new Uint32Array(frame.getData().slice().buffer);
    disk.model.check(words, 0, sector, sectors, `read of ${disk.describe()}`);
  }

  dropped(command) {
    const { kind, disk, stray, sector, sectors, serial } = command;
    if (kind === 'write' && !stray) disk.model.mayHold(sector, sectors, serial);
    this.droppedCount++;
    this.#release(command);
    this.wake();
  }
}

function kindOf(number) {
  if (number < 5) return 'write';
  return number < 10 ? 'read' : 'sync';
}

function isFree({ disk, sector, sectors }) {
  if (!disk) return true;
  for (let s = sector; s < sector + sectors; s++) if (disk.taken[s]) return false;
  return true;
}
