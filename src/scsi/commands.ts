/** Which unit knows which command. Anything else is 20/00, PERSISTENT RESERVE too (SD-12). */

import { READ, SEEK, SYNCHRONIZE_CACHE, VERIFY, WRITE } from './block-commands.ts';
import { READ_CAPACITY, SERVICE_ACTION_IN } from './capacity.ts';
import { CONFIGURATION, EVENT_STATUS, MECHANISM } from './cd-commands.ts';
import { DISC_INFORMATION, DVD_STRUCTURE, TOC } from './cd-medium.ts';
import * as codes from './codes.ts';
import { type Command, commandTable } from './command.ts';
import { INQUIRY_COMMAND } from './inquiry.ts';
import { MODE_SELECT } from './mode-select.ts';
import { MODE_SENSE } from './mode-sense.ts';
import {
  FORMAT,
  LUNS,
  PREVENT_ALLOW,
  RESERVE_RELEASE,
  SENSE,
  START_STOP,
  TEST_READY,
} from './unit-commands.ts';
import { UNMAP_COMMAND } from './unmap.ts';
import { WRITE_SAME } from './write-same.ts';

const BOTH: [number, Command][] = [
  [codes.TEST_UNIT_READY, TEST_READY],
  [codes.REQUEST_SENSE, SENSE],
  [codes.FORMAT_UNIT, FORMAT],
  [codes.READ_6, READ],
  [codes.WRITE_6, WRITE],
  [codes.INQUIRY, INQUIRY_COMMAND],
  [codes.MODE_SELECT_6, MODE_SELECT],
  [codes.RESERVE_6, RESERVE_RELEASE],
  [codes.RELEASE_6, RESERVE_RELEASE],
  [codes.MODE_SENSE_6, MODE_SENSE],
  [codes.START_STOP_UNIT, START_STOP],
  [codes.PREVENT_ALLOW_MEDIUM_REMOVAL, PREVENT_ALLOW],
  [codes.READ_CAPACITY_10, READ_CAPACITY],
  [codes.READ_10, READ],
  [codes.WRITE_10, WRITE],
  [codes.SEEK_10, SEEK],
  [codes.WRITE_AND_VERIFY_10, WRITE],
  [codes.VERIFY_10, VERIFY],
  [codes.SYNCHRONIZE_CACHE_10, SYNCHRONIZE_CACHE],
  [codes.WRITE_SAME_10, WRITE_SAME],
  [codes.UNMAP, UNMAP_COMMAND],
  [codes.MODE_SELECT_10, MODE_SELECT],
  [codes.RESERVE_10, RESERVE_RELEASE],
  [codes.RELEASE_10, RESERVE_RELEASE],
  [codes.MODE_SENSE_10, MODE_SENSE],
  [codes.READ_16, READ],
  [codes.WRITE_16, WRITE],
  [codes.WRITE_AND_VERIFY_16, WRITE],
  [codes.VERIFY_16, VERIFY],
  [codes.SYNCHRONIZE_CACHE_16, SYNCHRONIZE_CACHE],
  [codes.WRITE_SAME_16, WRITE_SAME],
  [codes.SERVICE_ACTION_IN_16, SERVICE_ACTION_IN],
  [codes.REPORT_LUNS, LUNS],
  [codes.READ_12, READ],
  [codes.WRITE_12, WRITE],
  [codes.WRITE_AND_VERIFY_12, WRITE],
  [codes.VERIFY_12, VERIFY],
];

/** A disk: `scsi-hd`. */
export const HD_COMMANDS = commandTable(...BOTH);

/** A CD: `scsi-cd`. Writes are known, so that they are told that it is read-only. */
export const CD_COMMANDS = commandTable(
  ...BOTH,
  [codes.READ_TOC, TOC],
  [codes.GET_CONFIGURATION, CONFIGURATION],
  [codes.GET_EVENT_STATUS_NOTIFICATION, EVENT_STATUS],
  [codes.READ_DISC_INFORMATION, DISC_INFORMATION],
  [codes.READ_DVD_STRUCTURE, DVD_STRUCTURE],
  [codes.MECHANISM_STATUS, MECHANISM],
);
