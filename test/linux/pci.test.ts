import { afterAll, beforeAll, expect, it } from 'vitest';
import type { V86Instance } from '#src/adapter/v86-machine';
import { attachPciFunction, type PciSlot } from '#src/adapter/v86-pci';
import { Guest } from '#src/cli/linux/guest';
import { IO_BAR, MEMORY_BAR, MEMORY_BYTES, ToyPci } from '../adapter/toy-pci.ts';
import { describeOn, findMachine } from './available.ts';

const machine = await findMachine();

describeOn(machine, 'PCI function seen by Linux', ({ images, V86 }) => {
  const toys = [new ToyPci(), new ToyPci()];
  const [toy, neighbour] = toys as [ToyPci, ToyPci];
  const slots: PciSlot[] = [];
  const folder = '/sys/bus/pci/devices/0000:00:08.0';
  let guest: Guest;
  let ioBase: number;
  let memoryBase: number;

  beforeAll(async () => {
    const attach = (emulator: V86Instance) => {
      for (const toy of toys) slots.push(attachPciFunction(emulator, toy));
    };
    guest = await Guest.boot(V86, { images, attach });
    await guest.ask(`echo 1 >${folder}/enable; echo 1 >/sys/bus/pci/devices/0000:00:09.0/enable`);
    const resources = (await guest.ask(`cat ${folder}/resource`)).split('\n');
    const start = (bar: number) => Number(resources[bar]!.split(' ')[0]);
    ioBase = start(IO_BAR);
    memoryBase = start(MEMORY_BAR);
  }, 150_000);
  afterAll(() => guest?.destroy());

  const devmem = (address: number, width: number, value?: number) =>
    guest.ask(`devmem 0x${address.toString(16)} ${width} ${value ?? ''}`);

  it('is found by BIOS and kernel, with BARs of its sizes', async () => {
    expect(slots.map(({ slot }) => slot)).toEqual([8, 9]);
    expect(await guest.ask(`cat ${folder}/vendor ${folder}/device ${folder}/class`)).toBe(
      '0x1234\n0x5678\n0xff0000',
    );
    const [io, , memory] = (await guest.ask(`cat ${folder}/resource`)).split('\n');
    const bytes = (range: string) => Number(range.split(' ')[1]) - Number(range.split(' ')[0]) + 1;
    expect([bytes(io!), bytes(memory!)]).toEqual([32, MEMORY_BYTES]);
  });

  it('takes loads and stores of memory in one piece each', async () => {
    toy.accesses.length = 0;
    await devmem(memoryBase + 8, 32, 0xcafe_f00d);
    await devmem(memoryBase + 2, 16, 0xbeef);
    await devmem(memoryBase + 1, 8, 0x5a);
    expect(toy.accesses.filter(({ value }) => value !== undefined)).toEqual([
      { bar: MEMORY_BAR, offset: 8, width: 4, value: 0xcafe_f00d },
      { bar: MEMORY_BAR, offset: 2, width: 2, value: 0xbeef },
      { bar: MEMORY_BAR, offset: 1, width: 1, value: 0x5a },
    ]);
    expect(await devmem(memoryBase, 32)).toBe('0xBEEF5A00');
    expect(await devmem(memoryBase + 8, 16)).toBe('0xF00D');
    expect(neighbour.accesses).toEqual([]);
  });

  it('takes bytes of I/O ports', async () => {
    const port = `dd of=/dev/port bs=1 seek=${ioBase + 5} conv=notrunc 2>/dev/null`;
    await guest.ask(`printf 'Q' | ${port}`);
    expect(toy.registers[IO_BAR]![5]).toBe('Q'.charCodeAt(0));
    const back = `dd if=/dev/port bs=1 skip=${ioBase + 5} count=1 2>/dev/null`;
    expect(await guest.ask(back)).toBe('Q');
  });

  it('moves its BARs where the guest wants them', async () => {
    const write = (offset: number, ...bytes: number[]) => {
      const text = bytes.map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('');
      const dd = `dd of=${folder}/config bs=${bytes.length} seek=${offset / bytes.length}`;
      return guest.ask(`printf '${text}' | ${dd} conv=notrunc 2>/dev/null`);
    };
    toy.registers[MEMORY_BAR]![0x10] = 0x77;
    const elsewhere = 0xf123_4000; // in a block of its own, the neighbour stays
    await write(0x18, 0x00, 0x40, 0x23, 0xf1);
    expect(await devmem(elsewhere + 0x10, 8)).toBe('0x77');
    expect(await devmem(memoryBase + 0x10, 8)).not.toBe('0x77');
    await write(0x10, 0x01, 0xd1, 0x00, 0x00);
    expect(await guest.ask(`dd if=/dev/port bs=1 skip=${0xd105} count=1 2>/dev/null`)).toBe('Q');
    await write(4, 0x00, 0x00); // neither I/O nor memory
    expect(await devmem(elsewhere + 0x10, 8)).toBe('0xFF');
  });
});
