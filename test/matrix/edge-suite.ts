import { afterAll, beforeAll, expect, it } from 'vitest';

/** An edge isolate with the worker in it. `path` begins with a slash. */
export type Edge = {
  fetch(path: string, init?: RequestInit): Promise<Response>;
  close(): Promise<void>;
};

/** What the handler says of one request, in the header `vblk-report`. */
type Report = {
  /** The engine that served, by its own word. */
  engine: string;
  /** The handler compared what it read with what it wrote. */
  ok: boolean;
  bytes: number;
  refused: string[];
  counted: Record<string, number>;
};

/** Bytes that no other seed gives: a request that is served another's bytes fails. */
function pattern(seed: number, length: number): Uint8Array<ArrayBuffer> {
  let state = seed;
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  });
}

async function roundTrip(
  edge: Edge,
  engine: string,
  seed: number,
  sleeper = 'hook',
): Promise<Report> {
  const payload = pattern(seed, 8192);
  const response = await edge.fetch(`/?engine=${engine}&sleeper=${sleeper}`, {
    method: 'POST',
    body: payload,
  });
  if (response.status !== 200) throw new Error(await response.text());
  const data = new Uint8Array(await response.arrayBuffer());
  expect(Buffer.compare(data, payload), 'the bytes read back').toBe(0);
  const report: Report = JSON.parse(response.headers.get('vblk-report') ?? '');
  expect(report).toMatchObject({ ok: true, bytes: payload.length });
  return report;
}

/** What every edge isolate must do. `start` is called once. */
export function edgeSuite<E extends Edge>(start: () => Promise<E>): () => E {
  let edge: E;
  beforeAll(async () => {
    edge = await start();
  });
  afterAll(() => edge?.close());

  it('refuses compilation and waitAsync when asked for them: the traps bite', async () => {
    expect(await (await edge.fetch('/?traps')).json()).toEqual([]);
  });

  it('serves a verified write and read on the wasm engine, from the imported module', async () => {
    const { engine, refused, counted } = await roundTrip(edge, 'wasm', 1);
    expect(engine).toBe('wasm');
    expect(refused, 'no compile call, no sleep, no thread').toEqual([]);
    expect(counted, 'one instance, no timer, no channel').toEqual({ Instance: 1 });
  });

  it('serves the same on the js engine, without an instance', async () => {
    const { engine, refused, counted } = await roundTrip(edge, 'js', 2);
    expect(engine).toBe('js');
    expect(refused).toEqual([]);
    expect(counted).toEqual({});
  });

  it('picks wasm by itself when it is handed a module', async () => {
    expect((await roundTrip(edge, 'auto', 3)).engine).toBe('wasm');
  });

  it.each(['wasm', 'js'])('serves with turns from the JavaScript loop, %s engine', async (name) => {
    const { engine, refused } = await roundTrip(edge, name, 4, 'loop');
    expect(engine).toBe(name);
    expect(refused).toEqual([]);
  });

  it('keeps requests of one isolate apart', async () => {
    const engines = ['wasm', 'js', 'wasm', 'js'];
    const reports = await Promise.all(engines.map((engine, i) => roundTrip(edge, engine, 10 + i)));
    expect(reports.map(({ engine }) => engine)).toEqual(engines);
  });

  return () => edge;
}
