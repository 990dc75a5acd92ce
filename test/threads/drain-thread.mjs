/** An IOThread of these tests: writes that verify what they read back, and drains from there. */
import { parentPort } from 'node:worker_threads';
import { runIOThread } from '#src/aio/io-thread-home';
import { registerService } from '#src/aio/services';
import { PENDING } from '#src/block/driver';
import { laneAt } from '#src/block/lane-service';
import { EAGAIN } from '#src/spec';

/** Performs a request on a lane of this thread, once its gate is open. */
function perform(lane, op, offset, bytes) {
  const request = Object.assign(lane.request(), { op, offset, length: bytes.length });
  request.vector.reset(bytes);
  request.vector.append(0, bytes.length);
  return new Promise((resolve) => {
    request.done = (_, result) => {
      request.release();
      resolve(result);
    };
    const attempt = () => {
      lane.onOpen.delete(attempt);
      const result = lane.submit(request);
      if (result === -EAGAIN) lane.onOpen.add(attempt);
      else if (result !== PENDING) request.done(request, result);
    };
    attempt();
  });
}

/** `count` writes of `length` bytes of `value`, in turn at `offsets`; tells how many failed. */
registerService('write', async (thread, { lane: address, offsets, length, value, count }) => {
  const lane = laneAt(thread, address);
  const bytes = new Uint8Array(length).fill(value);
  let failed = 0;
  for (let i = 0; i < count; i++) {
    if ((await perform(lane, 1, offsets[i % offsets.length], bytes)) !== 0) failed += 1;
    if (i % 16 === 0) await new Promise((resolve) => setTimeout(resolve, 0));
  }
  return failed;
});

/** Begins a request in two parts, and drains in between. */
registerService('drain inside', async (thread, { lane: address, count }) => {
  const lane = laneAt(thread, address);
  let drained = 0;
  for (let i = 0; i < count; i++) {
    if (!lane.startRequest()) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      continue;
    }
    await lane.drain(1);
    lane.endRequest();
    drained += 1;
  }
  return drained;
});

void runIOThread(parentPort);
