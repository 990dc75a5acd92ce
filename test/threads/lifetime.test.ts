/** A process with an idle IOThread exits when its owner lets go, and not before. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { engines } from './threads.ts';

const script = fileURLToPath(new URL('./lifetime.mjs', import.meta.url));

describe.each(engines)('the life of a process with an IOThread, %s engine', (engine) => {
  it.each([
    ['ends while the thread sleeps', 'idle', ['started']],
    ['waits for the answer to a call', 'call', ['started', 'answered']],
    ['waits for the end of a stop', 'stop', ['started', 'stopped']],
    ['lasts while a reference is held on the context', 'held', ['started', 'rung']],
    ['waits for a condition that the thread changes (WT-1)', 'wait', ['started', 'waited']],
    ['waits for a drain of what the thread does', 'drain', ['started', 'drained']],
    ['does not last without one', 'let go', ['started']],
  ])('%s', async (_, what, printed) => {
    const { stdout, stderr } = await promisify(execFile)('node', [script, engine, what]);
    expect(stdout.trim().split('\n')).toEqual(printed);
    expect(stderr).toBe('');
  });
});
