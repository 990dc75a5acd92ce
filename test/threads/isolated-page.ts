/** Serves the build to a browser on this machine, from a page that may share memory. */
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const SERVED = /^\/(build|node_modules\/@assemblyscript\/loader|test\/threads)\//;
const TYPES: Record<string, string> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.wasm': 'application/wasm',
};
/** Without these two a page cannot give memory to a Worker. */
const ISOLATED = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
};

/** A Worker knows no import map, so bare names become paths, as a bundler would make them. */
function resolveNames(text: string): string {
  return text.replaceAll(
    /(from\s*)(['"])@assemblyscript\/loader\2/g,
    '$1"/node_modules/@assemblyscript/loader/index.js"',
  );
}

export interface PageServer extends AsyncDisposable {
  /** `http://127.0.0.1:port` */
  readonly origin: string;
}

export async function serveIsolated(): Promise<PageServer> {
  const server = createServer(async (request, response) => {
    const path = normalize(new URL(request.url ?? '/', 'http://page').pathname);
    try {
      if (!SERVED.test(path)) throw new Error('not served');
      const bytes = await readFile(join(ROOT, path));
      const script = /\.m?js$/.test(path);
      const type = TYPES[extname(path)] ?? 'application/octet-stream';
      const body = script ? resolveNames(bytes.toString()) : new Uint8Array(bytes);
      response.writeHead(200, { 'content-type': type, ...ISOLATED }).end(body);
    } catch {
      response.writeHead(404, ISOLATED).end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
