/**
 * Resets, removal and what holds a device (VC-3, VC-7, PC-8, PC-10, BL-18, BL-22, VM-2): what each
 * step is there for. `removalEngineBugs`: the engine's half of historic bug 22.
 */

const MMIO = 'device/mmio-2.test.ts';
const MSIX = 'device/pci-modern-msix.test.ts';
const REGISTERS = 'virtio/reset-registers.test.ts';
const TRIGGERS = 'virtio/stop-triggers.test.ts';
const HOTPLUG = 'adapter/v86-hotplug.test.ts';

export const removalEngineBugs = [
  {
    name: 'historic bug 22/a broken queue is not empty',
    noticed: { [TRIGGERS]: 'historic bug 22 a broken queue is empty' },
    wasm: [
      'notify',
      'if (!usable(queue)) return 1;',
      'if (load<u32>(queue, QUEUE_AVAIL) == 0) return 1;',
    ],
    js: [
      'queue',
      'if (!isUsable(v, queue)) return 1;',
      'if (get(v, queue, QUEUE_AVAIL) === 0) return 1;',
    ],
  },
  {
    name: 'historic bug 22/an indirect table of length 0 is walked',
    noticed: { [TRIGGERS]: 'historic bug 22 BG-8 an indirect table of length 0' },
    wasm: ['detour', 'if (length == 0 || length & 15) return', 'if (length & 15) return'],
    js: [
      'chain',
      'if (length === 0 || (length & 15) !== 0) return',
      'if ((length & 15) !== 0) return',
    ],
  },
];

export const removal = [
  {
    name: 'reset/status reads 0 while requests are in flight',
    breaks: ['virtio/device', 'if (!later) {', 'if (!later || this.core) {'],
    noticed: { [REGISTERS]: 'VC-3 stops serving first', [MMIO]: 'VC-3 BL-17 status reads 0 only' },
  },
  {
    name: 'reset/the features are kept',
    breaks: ['virtio/device', 'this.#driver.lo = 0;', ''],
    noticed: { [REGISTERS]: 'VC-3 and what is no register' },
  },
  {
    name: 'reset/the queues are kept',
    breaks: ['virtio/device', 'for (const queue of this.queues) resetQueueRegisters(queue);', ''],
    noticed: { [REGISTERS]: 'VC-3 and what is no register' },
  },
  {
    name: 'reset/the transport is not told',
    breaks: ['virtio/device', 'this.transport?.deviceReset();', ''],
    noticed: { [REGISTERS]: 'VC-3 every register reads' },
  },
  {
    name: 'reset/the device serves on',
    breaks: ['virtio/device', 'this.#service.drop();\n    const later', 'const later'],
    noticed: { [REGISTERS]: 'VC-3 stops serving first' },
  },
  {
    name: 'queue reset/it is not offered',
    breaks: ['virtio/virtio-blk', 'hi: BLK_FEATURES_HIGH', 'hi: BLK_FEATURES_HIGH & 0'],
    noticed: { [MMIO]: 'VC-7 a queue that is reset reads 1' },
  },
  {
    name: 'queue reset/it is over at once',
    breaks: ['virtio/device', 'queue.draining = true;', 'queue.draining = false;'],
    noticed: { [MMIO]: 'VC-7 a queue that is reset reads 1' },
  },
  {
    name: 'queue reset/a ring that was enabled early is never served',
    breaks: ['virtio/device', '    this.queueEnabled(index);\n    this.kick(index);', ''],
    noticed: { [MMIO]: 'VC-7 L13 with a new ring' },
  },
  {
    name: 'queue reset/the vector stays in use',
    breaks: ['virtio/device', 'this.transport?.queueReset?.(index);', ''],
    noticed: { [REGISTERS]: 'VC-7 PC-7 it no longer uses its vector' },
  },
  {
    name: 'bus master/the queues are left on',
    breaks: [
      'virtio/device',
      'for (let index = 0; index < this.queues.length; index++) this.disableQueue(index);',
      '',
    ],
    noticed: { [MSIX]: 'PC-8 without bus mastering' },
  },
  {
    name: 'power/a function in D3hot serves',
    breaks: ['virtio/virtio-pci', 'this.device.setAwake(awake);', ''],
    noticed: { [MSIX]: 'PC-10 D3hot: nothing new' },
  },
  {
    name: 'power/FLR forgets the requests in flight',
    breaks: ['virtio/virtio-pci', 'this.device.reset();\n    this.#config', 'this.#config'],
    noticed: { [MSIX]: 'PC-10 VC-3 FLR' },
  },
  {
    name: 'hold/a machine that stopped serves on',
    breaks: [
      'virtio/service',
      'this.#started && this.#machineRuns',
      '(this.#started || this.#machineRuns)',
    ],
    noticed: { [TRIGGERS]: 'VM-2 VM-3 a stopped machine' },
  },
  {
    name: 'hold/what was taken is not announced',
    breaks: [
      'virtio/device',
      'if (this.#mayAnswer(index)) this.transport',
      'if (this.queueLive(index)) this.transport',
    ],
    noticed: { [TRIGGERS]: 'VM-2 VM-3 a stopped machine' },
  },
  {
    name: 'removal/requests in flight go on',
    breaks: [
      'virtio/virtio-mmio',
      'this.device?.reset();\n    this.#present = false;',
      'this.#present = false;',
    ],
    noticed: { [MMIO]: 'BL-22 what ends after the removal' },
  },
  {
    name: 'removal/a PCI function lets its requests go on',
    breaks: [
      'virtio/virtio-pci',
      'this.device.reset();\n    this.#present = false;',
      'this.#present = false;',
    ],
    noticed: { [MSIX]: 'BL-22 what ends after the removal' },
  },
  {
    name: 'removal/configuration space answers still',
    breaks: [
      'virtio/virtio-pci',
      'return this.#present ? this.#config.read(offset, width) : allOnes(width);',
      'return this.#config.read(offset, width);',
    ],
    noticed: { [MSIX]: 'BL-22 SC-3 taken off the bus' },
  },
  {
    name: 'removal/registers answer still',
    breaks: ['virtio/virtio-mmio', 'if (!this.#present || offset < 0', 'if (offset < 0'],
    noticed: { [MMIO]: 'BL-22 SC-3 taken off the bus' },
  },
  {
    name: 'resize/the generation stays',
    breaks: ['virtio/device', 'this.#generation.touch();', ''],
    noticed: { [MMIO]: 'VC-5 a size that changes between' },
  },
  {
    name: 'hot plug/an event shows what came after it',
    breaks: [
      'adapter/v86-hotplug',
      'this.#shown ??= { up: this.#up, down: this.#down };',
      'this.#shown = { up: this.#up, down: this.#down };',
    ],
    noticed: { [HOTPLUG]: 'what comes while the guest is looking' },
  },
  {
    name: 'hot plug/what came meanwhile is never told',
    breaks: ['adapter/v86-hotplug', 'if (this.#up !== 0 || this.#down !== 0) this.#signal();', ''],
    noticed: { [HOTPLUG]: 'what comes while the guest is looking' },
  },
  {
    name: 'hot plug/every slot is ejected',
    breaks: ['adapter/v86-hotplug', 'if (slots & (1 << slot)) this', 'if (slots) this'],
    noticed: { [HOTPLUG]: 'asks the guest to let go' },
  },
  {
    name: 'hot plug/an ejected disk leaves the bus later',
    breaks: ['adapter/v86-attachment', 'if (later) await later;', 'await later;'],
    noticed: { [HOTPLUG]: 'BL-22 a disk that the guest ejects' },
  },
  {
    name: 'removal/a driver goes on with a device that is closed',
    breaks: ['virtio/device', 'this.#retired = true;', ''],
    noticed: { [MMIO]: 'BL-22 a driver that goes on with a device that is closed' },
  },
  {
    name: 'removal/a close that is refused has stopped the device',
    breaks: ['virtio/device', 'this.checkReset();', ''],
    noticed: { ['virtio/blk-queue.test.ts']: 'a close from inside a submit is refused' },
  },
  {
    name: 'removal/a drive has two devices',
    breaks: [
      'virtio/blk-options',
      'if (backend.devOps) throw',
      'if (backend.devOps && !core) throw',
    ],
    noticed: { ['virtio/blk-config.test.ts']: 'BL-21 a drive that another device has' },
  },
  {
    name: 'drain/waits for a thread that has died',
    breaks: ['block/remote-lane', 'if (this.#dead) return 0;', ''],
    noticed: { ['virtio/queue-move.test.ts']: 'nobody waits for it' },
  },
];
