/** Entry of a Worker that is an IOThread, in Node, Deno and Bun: it can open files as well. */

import './node-drivers.ts';

export * from './io-thread-entry.ts';
