/** Node: cores with the package's own modules, and disks in files. */

import { fileDriver } from '../block/file.ts';
import { registerDriver } from '../block/registry.ts';
import { nodeFiles } from './node-files.ts';

export { loadCoreModule, openCore } from './load-module.ts';
export { nodeFiles } from './node-files.ts';

registerDriver('file', fileDriver(nodeFiles));
