/**
 * The benchmark that runs inside the guest: a static i386 ELF program without a libc.
 *
 *     odirect DEVICE read|write|randread|randwrite BLOCK COUNT
 *
 * It opens the device with O_DIRECT, so that each transfer is one request of the disk, does COUNT
 * transfers of BLOCK bytes (at most 1 MiB) one after the other, and prints the nanoseconds they
 * took by CLOCK_MONOTONIC. The exit status is 0, 2 for wrong arguments, or the errno of the call
 * that failed (EIO for a short transfer).
 */

import { assemble } from './listing.ts';

/** Where the program is mapped: the file's first byte. */
const BASE = 0x08048000;
/** Variables, at EBP, in memory that the kernel hands over zeroed. */
const VARIABLES = 0x080ff000;
/** The transfer buffer, page-aligned as O_DIRECT wants it. */
const BUFFER = 0x08100000;
const BUFFER_BYTES = 0x100000;

const ELF_HEADER_BYTES = 52;
const PROGRAM_HEADER_BYTES = 32;
const ENTRY = BASE + ELF_HEADER_BYTES + PROGRAM_HEADER_BYTES;

// Variables: +0 fd, +4 block, +8 count left, +12 blocks on the device, +16 random?, +20 system
// call, +24 random state, +28 next block, +32 and +40 start and end {seconds, nanoseconds},
// +48 device bytes (u64), and up to +96 the digits of the answer.
const LISTING = `
  bd 00 f0 0f 08          ; mov ebp, VARIABLES
  83 3c 24 05             ; cmp dword [esp], 5          argc
  0f 85 usage.rel32       ; jne usage
  8b 74 24 10             ; mov esi, [esp+16]           BLOCK
  e8 number.rel32         ; call number
  3d 00 00 10 00          ; cmp eax, 1 MiB
  0f 87 usage.rel32       ; ja usage
  89 45 04                ; mov [ebp+4], eax
  8b 74 24 14             ; mov esi, [esp+20]           COUNT
  e8 number.rel32         ; call number
  89 45 08                ; mov [ebp+8], eax
  8b 74 24 0c             ; mov esi, [esp+12]           mode
  66 81 3e 72 61          ; cmp word [esi], "ra"        randread, randwrite
  75 direction.rel8       ; jne direction
  c6 45 10 01             ; mov byte [ebp+16], 1
  83 c6 04                ; add esi, 4
direction:
  ba b4 00 00 00          ; mov edx, pread64
  b9 00 c0 00 00          ; mov ecx, O_RDONLY | O_DIRECT | O_LARGEFILE
  80 3e 72                ; cmp byte [esi], 'r'
  74 open.rel8            ; je open
  80 3e 77                ; cmp byte [esi], 'w'
  0f 85 usage.rel32       ; jne usage
  42                      ; inc edx                     pwrite64
  83 c1 02                ; add ecx, O_RDWR
open:
  89 55 14                ; mov [ebp+20], edx
  b8 05 00 00 00          ; mov eax, open
  8b 5c 24 08             ; mov ebx, [esp+8]            DEVICE
  31 d2                   ; xor edx, edx
  cd 80                   ; int 0x80
  85 c0                   ; test eax, eax
  0f 88 failed.rel32      ; js failed
  89 45 00                ; mov [ebp], eax

  89 c3                   ; mov ebx, eax
  b8 36 00 00 00          ; mov eax, ioctl
  b9 72 12 04 80          ; mov ecx, BLKGETSIZE64
  8d 55 30                ; lea edx, [ebp+48]
  cd 80                   ; int 0x80
  85 c0                   ; test eax, eax
  0f 88 failed.rel32      ; js failed
  8b 45 30                ; mov eax, [ebp+48]
  8b 55 34                ; mov edx, [ebp+52]
  3b 55 04                ; cmp edx, [ebp+4]            the quotient must fit in 32 bits
  0f 83 usage.rel32       ; jae usage
  f7 75 04                ; div dword [ebp+4]
  89 45 0c                ; mov [ebp+12], eax
  85 c0                   ; test eax, eax
  0f 84 usage.rel32       ; jz usage
  c7 45 18 91 f4 45 25    ; mov dword [ebp+24], seed
  bf 00 00 10 08          ; mov edi, BUFFER
  b9 00 00 04 00          ; mov ecx, 1 MiB / 4
fill:                     ;                             written data are not zeroes
  89 c8                   ; mov eax, ecx
  ab                      ; stosd
  e2 fill.rel8            ; loop fill

  8d 4d 20                ; lea ecx, [ebp+32]
  e8 clock.rel32          ; call clock
transfer:
  8b 45 1c                ; mov eax, [ebp+28]
  80 7d 10 00             ; cmp byte [ebp+16], 0
  74 placed.rel8          ; je placed
  8b 45 18                ; mov eax, [ebp+24]           xorshift32
  89 c2                   ; mov edx, eax
  c1 e2 0d                ; shl edx, 13
  31 d0                   ; xor eax, edx
  89 c2                   ; mov edx, eax
  c1 ea 11                ; shr edx, 17
  31 d0                   ; xor eax, edx
  89 c2                   ; mov edx, eax
  c1 e2 05                ; shl edx, 5
  31 d0                   ; xor eax, edx
  89 45 18                ; mov [ebp+24], eax
  f7 65 0c                ; mul dword [ebp+12]          EDX is a block of the device
  89 d0                   ; mov eax, edx
placed:
  8d 50 01                ; lea edx, [eax+1]
  3b 55 0c                ; cmp edx, [ebp+12]
  72 following.rel8       ; jb following
  31 d2                   ; xor edx, edx                past the end: from the start
following:
  89 55 1c                ; mov [ebp+28], edx
  f7 65 04                ; mul dword [ebp+4]           EDX:EAX is the offset
  89 c6                   ; mov esi, eax
  89 d7                   ; mov edi, edx
  8b 45 14                ; mov eax, [ebp+20]           pread64 or pwrite64
  8b 5d 00                ; mov ebx, [ebp]
  b9 00 00 10 08          ; mov ecx, BUFFER
  8b 55 04                ; mov edx, [ebp+4]
  cd 80                   ; int 0x80
  3b 45 04                ; cmp eax, [ebp+4]
  0f 85 failed.rel32      ; jne failed
  ff 4d 08                ; dec dword [ebp+8]
  75 transfer.rel8        ; jnz transfer

  8d 4d 28                ; lea ecx, [ebp+40]
  e8 clock.rel32          ; call clock
  8b 45 28                ; mov eax, [ebp+40]           seconds
  2b 45 20                ; sub eax, [ebp+32]
  ba 00 ca 9a 3b          ; mov edx, 1000000000
  f7 e2                   ; mul edx
  03 45 2c                ; add eax, [ebp+44]           nanoseconds
  83 d2 00                ; adc edx, 0
  2b 45 24                ; sub eax, [ebp+36]
  83 da 00                ; sbb edx, 0

  8d 7d 60                ; lea edi, [ebp+96]           the last byte of the answer
  c6 07 0a                ; mov byte [edi], newline
  bb 0a 00 00 00          ; mov ebx, 10
digit:                    ;                             EDX:EAX / 10, high half first
  89 c1                   ; mov ecx, eax
  89 d0                   ; mov eax, edx
  31 d2                   ; xor edx, edx
  f7 f3                   ; div ebx
  91                      ; xchg eax, ecx
  f7 f3                   ; div ebx
  80 c2 30                ; add dl, '0'
  4f                      ; dec edi
  88 17                   ; mov [edi], dl
  89 ca                   ; mov edx, ecx
  09 c1                   ; or ecx, eax
  75 digit.rel8           ; jnz digit
  8d 55 61                ; lea edx, [ebp+97]
  29 fa                   ; sub edx, edi
  89 f9                   ; mov ecx, edi
  bb 01 00 00 00          ; mov ebx, stdout
  b8 04 00 00 00          ; mov eax, write
  cd 80                   ; int 0x80
  31 db                   ; xor ebx, ebx
exit:
  b8 01 00 00 00          ; mov eax, exit
  cd 80                   ; int 0x80
usage:
  bb 02 00 00 00          ; mov ebx, 2
  eb exit.rel8            ; jmp exit
failed:                   ;                             EAX is -errno, or a short count
  89 c3                   ; mov ebx, eax
  f7 db                   ; neg ebx
  7f exit.rel8            ; jg exit
  bb 05 00 00 00          ; mov ebx, EIO
  eb exit.rel8            ; jmp exit

clock:                    ;                             ECX is the timespec to fill
  b8 09 01 00 00          ; mov eax, clock_gettime
  bb 01 00 00 00          ; mov ebx, CLOCK_MONOTONIC
  cd 80                   ; int 0x80
  c3                      ; ret

number:                   ;                             ESI is text; EAX its value, not 0
  31 c0                   ; xor eax, eax
more:
  0f b6 16                ; movzx edx, byte [esi]
  83 ea 30                ; sub edx, '0'
  83 fa 09                ; cmp edx, 9
  77 parsed.rel8          ; ja parsed
  6b c0 0a                ; imul eax, eax, 10
  01 d0                   ; add eax, edx
  46                      ; inc esi
  eb more.rel8            ; jmp more
parsed:
  80 3e 00                ; cmp byte [esi], 0           digits only
  75 usage.rel8           ; jne usage
  85 c0                   ; test eax, eax
  74 usage.rel8           ; jz usage
  c3                      ; ret
`;

/** The program as an executable file. */
export function odirectProgram(): Uint8Array<ArrayBuffer> {
  const code = assemble(LISTING, ENTRY);
  const fileBytes = ELF_HEADER_BYTES + PROGRAM_HEADER_BYTES + code.length;
  if (BASE + fileBytes > VARIABLES) throw new Error('the program runs into its variables');
  const file = new Uint8Array(fileBytes);
  const view = new DataView(file.buffer);
  const words = (at: number, ...values: number[]) =>
    values.forEach((value, n) => {
      view.setUint32(at + 4 * n, value, true);
    });

  file.set([0x7f, 0x45, 0x4c, 0x46, 1, 1, 1]); // ELF, 32-bit, little-endian, version 1
  words(16, 0x0003_0002, 1, ENTRY, ELF_HEADER_BYTES); // i386 executable; program header's place
  words(40, (PROGRAM_HEADER_BYTES << 16) | ELF_HEADER_BYTES, 1); // one program header
  // One segment, PT_LOAD, readable, writable and executable: file, variables and buffer.
  words(ELF_HEADER_BYTES, 1, 0, BASE, BASE);
  words(ELF_HEADER_BYTES + 16, fileBytes, BUFFER + BUFFER_BYTES - BASE, 7, 0x1000);
  file.set(code, ELF_HEADER_BYTES + PROGRAM_HEADER_BYTES);
  return file;
}
