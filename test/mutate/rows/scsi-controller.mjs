/**
 * The virtio-scsi host: command queues, task management, events, disks that come and go (SC-14 to
 * SC-18, BG-18, DP-4), and the historic bugs 15, 16 and 25.
 */
const DEVICE = 'virtio/scsi-device.test.ts';
const TMF = 'virtio/scsi-tmf.test.ts';
const PLUG = 'virtio/scsi-hotplug.test.ts';
const ORDERS = 'virtio/scsi-abort-orders.test.ts';
const COMMANDS = 'virtio/scsi-commands.test.ts';
const PLANE = 'virtio/scsi-data-plane.test.ts';

const scsi = (name, breaks, noticed) => ({ name, breaks, noticed });

export const scsiController = [
  scsi(
    'historic bug 15/an unplug does not wait for the walks over its requests',
    ['scsi/bus', '      await canceled;\n', '      void canceled;\n'],
    { [PLUG]: 'historic bug 15 an unplug goes on only when' },
  ),
  scsi(
    'historic bug 16/a disk goes while a request of its own is in flight',
    ['scsi/bus', "    await this.purge(unit, 'aborted');\n", ''],
    { [PLUG]: 'SC-3 historic bug 16 unplug with a request' },
  ),
  scsi(
    'historic bug 25/the sizes are read again for the responses',
    [
      'virtio/scsi-queue',
      'const count = engine.scsiPop(this.config.queue, most, cdbSize, sizes >>> 16);',
      'const count = engine.scsiPop(this.config.queue, most, 32 + 0 * cdbSize, sizes >>> 16);',
    ],
    { [DEVICE]: 'BG-18 historic bug 25 sizes that change' },
  ),
  scsi(
    'scsi/a function is answered before the commands that it kills',
    [
      'virtio/scsi-commands',
      'if (!later && found.every((request) => !this.#waiting.has(request))) return found.length;',
      'if (!later || found.length > 0) return found.length;',
    ],
    { [TMF]: 'SC-15 the answer comes after all', [ORDERS]: 'SC-6 SC-15 every order of' },
  ),
  scsi(
    'scsi/all commands of a unit are aborted, not the one',
    [
      'virtio/scsi-commands',
      'return tag === null || (tag[0] === tagLo && tag[1] === tagHi);',
      'return tag === null || tag[0] === tagLo;',
    ],
    { [TMF]: 'SC-14 ABORT TASK ends the command with that tag' },
  ),
  scsi(
    'scsi/missed events are not told of',
    ['virtio/scsi-event-queue', '      this.#missed = true;\n      return;', '      return;'],
    { [PLUG]: 'SC-18 three disks without a buffer' },
  ),
  scsi(
    'scsi/events that were not negotiated are told',
    ['virtio/virtio-scsi', '    if (!this.negotiated(VIRTIO_SCSI_F_HOTPLUG)) return;\n', ''],
    { [PLUG]: 'SC-18 no event before DRIVER_OK' },
  ),
  scsi(
    'scsi/a removal is announced first',
    [
      'virtio/virtio-scsi',
      '      await this.bus.unplug(unit);\n      this.#plugged(unit, VIRTIO_SCSI_EVT_RESET_REMOVED);',
      '      this.#plugged(unit, VIRTIO_SCSI_EVT_RESET_REMOVED);\n      await this.bus.unplug(unit);',
    ],
    { [PLUG]: 'SC-3 historic bug 16 unplug with a request' },
  ),
  scsi(
    'scsi/a disk is found before every thread has it',
    [
      'scsi/bus',
      '    const untake = unit.take(this.#unitEvents);\n',
      '    const untake = unit.take(this.#unitEvents);\n    unit.words.state = LUN_REALIZED;\n',
    ],
    { [PLUG]: 'SC-9 a disk that not every thread has yet' },
  ),
  scsi(
    'scsi/each disk detaches and attaches by itself',
    ['scsi/bus', 'if (--this.#drained === 0) this', 'if (--this.#drained >= 0) this'],
    { [DEVICE]: 'DP-4 SC-1 drains of two LUNs that overlap' },
  ),
  scsi(
    'scsi/what waits at a gate begins while the machine is stopped',
    ['scsi/home', '    this.units.running = running;\n', ''],
    { [DEVICE]: 'VM-1 VM-3 SC-23 a stopped machine begins nothing' },
  ),
  scsi(
    'scsi/commands that stopped the machine stay where they are',
    ['scsi/home', '      unit.restartFailed();\n', ''],
    { [DEVICE]: 'SC-7 BL-16 commands that stopped the machine' },
  ),
  scsi(
    'scsi/a failing read is done again',
    ['virtio/scsi-queue', 'isOver ? result : undefined', 'isOver && false ? result : undefined'],
    { [COMMANDS]: 'BB-19 a read that fails by the short way' },
  ),
  scsi(
    'scsi/a legacy driver does not pad',
    ['virtio/virtio-scsi', '(pads ? QUEUE_F_PADDED : 0)', '(pads ? QUEUE_F_PADDED & 0 : 0)'],
    { [DEVICE]: 'SC-20 a legacy driver pads its header' },
  ),
  scsi('scsi/sizes outlive a reset', ['virtio/virtio-scsi', '    this.#config.reset();\n', ''], {
    [DEVICE]: 'SC-21 the configuration space',
  }),
  scsi(
    'scsi/commands taken over stay when their disk goes',
    [
      'virtio/scsi-commands',
      'this.#takeAdopted(match).map((head) => this.#request(head));',
      'this.#takeAdopted(match).slice(9).map((head) => this.#request(head));',
    ],
    { [PLANE]: 'SC-4 SC-5 a command that was taken over' },
  ),
  scsi(
    'scsi/commands taken over are not counted',
    [
      'virtio/scsi-commands',
      'begun.length + this.#matchingAdopted(match).length;',
      'begun.length;',
    ],
    { [PLANE]: 'SC-14 and a function finds it' },
  ),
  scsi(
    'scsi/a function does not wait for commands on their way to another thread',
    ['virtio/virtio-scsi', 'this.queueSet.handingOver?.then(manage) ?? manage()', 'manage()'],
    { [PLANE]: 'SC-15 a function at any step of a move' },
  ),
  scsi(
    'scsi/queues of a host without disks are listened to while they move',
    [
      'scsi/bus',
      '    this.#unitEvents.drainedBegin();\n    const backends = this.units',
      '    this.#drained++;\n    const backends = this.units',
    ],
    { [PLANE]: 'DP-4 with no disk, too' },
  ),
  scsi(
    'scsi/a thread that joins misses what the machine does',
    [
      'scsi/bus',
      "      if (this.#isStopped) await place.ask('run', { running: false });\n    } catch",
      "      this.#places.delete(thread);\n      if (this.#isStopped) await place.ask('run', { running: false });\n      this.#places.set(thread, place);\n    } catch",
    ],
    { [PLANE]: 'SC-23 VM-3 a thread that joins' },
  ),
  scsi(
    'scsi/a machine asks threads that have not answered yet',
    ['virtio/queue-set', '      if (!group) continue;\n', '      if (!group) throw new Error();\n'],
    { [PLANE]: 'VM-1 it stops and goes on before' },
  ),
  scsi(
    'scsi/disks are drained while commands are in flight',
    ['virtio/queue-device', '    this.retire();\n    await this.idle();\n', '    this.retire();\n'],
    { [PLANE]: 'DP-10 stop: no commands are taken' },
  ),
  scsi(
    'scsi/a reset of the nexus does not wait for a disk that leaves',
    ['scsi/bus', 'words.state !== LUN_HIDDEN;', 'words.realized && LUN_HIDDEN === 0;'],
    { [TMF]: 'SC-15 I_T NEXUS RESET while a disk of the target leaves' },
  ),
  scsi(
    'scsi/commands of several LUNs go one by one',
    ['virtio/scsi-queue', '        if (word !== last) this.#bringForward(word, at, count);\n', ''],
    { [COMMANDS]: 'commands of a mixed batch go to each LUN together, in their order' },
  ),
  scsi(
    'scsi/commands of other LUNs are lost from a batch',
    ['virtio/scsi-queue', 'u32[own + i] = others[i]!;', 'others[i] = u32[own + i]!;'],
    { [COMMANDS]: 'commands of a mixed batch go to each LUN together, in their order' },
  ),
  scsi(
    'scsi/a disk that is being flushed cannot be closed',
    ['block/backend', ' - this.#flushLanes;', ';'],
    { ['block/backend.test.ts']: 'VM-1 close amid the flush of a machine that stops' },
  ),
];
