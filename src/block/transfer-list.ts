/** A queue of transfers, linked through themselves: nothing is allocated. */

import type { Transfer } from './transfer.ts';

export class TransferList {
  #head: Transfer | null = null;
  #tail: Transfer | null = null;

  get empty(): boolean {
    return this.#head === null;
  }

  push(transfer: Transfer): void {
    transfer.next = null;
    if (this.#tail) this.#tail.next = transfer;
    else this.#head = transfer;
    this.#tail = transfer;
  }

  /** Takes the oldest, or null. */
  shift(): Transfer | null {
    const first = this.#head;
    if (!first) return null;
    this.#head = first.next;
    if (!this.#head) this.#tail = null;
    first.next = null;
    return first;
  }

  /** Takes out one that is in the list. */
  remove(transfer: Transfer): void {
    let before: Transfer | null = null;
    for (let at = this.#head; at !== transfer; at = at.next) {
      if (!at) return;
      before = at;
    }
    if (before) before.next = transfer.next;
    else this.#head = transfer.next;
    if (this.#tail === transfer) this.#tail = before;
    transfer.next = null;
  }
}
