/**
 * A boot sector that runs code from the disk until the emulator has translated it, then loads
 * other code to the same place and runs that. It prints what each of the two left in AL.
 */

import { assemble } from '#src/cli/linux/listing';

const LOAD_ADDRESS = 0x7c00;
const CODE_ADDRESS = 0x9000;

const LISTING = `
  fa                      ; cli
  fc                      ; cld
  31 c0                   ; xor ax, ax
  8e d8                   ; mov ds, ax
  8e c0                   ; mov es, ax
  8e d0                   ; mov ss, ax
  bc 00 7c                ; mov sp, 0x7c00
  88 16 drive.abs16       ; mov [drive], dl

  be first.abs16          ; mov si, first
  e8 disk.rel16           ; call disk
  bd 00 01                ; mov bp, 256         translation takes a while: go on meanwhile
again:
  b8 00 90                ; mov ax, 0x9000
  ff d0                   ; call ax
  4d                      ; dec bp
  75 again.rel8           ; jnz again
  e8 print.rel16          ; call print

  be second.abs16         ; mov si, second
  e8 disk.rel16           ; call disk
  b8 00 90                ; mov ax, 0x9000
  ff d0                   ; call ax
  e8 print.rel16          ; call print
  b0 0a                   ; mov al, newline
  e8 print.rel16          ; call print
halt:
  f4                      ; hlt
  eb halt.rel8            ; jmp halt

disk:                     ;                     SI is the address packet
  b4 42                   ; mov ah, 0x42
  8a 16 drive.abs16       ; mov dl, [drive]
  cd 13                   ; int 0x13
  c3                      ; ret
print:                    ;                     AL is the character
  88 c4                   ; mov ah, al
  ba fd 03                ; mov dx, 0x3fd
busy:
  ec                      ; in al, dx
  a8 20                   ; test al, 0x20
  74 busy.rel8            ; jz busy
  ba f8 03                ; mov dx, 0x3f8
  88 e0                   ; mov al, ah
  ee                      ; out dx, al
  c3                      ; ret

drive:
  00
first:                    ; size, sectors, offset, segment, first sector
  10 00 01 00 00 90 00 00 01 00 00 00 00 00 00 00
second:
  10 00 01 00 00 90 00 00 02 00 00 00 00 00 00 00
`;

/** Runs for 65536 turns of a loop, then returns `letter` in AL. */
function code(letter: string): Uint8Array {
  const listing = `
    b9 ff ff              ; mov cx, 0xffff
  more:
    e2 more.rel8          ; loop more
    b0 "${letter}"        ; mov al, letter
    c3                    ; ret
  `;
  return assemble(listing, CODE_ADDRESS);
}

/** The first three sectors of a disk that prints "AB" if the new code runs, "AA" if the old does. */
export function staleCodeSectors(): Uint8Array {
  const sectors = new Uint8Array(3 * 512);
  sectors.set(assemble(LISTING, LOAD_ADDRESS));
  sectors.set([0x55, 0xaa], 510);
  sectors.set(code('A'), 512);
  sectors.set(code('B'), 1024);
  return sectors;
}
