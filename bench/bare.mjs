/** What threads without a device work with. */

/** The functions of `bareModule` over `memory`, which is shared. */
export function bareFunctions(module, memory) {
  return new WebAssembly.Instance(module, { env: { memory } }).exports;
}

export function sharedMemory(bytes) {
  const initial = Math.ceil(bytes / 65_536);
  return new WebAssembly.Memory({ initial, maximum: 65_536, shared: true });
}
