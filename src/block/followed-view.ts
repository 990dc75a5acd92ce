/** Views of memory that may grow, for who keeps a request over a time in which it may. */

import type { Core } from '../engine/core.ts';

/** How to get at the bytes of `view` later: if it shows core memory or guest RAM, a fresh one. */
export function followView(core: Core, view: Uint8Array): () => Uint8Array {
  if (view === core.u8) return () => core.u8;
  if (view === core.ramU8) return () => core.ramU8;
  return () => view;
}
