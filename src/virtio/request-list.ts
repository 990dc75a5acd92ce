/**
 * A list of popped requests of one queue, linked by their records (RECORD_NEXT), oldest first.
 * Home thread of the queue. A request is in one list at most; nothing is allocated for it.
 */

import type { RingRecords } from './ring-records.ts';

export class RequestList {
  readonly #records: RingRecords;
  #first = -1;
  #last = -1;

  constructor(records: RingRecords) {
    this.#records = records;
  }

  get empty(): boolean {
    return this.#first < 0;
  }

  /** Appends those that are linked from `first` on. */
  append(first: number): void {
    const records = this.#records;
    if (this.#first < 0) this.#first = first;
    else records.setNext(this.#last, first);
    let last = first;
    for (let next = records.next(last); next >= 0; next = records.next(last)) last = next;
    this.#last = last;
  }

  /** Appends one, whatever it was linked to. */
  appendOne(head: number): void {
    this.#records.setNext(head, -1);
    this.append(head);
  }

  /** Empties the list; its first request, -1 if there is none, linked to the others. */
  takeAll(): number {
    const first = this.#first;
    this.#first = -1;
    return first;
  }

  /** Moves all of `other` in front of what is here. */
  prepend(other: RequestList): void {
    if (other.empty) return;
    if (this.empty) this.#last = other.#last;
    else this.#records.setNext(other.#last, this.#first);
    this.#first = other.takeAll();
  }

  /** Heads, oldest first. */
  heads(): number[] {
    const heads: number[] = [];
    for (let head = this.#first; head >= 0; head = this.#records.next(head)) heads.push(head);
    return heads;
  }
}
