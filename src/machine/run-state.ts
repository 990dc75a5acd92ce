/** The states of a machine, by QEMU's names (`qapi/run-state.json`). */

export const RUN_STATES = [
  'running',
  'paused',
  'io-error',
  'save-vm',
  'restore-vm',
  'prelaunch',
  'finish-migrate',
  'postmigrate',
  'inmigrate',
  'internal-error',
  'shutdown',
] as const;

/**
 * - `running`: CPUs and devices are served;
 * - `paused`: somebody called `stop`;
 * - `io-error`: a disk's error policy stopped the machine;
 * - `save-vm`, `restore-vm`: its state is being saved or loaded;
 * - `prelaunch`: it has not run yet; and others, for whoever drives the machine.
 */
export type RunState = (typeof RUN_STATES)[number];

/** All but `running`. */
export type StoppedState = Exclude<RunState, 'running'>;

export function isStoppedState(state: unknown): state is StoppedState {
  return state !== 'running' && (RUN_STATES as readonly unknown[]).includes(state);
}
