/** The Worker of page.html: the package's own entry, and two services. */
import { registerService } from '/build/adapter/io-thread-entry.js';
import { scheduleRemote } from '/build/aio/bottom-half.js';

registerService('open', (thread, back) => {
  const room = { runs: 0, half: null };
  room.half = thread.context.bottomHalf('there', () => {
    room.runs += 1;
    scheduleRemote(thread.core, back);
  });
  thread.state.set('there', room);
  return room.half.handle;
});
registerService('close', (thread) => {
  const { half, runs } = thread.state.get('there');
  half.delete();
  return runs;
});
