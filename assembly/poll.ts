// The handlers of a context: which notifier is set, and busy polling over all flags and rings
// (QEMU: util/aio-posix.c, run_poll_handlers). Only home writes the places.

import {
  CONTEXT_HANDLERS, CONTEXT_HANDLER_END, CONTEXT_NOTIFIED, HANDLER_FLAGS, HANDLER_F_POLLED,
  HANDLER_NOTIFIER, HANDLER_QUEUE, HANDLER_SIZE, NOTIFIER_FLAG,
} from "../src/layout";
import { exchange32, load32 } from "./atomics";
import { queueEmpty } from "./notify";

const SPIN_NOTHING = -1;
const SPIN_NOTIFIED = -2;

/** The first place from `from` on whose notifier is set. Its flag is cleared, then it is served. */
export function handlerReady(context: u32, from: u32): i32 {
  const end = load<u32>(context, CONTEXT_HANDLER_END);
  const handlers = load<u32>(context, CONTEXT_HANDLERS);
  for (let place = from; place < end; ++place) {
    const notifier = load<u32>(handlers + place * HANDLER_SIZE, HANDLER_NOTIFIER);
    if (notifier == 0 || load32(notifier, NOTIFIER_FLAG) == 0) continue;
    // Another may have tested and cleared it since the look.
    if (exchange32(notifier, NOTIFIER_FLAG, 0) != 0) return place;
  }
  return -1;
}

export function handlerPending(context: u32): u32 {
  const end = load<u32>(context, CONTEXT_HANDLER_END);
  const handlers = load<u32>(context, CONTEXT_HANDLERS);
  for (let place: u32 = 0; place < end; ++place) {
    const notifier = load<u32>(handlers + place * HANDLER_SIZE, HANDLER_NOTIFIER);
    if (notifier != 0 && load32(notifier, NOTIFIER_FLAG) != 0) return 1;
  }
  return 0;
}

/** Looks `rounds` times at notified (AP-10) and at every polled handler's ring and flag (AP-1). */
export function pollSpin(context: u32, rounds: u32): i32 {
  const first = load<u32>(context, CONTEXT_HANDLERS);
  const end = first + load<u32>(context, CONTEXT_HANDLER_END) * HANDLER_SIZE;
  for (; rounds != 0; --rounds) {
    if (load32(context, CONTEXT_NOTIFIED) != 0) return SPIN_NOTIFIED;
    for (let at = first; at < end; at += HANDLER_SIZE) {
      if (load<u32>(at, HANDLER_FLAGS) & HANDLER_F_POLLED && hasWork(at)) {
        return (at - first) / HANDLER_SIZE;
      }
    }
  }
  return SPIN_NOTHING;
}

// @ts-ignore: decorator
@inline
function hasWork(handler: u32): bool {
  const notifier = load<u32>(handler, HANDLER_NOTIFIER);
  if (notifier == 0) return false;
  const queue = load<u32>(handler, HANDLER_QUEUE);
  if (queue != 0 && queueEmpty(queue) == 0) return true;
  return load32(notifier, NOTIFIER_FLAG) != 0;
}
