/**
 * The parts of v86 that we touch. None of them is a public interface of v86, so they are looked
 * up in one place, which names what is missing when a version of v86 has it no more.
 * Checked with v86 0.5.462.
 */

/** One I/O port's handlers. v86 calls each with `device` as `this`. */
export interface V86Port {
  read8(port: number): number;
  read16(port: number): number;
  read32(port: number): number;
  write8(value: number): void;
  write16(value: number): void;
  write32(value: number): void;
  device: unknown;
}

export interface V86Pci {
  /** Configuration address as the guest wrote it to port 0xCF8, byte by byte. */
  readonly pci_addr: Uint8Array;
  /** Configuration space of each function, at `bus << 8 | slot << 3 | function`. */
  readonly device_spaces: (Int32Array | undefined)[];
  readonly devices: unknown[];
  register_device(device: {
    pci_id: number;
    pci_space: ArrayLike<number>;
    pci_bars: unknown[];
    name: string;
  }): void;
  /** Address: function as above in bits 8 to 23, offset of the access in bits 0 to 7. */
  pci_write8(address: number, value: number): void;
  pci_write16(address: number, value: number): void;
  pci_write32(address: number, value: number): void;
  raise_irq(id: number): void;
  lower_irq(id: number): void;
}

/** v86's power management, there with `acpi: true`. */
export interface V86Acpi {
  /** General-purpose events: two bytes of status, two that enable. Replaced by `set_state`. */
  readonly gpe: Uint8Array;
  /** Called between slices of the CPU; sets and clears interrupt 9. */
  timer(now: number): number;
}

type MmioRead = (address: number) => number;
type MmioWrite = (address: number, value: number) => void;

export interface V86Cpu {
  readonly devices: { readonly pci: V86Pci; readonly acpi?: V86Acpi };
  readonly io: { readonly ports: V86Port[] };
  /** Handlers of each 128 KiB of device space, by `address >>> 17`. */
  readonly memory_map_read8: MmioRead[];
  readonly memory_map_read32: MmioRead[];
  readonly memory_map_write8: MmioWrite[];
  readonly memory_map_write32: MmioWrite[];
  mmap_write16: MmioWrite;
  /** Instructions executed, in element 0; wraps. Where it lies in `wasm_memory` never changes. */
  readonly instruction_counter: Uint32Array;
  /** EFLAGS in element 0. */
  readonly flags: Int32Array;
  /** Guest RAM; its byteOffset is where guest address 0 lies in `wasm_memory`. Never keep it. */
  readonly mem8: Uint8Array;
  /** Bytes of guest RAM in element 0. */
  readonly memory_size: Uint32Array;
  readonly wasm_memory: WebAssembly.Memory;
  /** Forgets code translated from guest addresses `from` to `to`. */
  jit_dirty_cache(from: number, to: number): void;
  /** Raises the line of an interrupt of the machine (not PCI's). Used with `acpi` alone. */
  device_raise_irq?(irq: number): void;
  /** Called between slices of the CPU; returns milliseconds until it wants to be called again. */
  run_hardware_timers(acpi: boolean, now: number): number;
}

/**
 * A word of the CPU's state in v86's memory. v86's own views (`flags`, `instruction_counter`,
 * `mem8`) make a typed array for each access, which is too slow to do for each request.
 */
export class V86Word {
  readonly #memory: WebAssembly.Memory;
  readonly #offset: number;
  #view: Uint32Array;

  /** The first word of `view`, which is one of v86's. */
  constructor(cpu: V86Cpu, view: Int32Array | Uint32Array) {
    this.#memory = cpu.wasm_memory;
    this.#offset = view.byteOffset;
    this.#view = this.#look();
  }

  get value(): number {
    if (this.#view.length === 0) this.#view = this.#look(); // a growth detached it
    return this.#view[0]!;
  }

  /** Modulo 2^32. */
  set value(value: number) {
    if (this.#view.length === 0) this.#view = this.#look(); // a growth detached it
    this.#view[0] = value;
  }

  #look(): Uint32Array {
    return new Uint32Array(this.#memory.buffer, this.#offset, 1);
  }
}

/** What is attached to: an instance of v86's `V86`, whose `emulator-ready` has fired. */
export interface V86Instance {
  /** `idle`: false while its CPU executes, true between its turns in the JavaScript loop. */
  readonly v86?: { readonly cpu?: unknown; readonly idle?: boolean };
}

const CPU_MEMBERS = [
  'memory_map_read8',
  'memory_map_read32',
  'memory_map_write8',
  'memory_map_write32',
  'mmap_write16',
  'instruction_counter',
  'flags',
  'mem8',
  'memory_size',
  'wasm_memory',
  'jit_dirty_cache',
  'run_hardware_timers',
];
const PCI_MEMBERS = [
  'pci_addr',
  'device_spaces',
  'devices',
  'register_device',
  'pci_write8',
  'pci_write16',
  'pci_write32',
  'raise_irq',
  'lower_irq',
];

/** The CPU of `emulator`. Throws when it is not ready, or not the v86 we know. */
export function cpuOf(emulator: V86Instance): V86Cpu {
  const cpu = emulator.v86?.cpu as V86Cpu | undefined;
  if (!cpu?.devices?.pci) {
    throw new Error("attach in v86's emulator-ready listener: before it there is no PCI bus");
  }
  const missing = [
    ...CPU_MEMBERS.filter((name) => !(name in cpu)).map((name) => `cpu.${name}`),
    ...PCI_MEMBERS.filter((name) => !(name in cpu.devices.pci)).map((name) => `pci.${name}`),
    ...(cpu.io?.ports ? [] : ['cpu.io.ports']),
  ];
  if (missing.length > 0) throw new Error(`this version of v86 has no ${missing.join(', ')}`);
  return cpu;
}
