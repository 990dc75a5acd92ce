/** Save and load: the ring's place and requests in the engines, and what is checked around them. */
const PLACE = 'VM-6 a ring goes on at its place: k popped, m not yet seen';
const MANY = 'VM-6 as many in flight as the ring has are taken';
const AHEAD = 'VM-6 as many unseen as the ring has are taken';
const TWICE = 'BL-19 a request in flight twice is refused';
const LAST = 'BL-19 the last head of a ring is one';
const ROOM = 'BL-19 no more requests are restored than the ring holds';
const FIT = 'BL-19 where a longest chain might not fit';
const SAME = 'BL-19 a restored request is what pop had made of it';

export const restore = [
  {
    name: 'restore/more in flight than the ring has',
    suite: MANY,
    wasm: ['restore', '  if (popped > num) return RESTORE_REFUSED;', ''],
    js: ['restore', '  if (popped > num) return RESTORE_REFUSED;', ''],
  },
  {
    name: 'restore/as many in flight as the ring has',
    suite: MANY,
    wasm: ['restore', 'if (popped > num) return', 'if (popped >= num) return'],
    js: ['restore', 'if (popped > num) return', 'if (popped >= num) return'],
  },
  {
    name: 'restore/a driver too far ahead',
    suite: AHEAD,
    wasm: ['restore', '((idx - last) & 0xffff) > num', '((idx - last) & 0xffff) > num + 1'],
    js: ['restore', '((idx - last) & 0xffff) > num', '((idx - last) & 0xffff) > num + 1'],
  },
  {
    name: 'restore/a driver as far ahead as the ring is long',
    suite: AHEAD,
    wasm: ['restore', '((idx - last) & 0xffff) > num', '((idx - last) & 0xffff) >= num'],
    js: ['restore', '((idx - last) & 0xffff) > num', '((idx - last) & 0xffff) >= num'],
  },
  {
    name: 'restore/the decision of before still counts',
    suite: PLACE,
    wasm: ['restore', '  store<u32>(queue, 0, QUEUE_SIGNALLED_VALID);\n', ''],
    js: ['restore', '  v.u32[word(QUEUE_SIGNALLED_VALID)] = 0;\n', ''],
  },
  {
    name: 'restore/nobody asks for kicks',
    suite: PLACE,
    wasm: ['restore', '  store<u32>(queue, 1, QUEUE_NOTIFICATION);\n', ''],
    js: ['restore', '  v.u32[word(QUEUE_NOTIFICATION)] = 1;\n', ''],
  },
  {
    name: 'restore/used.idx is not read again',
    suite: PLACE,
    wasm: ['restore', '  store<u32>(queue, used, QUEUE_USED_IDX);\n', ''],
    js: ['restore', '  v.u32[word(QUEUE_USED_IDX)] = used;\n', ''],
  },
  {
    name: 'restore/a request is not counted',
    suite: SAME,
    wasm: [
      'restore',
      'store<u32>(queue, load<u32>(queue, QUEUE_INUSE) + 1, QUEUE_INUSE);',
      'store<u32>(queue, load<u32>(queue, QUEUE_INUSE), QUEUE_INUSE);',
    ],
    js: ['restore', '= inuse + 1;', '= inuse;'],
  },
  {
    name: 'restore/more requests than the ring holds',
    suite: ROOM,
    wasm: ['restore', 'if (load<u32>(queue, QUEUE_INUSE) >= num) return', 'if (num == 0) return'],
    js: ['restore', 'if (inuse >= num) return', 'if (num === 0) return'],
  },
  {
    name: 'restore/fewer free blocks than a longest chain takes',
    suite: FIT,
    wasm: ['restore', '< <u32>CHAIN_BLOCKS_MAX) return STALLED', '< 1) return STALLED'],
    js: ['restore', '< CHAIN_BLOCKS_MAX) return', '< 1) return'],
  },
  {
    name: 'restore/a head in flight twice',
    only: 'the js engine asks in `take`, as for a pop',
    suite: TWICE,
    wasm: ['restore', '  if (inFlight(queue, head)) return', '  if (num == 0) return'],
  },
  {
    name: 'restore/a head that the ring does not have',
    only: 'the js engine asks in `take`, as for a pop',
    suite: LAST,
    wasm: ['restore', 'if (head >= num) return', 'if (head > num) return'],
  },
];

const FORMAT = 'machine/state-format.test.ts';
const BLK = 'machine/blk-state.test.ts';
const V86 = 'adapter/v86-state.test.ts';

export const state = [
  {
    name: 'state/the check sum is not looked at',
    breaks: ['machine/state-format', 'if (sum !== crc32(body))', 'if (sum < 0)'],
    noticed: { [FORMAT]: 'refuses every state that was cut off, and every changed byte' },
  },
  {
    name: 'state/a length is believed',
    breaks: [
      'machine/state-reader',
      'if (length > this.left) this.fail',
      'if (length < 0) this.fail',
    ],
    noticed: { [FORMAT]: 'believes no length before as many bytes are there' },
  },
  {
    name: 'state/a newer section is read',
    breaks: ['machine/machine-state', 'version < 1 || version > handler.version', 'version < 1'],
    noticed: { [FORMAT]: 'refuses sections that are missing, unknown, newer' },
  },
  {
    name: 'state/a running machine is saved',
    breaks: ['machine/machine', "this.#checkStopped('saved');", ''],
    noticed: { [BLK]: 'VM-8 a machine that runs is neither saved nor loaded' },
  },
  {
    name: 'state/an error of a drain is dropped',
    breaks: [
      'machine/machine',
      '    if (errors.length === 0) return;\n    const [cause]',
      '    if (errors.length >= 0) return;\n    const [cause]',
    ],
    noticed: { [BLK]: 'VM-8 a disk that cannot be drained' },
  },
  {
    name: 'state/requests in flight are forgotten',
    breaks: ['virtio/blk-state', "if (backend.inFlight > 0) busy('has requests in flight');", ''],
    noticed: { [BLK]: 'VM-8 a request in flight: the device is not saved' },
  },
  {
    name: 'state/requests that wait are not saved',
    breaks: [
      'virtio/queue-device-state',
      'requestsInFlight(device) > 0',
      'requestsInFlight(device) < 0',
    ],
    noticed: { [BLK]: 'VM-6 BL-19 two requests wait and one is unseen' },
  },
  {
    name: 'state/requests that wait are not served',
    breaks: [
      'virtio/queue-device-state',
      'device.brokenReason !== 0 || waiting.every((heads) => heads.length === 0)',
      'device.brokenReason !== 0 || waiting.every((heads) => heads.length >= 0)',
    ],
    noticed: { [BLK]: 'VM-6 BL-19 two requests wait and one is unseen' },
  },
  {
    name: 'state/fewer requests than the ring says',
    breaks: ['virtio/ring-places', 'if (popped !== place.requests.length)', 'if (popped < 0)'],
    noticed: { [BLK]: 'VM-6 guest memory that is not the one of then' },
  },
  {
    name: 'state/the capacity may differ',
    breaks: [
      'virtio/blk-state',
      "reader.expect('capacity',",
      "((..._: unknown[]) => {})('capacity',",
    ],
    noticed: { [BLK]: 'a device of other ' },
  },
  {
    name: 'state/the write cache is as it began',
    breaks: ['virtio/blk-state', 'backend.writeCache = writeCache;', ''],
    noticed: { [BLK]: 'VM-5 the write cache as the driver has set it' },
  },
  {
    name: 'state/interrupts that are pending are lost',
    breaks: ['virtio/virtio-pci', 'interrupts.msix?.restorePending(state.pending);', ''],
    noticed: { [BLK]: 'VM-5 MSI-X: the table, who uses which vector' },
  },
  {
    name: 'state/the interrupt status is lost',
    breaks: ['virtio/virtio-pci', 'interrupts.restore(state.isr, state.asserted);', ''],
    noticed: { [BLK]: 'VM-5 interrupt status and line' },
  },
  {
    name: 'state/what a memory disk has now stays',
    breaks: [
      'block/memory-state',
      'core.engine.clusterZero(clusterDisk, 0, 0, size >>> 0, Math.floor(size / WORD), 1);',
      '',
    ],
    noticed: { [BLK]: 'a memory disk with its contents, and its holes' },
  },
  {
    name: 'v86-state/BARs are not looked up again',
    breaks: [
      'adapter/v86-state',
      '      for (const { place } of this.#devices) place.refresh();\n',
      '',
    ],
    noticed: { [V86]: 'VM-5 the disk and its driver go back in time' },
  },
  {
    name: 'v86-state/the CPU goes on while a state is made',
    breaks: ['adapter/v86-state', 'if (wasRunning) await emulator.stop?.();', ''],
    noticed: { [V86]: 'stops the CPU meanwhile, if it runs' },
  },
  {
    name: 'v86-state/a device serves from what the disk had before',
    breaks: [
      'adapter/v86-state',
      'const backends = this.#drainedBegin();\n    const finish',
      'const backends: BlockBackend[] = [];\n    const finish',
    ],
    noticed: { [V86]: 'VM-5 what the driver had published is served' },
  },
  {
    name: 'v86-state/what is refused late leaves half a slot',
    breaks: ['adapter/v86-state', 'finish();\n      throw error;', 'throw error;'],
    noticed: { [V86]: 'VM-6 a state that does not go with its guest memory' },
  },
  {
    name: 'v86-state/the medium of long ago is saved',
    breaks: [
      'adapter/v86-state',
      'this.#findMemory();\n          this.#prepared',
      'this.#prepared',
    ],
    noticed: { [V86]: 'VM-5 another medium' },
  },
];
