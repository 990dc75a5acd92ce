/** Node: cores with the package's own modules, and disks in files. */

import { registerDriver } from '../block/registry.ts';

export { loadCoreModule, openCore } from './load-module.ts';

// Loaded with the first file disk: most of what starts quickly has none.
registerDriver('file', async (core, options, thread) => {
  const [{ fileDriver }, { nodeFiles }] = await Promise.all([
    import('../block/file.ts'),
    import('./node-files.ts'),
  ]);
  return fileDriver(nodeFiles)(core, options, thread);
});
