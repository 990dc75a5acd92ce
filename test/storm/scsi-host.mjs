/** A SCSI host on a bus, its driver, the disks that come and go there, and the I/O on them. */
import { GuestScsi } from '#src/guest/scsi';
import * as spec from '#src/spec';
import { VirtioScsi } from '#src/virtio/virtio-scsi';
import { BusSlot } from './bus-slot.mjs';
import { ADDRESSES, LunMap } from './lun-map.mjs';
import { ScsiLoad } from './scsi-load.mjs';
import { ScsiTasks } from './scsi-tasks.mjs';

const QUEUES = 4;
const TASKS = 3;
/** Who serves the command queues: two threads, one beside main, main. */
export const MAPPINGS = ['both', 'both', 'one', 'main'];

export class ScsiHost {
  rig;
  random;
  options;
  device;
  guest;
  map = new LunMap();
  tasks;
  load;
  /** The driver has started it. */
  live = false;
  /** What was done to it, the last things. */
  history = [];
  #closed = false;
  #closing = null;
  #starting = null;
  #resetting = null;
  #place;
  #unplugged = new Set();

  constructor(rig, random, options) {
    this.rig = rig;
    this.random = random;
    this.options = options;
  }

  static async open(rig, random, options) {
    const host = new ScsiHost(rig, random, options);
    await host.#open();
    rig.slots.add(host);
    return host;
  }

  async #open() {
    const { rig, random, options } = this;
    const { core, context, machine, ram } = rig;
    for (const thread of rig.threads) thread.set({ 'poll-max-ns': options.pollMaxNs });
    this.device = await VirtioScsi.realize(core, context, {
      machine,
      num_queues: QUEUES,
      virtqueue_size: options.queueSize,
      kick: options.kick,
      ...mappingOf(rig, options.mapping),
    });
    this.#place = new BusSlot(this.device, options.transport, 2 + QUEUES, (vector) => {
      this.#interrupted(vector);
    });
    this.guest = new GuestScsi(this.#place.bus, ram, {
      interrupts: true,
      commandQueues: QUEUES,
      queueSize: options.queueSize,
      vectors: this.#place.vectors,
      events: options.events,
      relax: () => new Promise((resolve) => setImmediate(resolve)),
    });
    this.tasks = new ScsiTasks(this.guest, this.map, random, TASKS);
    this.load = new ScsiLoad(this.guest, this.map, this.tasks, random, {
      queues: QUEUES,
      depth: options.depth,
    });
    this.tasks.load = this.load;
    this.guest.onProgress = () => this.load.pumpLater();
    this.guest.onEvent = (event) => this.#guarded(() => this.#told(event));
    this.guest.onConfigChange = () => {
      if (this.guest.needsReset) this.load.fail(new Error('the host wants a reset'));
    };
  }

  /** For who looks at a storm that fails. */
  note(what) {
    this.history.push(what);
    if (this.history.length > 20) this.history.shift();
  }

  // ---- What the driver sees ---------------------------------------------------------------------

  #interrupted(vector) {
    this.#look(() => this.guest.interrupt(vector));
  }

  /** One look at the used rings. */
  #look(collect) {
    this.#guarded(() => {
      collect();
      this.tasks.looked();
    });
  }

  #guarded(body) {
    try {
      body();
    } catch (error) {
      this.load.fail(error);
    }
  }

  /** Nobody is told of a removal that has not begun. */
  #told({ event, lun, reason }) {
    if (event !== spec.VIRTIO_SCSI_T_TRANSPORT_RESET) return;
    if (reason !== spec.VIRTIO_SCSI_EVT_RESET_REMOVED) return;
    const at = ADDRESSES.find(({ bytes }) => bytes[1] === lun[1] && bytes[3] === lun[3]);
    if (!this.#unplugged.has(at)) throw new Error(`told of a disk that has not gone: ${lun}`);
  }

  // ---- The driver -------------------------------------------------------------------------------

  /** Reset to DRIVER_OK, and I/O at once; all of it while the CPU runs. */
  start() {
    this.#starting ??= this.#start().finally(() => {
      this.#starting = null;
    });
    return this.#starting;
  }

  async #start() {
    this.note('start');
    const { guest, load, rig } = this;
    this.live = false;
    load.pause();
    await rig.cpu.resumed();
    this.#resetting = guest.reset();
    await this.#resetting;
    this.#resetting = null;
    await rig.cpu.resumed();
    if (this.#closed) return;
    guest.negotiate();
    guest.setUpQueues();
    guest.driverOk();
    this.live = true;
    load.begin();
  }

  pause() {
    this.load.pause();
  }

  resume() {
    if (this.live && !this.#closed) this.load.begin();
  }

  /** Task management, at an address with a disk more often than not. */
  ask() {
    const { map, random, rig } = this;
    if (!this.live || !rig.cpu.running) return;
    const all = random.below(4) > 0 && map.disks.length > 0 ? addressesOf(map) : ADDRESSES;
    this.tasks.ask(all[random.below(all.length)]);
  }

  /** Until some more commands have come back, if the driver runs. */
  async progress(count) {
    const { load, rig } = this;
    const goal = load.completed + count;
    const isIdle = () => !this.live || this.#closed || !rig.cpu.running;
    await load.until(() => load.completed >= goal || isIdle());
  }

  // ---- Disks ------------------------------------------------------------------------------------

  /** Somewhere, if there is a place. */
  async plug(disk) {
    this.note('plug');
    const { map, load, random } = this;
    const free = ADDRESSES.filter((at) => !map.at(at) && !load.straysAt(at));
    if (free.length === 0 || disk.state !== 'out') return;
    const address = free[random.below(free.length)];
    disk.state = 'arriving';
    disk.visits++;
    disk.address = address;
    map.put(address, disk);
    const end = map.begin(address);
    const { target, lun } = address;
    disk.unit = await this.device.plug('hd', disk.backend, { 'scsi-id': target, lun });
    disk.state = 'plugged';
    end();
    load.pumpLater();
  }

  async unplug(disk) {
    this.note('unplug');
    const { map, load } = this;
    const { address } = disk;
    disk.state = 'leaving';
    this.#unplugged.add(address);
    const end = map.begin(address);
    const taken = load.busy.filter((one) => one.disk === disk && load.isTaken(one));
    const tags = new Map(taken.map((command) => [command, command.tag]));
    await this.device.unplug(disk.unit);
    if (this.#resetting) await this.#resetting; // commands of before are dropped
    if (this.#closed) await this.#closing;
    else this.#look(() => this.guest.poll());
    const left = taken.filter((one) => one.busy && one.tag === tags.get(one));
    if (left.length > 0) {
      throw new Error(`${left.length} commands of a departed disk are alive: ${disk.describe()}`);
    }
    this.#gone(disk);
    end();
  }

  #gone(disk) {
    this.load.departed(disk);
    this.map.remove(disk.address);
    disk.state = 'gone';
    disk.unit = null;
  }

  changeMapping(mapping) {
    this.note(`queues on: ${mapping}`);
    return this.device.changeMapping(mappingOf(this.rig, mapping));
  }

  // ---- The end ----------------------------------------------------------------------------------

  /** The host goes, with what disks there are; what is in flight is lost. */
  close() {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close() {
    this.note('close');
    const { device, guest, load, rig } = this;
    this.live = false;
    load.pause();
    this.#closed = true;
    this.#place.close();
    await device.close();
    guest.abandon();
    guest.eventBuffers?.dropped();
    for (const disk of this.map.disks) if (disk.state !== 'leaving') this.#gone(disk);
    load.check();
    if (load.inFlight !== 0) throw new Error(`${load.inFlight} commands have no end`);
    load.close();
    this.tasks.close();
    rig.slots.delete(this);
  }

  describe() {
    const { options, load, tasks, map, guest, live } = this;
    const { issued, completed, droppedCount, busy } = load;
    const { history } = this;
    const shown = ({ kind, address: { target, lun }, queue, place, tag, stray }) => {
      return { kind, target, lun, queue, place, tag, stray };
    };
    return {
      options,
      history,
      live,
      load: { issued, completed, droppedCount, busy: busy.map(shown), tasks: tasks.busy },
      disks: map.disks.map((disk) => disk.describe()),
      rings: guest.rings.map((ring) => [ring.availIndex, ring.usedIndex, ring.inFlight]),
      machine: this.rig.machine.state,
    };
  }
}

const addressesOf = (map) => map.disks.map(({ address }) => address);

/** What varies from host to host; the place of the queues and the transport by turns. */
export function hostOptions(random, number, transports) {
  const pick = (list) => list[random.below(list.length)];
  return {
    transport: transports[number % transports.length],
    mapping: MAPPINGS[(number >> 1) % MAPPINGS.length],
    queueSize: pick([16, 64, 256]),
    kick: pick(['sync', 'poll']),
    pollMaxNs: pick([0, 0, 32_768, 200_000]),
    depth: 1 + random.below(6),
    events: pick([0, 2, 8]),
  };
}

function mappingOf({ threads }, mapping) {
  if (mapping === 'main') return {};
  if (mapping === 'both') {
    return { 'iothread-vq-mapping': threads.map((iothread) => ({ iothread })) };
  }
  return { iothread: threads[0] };
}
