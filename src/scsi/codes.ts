/** Numbers of SAM-5, SPC-4, SBC-3 and MMC-6, by the standards' names. */

// ---- Operation codes ----------------------------------------------------------------------------
export const TEST_UNIT_READY = 0x00;
export const REQUEST_SENSE = 0x03;
export const FORMAT_UNIT = 0x04;
export const READ_6 = 0x08;
export const WRITE_6 = 0x0a;
export const INQUIRY = 0x12;
export const MODE_SELECT_6 = 0x15;
export const RESERVE_6 = 0x16;
export const RELEASE_6 = 0x17;
export const MODE_SENSE_6 = 0x1a;
export const START_STOP_UNIT = 0x1b;
export const PREVENT_ALLOW_MEDIUM_REMOVAL = 0x1e;
export const READ_CAPACITY_10 = 0x25;
export const READ_10 = 0x28;
export const WRITE_10 = 0x2a;
export const SEEK_10 = 0x2b;
export const WRITE_AND_VERIFY_10 = 0x2e;
export const VERIFY_10 = 0x2f;
export const SYNCHRONIZE_CACHE_10 = 0x35;
export const WRITE_SAME_10 = 0x41;
export const UNMAP = 0x42;
export const READ_TOC = 0x43;
export const GET_CONFIGURATION = 0x46;
export const GET_EVENT_STATUS_NOTIFICATION = 0x4a;
export const READ_DISC_INFORMATION = 0x51;
export const MODE_SELECT_10 = 0x55;
export const RESERVE_10 = 0x56;
export const RELEASE_10 = 0x57;
export const MODE_SENSE_10 = 0x5a;
export const PERSISTENT_RESERVE_IN = 0x5e;
export const PERSISTENT_RESERVE_OUT = 0x5f;
export const READ_16 = 0x88;
export const WRITE_16 = 0x8a;
export const WRITE_AND_VERIFY_16 = 0x8e;
export const VERIFY_16 = 0x8f;
export const SYNCHRONIZE_CACHE_16 = 0x91;
export const WRITE_SAME_16 = 0x93;
export const SERVICE_ACTION_IN_16 = 0x9e;
export const REPORT_LUNS = 0xa0;
export const READ_12 = 0xa8;
export const WRITE_12 = 0xaa;
export const READ_DVD_STRUCTURE = 0xad;
export const WRITE_AND_VERIFY_12 = 0xae;
export const VERIFY_12 = 0xaf;
export const MECHANISM_STATUS = 0xbd;
/** Of SERVICE ACTION IN (16). */
export const SAI_READ_CAPACITY_16 = 0x10;

// ---- Statuses, SAM-5 5.3 ------------------------------------------------------------------------
export const GOOD = 0x00;
export const CHECK_CONDITION = 0x02;
export const BUSY = 0x08;
export const RESERVATION_CONFLICT = 0x18;
export const TASK_SET_FULL = 0x28;

// ---- Sense keys, SPC-4 4.5.6 --------------------------------------------------------------------
export const NO_SENSE = 0x0;
export const NOT_READY = 0x2;
export const MEDIUM_ERROR = 0x3;
export const HARDWARE_ERROR = 0x4;
export const ILLEGAL_REQUEST = 0x5;
export const UNIT_ATTENTION = 0x6;
export const DATA_PROTECT = 0x7;
export const ABORTED_COMMAND = 0xb;

// ---- Sense: key << 16 | asc << 8 | ascq ---------------------------------------------------------
export const SENSE_NONE = 0;
export const SENSE_LUN_NOT_READY = 0x02_04_03;
export const SENSE_NO_MEDIUM = 0x02_3a_00;
export const SENSE_NOT_READY_REMOVAL_PREVENTED = 0x02_53_02;
export const SENSE_READ_ERROR = 0x03_11_00;
export const SENSE_TARGET_FAILURE = 0x04_44_00;
export const SENSE_PARAMETER_LIST_LENGTH = 0x05_1a_00;
export const SENSE_INVALID_OPCODE = 0x05_20_00;
export const SENSE_LBA_OUT_OF_RANGE = 0x05_21_00;
export const SENSE_INVALID_FIELD_IN_CDB = 0x05_24_00;
export const SENSE_LUN_NOT_SUPPORTED = 0x05_25_00;
export const SENSE_INVALID_PARAMETER = 0x05_26_00;
export const SENSE_INCOMPATIBLE_MEDIUM = 0x05_30_00;
export const SENSE_SAVING_NOT_SUPPORTED = 0x05_39_00;
export const SENSE_REMOVAL_PREVENTED = 0x05_53_02;
export const SENSE_WRITE_PROTECTED = 0x07_27_00;
export const SENSE_SPACE_ALLOCATION_FAILED = 0x07_27_07;
export const SENSE_IO_PROCESS_TERMINATED = 0x0b_00_06;

// ---- Unit attentions: asc << 8 | ascq -----------------------------------------------------------
export const ATTENTION_NONE = 0;
export const ATTENTION_MEDIUM_CHANGED = 0x28_00;
/** Power on, reset, or bus device reset occurred. */
export const ATTENTION_RESET = 0x29_00;
export const ATTENTION_POWER_ON = 0x29_01;
export const ATTENTION_BUS_RESET = 0x29_02;
export const ATTENTION_DEVICE_RESET = 0x29_03;
export const ATTENTION_INTERNAL_RESET = 0x29_04;
export const ATTENTION_NEXUS_LOSS = 0x29_07;
export const ATTENTION_CAPACITY_CHANGED = 0x2a_09;
export const ATTENTION_CLEARED_BY_POWER_LOSS = 0x2f_01;
export const ATTENTION_NO_MEDIUM = 0x3a_00;
export const ATTENTION_MICROCODE_CHANGED = 0x3f_01;
export const ATTENTION_REPORTED_LUNS_CHANGED = 0x3f_0e;

// ---- Peripheral device types, SPC-4 6.4.2 -------------------------------------------------------
export const TYPE_DISK = 0x00;
export const TYPE_ROM = 0x05;
/** Qualifier 1, type unknown: LUN 0 of a target that has only others. */
export const TYPE_INACTIVE = 0x3f;
/** Qualifier 3, type unknown: there is no such LUN. */
export const TYPE_NO_LUN = 0x7f;
/** Version field of INQUIRY: SPC-3, so that guests ask for READ CAPACITY(16) and the VPD pages. */
export const VERSION_SPC_3 = 5;

// ---- Mode pages ---------------------------------------------------------------------------------
export const MODE_PAGE_ERROR_RECOVERY = 0x01;
export const MODE_PAGE_RIGID_GEOMETRY = 0x04;
export const MODE_PAGE_FLEXIBLE_GEOMETRY = 0x05;
export const MODE_PAGE_CACHING = 0x08;
export const MODE_PAGE_CD_AUDIO = 0x0e;
export const MODE_PAGE_CAPABILITIES = 0x2a;
export const MODE_PAGE_ALL = 0x3f;

// ---- Vital product data pages -------------------------------------------------------------------
export const VPD_SUPPORTED_PAGES = 0x00;
export const VPD_SERIAL_NUMBER = 0x80;
export const VPD_DEVICE_IDENTIFICATION = 0x83;
export const VPD_BLOCK_LIMITS = 0xb0;
export const VPD_BLOCK_CHARACTERISTICS = 0xb1;
export const VPD_LOGICAL_BLOCK_PROVISIONING = 0xb2;
