/** Which JavaScript thread this is, in a way that survives several copies of this module. */

const KEY = Symbol.for('vblk.realm');
const host = globalThis as unknown as Record<symbol, string | undefined>;

/** Another one on every thread. */
export const realm: string = (host[KEY] ??=
  `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`);
