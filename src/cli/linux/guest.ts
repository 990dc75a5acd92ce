/**
 * A Linux guest in v86, driven through its serial port. Runs in Node and in browsers alike: it
 * is given v86 and the images, and names no platform.
 */

import type { V86Instance } from '../../adapter/v86-machine.ts';
import { sharedWasm } from '../../adapter/v86-shared.ts';
import { DONE, READY, RUN, WITH_ATA } from './initramfs.ts';

/** The bytes a guest is made of. */
export interface GuestImages {
  /** `v86.wasm` of the v86 that runs it. */
  readonly wasm: ArrayBuffer;
  readonly bios: ArrayBuffer;
  readonly vgaBios: ArrayBuffer;
  /** Kernel and its first root file system; without them the BIOS boots from a disk. */
  readonly kernel?: ArrayBuffer;
  readonly initrd?: ArrayBuffer;
}

/** The part of v86's emulator that a guest uses. */
export interface V86Emulator extends V86Instance {
  add_listener(event: string, listener: (value: never) => void): void;
  serial0_send(text: string): void;
  run(): Promise<void>;
  destroy(): Promise<void>;
}

export type V86Constructor = new (options: Record<string, unknown>) => V86Emulator;

export interface GuestOptions {
  readonly images: GuestImages;
  /** Bytes of RAM: at least 128 MiB with an initrd, which is the default. */
  readonly memorySize?: number;
  /** Appended to the kernel's command line. */
  readonly commandLine?: string;
  /** A disk on v86's own IDE controller; v86 writes into this buffer. */
  readonly ideDisk?: ArrayBuffer;
  readonly acpi?: boolean;
  /** Its memory is shared: IOThreads can serve its disks. Default false. */
  readonly shared?: boolean;
  /** Called before the first instruction: BIOS and kernel find what is attached here. */
  readonly attach?: (emulator: V86Instance) => unknown;
  /** Each complete line that the guest prints, without its end. */
  readonly onLine?: (line: string) => void;
}

/** What a command of the guest's shell printed, both streams together, and its exit status. */
export interface CommandResult {
  readonly status: number;
  readonly output: string;
}

/** v86's time stamp counter runs at 1 GHz by the host's clock: nothing is left to calibrate. */
const TSC_KHZ = 1_000_000;
/** Files under /sys/kernel/tracing, one set per event of the kernel: a sixth of a boot. */
const NO_TRACE_FILES = 'initcall_blacklist=tracer_init_tracefs';
const COMMAND_LINE = [
  'console=ttyS0 quiet mitigations=off cryptomgr.notests pnpbios=off noisapnp',
  `tsc=reliable tsc_early_khz=${TSC_KHZ} ${NO_TRACE_FILES}`,
].join(' ');

const MIB = 1 << 20;
const BOOT_ORDER_HARD_DISK_FIRST = 0x132;
const TAIL_CHARACTERS = 2000;

interface Waiter {
  readonly pattern: RegExp;
  readonly from: number;
  readonly resolve: (match: RegExpExecArray) => void;
}

export class Guest {
  readonly emulator: V86Emulator;
  readonly #onLine: ((line: string) => void) | undefined;
  /** All that the guest has sent over the serial port. */
  #serial = '';
  #lineStart = 0;
  #waiters: Waiter[] = [];
  #commands = 0;

  /** Builds the machine and lets `attach` have it; `boot` and `powerOn` are the ways to one. */
  private constructor(V86: V86Constructor, options: GuestOptions) {
    this.#onLine = options.onLine;
    this.emulator = new V86(v86Options(options));
    this.emulator.add_listener('serial0-output-byte', (byte: number) => this.#receive(byte));
  }

  /** Starts the machine and returns at once, with the first instruction still to come. */
  static async powerOn(V86: V86Constructor, options: GuestOptions): Promise<Guest> {
    const guest = new Guest(V86, options);
    await new Promise<void>((resolve) => {
      guest.emulator.add_listener('emulator-ready', () => resolve());
    });
    await options.attach?.(guest.emulator);
    await guest.emulator.run();
    return guest;
  }

  /** Boots Linux and resolves when its shell takes commands; rejects after `timeoutMs`. */
  static async boot(V86: V86Constructor, options: GuestOptions, timeoutMs = 120_000) {
    const guest = await Guest.powerOn(V86, options);
    try {
      await guest.waitFor(new RegExp(`^${READY}\\s`, 'm'), timeoutMs);
    } catch (error) {
      await guest.destroy();
      throw error;
    }
    return guest;
  }

  /** Everything the guest has printed so far. */
  get serial(): string {
    return this.#serial;
  }

  /** Waits until what the guest prints, from `from` on, matches `pattern`. */
  waitFor(pattern: RegExp, timeoutMs: number, from = 0): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiters = this.#waiters.filter((waiter) => waiter !== waiting);
        const tail = this.#serial.slice(-TAIL_CHARACTERS);
        reject(new Error(`no ${pattern} from the guest within ${timeoutMs} ms, but:\n${tail}`));
      }, timeoutMs);
      const waiting: Waiter = {
        pattern,
        from,
        resolve: (match) => {
          clearTimeout(timer);
          resolve(match);
        },
      };
      this.#waiters.push(waiting);
      this.#check();
    });
  }

  /**
   * Runs `command` (shell text, one line or more) in a shell of its own and resolves with what it
   * printed. One command at a time; a guest whose command timed out is still busy with it.
   */
  async run(command: string, timeoutMs = 60_000): Promise<CommandResult> {
    const number = ++this.#commands;
    const from = this.#serial.length;
    this.emulator.serial0_send(`${command}\n${RUN} ${number}\n`);
    const done = new RegExp(`\\n${DONE} ${number} (\\d+)\\s`);
    const match = await this.waitFor(done, timeoutMs, from);
    return { status: Number(match[1]), output: match.input.slice(0, match.index) };
  }

  /** As `run`, but rejects when the command fails. */
  async ask(command: string, timeoutMs?: number): Promise<string> {
    const { status, output } = await this.run(command, timeoutMs);
    if (status !== 0) throw new Error(`the guest's "${command}" ended with ${status}:\n${output}`);
    return output.trim();
  }

  /** Stops the machine and lets go of its memory. */
  async destroy(): Promise<void> {
    await this.emulator.destroy();
  }

  #receive(byte: number): void {
    this.#serial += String.fromCharCode(byte);
    if (byte !== 0x0a) return;
    this.#onLine?.(this.#serial.slice(this.#lineStart).trimEnd());
    this.#lineStart = this.#serial.length;
    this.#check();
  }

  /** Gives each waiter its match. Whole lines only: no pattern here ends before one. */
  #check(): void {
    for (const waiter of [...this.#waiters]) {
      const match = waiter.pattern.exec(this.#serial.slice(waiter.from));
      if (!match) continue;
      this.#waiters = this.#waiters.filter((other) => other !== waiter);
      waiter.resolve(match);
    }
  }
}

function v86Options(options: GuestOptions): Record<string, unknown> {
  const { images } = options;
  const unshared = async (imports: WebAssembly.Imports) => {
    const module = await WebAssembly.compile(images.wasm);
    return (await WebAssembly.instantiate(module, imports)).exports;
  };
  return {
    wasm_fn: options.shared ? sharedWasm(images.wasm) : unshared,
    memory_size: options.memorySize ?? 128 * MIB,
    vga_memory_size: 2 * MIB,
    bios: { buffer: images.bios },
    vga_bios: { buffer: images.vgaBios },
    bzimage: images.kernel && { buffer: images.kernel },
    initrd: images.initrd && { buffer: images.initrd },
    cmdline: [COMMAND_LINE, options.ideDisk && WITH_ATA, options.commandLine]
      .filter(Boolean)
      .join(' '),
    hda: options.ideDisk && { buffer: options.ideDisk },
    boot_order: BOOT_ORDER_HARD_DISK_FIRST,
    acpi: options.acpi ?? false,
    disable_keyboard: true,
    disable_mouse: true,
    disable_speaker: true,
    autostart: false,
  };
}
