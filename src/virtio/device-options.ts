/** What every kind of virtio device is made from. */
export interface VirtioDeviceOptions {
  /** Device id of 5: 2 is a block device. */
  deviceId: number;
  /** Number of virtqueues, 1 to 1024. */
  queues: number;
  /** Largest and initial size of each queue, in descriptors: a power of two, 2 to 1024. */
  queueSize: number;
  /** Byte order of a guest that uses the legacy interface; affects the configuration space. */
  legacyEndian?: 'little' | 'big';
}
