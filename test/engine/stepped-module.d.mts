export function compileStepped(root: string): Promise<Uint8Array>;
export function steppedModule(root: string): Promise<WebAssembly.Module>;
