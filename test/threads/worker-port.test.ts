/** Workers of all kinds behind one face. Web Workers are played by objects of the same shape. */
import { describe, expect, it } from 'vitest';
import { ParentPort, WorkerPort } from '#src/aio/worker-port';

class FakeWebWorker {
  readonly posted: unknown[][] = [];
  terminated = false;
  readonly #listeners: Record<string, (event: never) => void> = {};

  addEventListener(type: string, listener: (event: never) => void): void {
    this.#listeners[type] = listener;
  }

  postMessage(...args: unknown[]): void {
    this.posted.push(args);
  }

  terminate(): void {
    this.terminated = true;
  }

  fire(type: string, event: unknown): void {
    this.#listeners[type]?.(event as never);
  }
}

function portOf(worker: FakeWebWorker) {
  const seen: unknown[] = [];
  const port = new WorkerPort(worker, {
    message: (data) => seen.push(['message', data]),
    failed: (cause) => seen.push(['failed', cause.message]),
    exited: () => seen.push(['exited']),
  });
  return { port, seen };
}

describe('WorkerPort', () => {
  it('takes a web Worker: data of messages, errors with what the event says', async () => {
    const worker = new FakeWebWorker();
    const { port, seen } = portOf(worker);
    const buffer = new ArrayBuffer(8);
    port.post('one', [buffer]);
    port.hold();
    port.release();
    worker.fire('message', { data: 'two' });
    worker.fire('error', { message: 'three' });
    worker.fire('error', { error: new RangeError('four'), message: 'not this' });
    worker.fire('error', {});
    worker.fire('messageerror', {});
    await port.terminate();
    expect(worker.posted).toEqual([['one', [buffer]]]);
    expect(worker.terminated).toBe(true);
    expect(seen).toEqual([
      ['message', 'two'],
      ['failed', 'three'],
      ['failed', 'four'],
      ['failed', 'the Worker could not be loaded'],
      ['failed', 'a message of the Worker could not be read'],
    ]);
  });
});

describe('ParentPort', () => {
  it('takes the global object of a web Worker', () => {
    const scope = Object.assign(new FakeWebWorker(), { close: () => (scope.terminated = true) });
    const seen: unknown[] = [];
    const port = new ParentPort(
      scope,
      (data) => seen.push(data),
      () => seen.push('unread'),
    );
    scope.fire('message', { data: 'down' });
    scope.fire('messageerror', {});
    port.post('up');
    port.close();
    expect(seen).toEqual(['down', 'unread']);
    expect(scope.posted).toEqual([['up', []]]);
    expect(scope.terminated).toBe(true);
  });
});
