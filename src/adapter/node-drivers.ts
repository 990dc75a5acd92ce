/** Drivers of disks that a thread of Node, Deno or Bun can open, main or not. */

import { registerDriver } from '../block/registry.ts';

// Loaded with the first file disk: most of what starts quickly has none.
registerDriver('file', async (core, options, thread) => {
  const [{ fileDriver }, { nodeFiles }] = await Promise.all([
    import('../block/file.ts'),
    import('./node-files.ts'),
  ]);
  return fileDriver(nodeFiles)(core, options, thread);
});
