import { serve } from './handler.js';
import { counted, refused } from './traps.js';

/** The smallest module there is: a magic number and a version. */
const EMPTY_MODULE = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);

const FORBIDDEN = {
  compile: () => WebAssembly.compile(EMPTY_MODULE),
  Module: () => new WebAssembly.Module(EMPTY_MODULE),
  instantiate: () => WebAssembly.instantiate(EMPTY_MODULE, {}),
  waitAsync: () => Atomics.waitAsync(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1),
};

/** Lists the forbidden calls that went through: none, if the traps are in place. */
async function unrefused() {
  const through = [];
  for (const [name, call] of Object.entries(FORBIDDEN)) {
    const before = refused.length;
    try {
      await call();
      through.push(name);
    } catch {
      if (refused.length === before) through.push(name);
    }
  }
  return through;
}

/**
 * The request handler of both edge workers. `POST /?engine=wasm|js|auto&sleeper=hook|loop` writes
 * the body to a disk through the rings and answers with the bytes read back; the header
 * `vblk-report` tells how, as JSON. `GET /?traps` proves that the traps bite.
 */
export async function respond(request, vblk, module) {
  const url = new URL(request.url);
  if (url.searchParams.has('traps')) return Response.json(await unrefused());
  refused.length = 0;
  for (const name of Object.keys(counted)) delete counted[name];
  const engine = url.searchParams.get('engine') ?? 'auto';
  const sleeper = url.searchParams.get('sleeper') ?? 'hook';
  const payload = new Uint8Array(await request.arrayBuffer());
  try {
    const { data, ...result } = await serve(vblk, { module, engine, sleeper, payload });
    const report = { ...result, refused, counted };
    return new Response(data, { headers: { 'vblk-report': JSON.stringify(report) } });
  } catch (error) {
    return new Response(String(error?.stack ?? error), { status: 500 });
  }
}
