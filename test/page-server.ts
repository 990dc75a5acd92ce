/**
 * Serves a test page, the build, and what else the test has, to a browser on this machine, with the
 * headers without which a page may not share memory.
 */

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const TYPES: Record<string, string> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.wasm': 'application/wasm',
};

/** Cross-origin isolation. */
const ISOLATED = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
};

/** A Worker knows no import map, so the bare name becomes a path, as a bundler would make it. */
function resolveNames(script: string): string {
  return script.replaceAll(
    /(from\s*)(['"])@assemblyscript\/loader\2/g,
    '$1"/node_modules/@assemblyscript/loader/index.js"',
  );
}

export interface PageServer extends AsyncDisposable {
  /** `http://127.0.0.1:port` */
  readonly origin: string;
}

/** `served`: paths of files below the project's folder; `images`: more, by name, at /images/. */
export async function servePage(
  served: RegExp,
  images: Readonly<Record<string, ArrayBuffer>> = {},
): Promise<PageServer> {
  const server = createServer(async (request, response) => {
    const path = normalize(new URL(request.url ?? '/', 'http://page').pathname);
    const image = path.startsWith('/images/') && images[path.slice(8)];
    try {
      if (!image && !served.test(path)) throw new Error('not served');
      const type = TYPES[extname(path)] ?? 'application/octet-stream';
      const bytes = image ? new Uint8Array(image) : await readFile(join(ROOT, path));
      const isScript = type === 'text/javascript';
      const body = isScript ? Buffer.from(resolveNames(String(bytes))) : bytes;
      const headers = { 'content-type': type, 'content-length': body.length, ...ISOLATED };
      response.writeHead(200, headers).end(body);
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
