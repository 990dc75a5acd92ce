/** Which base an overlay is bound to, and how to tell whether it has changed. */

import { Digest } from './digest.ts';
import type { BlockDriver } from './driver.ts';
import { storedIdentity } from './overlay-header.ts';
import { CHUNK, type MainIo } from './overlay-main-io.ts';

/**
 * What the base says of itself, or else a digest of all its contents: that reads it from start to
 * end, when the overlay is made and each time it is opened.
 */
export async function identityOf(base: BlockDriver, io: MainIo): Promise<string> {
  const identity = base.identity?.();
  if (identity) return storedIdentity(`${base.driver}:${identity}`);
  const digest = new Digest();
  for (let at = 0; at < base.size; at += CHUNK) {
    digest.add(await io.read(base, at, Math.min(CHUNK, base.size - at)));
  }
  return `digest:${digest.text}`;
}
