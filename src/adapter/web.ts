/**
 * Browsers: cores with the package's own module, fetched from beside this file. Where a bundler
 * moves files about, hand the module over instead: `Core.open({ module })`.
 */

export { loadCoreModule, openCore } from './load-module.ts';
export { openDisk } from './web-disk.ts';
export { type StartOptions, startIOThread } from './web-threads.ts';
