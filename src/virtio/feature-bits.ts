/** Feature words and what each interface shows of them (VIRTIO 1.3, 2.2 and 6; behaviour BG-20). */

import {
  VIRTIO_F_ANY_LAYOUT,
  VIRTIO_F_BAD_FEATURE,
  VIRTIO_F_NOTIFY_ON_EMPTY,
  VIRTIO_F_VERSION_1,
} from '../spec.ts';

/** Feature bits 0 to 31 and 32 to 63, each as an unsigned word. */
export interface FeatureWords {
  lo: number;
  hi: number;
}

/** Low-word bits of the rings that only a legacy driver sees. */
export const LEGACY_ONLY_FEATURES =
  (1 << VIRTIO_F_NOTIFY_ON_EMPTY) | (1 << VIRTIO_F_ANY_LAYOUT) | (1 << VIRTIO_F_BAD_FEATURE);

/** Word `select` of `offered` as a modern driver sees it: with VERSION_1, without `hidden`. */
export function modernFeatures(
  offered: Readonly<FeatureWords>,
  hidden: number,
  select: number,
): number {
  if (select === 0) return (offered.lo & ~hidden) >>> 0;
  return select === 1 ? (offered.hi | (1 << (VIRTIO_F_VERSION_1 & 31))) >>> 0 : 0;
}

/** Word `select` as a legacy driver sees it: the low word, with BAD_FEATURE as a trap. */
export function legacyFeatures(offered: Readonly<FeatureWords>, select: number): number {
  return select === 0 ? (offered.lo | (1 << VIRTIO_F_BAD_FEATURE)) >>> 0 : 0;
}

export function hasFeature(words: Readonly<FeatureWords>, bit: number): boolean {
  return (((bit < 32 ? words.lo : words.hi) >>> (bit & 31)) & 1) === 1;
}
