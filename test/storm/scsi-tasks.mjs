/**
 * Task management of a SCSI load: functions on the control queue, which commands each may end, and
 * which it must have ended when it is answered. Whatever comes back in one look at the used rings
 * has come back together: the control queue is looked at first.
 */
import { GuestChain } from '#src/guest/chain';
import * as spec from '#src/spec';

const { VIRTIO_SCSI_S_FUNCTION_COMPLETE: COMPLETE, VIRTIO_SCSI_S_RESET: RESET } = spec;
const { VIRTIO_SCSI_S_FUNCTION_SUCCEEDED: SUCCEEDED } = spec;
const { VIRTIO_SCSI_S_BAD_TARGET: BAD_TARGET, VIRTIO_SCSI_S_INCORRECT_LUN: WRONG_LUN } = spec;
const REQUEST = spec.VIRTIO_SCSI_TMF_SIZE;
const UNWRITTEN = 0xff;

/** `kills`: the response of the commands that it ends. `tag`: it is about one of them. */
const FUNCTIONS = [
  { type: spec.VIRTIO_SCSI_T_TMF_ABORT_TASK, kills: spec.VIRTIO_SCSI_S_ABORTED, tag: true },
  { type: spec.VIRTIO_SCSI_T_TMF_ABORT_TASK_SET, kills: spec.VIRTIO_SCSI_S_ABORTED },
  { type: spec.VIRTIO_SCSI_T_TMF_LOGICAL_UNIT_RESET, kills: RESET },
  { type: spec.VIRTIO_SCSI_T_TMF_I_T_NEXUS_RESET, kills: RESET, target: true },
  { type: spec.VIRTIO_SCSI_T_TMF_QUERY_TASK, query: true, tag: true },
  { type: spec.VIRTIO_SCSI_T_TMF_QUERY_TASK_SET, query: true },
];

/** One function at a time. A `ChainOwner`. */
class Task {
  busy = false;
  answered = false;
  chain = new GuestChain();
  what = FUNCTIONS[0];
  address = null;
  tag = 0;
  version = 0;
  /** Commands, and the tags that they had, that the device had taken when this was asked. */
  taken = [];
  /** The command that it asks for was over before. */
  isLate = false;
  /** How many functions that end commands had been asked, this one too. */
  kills = 0;
  memory;
  #ram;

  constructor(ram) {
    this.#ram = ram;
    this.memory = ram.allocate(REQUEST + 1, 16);
  }

  prepare() {
    const { address, what, tag, memory } = this;
    const request = new Uint8Array(REQUEST);
    request[0] = spec.VIRTIO_SCSI_T_TMF;
    request[4] = what.type;
    request.set(address.bytes, 8);
    new DataView(request.buffer).setUint32(16, tag, true);
    this.#ram.write(memory, request);
    this.#ram.fill(memory + REQUEST, 1, UNWRITTEN);
    this.chain
      .clear()
      .out(memory, REQUEST)
      .in(memory + REQUEST, 1);
  }

  get response() {
    return this.#ram.read(this.memory + REQUEST, 1)[0];
  }

  covers({ address, tag }) {
    const { what, address: meant } = this;
    if (what.target ? address.target !== meant.target : address !== meant) return false;
    return !what.tag || tag === this.tag;
  }

  finished() {
    this.answered = true;
  }

  dropped() {
    this.busy = this.answered = false;
  }

  close() {
    this.#ram.free(this.memory);
  }
}

export class ScsiTasks {
  answered = 0;
  #tasks;
  #guest;
  #map;
  #random;
  #load = null;
  #kills = 0;

  constructor(guest, map, random, most) {
    this.#guest = guest;
    this.#map = map;
    this.#random = random;
    this.#tasks = Array.from({ length: most }, () => new Task(guest.ram));
  }

  /** Of whose commands it is about. */
  set load(load) {
    this.#load = load;
  }

  get busy() {
    return this.#tasks.some(({ busy }) => busy);
  }

  /** Has somebody asked for the end of this command, and not been answered before this look? */
  mayKill(command, response) {
    return this.#tasks.some((task) => {
      return task.busy && task.what.kills === response && task.covers(command);
    });
  }

  /** Asks for some function at an address. False: too many are under way. */
  ask(address) {
    const task = this.#tasks.find(({ busy }) => !busy);
    if (!task || this.#guest.rings.length === 0) return false;
    const load = this.#load;
    const what = FUNCTIONS[this.#random.below(FUNCTIONS.length)];
    task.what = what;
    task.address = address;
    task.tag = what.tag ? this.#tagFor(address) : 0;
    task.version = this.#map.version(address);
    task.isLate = what.tag === true && !load.busy.some(({ tag }) => tag === task.tag);
    const taken = load.busy.filter((one) => task.covers(one) && load.isTaken(one));
    task.taken = taken.map((command) => ({ command, tag: command.tag }));
    task.prepare();
    if (this.#guest.add(spec.VIRTIO_SCSI_CONTROL_QUEUE, task.chain, task) < 0) return false;
    if (what.kills) this.#kills++;
    task.kills = this.#kills;
    task.busy = true;
    this.#guest.submit(spec.VIRTIO_SCSI_CONTROL_QUEUE);
    return true;
  }

  /** Of a command in flight there, or of one that is over. */
  #tagFor(address) {
    const load = this.#load;
    const here = load.busy.filter((command) => command.address === address);
    const pick = (list) => list[this.#random.below(list.length)];
    if (here.length > 0 && this.#random.below(4) > 0) return pick(here).tag;
    return load.oldTags.length > 0 ? pick(load.oldTags) : 0;
  }

  /** The used rings have been looked at: judges what was answered. */
  looked() {
    for (const task of this.#tasks) {
      if (!task.answered) continue;
      try {
        this.#judge(task);
      } finally {
        task.busy = task.answered = false;
        this.answered++;
      }
    }
  }

  #judge(task) {
    const { what, address, response, taken } = task;
    const steady = this.#map.isAsIn(task.version, address);
    const told = `function ${what.type} at ${address.target}/${address.lun}: ${response}`;
    const allowed = this.#answersOf(task, steady);
    if (!allowed.includes(response)) throw new Error(`${told}, not ${allowed}`);
    const left = taken.filter(({ command, tag }) => command.busy && command.tag === tag);
    if (what.kills && response === COMPLETE && left.length > 0) {
      throw new Error(`${told}, and ${left.length} commands that it was to end are there`);
    }
    if (!what.query || !steady) return;
    const here = left.length > 0;
    // Who is about to be ended does not count any more.
    const calm = !this.#tasks.some(({ busy, what: { kills } }) => busy && kills);
    if (here && calm && task.kills === this.#kills && response !== SUCCEEDED) {
      if (this.#map.at(address)) throw new Error(`${told}, and its command is there`);
    }
  }

  #answersOf(task, steady) {
    const { what, address } = task;
    const there = what.query ? [COMPLETE, SUCCEEDED] : [COMPLETE];
    if (!steady) return [...there, BAD_TARGET, WRONG_LUN];
    if (this.#map.lunsOf(address.target).length === 0) return [BAD_TARGET];
    if (what.target || this.#map.at(address)) return task.isLate ? [COMPLETE] : there;
    return [WRONG_LUN];
  }

  close() {
    for (const task of this.#tasks) task.close();
  }
}
