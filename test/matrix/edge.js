// The same for a host of edge-runtime. The bundler turns the import of the module into a global
// that the host defines, as Next.js does.
import './traps.js';
import * as vblk from 'vblk';
import module from 'vblk/core.wasm';
import { respond } from './respond.js';

addEventListener('fetch', (event) => event.respondWith(respond(event.request, vblk, module)));
