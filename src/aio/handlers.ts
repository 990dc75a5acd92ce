/**
 * Handlers: what a context calls when an event notifier was set (FD-1 to FD-4). Each has a place in
 * the context's table in shared memory, where the engine looks; the callbacks stay here.
 *
 * There is no list of what is ready. An event stays in its notifier until right before the call,
 * and readiness found by polling in the place's flags, so a nested poll serves what the outer one
 * found (FD-4), and who removes a handler finds its event still in the notifier (HN-2).
 * QEMU: `util/aio-posix.c`. Home thread only.
 */

import type { Core } from '../engine/core.ts';
import {
  CONTEXT_HANDLER_COUNT,
  CONTEXT_HANDLER_END,
  CONTEXT_HANDLERS,
  CONTEXT_POLL_DISABLE,
  CONTEXT_POLL_READY,
  HANDLER_F_POLLED,
  HANDLER_F_READY,
  HANDLER_FLAGS,
  HANDLER_NOTIFIER,
  HANDLER_POLL_NS,
  HANDLER_QUEUE,
  HANDLER_SIZE,
} from '../layout.ts';
import type { ContextWords } from './context-block.ts';
import type { EventNotifier } from './event-notifier.ts';

/** How to find and serve an event without being told (AP-1). */
export interface AioPoll {
  /** Queue whose ring tells of work: looked at by the engine. */
  queue?: number;
  /** Or a test without effects: is there work? Many times dearer than `queue`. */
  test?(): boolean;
  /** Serves what was found. */
  ready(): void;
  /** Busy polling begins: whoever sets the notifier need not any more. */
  begin?(): void;
  /** Busy polling ends: from here on the notifier must be set. One more look follows (AP-7). */
  end?(): void;
}

export interface AioHandler {
  /** The notifier was set; its flag is clear again. */
  read(): void;
  /** Without it the whole context does not poll (AP-2). */
  poll?: AioPoll;
}

/** A handler in its place. Replacing makes a new one. */
export class HandlerEntry {
  readonly notifier: EventNotifier;
  readonly handler: AioHandler;
  /** Null also if it lacks `ready`: nobody could serve what is found (AP-1). */
  readonly poll: AioPoll | null;
  readonly place: number;
  /** The walk over the table in which it was added: that walk does not call it. */
  readonly born: number;
  /** Removed: never called again, even if its event was found already (FD-2, FD-3). */
  deleted = false;
  /** When it leaves the polled set if nothing happens, in ns; 0: not counting (AP-9). */
  idleAt = 0;

  constructor(notifier: EventNotifier, handler: AioHandler, place: number, born: number) {
    this.notifier = notifier;
    this.handler = handler;
    this.poll = handler.poll?.ready ? handler.poll : null;
    this.place = place;
    this.born = born;
  }
}

/** What busy polling wants to know of a dispatch. */
export interface DispatchEvents {
  /** Before a handler is called. */
  active(entry: HandlerEntry): void;
  /** In place of `poll.ready()`. */
  serve(entry: HandlerEntry): void;
  /** After the call. */
  served(entry: HandlerEntry): void;
}

export class HandlerTable {
  readonly #core: Core;
  readonly #words: ContextWords;
  readonly #name: string;
  readonly #base: number;
  readonly #count: number;
  readonly #entries: (HandlerEntry | undefined)[] = [];
  readonly #byNotifier = new Map<EventNotifier, HandlerEntry>();
  #walk = 0;
  #u32: Uint32Array;

  /** For the context of these words, whose name goes into errors. */
  constructor(core: Core, words: ContextWords, name: string) {
    this.#core = core;
    this.#words = words;
    this.#name = name;
    this.#u32 = core.u32;
    this.#base = words.get(CONTEXT_HANDLERS);
    this.#count = words.get(CONTEXT_HANDLER_COUNT);
  }

  get names(): string[] {
    return [...this.#byNotifier.keys()].map((notifier) => notifier.name);
  }

  /** By place, with gaps. */
  get entries(): readonly (HandlerEntry | undefined)[] {
    return this.#entries;
  }

  /**
   * Adds, replaces or (null) removes the handler of `notifier`. `unwatch` removes it, should the
   * notifier be closed. Throws a RangeError if the table is full; then nothing has changed.
   */
  set(notifier: EventNotifier, handler: AioHandler | null, unwatch: () => void): void {
    const old = this.#byNotifier.get(notifier);
    if (!handler) {
      if (old) this.#remove(old);
      if (old) notifier.watch(0, null);
      return;
    }
    if (notifier.address === 0) throw new Error(`notifier '${notifier.name}' is closed`);
    const place = old ? old.place : this.#freePlace();
    if (old) this.#remove(old);
    const entry = new HandlerEntry(notifier, handler, place, this.#walk);
    this.#entries[place] = entry;
    this.#byNotifier.set(notifier, entry);
    this.setWord(entry, HANDLER_NOTIFIER, notifier.address);
    this.setWord(entry, HANDLER_QUEUE, entry.poll?.queue ?? 0);
    this.setWord(entry, HANDLER_POLL_NS, 0);
    this.setWord(entry, HANDLER_FLAGS, 0);
    if (!entry.poll) this.#words.add(CONTEXT_POLL_DISABLE, 1);
    this.#setEnd();
    notifier.watch(this.#words.address, unwatch);
  }

  /**
   * Calls the handlers that polling found ready, then those whose event is set, by place. One added
   * by another in this walk waits for the next. True if any was called.
   */
  run(events: DispatchEvents): boolean {
    const walk = ++this.#walk;
    const { engine } = this.#core;
    const { address } = this.#words;
    let progress = this.#words.get(CONTEXT_POLL_READY) !== 0 && this.#runReady(events);
    let place = engine.handlerReady(address, 0);
    for (; place >= 0; place = engine.handlerReady(address, place + 1)) {
      const entry = this.#entries[place] as HandlerEntry;
      if (entry.born >= walk) {
        entry.notifier.set(); // put back: it is for the next poll
        continue;
      }
      progress = true;
      events.active(entry);
      entry.handler.read();
      if (!entry.deleted) events.served(entry);
    }
    return progress;
  }

  #runReady(events: DispatchEvents): boolean {
    let progress = false;
    for (let place = 0; place < this.#entries.length; place++) {
      const entry = this.#entries[place];
      if (!entry || !this.has(entry, HANDLER_F_READY)) continue;
      this.clear(entry, HANDLER_F_READY);
      this.#words.add(CONTEXT_POLL_READY, -1);
      progress = true;
      events.active(entry);
      events.serve(entry);
      if (!entry.deleted) events.served(entry);
    }
    return progress;
  }

  /** Polling found work for it: the next `run` serves it. */
  markReady(entry: HandlerEntry): void {
    // An event in the notifier is found anyway, and served by `read`.
    if (entry.notifier.isSet || this.has(entry, HANDLER_F_READY)) return;
    this.mark(entry, HANDLER_F_READY);
    this.#words.add(CONTEXT_POLL_READY, 1);
  }

  has(entry: HandlerEntry, flag: number): boolean {
    return (this.word(entry, HANDLER_FLAGS) & flag) !== 0;
  }

  mark(entry: HandlerEntry, flag: number): void {
    this.setWord(entry, HANDLER_FLAGS, this.word(entry, HANDLER_FLAGS) | flag);
  }

  clear(entry: HandlerEntry, flag: number): void {
    this.setWord(entry, HANDLER_FLAGS, this.word(entry, HANDLER_FLAGS) & ~flag);
  }

  isPolled(entry: HandlerEntry): boolean {
    return this.has(entry, HANDLER_F_POLLED);
  }

  word(entry: HandlerEntry, field: number): number {
    return this.#view()[(this.#base + entry.place * HANDLER_SIZE + field) >>> 2] as number;
  }

  setWord(entry: HandlerEntry, field: number, value: number): void {
    this.#view()[(this.#base + entry.place * HANDLER_SIZE + field) >>> 2] = value;
  }

  #remove(entry: HandlerEntry): void {
    entry.deleted = true;
    if (this.has(entry, HANDLER_F_READY)) this.#words.add(CONTEXT_POLL_READY, -1);
    if (!entry.poll) this.#words.add(CONTEXT_POLL_DISABLE, -1);
    this.setWord(entry, HANDLER_NOTIFIER, 0);
    this.setWord(entry, HANDLER_FLAGS, 0);
    this.#entries[entry.place] = undefined;
    this.#byNotifier.delete(entry.notifier);
    this.#setEnd();
  }

  #freePlace(): number {
    for (let place = 0; place < this.#count; place++) if (!this.#entries[place]) return place;
    const limit = `${this.#count} handlers`;
    throw new RangeError(`context '${this.#name}' has all its ${limit} in use; see its options`);
  }

  /** The engine looks at no place behind the last one in use. */
  #setEnd(): void {
    const entries = this.#entries;
    while (entries.length > 0 && !entries[entries.length - 1]) entries.length -= 1;
    this.#words.set(CONTEXT_HANDLER_END, entries.length);
  }

  #view(): Uint32Array {
    this.#u32 = this.#core.keepU32(this.#u32);
    return this.#u32;
  }
}
