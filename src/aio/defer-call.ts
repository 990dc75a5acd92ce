/**
 * Deferred calls: what a batch would do once per request is done once at its end. Interrupts and
 * submissions are batched so (TP-6). The state is the thread's: each JavaScript thread has its own
 * instance of this module. QEMU: `util/defer-call.c`.
 */

interface DeferredCall {
  readonly call: (opaque: never) => void;
  readonly opaque: unknown;
}

let depth = 0;
let calls: DeferredCall[] = [];

/**
 * Calls `call(opaque)` now, or, inside a section, once when the outermost one ends, however often
 * it was asked for. Order: that of the first asking.
 */
export function deferCall<T>(call: (opaque: T) => void, opaque: T): void {
  if (depth === 0) {
    call(opaque);
    return;
  }
  for (let i = 0; i < calls.length; i++) {
    const known = calls[i] as DeferredCall;
    if (known.call === call && known.opaque === opaque) return;
  }
  calls.push({ call, opaque });
}

/** Opens a section. Sections nest; each needs its `deferCallEnd`. */
export function deferCallBegin(): void {
  depth++;
}

/**
 * Closes a section; the outermost one makes the calls. All of them are made even if one throws,
 * and the first error is thrown on. Throws if no section is open.
 */
export function deferCallEnd(): void {
  if (depth === 0) throw new Error('deferCallEnd without deferCallBegin');
  if (--depth > 0 || calls.length === 0) return;
  const due = calls;
  calls = [];
  let failed = false;
  let failure: unknown;
  for (const { call, opaque } of due) {
    try {
      call(opaque as never);
    } catch (error) {
      if (!failed) failure = error;
      failed = true;
    }
  }
  if (failed) throw failure;
}

/** Runs `section` between begin and end: no way out of it leaves the section open. */
export function deferCalls<T>(section: () => T): T {
  deferCallBegin();
  try {
    return section();
  } finally {
    deferCallEnd();
  }
}
