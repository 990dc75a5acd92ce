/**
 * A boot sector that works the disk through the BIOS and tells the serial port what it saw.
 *
 * The BIOS's own driver does the transfers. It polls: interrupts stay off from the first
 * instruction to the last, so a device that waits for an interrupt to be taken, or for a halt of
 * the CPU, is never served.
 *
 *     sector 0   this code
 *     sector 1   zero-terminated text: printed after "read: "
 *     sector 2   written: sector 1 with every bit inverted; read back and compared
 */

import { assemble } from './listing.ts';

/** What the boot sector prints last, when all went well and when something failed. */
export const BOOT_SECTOR_OK = 'boot sector: ok';
export const BOOT_SECTOR_FAILED = 'boot sector: failed';

const SECTOR = 512;
const LOAD_ADDRESS = 0x7c00;

const LISTING = `
  fa                      ; cli: the BIOS must be able to work without interrupts
  fc                      ; cld
  31 c0                   ; xor ax, ax
  8e d8                   ; mov ds, ax
  8e c0                   ; mov es, ax
  8e d0                   ; mov ss, ax
  bc 00 7c                ; mov sp, 0x7c00
  88 16 drive.abs16       ; mov [drive], dl     the BIOS says which disk it booted
  be reading.abs16        ; mov si, reading
  e8 print.rel16          ; call print

  b4 42                   ; mov ah, 0x42        extended read: sector 1 to 0x8000
  be source.abs16         ; mov si, source
  e8 disk.rel16           ; call disk
  be 00 80                ; mov si, 0x8000
  e8 print.rel16          ; call print

  be 00 80                ; mov si, 0x8000
  bf 00 82                ; mov di, 0x8200
  b9 00 02                ; mov cx, 512
invert:
  ac                      ; lodsb
  f6 d0                   ; not al
  aa                      ; stosb
  e2 invert.rel8          ; loop invert

  b8 00 43                ; mov ax, 0x4300      extended write: 0x8200 to sector 2
  be answer.abs16         ; mov si, answer
  e8 disk.rel16           ; call disk
  b4 42                   ; mov ah, 0x42        and back: sector 2 to 0x8400
  be again.abs16          ; mov si, again
  e8 disk.rel16           ; call disk

  be 00 82                ; mov si, 0x8200
  bf 00 84                ; mov di, 0x8400
  b9 00 02                ; mov cx, 512
  f3 a6                   ; repe cmpsb
  75 failed.rel8          ; jne failed
  be ok.abs16             ; mov si, ok
stop:
  e8 print.rel16          ; call print
halt:
  f4                      ; hlt
  eb halt.rel8            ; jmp halt
failed:
  be bad.abs16            ; mov si, bad
  eb stop.rel8            ; jmp stop

disk:                     ;                     AH is the function, SI its packet
  8a 16 drive.abs16       ; mov dl, [drive]
  cd 13                   ; int 0x13
  72 failed.rel8          ; jc failed
  c3                      ; ret

print:                    ;                     SI is zero-terminated text
  ac                      ; lodsb
  84 c0                   ; test al, al
  74 printed.rel8         ; jz printed
  88 c4                   ; mov ah, al
  ba fd 03                ; mov dx, 0x3fd       line status of the first serial port
busy:
  ec                      ; in al, dx
  a8 20                   ; test al, 0x20       transmitter empty?
  74 busy.rel8            ; jz busy
  ba f8 03                ; mov dx, 0x3f8
  88 e0                   ; mov al, ah
  ee                      ; out dx, al
  eb print.rel8           ; jmp print
printed:
  c3                      ; ret

drive:
  00
source:                   ; address packets: size, sectors, offset, segment, first sector
  10 00 01 00 00 80 00 00 01 00 00 00 00 00 00 00
answer:
  10 00 01 00 00 82 00 00 02 00 00 00 00 00 00 00
again:
  10 00 01 00 00 84 00 00 02 00 00 00 00 00 00 00
reading:
  "read: " 00
ok:
  "\\r\\n${BOOT_SECTOR_OK}\\r\\n" 00
bad:
  "\\r\\n${BOOT_SECTOR_FAILED}\\r\\n" 00
`;

/** The first two sectors of a disk: our boot sector, and `text` (at most 511 bytes, ASCII). */
export function bootSectors(text: string): Uint8Array<ArrayBuffer> {
  const code = assemble(LISTING, LOAD_ADDRESS);
  if (code.length > SECTOR - 2) throw new Error(`the boot code is ${code.length} bytes long`);
  if (text.length >= SECTOR) throw new Error(`${text.length} bytes do not fit in one sector`);
  const sectors = new Uint8Array(2 * SECTOR);
  sectors.set(code);
  sectors.set([0x55, 0xaa], SECTOR - 2); // the BIOS boots nothing without this signature
  sectors.set(new TextEncoder().encode(text), SECTOR);
  return sectors;
}
