/** Where the package's modules lie: the one file that knows (design section 2). */

/** The core module for unshared or for shared memory. */
export function coreModuleUrl(shared = false): URL {
  return new URL(shared ? '../core.shared.wasm' : '../core.wasm', import.meta.url);
}

/** The module that an IOThread's Worker runs in a browser. */
export function ioThreadEntryUrl(): URL {
  return new URL('./io-thread-entry.js', import.meta.url);
}

/** And the one that it runs in Node, Deno and Bun. Both lie beside this one, bundled or not. */
export function nodeThreadEntryUrl(): URL {
  return new URL('./node-thread-entry.js', import.meta.url);
}

/** The module that a Worker of a thread pool runs. */
export function poolEntryUrl(): URL {
  return new URL('./pool-entry.js', import.meta.url);
}
