import { createHash } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Guest } from '#src/cli/linux/guest';
import { FILE_SYSTEM_STEPS } from '#src/cli/linux/steps';
import { describeOn, findMachine } from './available.ts';

const machine = await findMachine();

// The guest itself, on a disk that is not ours: what fails here is no fault of the device.
describeOn(machine, 'Linux on an IDE disk', ({ images, V86 }) => {
  const disk = new Uint8Array(12 << 20);
  let guest: Guest;
  beforeAll(async () => {
    guest = await Guest.boot(V86, { images, ideDisk: disk.buffer });
  }, 150_000);
  afterAll(() => guest?.destroy());

  it('gives output and status of each command', async () => {
    expect(await guest.run('echo one; echo two >&2; exit 3')).toEqual({
      status: 3,
      output: 'one\ntwo\n',
    });
    expect(await guest.run('printf "no newline"')).toEqual({ status: 0, output: 'no newline' });
    expect(await guest.run('echo \'back\\slash\' "$0 #"\ntrue\nfalse')).toEqual({
      status: 1,
      output: 'back\\slash /tmp/command #\n',
    });
  });

  it('survives a syntax error', async () => {
    expect((await guest.run('if then')).status).toBe(2);
    await expect(guest.ask('if then')).rejects.toThrow('ended with 2');
    expect(await guest.ask('echo $((6 * 7))')).toBe('42');
  });

  it('loads a group of modules once, and says which it has not', async () => {
    expect(await guest.ask('load ext4; load ext4; grep -c ext4 /proc/filesystems')).toBe('1');
    const { status, output } = await guest.run('load none');
    expect(status).toBe(1);
    expect(output).toContain('guest: /lib/modules/none/*.ko does not load');
  });

  it('says which command took too long', async () => {
    await expect(guest.run('sleep 1', 100)).rejects.toThrow(/within 100 ms/);
    await guest.waitFor(/guest: done \d+ 0\n$/, 10_000);
  });

  it.each(FILE_SYSTEM_STEPS)('$title', async (step) => {
    const hostSha256 = () => createHash('sha256').update(disk).digest('hex');
    await step.run({ guest, disk: 'sda', hostSha256 });
  });

  it("has a clock that goes as the host's", async () => {
    const uptime = async () => Number((await guest.ask('cat /proc/uptime')).split(' ')[0]) * 1000;
    const hostStart = performance.now();
    const guestStart = await uptime();
    await new Promise((resolve) => setTimeout(resolve, 2000));
    const guestTime = (await uptime()) - guestStart;
    const hostTime = performance.now() - hostStart;
    // Not a speed: both took the same span, but for a command's way there and back.
    expect(guestTime / hostTime).toBeGreaterThan(0.5);
    expect(guestTime / hostTime).toBeLessThan(1.1);
  });

  it('measures O_DIRECT transfers with a program of ours', async () => {
    const written = Number(await guest.ask('odirect /dev/sda write 65536 32'));
    const read = Number(await guest.ask('odirect /dev/sda randread 4096 64'));
    expect(written).toBeGreaterThan(0);
    expect(read).toBeGreaterThan(0);
    // The pattern counts down from 1 MiB / 4, and 32 blocks of it went to the disk's start.
    const words = new Uint32Array(disk.buffer, 0, (32 * 65536) / 4);
    expect(words.every((word, n) => word === 0x40000 - (n % 0x4000))).toBe(true);
  });

  it('refuses what the program cannot do, by its exit status', async () => {
    const status = async (options: string) => (await guest.run(`odirect ${options}`)).status;
    expect(await status('/dev/sda read 1048576 1')).toBe(0);
    expect(await status('/dev/sda read 1048577 1')).toBe(2);
    expect(await status('/dev/sda read 511 1')).toBe(22); // EINVAL: O_DIRECT wants sectors
    expect(await status('/dev/sda verify 4096 1')).toBe(2);
    expect(await status('/dev/sda read 4096 1x')).toBe(2);
    expect(await status('/dev/sda read 4096 0')).toBe(2);
    expect(await status('/dev/none read 4096 1')).toBe(2); // ENOENT
    expect(await status('/dev/sda read 4096')).toBe(2);
  });
});
