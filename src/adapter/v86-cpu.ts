/** v86's CPU as a machine stops it and lets it go on. */

import type { MachineCpu } from '../machine/machine.ts';

/** What a `V86` has for it. */
export interface V86Runner {
  /** Resolves when the CPU executes nothing. */
  stop(): Promise<void>;
  run(): Promise<void>;
  is_running(): boolean;
}

/**
 * The CPU of `emulator`, for `Machine.addCpu`. One that did not run when the machine stopped is
 * left alone when the machine goes on.
 */
export function v86Cpu(emulator: V86Runner): MachineCpu {
  let wasRunning = false;
  return {
    pause() {
      wasRunning = emulator.is_running();
      if (wasRunning) return emulator.stop();
    },
    resume() {
      if (wasRunning) return emulator.run();
    },
  };
}
