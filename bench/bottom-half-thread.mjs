/** The Worker of bottom-half/two: an IOThread whose bottom halves schedule those of another. */
import { scheduleRemote } from 'vblk';
import { registerService } from 'vblk/io-thread';

/** Runs between two looks at the clock. */
const STRIDE = 64;

let peers = [];
let halves = [];
let runs = 0;
/** The game that goes on: turns still out, runs of both sides so far. */
const game = { out: 0, start: 0, milliseconds: 0, requests: 0, over: false };

/** Sends the turn back, unless time is over; the last one in ends the game. */
function lead(thread, i) {
  runs += 1;
  game.requests += 2;
  if (!game.over && game.requests % STRIDE === 0) {
    game.over = performance.now() - game.start > game.milliseconds;
  }
  if (!game.over) {
    scheduleRemote(thread.core, peers[i]);
    return;
  }
  game.out -= 1;
  if (game.out > 0) return;
  thread.post('over', { requests: game.requests, ns: (performance.now() - game.start) * 1e6 });
}

function follow(thread, i) {
  runs += 1;
  scheduleRemote(thread.core, peers[i]);
}

registerService('open', (thread, { count, leads }) => {
  const each = leads ? lead : follow;
  const make = (_, i) => thread.context.bottomHalf(`turn ${i}`, () => each(thread, i));
  halves = Array.from({ length: count }, make);
  return halves.map(({ handle }) => handle);
});
registerService('aim', (_, handles) => {
  peers = handles;
});
registerService('begin', ({ core }, milliseconds) => {
  const start = performance.now();
  Object.assign(game, { out: peers.length, start, milliseconds, requests: 0, over: false });
  for (const peer of peers) scheduleRemote(core, peer);
});
registerService('runs', () => runs);
registerService('close', () => {
  for (const half of halves) half.delete();
});
