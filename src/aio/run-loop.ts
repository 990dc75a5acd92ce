/**
 * The loop of a thread that serves: an IOThread. As long as nothing needs the thread's JavaScript
 * loop it polls, busily first, and sleeps on its word; otherwise its context lives in the
 * JavaScript loop like any other. QEMU: `iothread_run`.
 */

import type { AioContext } from './context.ts';

/**
 * Serves until `stopped()` says true. `mailPending()`: a message for this thread is on its way,
 * which only the JavaScript loop can bring. Both are asked after each poll, and whoever changes
 * their answer notifies the context. What callbacks resolve is awaited before the thread sleeps;
 * what settles through the JavaScript loop must be a loop user.
 */
export async function runLoop(
  context: AioContext,
  stopped: () => boolean,
  mailPending: () => boolean,
): Promise<void> {
  const mayBlock = (): boolean => context.loopUsers === 0 && !mailPending() && !stopped();
  while (!stopped()) {
    if (!context.mayBlock || !mayBlock()) {
      await context.nextTurn();
      continue;
    }
    context.leaveLoop();
    try {
      await serve(context, mayBlock);
    } finally {
      context.enterLoop();
    }
  }
}

async function serve(context: AioContext, mayBlock: () => boolean): Promise<void> {
  while (mayBlock()) {
    if (context.pollStep(true, false)) continue;
    await null; // what callbacks have resolved comes first
    if (mayBlock()) context.pollStep(false, true);
  }
}
