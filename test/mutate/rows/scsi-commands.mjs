/** Steps of SCSI commands, their requests and their unit attentions. */

const BLOCKS = 'scsi/block-commands.test.ts';
const INQUIRY = 'scsi/inquiry.test.ts';
const UNIT = 'scsi/unit-commands.test.ts';
const MODE = 'scsi/mode.test.ts';
const UNMAP = 'scsi/unmap-write-same.test.ts';
const CD = 'scsi/cd.test.ts';
const ADDRESS = 'scsi/addressing.test.ts';
const ATTENTION = 'scsi/attention.test.ts';
const REQUESTS = 'scsi/requests.test.ts';
const ERRORS = 'scsi/errors.test.ts';
const RANDOM = 'scsi/random-commands.test.ts';

const IN_LANE = 'SC-6 in the lane: one answer, when the driver lets go';
const PARKED = 'SC-6 parked at the gate: answered at once, and the disk never sees it';
const BOUNCE = 'SD-17 SC-6 historic bug 17: one that waits for a bounce buffer is called back';
const ABANDONED = 'SC-6 abandoned: no byte of the buffers is touched, and each is answered';
const ANEW = 'SC-7 one without data is enqueued anew, others keep their place';
const RESIDUAL = 'SC-13 one block into 4 KiB: 512 bytes are written, 3584 are left';
const ONE_REPORTS = 'SC-11 two commands and one attention: exactly one reports it';
const IN_BETWEEN = 'SC-11 one that another thread sets in between is not lost to a lesser one';
const STAYS = 'SC-11 the most important one stays, whichever came first';

export const scsiCommands = [
  // ---- Requests -----------------------------------------------------------------------------------
  {
    name: 'scsi/a canceled request is answered while the lane still has it',
    breaks: [
      'scsi/unit',
      "if (place === 'lane') request.io!.cancel();\n    else if (place !== 'running') this.#end(request);",
      "if (place !== 'running') this.#end(request);",
    ],
    noticed: { [REQUESTS]: BOUNCE },
  },
  {
    name: 'historic bug 17/a canceled request waits on for its bounce buffer',
    breaks: [
      'scsi/unit',
      "if (place === 'lane') request.io!.cancel();\n    else if",
      "if (place === 'lane') return;\n    if",
    ],
    noticed: { [REQUESTS]: BOUNCE },
  },
  {
    name: 'scsi/a canceled request that fails is kept by the policy',
    breaks: ['scsi/unit', 'if (request.canceled) this.#end(request);\n    else if', 'if'],
    noticed: { [REQUESTS]: 'SC-6 one that fails after it was canceled asks no policy' },
  },
  {
    name: 'scsi/an end of a canceled request is an answer of its own',
    breaks: ['scsi/unit', '      request.response = request.cancelResponse;\n', ''],
    noticed: { [REQUESTS]: IN_LANE },
  },
  {
    name: 'scsi/a parked request that is canceled waits for the gate',
    breaks: [
      'scsi/unit',
      "else if (place !== 'running') this.#end(request);",
      "else if (place === 'failed') this.#end(request);",
    ],
    noticed: { [REQUESTS]: PARKED },
  },
  {
    name: 'scsi/canceled requests of the lane are not abandoned',
    breaks: [
      'scsi/unit',
      'for (const list of [this.#requests, this.#leaving])',
      'for (const list of [this.#requests])',
    ],
    noticed: { [REQUESTS]: ABANDONED },
  },
  {
    name: 'scsi/restart keeps the place of a command without data',
    breaks: [
      'scsi/unit',
      '        this.#requests.append(request);\n      }\n      this.#guarded',
      '      }\n      this.#guarded',
    ],
    noticed: { [REQUESTS]: ANEW },
  },
  {
    name: 'scsi/restart goes on where the command failed',
    breaks: [
      'scsi/unit',
      'this.#guarded(request, () => this.#execute(request));',
      'this.#guarded(request, () => this.#carryOn(request));',
    ],
    noticed: { [REQUESTS]: 'SC-7 SD-5 an UNMAP begins anew with its first range' },
  },
  {
    name: 'scsi/the guard is not asked when the gate opens',
    breaks: [
      'scsi/unit',
      'if (guard && !guard.enter()) {',
      'if (guard && !guard.enter() && false) {',
    ],
    noticed: {
      [REQUESTS]: 'SC-6 behind a guard that says no: nothing is touched, and it is answered',
    },
  },
  {
    name: 'scsi/what waited does not look again before it begins',
    breaks: [
      'scsi/unit',
      'if (request.operations === 0) this.#execute(request);',
      'if (request.operations < 0) this.#execute(request);',
    ],
    noticed: {
      [REQUESTS]: 'what has not begun sees medium and size as they are when the gate opens',
    },
  },
  {
    name: 'scsi/data both ways are taken',
    breaks: ['scsi/unit', 'if (buffers.outBytes > 0 && buffers.inBytes > 0)', 'if (false)'],
    noticed: { [REQUESTS]: ['both ways'] },
  },
  {
    name: 'scsi/more than the buffers is taken',
    breaks: ['scsi/unit', 'request.transfer > room &&', 'request.transfer > room + 1 &&'],
    noticed: { [REQUESTS]: ['more than data-in has'] },
  },
  {
    name: 'scsi/residual of what the CDB wanted',
    breaks: [
      'scsi/answer',
      'Math.min(bytes - transferred,',
      'Math.min(request.transfer - transferred,',
    ],
    noticed: { [REQUESTS]: RESIDUAL },
  },
  {
    name: 'scsi/the whole buffer is read into',
    breaks: [
      'scsi/block-commands',
      "request.perform(OP_READ, offset, request.transfer, 'in', ended)",
      "request.perform(OP_READ, offset, request.buffers.inBytes, 'in', ended)",
    ],
    noticed: { [REQUESTS]: RESIDUAL },
  },
  // ---- Unit attentions ------------------------------------------------------------------------------
  {
    name: 'scsi/an attention is read, not taken',
    breaks: [
      'scsi/lun-words',
      'const own = Atomics.exchange(u32, (this.#lun + LUN_ATTENTION) >>> 2, ATTENTION_NONE);',
      'const own = Atomics.load(u32, (this.#lun + LUN_ATTENTION) >>> 2);',
    ],
    noticed: { [ATTENTION]: ONE_REPORTS },
  },
  {
    name: 'scsi/an attention is set whatever was set in between',
    breaks: [
      'scsi/lun-words',
      'if (Atomics.compareExchange(u32, address >>> 2, pending, attention) === pending) return;',
      'Atomics.compareExchange(u32, address >>> 2, 0, attention);\n    Atomics.store(u32, address >>> 2, attention);\n    return;',
    ],
    noticed: { [ATTENTION]: IN_BETWEEN },
  },
  {
    name: 'scsi/the last attention stays',
    breaks: [
      'scsi/lun-words',
      'if (attentionPrecedence(attention) >= attentionPrecedence(pending)) return;',
      '',
    ],
    noticed: { [ATTENTION]: STAYS },
  },
  {
    name: 'scsi/REQUEST SENSE fails with the attention',
    breaks: [
      'scsi/unit',
      'if (attention !== 0 && opcode !== REQUEST_SENSE) {',
      'if (attention !== 0) {',
    ],
    noticed: { [ATTENTION]: 'SC-11 REQUEST SENSE returns it as data, once' },
  },
  {
    name: 'scsi/medium changed is not told',
    breaks: [
      'scsi/lun-words',
      'if (flags & LUN_F_MEDIUM_CHANGED) this.setAttention(ATTENTION_MEDIUM_CHANGED);',
      '',
    ],
    noticed: { [CD]: 'SD-11 a new medium: no medium first, then medium changed, each told once' },
  },
  // ---- Addresses --------------------------------------------------------------------------------------
  {
    name: 'scsi/a hidden unit is found',
    breaks: ['scsi/units', 'if (unit?.words.realized) return unit;', 'if (unit) return unit;'],
    noticed: {
      [ADDRESS]: 'SC-9 a unit that is not realized, or leaves, is not there; its address is taken',
    },
  },
  {
    name: 'scsi/REPORT LUNS cuts a LUN',
    breaks: ['scsi/report-luns', 'if (at + 8 > room) break;', 'if (at + 7 > room) break;'],
    noticed: { [ADDRESS]: ['SC-10 an allocation length of '] },
  },
  {
    name: 'scsi/REPORT LUNS leaves the attention',
    breaks: ['scsi/report-luns', '  thread.lunsReported(target);\n', ''],
    noticed: { [ADDRESS]: ' clears REPORTED LUNS CHANGED of bus and unit' },
  },
  {
    name: 'scsi/LUN 0 says that it is none',
    breaks: [
      'scsi/target',
      'const type = lun === 0 ? TYPE_INACTIVE : TYPE_NO_LUN;',
      'const type = TYPE_NO_LUN;',
    ],
    noticed: {
      [ADDRESS]: 'SC-8 INQUIRY of an absent LUN: qualifier 3; of LUN 0 that the target has others',
    },
  },
  // ---- Commands -----------------------------------------------------------------------------------------
  {
    name: 'scsi/one block behind the end',
    breaks: ['scsi/unit', 'lba <= all - blocks;', 'lba <= all - blocks + 1;'],
    noticed: { [BLOCKS]: ' ends at the last block, or is 21/00' },
  },
  {
    name: 'scsi/no blocks at the end are out of range',
    breaks: [
      'scsi/unit',
      'lba <= all - blocks;',
      'lba < all - blocks || (blocks > 0 && lba <= all - blocks);',
    ],
    noticed: { [BLOCKS]: ' of no blocks may begin at the end, not behind it' },
  },
  {
    name: 'scsi/READ (6) of length 0 is none',
    breaks: ['scsi/cdb', '? 256 : blocks;', '? 0 : blocks;'],
    noticed: { [BLOCKS]: ' of length 0 is 256 blocks' },
  },
  {
    name: 'scsi/protection is ignored',
    breaks: ['scsi/block-commands', 'if (cdb[1]! & CDB_PROTECT) return', 'if (false) return'],
    noticed: { [BLOCKS]: 'SD-1 protection ' },
  },
  {
    name: 'scsi/a FUA read does not flush',
    breaks: [
      'scsi/block-commands',
      'if (isFua(request.cdb)) return request.perform(',
      'if (false) return request.perform(',
    ],
    noticed: { [BLOCKS]: 'SD-1 FUA: a read flushes first, a write asks the disk for it' },
  },
  {
    name: 'scsi/a short CDB is a command',
    breaks: [
      'scsi/unit',
      'if (needed === 0 || request.cdbLength < needed) return',
      'if (needed === 0) return',
    ],
    noticed: { [UNIT]: 'SD-15 every known command needs all of its CDB' },
  },
  {
    name: 'scsi/an allocation length of 64 KiB and one',
    breaks: ['scsi/unit', 'transfer > EMULATED_MAX)', 'transfer > EMULATED_MAX + 1)'],
    noticed: { [UNIT]: ' takes 65536 bytes of allocation length and not one more' },
  },
  {
    name: 'scsi/CmdDt is ignored',
    breaks: ['scsi/inquiry', 'if (cdb[1]! & INQUIRY_CMDDT) return', 'if (false) return'],
    noticed: { [INQUIRY]: 'CmdDt' },
  },
  {
    name: 'scsi/READ CAPACITY without PMI takes an address',
    breaks: [
      'scsi/capacity',
      'if (!(cdb[8]! & PMI) && cdbLba(cdb) !== 0) return',
      'if (false) return',
    ],
    noticed: { [UNIT]: ' with an address needs PMI, and an empty disk is 04/03' },
  },
  {
    name: 'scsi/MODE SELECT applies what it has not checked',
    breaks: [
      'scsi/mode-select',
      '  const sense = walkPages(unit, list, pages, checkPage);\n  if (sense !== 0) return sense;\n',
      '',
    ],
    noticed: { [MODE]: 'SD-9 nothing changes if anything is wrong, the block size neither' },
  },
  {
    name: 'scsi/MODE SELECT reads behind a page',
    breaks: [
      'scsi/mode-select',
      'if (length > list.length - at - header) return',
      'if (false) return',
    ],
    noticed: { [MODE]: 'a page that is cut off' },
  },
  {
    name: 'scsi/MODE SELECT without a cache does not flush',
    breaks: [
      'scsi/mode-select',
      'if (unit.disk.writeCache) return moved(request);',
      'if (list) return moved(request);',
    ],
    noticed: { [MODE]: 'SD-9 switches the write cache off, flushes, and on again' },
  },
  {
    name: 'scsi/UNMAP of more ranges than were sent',
    breaks: ['scsi/unmap', ' && descriptors + HEADER <= transfer;', ';'],
    noticed: { [UNMAP]: 'ranges beyond the list' },
  },
  {
    name: 'scsi/UNMAP does not check its ranges',
    breaks: ['scsi/unmap', 'if (!unit.inRange(lba, blocks)) return', 'if (false) return'],
    noticed: { [UNMAP]: 'SD-5 what stands before a wrong range is done' },
  },
  {
    name: 'scsi/WRITE SAME writes a chunk too much',
    breaks: [
      'scsi/write-same',
      'const length = Math.min(left, own.length);',
      'const length = own.length;',
    ],
    noticed: { [UNMAP]: 'SD-6 goes in chunks of 512 KiB' },
  },
  {
    name: 'scsi/a locked tray opens',
    breaks: [
      'scsi/unit-commands',
      '  if (!start && !(flags & LUN_F_TRAY_OPEN) && flags & LUN_F_LOCKED) {',
      '  if (false) {',
    ],
    noticed: {
      [CD]: 'SD-11 a locked tray stays closed; an open one may be closed; power conditions do nothing',
    },
  },
  {
    name: 'scsi/errors are all the same',
    breaks: ['scsi/sense', 'case ENOSPC:\n      return SENSE_SPACE_ALLOCATION_FAILED;', ''],
    noticed: { [ERRORS]: 'ENOSPC' },
  },
  {
    name: 'scsi/the short way takes what is write-protected',
    breaks: ['scsi/unit', '    if (out && !this.writable) return false;\n', ''],
    noticed: { [RANDOM]: 'decodePlain of a write to what takes none' },
  },
  {
    name: 'scsi/the short way forgets unit attentions',
    breaks: ['scsi/unit', 'if (words.hasAttention || !words.realized', 'if (!words.realized'],
    noticed: { [RANDOM]: 'decodePlain of a read: ' },
  },
];
