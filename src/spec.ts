// Every number of the OASIS virtio standard (VIRTIO 1.3) and of PCI that this project uses, once.
//
// Compiled by tsc and by asc alike, hence untyped constants only: an i32 to AssemblyScript.
// Offsets and sizes are in bytes unless a name says otherwise.

// ---- Device status, 2.1 -----------------------------------------------------------------------
export const VIRTIO_STATUS_ACKNOWLEDGE = 1;
export const VIRTIO_STATUS_DRIVER = 2;
export const VIRTIO_STATUS_DRIVER_OK = 4;
export const VIRTIO_STATUS_FEATURES_OK = 8;
export const VIRTIO_STATUS_NEEDS_RESET = 64;
export const VIRTIO_STATUS_FAILED = 128;

// ---- Feature bits, 6 (bit numbers) ------------------------------------------------------------
export const VIRTIO_F_NOTIFY_ON_EMPTY = 24;
export const VIRTIO_F_ANY_LAYOUT = 27;
export const VIRTIO_F_INDIRECT_DESC = 28;
export const VIRTIO_F_EVENT_IDX = 29;
export const VIRTIO_F_BAD_FEATURE = 30;
export const VIRTIO_F_VERSION_1 = 32;
export const VIRTIO_F_RING_PACKED = 34;
export const VIRTIO_F_IN_ORDER = 35;
export const VIRTIO_F_NOTIFICATION_DATA = 38;
export const VIRTIO_F_RING_RESET = 40;

// ---- Split virtqueue, 2.7 ---------------------------------------------------------------------
// Descriptor: { addr: u64, len: u32, flags: u16, next: u16 }
export const VIRTQ_DESC_SIZE_SHIFT = 4;
export const VIRTQ_DESC_LEN = 8;
export const VIRTQ_DESC_FLAGS = 12;
export const VIRTQ_DESC_NEXT = 14;
export const VIRTQ_DESC_F_NEXT = 1;
export const VIRTQ_DESC_F_WRITE = 2;
export const VIRTQ_DESC_F_INDIRECT = 4;
// Available ring: { flags: u16, idx: u16, ring: u16[num], used_event: u16 }
export const VIRTQ_AVAIL_FLAGS = 0;
export const VIRTQ_AVAIL_IDX = 2;
export const VIRTQ_AVAIL_RING = 4;
export const VIRTQ_AVAIL_F_NO_INTERRUPT = 1;
// Used ring: { flags: u16, idx: u16, ring: { id: u32, len: u32 }[num], avail_event: u16 }
export const VIRTQ_USED_FLAGS = 0;
export const VIRTQ_USED_IDX = 2;
export const VIRTQ_USED_RING = 4;
export const VIRTQ_USED_F_NO_NOTIFY = 1;
// Alignment of the three parts, 2.7
export const VIRTQ_DESC_ALIGN = 16;
export const VIRTQ_AVAIL_ALIGN = 2;
export const VIRTQ_USED_ALIGN = 4;
/** Largest queue this device offers, in descriptors (QEMU: VIRTQUEUE_MAX_SIZE). */
export const VIRTQUEUE_MAX_SIZE = 1024;
/** Alignment of the used ring in the legacy layout, 2.7.2; virtio-mmio sets its own. */
export const VIRTIO_PCI_VRING_ALIGN = 4096;

// ---- Block device, 5.2 ------------------------------------------------------------------------
export const VIRTIO_ID_BLOCK = 2;
export const VIRTIO_BLK_F_SIZE_MAX = 1;
export const VIRTIO_BLK_F_SEG_MAX = 2;
export const VIRTIO_BLK_F_GEOMETRY = 4;
export const VIRTIO_BLK_F_RO = 5;
export const VIRTIO_BLK_F_BLK_SIZE = 6;
export const VIRTIO_BLK_F_SCSI = 7;
export const VIRTIO_BLK_F_FLUSH = 9;
export const VIRTIO_BLK_F_TOPOLOGY = 10;
export const VIRTIO_BLK_F_CONFIG_WCE = 11;
export const VIRTIO_BLK_F_MQ = 12;
export const VIRTIO_BLK_F_DISCARD = 13;
export const VIRTIO_BLK_F_WRITE_ZEROES = 14;
// Request types; the lowest bit is the direction, bit 31 the barrier of old drivers.
export const VIRTIO_BLK_T_IN = 0;
export const VIRTIO_BLK_T_OUT = 1;
export const VIRTIO_BLK_T_SCSI_CMD = 2;
export const VIRTIO_BLK_T_FLUSH = 4;
export const VIRTIO_BLK_T_GET_ID = 8;
export const VIRTIO_BLK_T_GET_LIFETIME = 10;
export const VIRTIO_BLK_T_DISCARD = 11;
export const VIRTIO_BLK_T_WRITE_ZEROES = 13;
export const VIRTIO_BLK_T_SECURE_ERASE = 14;
export const VIRTIO_BLK_T_BARRIER = 0x80000000;
// Request header: { type: u32, ioprio: u32, sector: u64 }; the status is the last writable byte.
export const VIRTIO_BLK_OUTHDR_SIZE = 16;
export const VIRTIO_BLK_S_OK = 0;
export const VIRTIO_BLK_S_IOERR = 1;
export const VIRTIO_BLK_S_UNSUPP = 2;
/** Length of the serial in a GET_ID answer; no terminating zero if it fills them all. */
export const VIRTIO_BLK_ID_BYTES = 20;
// DISCARD and WRITE_ZEROES segment: { sector: u64, num_sectors: u32, flags: u32 }
export const VIRTIO_BLK_DISCARD_SEGMENT_SIZE = 16;
export const VIRTIO_BLK_WRITE_ZEROES_F_UNMAP = 1;
export const SECTOR_SHIFT = 9;
export const SECTOR_SIZE = 512;

// ---- SCSI host device, 5.6 --------------------------------------------------------------------
export const VIRTIO_ID_SCSI = 8;
export const VIRTIO_SCSI_F_INOUT = 0;
export const VIRTIO_SCSI_F_HOTPLUG = 1;
export const VIRTIO_SCSI_F_CHANGE = 2;
export const VIRTIO_SCSI_F_T10_PI = 3;
// Queues: control, event, then command queues
export const VIRTIO_SCSI_CONTROL_QUEUE = 0;
export const VIRTIO_SCSI_EVENT_QUEUE = 1;
export const VIRTIO_SCSI_FIRST_COMMAND_QUEUE = 2;
// Configuration, 5.6.4
export const VIRTIO_SCSI_CONFIG_NUM_QUEUES = 0;
export const VIRTIO_SCSI_CONFIG_SEG_MAX = 4;
export const VIRTIO_SCSI_CONFIG_MAX_SECTORS = 8;
export const VIRTIO_SCSI_CONFIG_CMD_PER_LUN = 12;
export const VIRTIO_SCSI_CONFIG_EVENT_INFO_SIZE = 16;
export const VIRTIO_SCSI_CONFIG_SENSE_SIZE = 20;
export const VIRTIO_SCSI_CONFIG_CDB_SIZE = 24;
export const VIRTIO_SCSI_CONFIG_MAX_CHANNEL = 28; // u16
export const VIRTIO_SCSI_CONFIG_MAX_TARGET = 30; // u16
export const VIRTIO_SCSI_CONFIG_MAX_LUN = 32;
export const VIRTIO_SCSI_CONFIG_SIZE = 36;
export const VIRTIO_SCSI_CDB_DEFAULT_SIZE = 32;
export const VIRTIO_SCSI_SENSE_DEFAULT_SIZE = 96;
// Command, 5.6.6.1: { lun[8], id: u64, task_attr: u8, prio: u8, crn: u8, cdb[cdb_size] }
/** Bytes of a request before its CDB. */
export const VIRTIO_SCSI_REQUEST_HEADER = 19;
// { sense_len: u32, residual: u32, status_qualifier: u16, status: u8, response: u8, sense[] }
/** Bytes of a response before its sense. */
export const VIRTIO_SCSI_RESPONSE_HEADER = 12;
export const VIRTIO_SCSI_S_SIMPLE = 0;
export const VIRTIO_SCSI_S_ORDERED = 1;
export const VIRTIO_SCSI_S_HEAD = 2;
export const VIRTIO_SCSI_S_ACA = 3;
// Responses to commands, 5.6.6.1, to task management and notification requests, 5.6.6.2
export const VIRTIO_SCSI_S_OK = 0;
export const VIRTIO_SCSI_S_FUNCTION_COMPLETE = 0;
export const VIRTIO_SCSI_S_OVERRUN = 1;
export const VIRTIO_SCSI_S_ABORTED = 2;
export const VIRTIO_SCSI_S_BAD_TARGET = 3;
export const VIRTIO_SCSI_S_RESET = 4;
export const VIRTIO_SCSI_S_BUSY = 5;
export const VIRTIO_SCSI_S_TRANSPORT_FAILURE = 6;
export const VIRTIO_SCSI_S_TARGET_FAILURE = 7;
export const VIRTIO_SCSI_S_NEXUS_FAILURE = 8;
export const VIRTIO_SCSI_S_FAILURE = 9;
export const VIRTIO_SCSI_S_FUNCTION_SUCCEEDED = 10;
export const VIRTIO_SCSI_S_FUNCTION_REJECTED = 11;
export const VIRTIO_SCSI_S_INCORRECT_LUN = 12;
// Task management, 5.6.6.2: { type: u32, subtype: u32, lun[8], id: u64 }, then { response: u8 }
export const VIRTIO_SCSI_T_TMF = 0;
export const VIRTIO_SCSI_TMF_SIZE = 24;
export const VIRTIO_SCSI_TMF_RESPONSE_SIZE = 1;
export const VIRTIO_SCSI_T_TMF_ABORT_TASK = 0;
export const VIRTIO_SCSI_T_TMF_ABORT_TASK_SET = 1;
export const VIRTIO_SCSI_T_TMF_CLEAR_ACA = 2;
export const VIRTIO_SCSI_T_TMF_CLEAR_TASK_SET = 3;
export const VIRTIO_SCSI_T_TMF_I_T_NEXUS_RESET = 4;
export const VIRTIO_SCSI_T_TMF_LOGICAL_UNIT_RESET = 5;
export const VIRTIO_SCSI_T_TMF_QUERY_TASK = 6;
export const VIRTIO_SCSI_T_TMF_QUERY_TASK_SET = 7;
// Asynchronous notification: { type: u32, lun[8], event_requested: u32 }, then
// { event_actual: u32, response: u8 }
export const VIRTIO_SCSI_T_AN_QUERY = 1;
export const VIRTIO_SCSI_T_AN_SUBSCRIBE = 2;
export const VIRTIO_SCSI_AN_SIZE = 16;
export const VIRTIO_SCSI_AN_RESPONSE_SIZE = 5;
// Event, 5.6.6.3: { event: u32, lun[8], reason: u32 }
export const VIRTIO_SCSI_EVENT_SIZE = 16;
export const VIRTIO_SCSI_T_NO_EVENT = 0;
export const VIRTIO_SCSI_T_TRANSPORT_RESET = 1;
export const VIRTIO_SCSI_T_ASYNC_NOTIFY = 2;
export const VIRTIO_SCSI_T_PARAM_CHANGE = 3;
export const VIRTIO_SCSI_T_EVENTS_MISSED = 0x80000000;
export const VIRTIO_SCSI_EVT_RESET_HARD = 0;
export const VIRTIO_SCSI_EVT_RESET_RESCAN = 1;
export const VIRTIO_SCSI_EVT_RESET_REMOVED = 2;
// Commands that the engine knows (SBC-3); WRITE_* are these with SCSI_WRITE_BIT
export const SCSI_READ_6 = 0x08;
export const SCSI_READ_10 = 0x28;
export const SCSI_READ_12 = 0xa8;
export const SCSI_READ_16 = 0x88;
export const SCSI_WRITE_BIT = 2;
/** Disable page out, a hint, in the second byte of a CDB. */
export const SCSI_DPO = 0x10;
export const VIRTIO_PCI_DEVICE_ID_TRANSITIONAL_SCSI = 0x1004;

// ---- virtio-pci, 4.1 --------------------------------------------------------------------------
export const VIRTIO_PCI_VENDOR_ID = 0x1af4;
export const VIRTIO_PCI_DEVICE_ID_TRANSITIONAL_BLOCK = 0x1001;
export const VIRTIO_PCI_DEVICE_ID_MODERN_BASE = 0x1040;
export const VIRTIO_PCI_CAP_COMMON_CFG = 1;
export const VIRTIO_PCI_CAP_NOTIFY_CFG = 2;
export const VIRTIO_PCI_CAP_ISR_CFG = 3;
export const VIRTIO_PCI_CAP_DEVICE_CFG = 4;
export const VIRTIO_PCI_CAP_PCI_CFG = 5;
export const VIRTIO_PCI_ISR_QUEUE = 1;
export const VIRTIO_PCI_ISR_CONFIG = 2;
export const VIRTIO_MSI_NO_VECTOR = 0xffff;
// Common configuration, 4.1.4.3
export const VIRTIO_PCI_COMMON_DFSELECT = 0x00;
export const VIRTIO_PCI_COMMON_DF = 0x04;
export const VIRTIO_PCI_COMMON_GFSELECT = 0x08;
export const VIRTIO_PCI_COMMON_GF = 0x0c;
export const VIRTIO_PCI_COMMON_MSIX = 0x10;
export const VIRTIO_PCI_COMMON_NUMQ = 0x12;
export const VIRTIO_PCI_COMMON_STATUS = 0x14;
export const VIRTIO_PCI_COMMON_CFGGENERATION = 0x15;
export const VIRTIO_PCI_COMMON_Q_SELECT = 0x16;
export const VIRTIO_PCI_COMMON_Q_SIZE = 0x18;
export const VIRTIO_PCI_COMMON_Q_MSIX = 0x1a;
export const VIRTIO_PCI_COMMON_Q_ENABLE = 0x1c;
export const VIRTIO_PCI_COMMON_Q_NOFF = 0x1e;
export const VIRTIO_PCI_COMMON_Q_DESCLO = 0x20;
export const VIRTIO_PCI_COMMON_Q_DESCHI = 0x24;
export const VIRTIO_PCI_COMMON_Q_AVAILLO = 0x28;
export const VIRTIO_PCI_COMMON_Q_AVAILHI = 0x2c;
export const VIRTIO_PCI_COMMON_Q_USEDLO = 0x30;
export const VIRTIO_PCI_COMMON_Q_USEDHI = 0x34;
export const VIRTIO_PCI_COMMON_Q_NDATA = 0x38;
export const VIRTIO_PCI_COMMON_Q_RESET = 0x3a;
// Legacy registers, 4.1.4.10
export const VIRTIO_PCI_HOST_FEATURES = 0;
export const VIRTIO_PCI_GUEST_FEATURES = 4;
export const VIRTIO_PCI_QUEUE_PFN = 8;
export const VIRTIO_PCI_QUEUE_NUM = 12;
export const VIRTIO_PCI_QUEUE_SEL = 14;
export const VIRTIO_PCI_QUEUE_NOTIFY = 16;
export const VIRTIO_PCI_STATUS = 18;
export const VIRTIO_PCI_ISR = 19;
export const VIRTIO_MSI_CONFIG_VECTOR = 20;
export const VIRTIO_MSI_QUEUE_VECTOR = 22;
export const VIRTIO_PCI_QUEUE_ADDR_SHIFT = 12;

// ---- virtio-mmio, 4.2 -------------------------------------------------------------------------
export const VIRTIO_MMIO_MAGIC = 0x74726976;
export const VIRTIO_MMIO_MAGIC_VALUE = 0x000;
export const VIRTIO_MMIO_VERSION = 0x004;
export const VIRTIO_MMIO_DEVICE_ID = 0x008;
export const VIRTIO_MMIO_VENDOR_ID = 0x00c;
export const VIRTIO_MMIO_DEVICE_FEATURES = 0x010;
export const VIRTIO_MMIO_DEVICE_FEATURES_SEL = 0x014;
export const VIRTIO_MMIO_DRIVER_FEATURES = 0x020;
export const VIRTIO_MMIO_DRIVER_FEATURES_SEL = 0x024;
export const VIRTIO_MMIO_GUEST_PAGE_SIZE = 0x028;
export const VIRTIO_MMIO_QUEUE_SEL = 0x030;
export const VIRTIO_MMIO_QUEUE_NUM_MAX = 0x034;
export const VIRTIO_MMIO_QUEUE_NUM = 0x038;
export const VIRTIO_MMIO_QUEUE_ALIGN = 0x03c;
export const VIRTIO_MMIO_QUEUE_PFN = 0x040;
export const VIRTIO_MMIO_QUEUE_READY = 0x044;
export const VIRTIO_MMIO_QUEUE_NOTIFY = 0x050;
export const VIRTIO_MMIO_INTERRUPT_STATUS = 0x060;
export const VIRTIO_MMIO_INTERRUPT_ACK = 0x064;
export const VIRTIO_MMIO_STATUS = 0x070;
export const VIRTIO_MMIO_QUEUE_DESC_LOW = 0x080;
export const VIRTIO_MMIO_QUEUE_DESC_HIGH = 0x084;
export const VIRTIO_MMIO_QUEUE_DRIVER_LOW = 0x090;
export const VIRTIO_MMIO_QUEUE_DRIVER_HIGH = 0x094;
export const VIRTIO_MMIO_QUEUE_DEVICE_LOW = 0x0a0;
export const VIRTIO_MMIO_QUEUE_DEVICE_HIGH = 0x0a4;
export const VIRTIO_MMIO_SHM_SEL = 0x0ac;
export const VIRTIO_MMIO_SHM_LEN_LOW = 0x0b0;
export const VIRTIO_MMIO_SHM_LEN_HIGH = 0x0b4;
export const VIRTIO_MMIO_SHM_BASE_LOW = 0x0b8;
export const VIRTIO_MMIO_SHM_BASE_HIGH = 0x0bc;
export const VIRTIO_MMIO_QUEUE_RESET = 0x0c0;
export const VIRTIO_MMIO_CONFIG_GENERATION = 0x0fc;
export const VIRTIO_MMIO_CONFIG = 0x100;
export const VIRTIO_MMIO_INT_VRING = 1;
export const VIRTIO_MMIO_INT_CONFIG = 2;

// ---- errno, as Linux numbers them -------------------------------------------------------------
export const EPERM = 1;
export const EIO = 5;
export const EAGAIN = 11;
export const ENOMEM = 12;
export const EINVAL = 22;
export const ENOSPC = 28;
export const ENOMEDIUM = 123;
export const ENOTSUP = 95;
export const ECANCELED = 125;

// ---- Block device configuration, 5.2.4 --------------------------------------------------------
export const VIRTIO_BLK_CONFIG_CAPACITY = 0; // u64, in sectors
export const VIRTIO_BLK_CONFIG_SIZE_MAX = 8;
export const VIRTIO_BLK_CONFIG_SEG_MAX = 12;
export const VIRTIO_BLK_CONFIG_CYLINDERS = 16; // u16
export const VIRTIO_BLK_CONFIG_HEADS = 18; // u8
export const VIRTIO_BLK_CONFIG_SECTORS = 19; // u8
export const VIRTIO_BLK_CONFIG_BLK_SIZE = 20;
export const VIRTIO_BLK_CONFIG_PHYSICAL_BLOCK_EXP = 24; // u8
export const VIRTIO_BLK_CONFIG_ALIGNMENT_OFFSET = 25; // u8
export const VIRTIO_BLK_CONFIG_MIN_IO_SIZE = 26; // u16
export const VIRTIO_BLK_CONFIG_OPT_IO_SIZE = 28;
export const VIRTIO_BLK_CONFIG_WRITEBACK = 32; // u8
export const VIRTIO_BLK_CONFIG_NUM_QUEUES = 34; // u16
export const VIRTIO_BLK_CONFIG_MAX_DISCARD_SECTORS = 36;
export const VIRTIO_BLK_CONFIG_MAX_DISCARD_SEG = 40;
export const VIRTIO_BLK_CONFIG_DISCARD_SECTOR_ALIGNMENT = 44;
export const VIRTIO_BLK_CONFIG_MAX_WRITE_ZEROES_SECTORS = 48;
export const VIRTIO_BLK_CONFIG_MAX_WRITE_ZEROES_SEG = 52;
export const VIRTIO_BLK_CONFIG_WRITE_ZEROES_MAY_UNMAP = 56; // u8
/** Bytes of the configuration space up to and with `writeback`, `num_queues`. */
export const VIRTIO_BLK_CONFIG_SIZE_MQ = 36;
/** ... with the discard and write zeroes fields. */
export const VIRTIO_BLK_CONFIG_SIZE_WRITE_ZEROES = 60;

// ---- PCI configuration space (PCI Local Bus 3.0, 6.1, 6.7, 6.8) ------------------------------
export const PCI_VENDOR_ID = 0x00;
export const PCI_DEVICE_ID = 0x02;
export const PCI_COMMAND = 0x04;
export const PCI_COMMAND_IO = 1;
export const PCI_COMMAND_MEMORY = 2;
export const PCI_COMMAND_MASTER = 4;
export const PCI_COMMAND_INTX_DISABLE = 0x400;
export const PCI_STATUS = 0x06;
export const PCI_STATUS_INTERRUPT = 8;
export const PCI_STATUS_CAP_LIST = 0x10;
export const PCI_REVISION_ID = 0x08;
export const PCI_CLASS_DEVICE = 0x0a;
export const PCI_BASE_ADDRESS_0 = 0x10;
export const PCI_BASE_ADDRESS_SPACE_IO = 1;
export const PCI_BASE_ADDRESS_MEM_TYPE_64 = 4;
export const PCI_BASE_ADDRESS_MEM_TYPE_MASK = 6;
export const PCI_SUBSYSTEM_VENDOR_ID = 0x2c;
export const PCI_SUBSYSTEM_ID = 0x2e;
export const PCI_CAPABILITY_LIST = 0x34;
export const PCI_INTERRUPT_LINE = 0x3c;
export const PCI_INTERRUPT_PIN = 0x3d;
export const PCI_CAP_ID_PM = 0x01;
export const PCI_CAP_ID_VNDR = 0x09;
export const PCI_CAP_ID_MSIX = 0x11;
// virtio vendor capability, 4.1.4
export const VIRTIO_PCI_CAP_LEN = 2;
export const VIRTIO_PCI_CAP_CFG_TYPE = 3;
export const VIRTIO_PCI_CAP_BAR = 4;
export const VIRTIO_PCI_CAP_OFFSET = 8;
export const VIRTIO_PCI_CAP_LENGTH = 12;
export const VIRTIO_PCI_NOTIFY_CAP_MULT = 16;
export const VIRTIO_PCI_CFG_DATA = 16;
// MSI-X capability: message control, table, pending bits; and a table entry
export const PCI_MSIX_FLAGS = 2;
export const PCI_MSIX_FLAGS_QSIZE = 0x7ff;
export const PCI_MSIX_FLAGS_MASKALL = 0x4000;
export const PCI_MSIX_FLAGS_ENABLE = 0x8000;
export const PCI_MSIX_TABLE = 4;
export const PCI_MSIX_PBA = 8;
export const PCI_MSIX_BIR = 7;
export const PCI_MSIX_ENTRY_SIZE = 16;
export const PCI_MSIX_ENTRY_LOWER_ADDR = 0;
export const PCI_MSIX_ENTRY_UPPER_ADDR = 4;
export const PCI_MSIX_ENTRY_DATA = 8;
export const PCI_MSIX_ENTRY_VECTOR_CTRL = 12;
export const PCI_MSIX_ENTRY_CTRL_MASKBIT = 1;

// ---- PCI power management, and Advanced Features: FLR on conventional PCI ---------------------
export const PCI_HEADER_TYPE = 0x0e;
export const PCI_CLASS_STORAGE_SCSI = 0x0100;
export const PCI_CLASS_OTHERS = 0x00ff;
export const PCI_BASE_ADDRESS_MEM_PREFETCH = 8;
export const PCI_PM_PMC = 2;
export const PCI_PM_CTRL = 4;
export const PCI_PM_CTRL_STATE_MASK = 3;
export const PCI_PM_CTRL_NO_SOFT_RESET = 8;
export const PCI_PM_D0 = 0;
export const PCI_PM_D3HOT = 3;
export const PCI_CAP_ID_AF = 0x13;
export const PCI_AF_LENGTH = 2;
export const PCI_AF_CAP = 3;
export const PCI_AF_CAP_TP = 1;
export const PCI_AF_CAP_FLR = 2;
export const PCI_AF_CTRL = 4;
export const PCI_AF_CTRL_FLR = 1;
export const PCI_SUBDEVICE_ID_QEMU = 0x1100;
