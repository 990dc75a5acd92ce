/** Cores with the package's own module, wherever the package lies: on a disk or on a web server. */

import '../block/drivers.ts';
import { Core, type CoreOptions } from '../engine/core.ts';
import { isShared } from '../engine/linear-memory.ts';
import { coreModuleUrl } from './assets.ts';

/** Compiled modules, by whether their memory is shared: they are the same for every core. */
const modules = new Map<boolean, Promise<WebAssembly.Module>>();

/** The core module, compiled once. Needs no import of Node's: it runs in browsers as well. */
export function loadCoreModule(shared: boolean): Promise<WebAssembly.Module> {
  const loaded = modules.get(shared);
  if (loaded) return loaded;
  const loading = readBytes(coreModuleUrl(shared)).then((bytes) => WebAssembly.compile(bytes));
  modules.set(shared, loading);
  loading.catch(() => modules.delete(shared)); // it may be there the next time
  return loading;
}

async function readBytes(url: URL): Promise<ArrayBuffer | Uint8Array<ArrayBuffer>> {
  // Node's fetch refuses file URLs, and `node:` in an import would end in every browser's bundle.
  const fs = url.protocol === 'file:' && globalThis.process?.getBuiltinModule?.('fs');
  if (fs) return new Uint8Array(fs.readFileSync(url));
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url} answers ${response.status}`);
  return response.arrayBuffer();
}

/** As `Core.open`, with the package's module unless `module` gives another. */
export async function openCore(options: CoreOptions = {}): Promise<Core> {
  if (options.module || options.engine === 'js') return Core.open(options);
  const shared = options.memory ? isShared(options.memory) : options.shared === true;
  return Core.open({ ...options, module: await loadCoreModule(shared) });
}
