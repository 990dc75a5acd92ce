// Who must be told: the driver of used buffers (interrupt), the device of available ones (kick).
// VIRTIO 1.3, 2.7.7 and 2.7.10.

import {
  QUEUE_AVAIL, QUEUE_BROKEN, QUEUE_FEATURES, QUEUE_F_EVENT_IDX, QUEUE_F_NOTIFY_ON_EMPTY,
  QUEUE_INTERRUPTS_LO, QUEUE_INUSE, QUEUE_LAST_AVAIL, QUEUE_NOTIFICATION, QUEUE_NUM, QUEUE_READY,
  QUEUE_SHADOW_AVAIL, QUEUE_SIGNALLED_USED, QUEUE_SIGNALLED_VALID, QUEUE_USED,
} from "../src/layout";
import {
  VIRTQ_AVAIL_FLAGS, VIRTQ_AVAIL_F_NO_INTERRUPT, VIRTQ_AVAIL_IDX, VIRTQ_AVAIL_RING,
  VIRTQ_USED_FLAGS, VIRTQ_USED_F_NO_NOTIFY, VIRTQ_USED_IDX, VIRTQ_USED_RING,
} from "../src/spec";
import { load16, load32, store16 } from "./atomics";

/** May the ring be touched? Home has set SERVING before: pairs with main, which clears READY and
 * then reads SERVING. */
// @ts-ignore: decorator
@inline
export function usable(queue: u32): bool {
  return load32(queue, QUEUE_READY) != 0 && load32(queue, QUEUE_BROKEN) == 0;
}

/** Nothing to pop (VQ-1). Changes nothing: an index out of range is for the next pop to find. */
export function queueEmpty(queue: u32): u32 {
  if (!usable(queue)) return 1;
  const last = load<u32>(queue, QUEUE_LAST_AVAIL);
  if (load<u32>(queue, QUEUE_SHADOW_AVAIL) != last) return 0;
  return u32(load16(load<u32>(queue, QUEUE_AVAIL), VIRTQ_AVAIL_IDX) == last);
}

/** Asks the driver to kick or not to (VQ-9). 1: buffers came meanwhile, perhaps without a kick. */
export function queueSetNotification(queue: u32, on: u32): u32 {
  store<u32>(queue, on, QUEUE_NOTIFICATION);
  if (!usable(queue)) return 0;
  const avail = load<u32>(queue, QUEUE_AVAIL);
  if (!(load<u32>(queue, QUEUE_FEATURES) & QUEUE_F_EVENT_IDX)) {
    // Atomic store, then atomic load of avail.idx below: pairs with the driver, which publishes
    // idx and then reads this flag.
    store16(load<u32>(queue, QUEUE_USED), VIRTQ_USED_FLAGS, on ? 0 : VIRTQ_USED_F_NO_NOTIFY);
  } else if (on) {
    // As above; the driver reads avail_event.
    storeAvailEvent(queue, load16(avail, VIRTQ_AVAIL_IDX));
  }
  if (!on) return 0;
  return u32(load16(avail, VIRTQ_AVAIL_IDX) != load<u32>(queue, QUEUE_LAST_AVAIL));
}

/** Tells the driver at which index to kick next. */
// @ts-ignore: decorator
@inline
export function storeAvailEvent(queue: u32, index: u32): void {
  const ring = load<u32>(queue, QUEUE_USED) + VIRTQ_USED_RING;
  store16(ring + (load<u32>(queue, QUEUE_NUM) << 3), 0, index);
}

/** Shows the driver all used elements before `index`; true if it wants an interrupt for them. */
// @ts-ignore: decorator
@inline
export function publish(queue: u32, index: u32): bool {
  // Atomic: elements and status bytes are visible before idx counts them (2.7.14).
  store16(load<u32>(queue, QUEUE_USED), VIRTQ_USED_IDX, index);
  const interrupt = wantsInterrupt(queue, index);
  if (interrupt) {
    store<u64>(queue, load<u64>(queue, QUEUE_INTERRUPTS_LO) + 1, QUEUE_INTERRUPTS_LO);
  }
  return interrupt;
}

/** Main, for a queue with QUEUE_F_HELD: see the contract. */
export function queuePublish(queue: u32, index: u32): u32 {
  return u32(usable(queue) && publish(queue, index & 0xffff));
}

/**
 * Does the driver want an interrupt for the buffers used up to index `used` (VQ-7, VQ-8)? Called
 * once after used.idx was stored atomically; the atomic load here pairs with the driver, which
 * stores used_event or flags and then reads used.idx.
 */
// @ts-ignore: decorator
@inline
export function wantsInterrupt(queue: u32, used: u32): bool {
  const features = load<u32>(queue, QUEUE_FEATURES);
  const avail = load<u32>(queue, QUEUE_AVAIL);
  const old = load<u32>(queue, QUEUE_SIGNALLED_USED);
  const valid = load<u32>(queue, QUEUE_SIGNALLED_VALID);
  store<u32>(queue, used, QUEUE_SIGNALLED_USED);
  store<u32>(queue, 1, QUEUE_SIGNALLED_VALID);
  if (features & QUEUE_F_NOTIFY_ON_EMPTY && load<u32>(queue, QUEUE_INUSE) == 0) {
    if (load16(avail, VIRTQ_AVAIL_IDX) == load<u32>(queue, QUEUE_LAST_AVAIL)) return true;
  }
  if (!(features & QUEUE_F_EVENT_IDX)) {
    return !(load16(avail, VIRTQ_AVAIL_FLAGS) & VIRTQ_AVAIL_F_NO_INTERRUPT);
  }
  if (!valid) return true;
  // Did the index pass used_event on the way from `old` to `used`? All in 16 bits (2.7.10.1).
  const event = load16(avail + VIRTQ_AVAIL_RING + (load<u32>(queue, QUEUE_NUM) << 1), 0);
  return ((used - event - 1) & 0xffff) < ((used - old) & 0xffff);
}
