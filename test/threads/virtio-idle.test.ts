/** How long a process with a device lives. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

it('WT-5 a process with an idle device lives until its owner closes it, and no longer', async () => {
  const script = fileURLToPath(new URL('./virtio-idle.mjs', import.meta.url));
  const child = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  let said = '';
  const [first] = (await once(child.stdout, 'data')) as [Buffer];
  child.stdout.on('data', (bytes: Buffer) => {
    said += bytes;
  });
  expect(first.toString()).toBe('idle');
  const early = await Promise.race([
    ended.then(() => 'ended'),
    new Promise((resolve) => setTimeout(() => resolve('alive'), 700)),
  ]);
  expect(early).toBe('alive');
  child.kill('SIGUSR2');
  const [code] = await ended;
  expect([code, said]).toEqual([0, 'closed']);
});
