/**
 * Threads on cores of their own, where Linux's `taskset` is found. Left alone two threads that wake
 * each other are often put on one core, and what is measured then is the scheduler.
 */
import { execFileSync } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename } from 'node:path';

const CORES = availableParallelism();
/** Who goes where, modulo the cores. */
export const GUEST_CORE = 0;
export const SERVER_CORE = 1;

/** Puts the thread that calls this on a core. False if the platform cannot. */
export function pin(core) {
  try {
    const thread = basename(readlinkSync('/proc/thread-self'));
    execFileSync('taskset', ['-cp', String(core % CORES), thread], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
