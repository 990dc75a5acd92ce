/** An IOThread of these tests: lanes, file disks, and requests by message. */
import { parentPort } from 'node:worker_threads';
import { nodeFiles } from '#src/adapter/node-files';
import { runIOThread } from '#src/aio/io-thread-home';
import { registerService } from '#src/aio/services';
import { PENDING } from '#src/block/driver';
import { fileDriver } from '#src/block/file';
import { laneAt } from '#src/block/lane-service';
import { registerDriver } from '#src/block/registry';
import { EAGAIN } from '#src/spec';

registerDriver('file', fileDriver(nodeFiles));

/** Submits a request to a lane of this thread, once its gate is open. */
function submit(lane, request, ended) {
  const attempt = () => {
    lane.onOpen.delete(attempt);
    const result = lane.submit(request);
    if (result === -EAGAIN) lane.onOpen.add(attempt);
    else if (result !== PENDING) ended(result);
  };
  request.done = (_, result) => ended(result);
  attempt();
}

registerService('submit', (thread, { lane: address, op, offset, length, flags, data }) => {
  const lane = laneAt(thread, address);
  const request = Object.assign(lane.request(), { op, offset, length, flags });
  const bytes = data ?? new Uint8Array(length);
  request.vector.reset(bytes);
  if (op < 2) request.vector.append(0, length);
  return new Promise((resolve) => {
    submit(lane, request, (result) => {
      request.release();
      resolve({ result, data: op === 0 ? bytes : null });
    });
  });
});

/** Keeps `depth` reads of 512 bytes going until `count` have ended; tells how many did well. */
function hammer(thread, { lane: address, count, depth, sectors }, tell) {
  const lane = laneAt(thread, address);
  const bytes = new Uint8Array(512 * depth);
  let [begun, good, ended] = [0, 0, 0];
  const next = (slot) => {
    if (begun === count) return;
    const request = Object.assign(lane.request(), { op: 0, length: 512 });
    request.offset = (begun++ % sectors) * 512;
    request.vector.reset(bytes);
    request.vector.append(slot * 512, 512);
    submit(lane, request, (result) => {
      if (result === 0) good += 1;
      // A request that ended at once is still the submitter's.
      thread.context.scheduleOneshot('next', () => {
        request.release();
        if (++ended === count) tell(good);
        else next(slot);
      });
    });
  };
  for (let slot = 0; slot < depth; slot++) next(slot);
}
registerService('hammer', (thread, payload) => new Promise((r) => hammer(thread, payload, r)));
/** As `hammer`, but answered at once: nothing keeps the thread from blocking but the lane. */
registerService('hammer on', (thread, payload) => {
  hammer(thread, payload, (good) => thread.post('hammered', good));
});

registerService('die', () => process.exit(3));
registerService('lane driver', (thread, address) => laneAt(thread, address).driver.settles);

void runIOThread(parentPort);
