/** Where the package's modules lie: the one file that knows (design section 2). */

/** The core module for unshared or for shared memory. */
export function coreModuleUrl(shared = false): URL {
  return new URL(shared ? '../core.shared.wasm' : '../core.wasm', import.meta.url);
}
