/** What may be done to guest memory from inside a guest's store to a device's. */

import { afterAll, expect, it } from 'vitest';
import { cpuOf, type V86Cpu, type V86Instance } from '#src/adapter/v86-machine';
import { MemoryWindows } from '#src/adapter/v86-windows';
import { Guest } from '#src/cli/linux/guest';
import { assemble } from '#src/cli/linux/listing';
import { describeOn, findMachine } from './available.ts';

const LOAD_ADDRESS = 0x7c00;
const DEVICE = 0xd000_0000;
const SLICE_INSTRUCTIONS = 100_003;

const TURNS = 8_000_000;
/** The turn in whose store to the device the code is changed: a multiple of 64 Ki. */
const CHANGED_AT = 61 * 0x10000;

// Counts turns in EAX and adds a step to EDI in each; stores EAX to the device now and then, and
// the registers at the end. The stores lie in the loop that is translated.
const LISTING = `
  fa                      ; cli
  31 c0                   ; xor ax, ax
  8e d8                   ; mov ds, ax
  0f 01 16 gdtr.abs16     ; lgdt [gdtr]
  0f 20 c0                ; mov eax, cr0
  0c 01                   ; or al, 1
  0f 22 c0                ; mov cr0, eax
  ea flat.abs16 08 00     ; jmp 8:flat            protected mode, 32 bits
flat:
  66 b8 10 00             ; mov ax, 16
  8e d8                   ; mov ds, ax
  be 00 00 00 d0          ; mov esi, DEVICE
  31 c0                   ; xor eax, eax
  31 ff                   ; xor edi, edi
  bb 78 56 34 12          ; mov ebx, 0x12345678
  b9 00 12 7a 00          ; mov ecx, TURNS
again:
  40                      ; inc eax
  ba 01 00 00 00          ; mov edx, 1            the step: 3 later
  01 d7                   ; add edi, edx
  a9 ff ff 00 00          ; test eax, 0xffff
  75 next.rel8            ; jnz next
  89 06                   ; mov [esi], eax
next:
  49                      ; dec ecx
  75 again.rel8           ; jnz again
  89 7e 04                ; mov [esi+4], edi
  89 5e 08                ; mov [esi+8], ebx
  89 46 0c                ; mov [esi+12], eax
halt:
  f4                      ; hlt
  eb halt.rel8            ; jmp halt

gdtr:
  17 00 gdt.abs32
gdt:
  00 00 00 00 00 00 00 00
  ff ff 00 00 00 9a cf 00 ; code: 4 GiB, 32 bits
  ff ff 00 00 00 92 cf 00 ; data
`;

function bootSector(): { sectors: Uint8Array<ArrayBuffer>; step: number } {
  const code = assemble(LISTING, LOAD_ADDRESS);
  const sectors = new Uint8Array(1 << 20);
  sectors.set(code);
  sectors.set([0x55, 0xaa], 510);
  const movEdx = code.indexOf(0xba);
  return { sectors, step: LOAD_ADDRESS + movEdx + 1 };
}

const machine = await findMachine();

describeOn(machine, 'store to device memory', ({ images: all, V86 }) => {
  const { bios, vgaBios, wasm } = all;
  let guest: Guest;
  afterAll(() => guest?.destroy());

  // What a disk does that reads into a page with code, its own caller's for example.
  it('may change the code that executes it: registers stay, and the new code runs', async () => {
    const { sectors, step } = bootSector();
    let cpu!: V86Cpu;
    let translatedBefore = 0;
    let ended!: () => void;
    const end = new Promise<void>((resolve) => {
      ended = resolve;
    });
    const stored: number[] = [];
    const write = (offset: number, _width: number, value: number) => {
      stored[offset / 4] = value;
      if (offset === 0 && value === CHANGED_AT) {
        translatedBefore = translated;
        cpu.mem8[step] = 3;
        cpu.jit_dirty_cache(step, step + 1);
      }
      if (offset === 12) ended();
    };
    let translated = 0;
    const attach = (emulator: V86Instance) => {
      cpu = cpuOf(emulator);
      new MemoryWindows(cpu).map(DEVICE, 4096, { read: () => 0, write });
      const translator = cpu as V86Cpu & { codegen_finalize(...args: unknown[]): void };
      const { codegen_finalize: finalize } = translator;
      translator.codegen_finalize = (...args) => {
        translated++;
        finalize.apply(cpu, args);
      };
    };
    const images = { bios, vgaBios, wasm };
    const ideDisk = sectors.buffer;
    guest = await Guest.powerOn(V86, { images, ideDisk, attach, memorySize: 32 << 20 });
    await end;
    const [, sum, ebx, turns] = stored;
    expect(translatedBefore).toBeGreaterThan(0);
    expect([turns, ebx]).toEqual([TURNS, 0x1234_5678]);
    const atOnce = CHANGED_AT + 3 * (TURNS - CHANGED_AT);
    expect(sum).toBeLessThanOrEqual(atOnce);
    expect(sum).toBeGreaterThan(atOnce - 2 * SLICE_INSTRUCTIONS); // a slice ends what was running
  }, 60_000);
});
