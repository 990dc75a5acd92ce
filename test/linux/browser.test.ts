import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CommandResult } from '#src/cli/linux/guest';
import { type PageServer, servePage } from '../page-server.ts';
import { CHROMIUM, describeOn, findMachineAndChromium } from './available.ts';

/** What page.html offers. */
declare const guestPage: {
  /** The engines of the two disks. */
  boot(iothreads: number, engine: 'wasm' | 'js'): Promise<string[]>;
  sleeps(): number[];
  draw(): Promise<number[]>;
  detach(): Promise<void>;
  run(command: string): Promise<CommandResult>;
  wholeDisk(name: string): Promise<string>;
};

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

const machine = await findMachineAndChromium();

describeOn(machine, 'Linux in Chromium', ({ images }) => {
  let server: PageServer;
  let browser: Browser;

  beforeAll(async () => {
    server = await servePage(/^\/(build|node_modules|test\/linux)\//, { ...images });
    browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
  });
  afterAll(async () => {
    await browser?.close();
    await server?.[Symbol.asyncDispose]();
  });

  const openPage = async () => {
    const page = await browser.newPage();
    await page.goto(`${server.origin}/test/linux/page.html`);
    await page.waitForFunction(() => 'guestPage' in globalThis);
    return page;
  };

  it('draws a screen in graphics mode, on shared memory', async () => {
    const page = await openPage();
    const errors: string[] = [];
    page.on('pageerror', (error) => errors.push(String(error)));
    expect(await page.evaluate(() => guestPage.draw())).toEqual([255, 255, 255, 255]);
    expect(errors).toEqual([]);
    await page.close();
  }, 60_000);

  describe('served by the page', () => pageSuite(openPage, 0, 'wasm'));
  describe('served by an IOThread, wasm engine', () => pageSuite(openPage, 1, 'wasm'));
  describe('served by an IOThread, js engine', () => pageSuite(openPage, 1, 'js'));
});

function pageSuite(openPage: () => Promise<Page>, iothreads: number, engine: 'wasm' | 'js'): void {
  let page: Page;
  let engines: string[];
  const pageErrors: string[] = [];

  beforeAll(async () => {
    page = await openPage();
    page.on('pageerror', (error) => pageErrors.push(String(error)));
    engines = await page.evaluate(([threads, kind]) => guestPage.boot(threads, kind), [
      iothreads,
      engine,
    ] as const);
  }, 200_000);
  afterAll(async () => {
    await page?.close();
    expect(pageErrors).toEqual([]);
  });

  it('runs a command', async () => {
    const { status, output } = await page.evaluate(() => guestPage.run('uname -sm'));
    expect({ status, output }).toEqual({ status: 0, output: 'Linux i686\n' });
  });

  it('is served by the engines asked for', () => {
    expect(engines).toEqual([engine, 'js']);
  });

  it('reads the whole disk as the page does', async () => {
    expect(await page.evaluate(() => guestPage.wholeDisk('vdb'))).toMatch(/^SHA-256 [0-9a-f]{64}$/);
    const copy = 'dd if=/dev/vdb of=/dev/vda bs=64k conv=fsync && echo 3 >/proc/sys/vm/drop_caches';
    const { status } = await page.evaluate((command) => guestPage.run(command), copy);
    expect(status).toBe(0);
    const digests = await page.evaluate(async () => [
      await guestPage.wholeDisk('vda'),
      await guestPage.wholeDisk('vdb'),
    ]);
    expect(digests[0]).toBe(digests[1]);
  }, 120_000);

  it('is served by the threads asked for, which end with it', async () => {
    const [sleeps] = await page.evaluate(() => guestPage.sleeps());
    expect(sleeps! > 10).toBe(iothreads > 0);
    await page.evaluate(() => guestPage.detach());
  }, 60_000);
}
