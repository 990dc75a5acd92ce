/**
 * What the guest tests need from this machine. A test that cannot run is skipped by name, with
 * the reason in its title; where CI is set it fails instead.
 */

import { existsSync } from 'node:fs';
import { describe, it } from 'vitest';
import { MissingError } from '#src/cli/linux/debian';
import type { GuestImages, V86Constructor } from '#src/cli/linux/guest';
import { linuxImages, loadV86 } from '#src/cli/linux/images';

export interface Machine {
  readonly images: Required<GuestImages>;
  readonly V86: V86Constructor;
}

/** Debian's chromium, which playwright-core is told to start. */
export const CHROMIUM = '/usr/bin/chromium';

/** The guest's images and v86, or why they are not to be had here. */
export async function findMachine(): Promise<Machine | string> {
  try {
    return { images: await linuxImages(), V86: await loadV86() };
  } catch (error) {
    if (process.env['CI'] || !(error instanceof MissingError)) throw error;
    return error.message;
  }
}

/** As `findMachine`, with Chromium. */
export async function findMachineAndChromium(): Promise<Machine | string> {
  if (!process.env['CI'] && !existsSync(CHROMIUM)) {
    return `no ${CHROMIUM} on this machine: apt-get install chromium`;
  }
  return findMachine();
}

/** A suite that needs `machine`; without one, a single skipped test that says what is missing. */
export function describeOn(
  machine: Machine | string,
  title: string,
  suite: (machine: Machine) => void,
): void {
  describe(title, () => {
    if (typeof machine === 'string') it.skip(`does not run: ${machine}`);
    else suite(machine);
  });
}
