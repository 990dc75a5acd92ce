/** Node: cores with the package's own modules, disks in files, and IOThreads. */

import './node-drivers.ts';

export { loadCoreModule, openCore } from './load-module.ts';
export { openDisk } from './node-disk.ts';
export { type StartOptions, startIOThread } from './node-threads.ts';
