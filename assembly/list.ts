// Lists that any thread pushes on and one takes whole: bottom halves, coroutines. A list is a word
// with the number + 1 of the newest; a place is two words, of which the second links to the next.

import { COROUTINE_NEXT, COROUTINE_SIZE, SLOT_NEXT, SLOT_SIZE } from "../src/layout";
import { compareExchange32, load32, store32 } from "./atomics";

if (SLOT_NEXT != COROUTINE_NEXT || SLOT_SIZE != COROUTINE_SIZE) ERROR("places differ");

/** Puts the place at `at`, which `link` names, in front. It is in no list. */
export function push(list: u32, at: u32, link: u32): void {
  let head = load32(list, 0);
  while (true) {
    store32(at, SLOT_NEXT, head);
    // Pairs with the exchange of who takes the list: next is written before the place is seen.
    const seen = compareExchange32(list, 0, head, link);
    if (seen == head) return;
    head = seen;
  }
}

/** Turns a list that was taken round: oldest first. Returns the oldest's link. */
export function turnRound(places: u32, newest: u32): u32 {
  let oldest: u32 = 0;
  for (let link = newest; link != 0; ) {
    const at = places + (link - 1) * SLOT_SIZE;
    const next = load32(at, SLOT_NEXT);
    store32(at, SLOT_NEXT, oldest);
    oldest = link;
    link = next;
  }
  return oldest;
}
