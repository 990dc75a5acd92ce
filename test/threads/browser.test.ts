/** IOThreads as module Workers of a real browser. */
import { existsSync } from 'node:fs';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type PageServer, servePage } from '../page-server.ts';
import { engines } from './threads.ts';

/** What page.html offers. */
declare const threadPage: {
  pingPong(engine: string, count: number): Promise<object>;
  ownEntry(engine: string): Promise<object>;
  noScript(engine: string): Promise<string>;
};

const SERVED = /^\/(build|node_modules\/@assemblyscript\/loader|test\/threads)\//;
const CHROMIUM = '/usr/bin/chromium';
const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'];
const absent = !existsSync(CHROMIUM) && !process.env['CI'];

describe.skipIf(absent)(`IOThreads in Chromium (${CHROMIUM})`, () => {
  let server: PageServer;
  let browser: Browser;
  let page: Page;
  const pageErrors: string[] = [];

  beforeAll(async () => {
    server = await servePage(SERVED);
    browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
    page = await browser.newPage();
    page.on('pageerror', (error) => pageErrors.push(String(error)));
    await page.goto(`${server.origin}/test/threads/page.html`);
    await page.waitForFunction(() => 'threadPage' in globalThis);
  }, 60_000);
  afterAll(async () => {
    await browser?.close();
    await server?.[Symbol.asyncDispose]();
    expect(pageErrors).toEqual([]);
  });

  it.each(engines)('WT-4 1,000 bottom halves there and back, %s engine', async (engine) => {
    const answer = await page.evaluate((kind) => threadPage.pingPong(kind, 1000), engine);
    expect(answer).toEqual({ engine, runs: 1000, there: 1000, slept: true });
  });

  it.each(engines)("WT-4 startIOThread runs the package's own entry, %s engine", async (engine) => {
    const { missing, left } = (await page.evaluate(
      (kind) => threadPage.ownEntry(kind),
      engine,
    )) as { missing: { message: string; code: string }; left: number };
    expect(missing.message).toContain("iothread 'io0' has no service 'no such'");
    expect(missing.code).toBe('ENOTSUP');
    expect(left).toBe(0);
  });

  it('WT-4 a Worker whose script is not there rejects the start', async () => {
    const message = await page.evaluate(() => threadPage.noScript('wasm'));
    expect(message).toBe('the Worker could not be loaded');
  });
});
