/**
 * Commands in process groups of their own, so that one that hangs can be ended with all it started:
 * a test runner's workers, too.
 */
import { spawn } from 'node:child_process';

const running = new Set();

function killGroup(pid) {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

/** Ends every command that is running, with its children. */
export function killAll() {
  for (const pid of running) killGroup(pid);
  running.clear();
}

/** Runs a command. Resolves to its exit code, or null if it was ended at the limit, and output. */
export function run(command, args, { cwd, env = {}, limit }) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    child.on('error', reject);
    if (child.pid === undefined) return;
    running.add(child.pid);
    let output = '';
    const append = (text) => {
      output += text;
    };
    child.stdout.setEncoding('utf8').on('data', append);
    child.stderr.setEncoding('utf8').on('data', append);
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      killGroup(child.pid);
    }, limit);
    child.on('close', (code) => {
      clearTimeout(timer);
      killGroup(child.pid); // what it may have left behind
      running.delete(child.pid);
      resolve({ code: late ? null : code, output });
    });
  });
}
