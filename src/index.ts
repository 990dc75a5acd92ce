/**
 * The public names. What a platform is needed for is not here: `vblk/node` opens cores with the
 * package's own module and disks in files, `vblk/v86` attaches a disk to v86.
 */

// The event loop.
export { type BottomHalf, type BottomHalfHandle, scheduleRemote } from './aio/bottom-half.ts';
export { type Clock, Clocks, type ClockType, ManualClock, realtimeClock } from './aio/clock.ts';
export { CoMutex } from './aio/co-mutex.ts';
export { CoQueue } from './aio/co-queue.ts';
export { AioContext, type AioContextOptions, currentContext } from './aio/context.ts';
export { setPoolLimits } from './aio/context-pool.ts';
export {
  Coroutine,
  CoroutineError,
  type CoroutineErrorCode,
  type CoroutineHandle,
  coYield,
  currentCoroutine,
  scheduleCoroutine,
  type Yielding,
} from './aio/coroutine.ts';
export { deferCall, deferCallBegin, deferCallEnd, deferCalls } from './aio/defer-call.ts';
export { AioError, type AioErrorCode } from './aio/error.ts';
export { EventNotifier } from './aio/event-notifier.ts';
export type { AioHandler, AioPoll } from './aio/handlers.ts';
export { IOThread, type IOThreadInfo, type IOThreadOptions } from './aio/io-thread.ts';
export type { IOThreadParams } from './aio/io-thread-options.ts';
export { ReentrancyGuard } from './aio/reentrancy-guard.ts';
export { runLoop } from './aio/run-loop.ts';
export { registerService, type Service, type ThreadHome } from './aio/services.ts';
export type { Timer } from './aio/timer.ts';
export { waitKick, waitWhile } from './aio/wait.ts';
export type { NodeWorkerLike, WebWorkerLike, WorkerLike } from './aio/worker-port.ts';
// Disks: the backend, the contract of a driver, and our drivers.
export {
  type BackendOptions,
  type BackendStats,
  BlockBackend,
  type BlockDevOps,
  type Filter,
  type LaneOptions,
  type OperationFigures,
} from './block/backend.ts';
export type { ErrorOptions, Iostatus } from './block/backend-errors.ts';
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
export {
  BlockError,
  type BlockErrorDetails,
  codeOf,
  errnoOf,
  GraphError,
  OptionError,
} from './block/error.ts';
export type { ErrorPolicy } from './block/error-options.ts';
export {
  type FaultAction,
  FaultDriver,
  type FaultMatch,
  type FaultOptions,
  type FaultRule,
} from './block/fault.ts';
export type { FileHost, FileOptions, FileStat, FileSystem } from './block/file.ts';
export type { HostIo, HostIoOptions } from './block/host-io.ts';
export type { BackendLane } from './block/lane.ts';
export type { LaneRequest } from './block/lane-request.ts';
export { MemoryDriver, type MemoryOptions } from './block/memory.ts';
export { memoryDisks, memoryState } from './block/memory-state.ts';
export { BlockNode } from './block/node.ts';
export { NullDriver, type NullOptions } from './block/null.ts';
export { OverlayDriver, type OverlayOptions } from './block/overlay.ts';
export { commitOverlay, rebaseOverlay } from './block/overlay-jobs.ts';
export {
  type DriverThread,
  driverNames,
  type OpenDriver,
  openDriver,
  registerDriver,
} from './block/registry.ts';
export type { LaneThread, RemoteLane } from './block/remote-lane.ts';
export { ThrottleDriver, type ThrottleLimits, type ThrottleOptions } from './block/throttle.ts';
// A disk without an emulator, and its clients in other threads.
export type { RequestOptions, WriteZeroesOptions } from './disk/async-disk.ts';
export { DiskClient } from './disk/client.ts';
export { DiskClientSync } from './disk/client-sync.ts';
export {
  type ConnectOptions,
  Disk,
  type DiskStats,
  openDisk,
  type QueueFigures,
} from './disk/disk.ts';
export { DiskError, type DiskErrorCode } from './disk/error.ts';
export type { DiskHandle } from './disk/handle.ts';
export type { DiskOptions } from './disk/options.ts';
export type { DiskPlatform } from './disk/parts.ts';
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
export {
  GuestScsi,
  type GuestScsiOptions,
  type ScsiCommandOptions,
  type ScsiResult,
  scsiLun,
} from './guest/scsi.ts';
export { GuestScsiBatch, type GuestScsiBatchOptions } from './guest/scsi-batch.ts';
export type { ScsiEvent } from './guest/scsi-events.ts';
export { RESPONSE_UNWRITTEN, ScsiFrame, type ScsiSizes } from './guest/scsi-frame.ts';
export type { GuestTransport } from './guest/transport.ts';
// The machine around the devices.
export type {
  BlockIoError,
  DeviceDeleted,
  MachineEvent,
  MachineEventData,
  MachineEventName,
  MachineEvents,
  MachineListener,
} from './machine/events.ts';
export {
  DEPTH_BUS_DEVICE,
  DEPTH_DISK_OF_HBA,
  Machine,
  type MachineCpu,
  type MachineDisk,
  type MachineOptions,
  type RunStateHandler,
} from './machine/machine.ts';
export type { ApplyState, StateHandler } from './machine/machine-state.ts';
export type { RunState, StoppedState } from './machine/run-state.ts';
export { StateError, type StateErrorCode } from './machine/state-error.ts';
export { StateReader } from './machine/state-reader.ts';
export { StateWriter } from './machine/state-writer.ts';
// Disks of a SCSI host.
export type { LogicalUnit } from './scsi/logical-unit.ts';
export type { ScsiUnitOptions, ScsiUnitType } from './scsi/unit-options.ts';
export { blkState } from './virtio/blk-state.ts';
// The device and its transports.
export { VirtioDevice, type VirtioDeviceOptions, type VirtioTransport } from './virtio/device.ts';
export { scsiState } from './virtio/scsi-state.ts';
export { VirtioBlk, type VirtioBlkOptions } from './virtio/virtio-blk.ts';
export { VirtioMmio, type VirtioMmioOptions } from './virtio/virtio-mmio.ts';
export {
  type PciBar,
  type PciMode,
  VirtioPci,
  type VirtioPciOptions,
} from './virtio/virtio-pci.ts';
export { VirtioScsi, type VirtioScsiOptions } from './virtio/virtio-scsi.ts';
export type { VqMapping } from './virtio/vq-mapping.ts';
