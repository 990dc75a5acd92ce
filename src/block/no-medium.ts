/** The disk of a drive that has none. Lanes refuse requests before they come here. */

import { ENOMEDIUM } from '../spec.ts';
import type { BlockDriver } from './driver.ts';

export const noMedium: BlockDriver = {
  driver: 'none',
  settles: 'inline',
  threads: 'any',
  size: 0,
  readOnly: false,
  alignment: 1,
  clusterDisk: 0,
  submit: () => -ENOMEDIUM,
  truncate: () => -ENOMEDIUM,
  close() {},
};
