/** Ends the process when nothing moves any more: a hang is what these runs look for. */
const PATIENCE_MS = 60_000;

/**
 * Runs `body(watch)`; `watch` takes a function that returns a number which changes as long as there
 * is progress.
 */
export async function watchdog(title, body) {
  let progress = () => 0;
  let last = Number.NaN;
  let since = Date.now();
  const timer = setInterval(() => {
    const now = progress();
    if (now !== last) {
      last = now;
      since = Date.now();
    } else if (Date.now() - since > PATIENCE_MS) {
      console.error(`${title}: nothing has moved for a minute, at ${now}`);
      process.exit(1);
    }
  }, 1000);
  try {
    return await body((read) => {
      progress = read;
    });
  } finally {
    clearInterval(timer);
  }
}
