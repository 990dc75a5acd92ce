/** A virtio-scsi host saved and loaded: what is kept of commands and units, and what is refused. */
const SCSI = 'machine/scsi-state.test.ts';
const V86 = 'adapter/v86-state.test.ts';

export const scsiState = [
  {
    name: 'scsi-state/a command that waited takes a unit attention again',
    breaks: ['scsi/unit', ' && !request.retry) {', ') {'],
    noticed: { [SCSI]: 'VM-9 SC-11 unit attentions, which the commands that wait' },
  },
  {
    name: 'scsi-state/units have the attention of a reset',
    breaks: ['scsi/bus-state', '    unit.words.restore(words);\n', ''],
    noticed: { [SCSI]: 'VM-9 SC-11 no attention' },
  },
  {
    name: 'scsi-state/the attention of the bus is lost',
    breaks: ['scsi/bus-state', '  bus.attention = attention;\n', ''],
    noticed: { [SCSI]: 'VM-9 SC-11 unit attentions, which the commands that wait' },
  },
  {
    name: 'scsi-state/the write cache is as it is here',
    breaks: ['scsi/bus-state', '    unit.backend.writeCache = writeCache;\n', ''],
    noticed: { [SCSI]: 'VM-9 SD-9 the block size and the write cache' },
  },
  {
    name: 'scsi-state/what the driver has chosen is lost',
    breaks: ['virtio/virtio-scsi', '    this.#config.sizes = sizes;\n', ''],
    noticed: { [SCSI]: 'VM-9 SC-21 the sizes that a driver has chosen' },
  },
  {
    name: 'scsi-state/nobody tells that an event was missed',
    breaks: ['virtio/virtio-scsi', '    this.#events?.restoreMissed(eventsMissed);\n', ''],
    noticed: { [SCSI]: 'VM-9 SC-18 an event that was missed' },
  },
  {
    name: 'scsi-state/a command is what its driver has written since',
    breaks: ['virtio/scsi-state', '      core.u8.set(header, row);\n', ''],
    noticed: { [SCSI]: 'VM-9 BG-18 BG-15 a command is what it was' },
  },
  {
    name: 'scsi-state/a command has no CDB',
    breaks: ['virtio/scsi-state', '      core.u8[row + SCSI_REQUEST_CDB_SIZE] = cdbSize;\n', ''],
    noticed: { [SCSI]: 'VM-9 SC-7 commands that wait are tried again' },
  },
  {
    name: 'scsi-state/requests wait in any queue',
    breaks: ['virtio/scsi-state', 'index >= VIRTIO_SCSI_FIRST_COMMAND_QUEUE,', 'index >= 0,'],
    noticed: { [SCSI]: 'VM-9 requests that wait in a queue whose requests never do' },
  },
  {
    name: 'scsi-state/task management that goes on is forgotten',
    breaks: [
      'virtio/scsi-state',
      'if (scsi.brokenReason === 0 && inUse(scsi, VIRTIO_SCSI_CONTROL_QUEUE) > 0) {',
      'if (inUse(scsi, VIRTIO_SCSI_CONTROL_QUEUE) < 0) {',
    ],
    noticed: { [SCSI]: 'VM-8 VM-9 one that carries out a task management function' },
  },
  {
    name: 'scsi-state/commands are taken while a state is made',
    breaks: ['virtio/scsi-state', 'if (this.#holds++ === 0) scsi.vmStateChanged(false);', ''],
    noticed: { [SCSI]: 'VM-9 while a state is made no command is taken' },
  },
  {
    name: 'scsi-state/a host that was held stays so',
    breaks: [
      'virtio/scsi-state',
      'if (--this.#holds === 0) scsi.vmStateChanged(scsi.settings.machine?.running ?? true);',
      '',
    ],
    noticed: { [SCSI]: 'VM-9 drained disks are enough', [V86]: 'VM-9 asked at once the CPU' },
  },
  {
    name: 'scsi-state/v86 copies its memory when the host has gone on',
    breaks: ['machine/machine-state', 'handler.hold?.()', 'undefined as (() => void) | undefined'],
    noticed: { [V86]: 'VM-9 what was published and not kicked' },
  },
  {
    name: 'scsi-state/units may differ',
    breaks: ['scsi/bus-state', "reader.expect('units',", "((..._: unknown[]) => {})('units',"],
    noticed: { [SCSI]: 'VM-9 a host with other ' },
  },
  {
    name: 'scsi-state/blocks of any size',
    breaks: [
      'scsi/bus-state',
      'if (blockSize !== config.logicalBlockSize && !canBeBlockSize(',
      'if (blockSize < 0 && !canBeBlockSize(',
    ],
    noticed: { [SCSI]: 'VM-9 blocks of a size that the disk here does not have' },
  },
  {
    name: 'scsi-state/a disk comes or goes meanwhile',
    breaks: [
      'scsi/bus-state',
      'if (!isSame || !isAtRest(bus)) {',
      'if (!isSame && !isAtRest(bus)) {',
    ],
    noticed: { [SCSI]: 'VM-9 one whose disks come or go' },
  },
  {
    name: 'scsi-state/task management knows nothing of commands not begun',
    breaks: [
      'virtio/scsi-commands',
      'const taken = this.#matchingAdopted(match);',
      'const taken = this.#matchingAdopted(match).slice(0, 0);',
    ],
    noticed: { [SCSI]: 'VM-9 SC-14 SC-15 are there for task management' },
  },
  {
    name: 'scsi-state/commands not begun are not counted',
    breaks: [
      'virtio/scsi-commands',
      'begun.length + this.#matchingAdopted(match).length',
      'begun.length',
    ],
    noticed: { [SCSI]: 'VM-9 SC-14 SC-15 are there for task management' },
  },
];
