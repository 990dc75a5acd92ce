/**
 * The public names. What a platform is needed for is not here: `vblk/node` opens cores with the
 * package's own module and disks in files, `vblk/v86` attaches a disk to v86.
 */

// The event loop.
export type { BottomHalf, BottomHalfHandle } from './aio/bottom-half.ts';
export { type Clock, ManualClock, realtimeClock } from './aio/clock.ts';
export { AioContext, type AioContextOptions } from './aio/context.ts';
export type { EventNotifier } from './aio/event-notifier.ts';
export type { Timer } from './aio/timer.ts';
// Disks: the backend, the contract of a driver, and our drivers.
export {
  type BackendOptions,
  type BackendStats,
  BlockBackend,
  type LaneOptions,
  type OperationFigures,
} from './block/backend.ts';
export {
  type BlockDriver,
  type BlockOp,
  type BlockRequest,
  type DriverSpec,
  type IoVector,
  OP_DISCARD,
  OP_FLUSH,
  OP_READ,
  OP_WRITE,
  OP_WRITE_ZEROES,
  PENDING,
  REQ_FUA,
  REQ_MAY_UNMAP,
  type Settles,
} from './block/driver.ts';
export { BlockError, type BlockErrorDetails, codeOf, errnoOf, OptionError } from './block/error.ts';
export {
  type FaultAction,
  FaultDriver,
  type FaultMatch,
  type FaultOptions,
  type FaultRule,
} from './block/fault.ts';
export type { FileHost, FileOptions, FileStat, FileSystem } from './block/file.ts';
export type { HostIo } from './block/host-io.ts';
export type { BackendLane } from './block/lane.ts';
export type { LaneRequest } from './block/lane-request.ts';
export { MemoryDriver, type MemoryOptions } from './block/memory.ts';
export { NullDriver, type NullOptions } from './block/null.ts';
export {
  type DriverThread,
  driverNames,
  type OpenDriver,
  openDriver,
  registerDriver,
} from './block/registry.ts';
// The core: memory, engine, guest regions.
export {
  Core,
  CoreError,
  type CoreErrorCode,
  type CoreHandle,
  type CoreModule,
  type CoreOptions,
  type EngineChoice,
  type Region,
} from './engine/core.ts';
export type { Engine, EngineKind, LinearMemory } from './engine/engine.ts';
// The other side: what a guest's driver does.
export { type BlkResult, GuestBlk, type GuestBlkOptions } from './guest/blk.ts';
export { GuestBlkBatch, type GuestBlkBatchOptions } from './guest/blk-batch.ts';
export { GuestChain } from './guest/chain.ts';
export { GuestDevice, type GuestDeviceOptions } from './guest/device.ts';
export { GuestError, type GuestErrorCode } from './guest/error.ts';
export { FRAMINGS, type Framing, RequestFrame, STATUS_UNWRITTEN } from './guest/frame.ts';
export { GuestMmio, type GuestMmioOptions } from './guest/mmio.ts';
export { GuestPci, type GuestPciOptions } from './guest/pci.ts';
export type { MsixMessage, PciFunction } from './guest/pci-config.ts';
export { GuestRam } from './guest/ram.ts';
export { type ChainForm, GuestRing, type GuestRingOptions } from './guest/ring.ts';
export type { GuestTransport } from './guest/transport.ts';
// The device and its transports.
export { VirtioDevice, type VirtioDeviceOptions, type VirtioTransport } from './virtio/device.ts';
export { VirtioBlk, type VirtioBlkOptions } from './virtio/virtio-blk.ts';
export { VirtioMmio, type VirtioMmioOptions } from './virtio/virtio-mmio.ts';
export {
  type PciBar,
  type PciMode,
  VirtioPci,
  type VirtioPciOptions,
} from './virtio/virtio-pci.ts';
