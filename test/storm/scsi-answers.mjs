/** The commands of a SCSI load, and what each may be answered. */
import * as spec from '#src/spec';
import { SECTOR } from './model.mjs';

const GOOD = 0;
const CHECK_CONDITION = 2;
const UNIT_ATTENTION = 6;
const LUN_NOT_SUPPORTED = 0x052500;
/** First bytes of INQUIRY: a disk, LUN 0 of a target without one, another LUN that is not there. */
const TYPE_DISK = 0;
const TYPE_INACTIVE = 0x3f;
const TYPE_NO_LUN = 0x7f;
const { VIRTIO_SCSI_S_OK: OK, VIRTIO_SCSI_S_BAD_TARGET: BAD_TARGET } = spec;
const { VIRTIO_SCSI_S_ABORTED: ABORTED, VIRTIO_SCSI_S_RESET: RESET } = spec;

const transfer =
  (opcode) =>
  (cdb, { sector, sectors }) => {
    cdb[0] = opcode;
    cdb.set([sector >>> 24, sector >>> 16, sector >>> 8, sector], 2);
    cdb.set([sectors >>> 8, sectors], 7);
  };

/** `write` fills a CDB of zeroes. `data`: bytes to read, where they do not depend on the command. */
export const COMMANDS = {
  write: { write: transfer(0x2a), disk: true },
  read: { write: transfer(0x28), disk: true },
  sync: { write: transfer(0x35), disk: true, data: 0 },
  ready: { write: () => {}, data: 0 },
  inquiry: { write: (cdb) => cdb.set([0x12, 0, 0, 0, 36]), data: 36 },
  luns: {
    write: (cdb) => {
      cdb[0] = 0xa0;
      cdb[9] = 64;
    },
    data: 64,
  },
  capacity: {
    write: (cdb) => {
      cdb[0] = 0x25;
    },
    data: 8,
  },
};

function expectThat(condition, what) {
  if (!condition) throw new Error(what);
}

/**
 * Judges the answer of a command that came back. True: it was done. 'maybe': nobody knows. Throws
 * an Error if the answer is none that it can have had.
 */
export function judge(command, map, tasks) {
  const { address, frame, kind, stray } = command;
  const { code, status } = frame;
  const steady = map.isAsIn(command.version, address);
  const disk = map.at(address);
  const what = `${kind} of ${address.target}/${address.lun}: response ${code}, status ${status}`;
  switch (code) {
    case OK:
      break;
    case ABORTED:
    case RESET: {
      const leaving = code === ABORTED && disk?.state === 'leaving';
      expectThat(leaving || tasks.mayKill(command, code), `${what}, and nobody has asked for it`);
      expectThat(!stray, `${what}, long after its disk had gone`);
      return 'maybe';
    }
    case BAD_TARGET:
      expectThat(!steady || map.lunsOf(address.target).length === 0, `${what}: it has disks`);
      return false;
    default:
      throw new Error(what);
  }
  if (status === CHECK_CONDITION) {
    checkSense(frame.getSense(), steady, disk, kind, what);
    return false;
  }
  expectThat(status === GOOD, what);
  expectThat(!stray, `${what}: done after its disk had gone`);
  checkData(command, steady, disk, map, what);
  return true;
}

function checkSense(sense, steady, disk, kind, what) {
  const [key, code] = [sense[2] & 0xf, (sense[12] << 8) | sense[13]];
  const told = `${what}, sense ${[...sense]}`;
  if (key === UNIT_ATTENTION) return expectThat(!steady || disk, `${told} without a disk`);
  expectThat(((key << 16) | code) === LUN_NOT_SUPPORTED, told);
  expectThat(!steady || !disk, `${told}: there is a disk`);
  expectThat(kind !== 'inquiry' && kind !== 'luns', told);
}

/** Of commands that read and write the load knows more. */
function checkData(command, steady, disk, map, what) {
  const { frame, kind, address } = command;
  const short = kind === 'luns' ? 64 - (frame.inBytes - frame.residual) : 0;
  expectThat(frame.residual === short && short >= 0, `${what}, residual ${frame.residual}`);
  if (COMMANDS[kind].disk) return;
  if (steady && kind !== 'inquiry' && kind !== 'luns') expectThat(disk, `${what}: no disk`);
  const bytes = frame.getData();
  if (kind === 'inquiry') checkType(bytes[0], address, steady, disk, what);
  else if (kind === 'luns') checkLuns(bytes, steady, map.lunsOf(address.target), what);
  else if (kind === 'capacity' && steady) {
    const view = new DataView(bytes.buffer);
    const [last, size] = [view.getUint32(0), view.getUint32(4)];
    expectThat(last === disk.sectors - 1 && size === SECTOR, `${what}: ${last} of ${size}`);
  }
}

function checkType(type, { lun }, steady, disk, what) {
  const absent = lun === 0 ? TYPE_INACTIVE : TYPE_NO_LUN;
  const allowed = steady ? [disk ? TYPE_DISK : absent] : [TYPE_DISK, absent];
  expectThat(allowed.includes(type), `${what}: type ${type}`);
}

/** LUN 0 comes first, there or not. */
function checkLuns(bytes, steady, luns, what) {
  const view = new DataView(bytes.buffer);
  const found = [];
  for (let at = 8; at < 8 + view.getUint32(0); at += 8) found.push(view.getUint16(at) & 0x3fff);
  const wanted = [0, ...luns.filter((lun) => lun !== 0)];
  expectThat(found[0] === 0, `${what}: LUNs ${found}`);
  expectThat(!steady || `${found}` === `${wanted}`, `${what}: LUNs ${found}, not ${wanted}`);
}
