// A worker as its author would write it for Cloudflare: the module is imported, never compiled.
import './traps.js';
import * as vblk from 'vblk';
import module from 'vblk/core.wasm';
import { respond } from './respond.js';

export default { fetch: (request) => respond(request, vblk, module) };
