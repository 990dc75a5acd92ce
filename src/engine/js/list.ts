/**
 * Lists that any thread pushes on and one takes whole: bottom halves, coroutines. A list is a word
 * with the number + 1 of the newest; a place is two words, of which the second links to the next.
 */

import { SLOT_NEXT, SLOT_SIZE } from '../../layout.ts';
import { compareExchange, load, store } from '../atomics.ts';

/** Puts the place at `address`, number `number`, in front. It is in no list. */
export function push(words: Int32Array, list: number, address: number, number: number): void {
  for (;;) {
    const head = load(words, list);
    store(words, address + SLOT_NEXT, head);
    if (compareExchange(words, list, head, number + 1) === head) return;
  }
}

/** Turns a list that was taken round: oldest first. From the newest's link to the oldest's. */
export function turnRound(words: Int32Array, places: number, entry: number): number {
  let oldest = 0;
  while (entry !== 0) {
    const link = places + (entry - 1) * SLOT_SIZE + SLOT_NEXT;
    const next = load(words, link);
    store(words, link, oldest);
    oldest = entry;
    entry = next;
  }
  return oldest;
}
