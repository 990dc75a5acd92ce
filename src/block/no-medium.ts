/** The disk of a drive that has none. Lanes refuse requests before they come here. */

import { ENOMEDIUM } from '../spec.ts';
import type { BlockDriver } from './driver.ts';

/** Its name in a DriverSpec between threads; the registry does not know it. */
export const NO_MEDIUM = 'none';

export const noMedium: BlockDriver = {
  driver: NO_MEDIUM,
  settles: 'inline',
  threads: 'any',
  size: 0,
  readOnly: false,
  alignment: 1,
  clusterDisk: 0,
  share: { driver: NO_MEDIUM },
  submit: () => -ENOMEDIUM,
  truncate: () => -ENOMEDIUM,
  close() {},
};
