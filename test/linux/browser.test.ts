import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { CommandResult } from '#src/cli/linux/guest';
import { CHROMIUM, describeOn, findMachineAndChromium } from './available.ts';
import { type PageServer, servePage } from './page-server.ts';

/** What page.html offers. */
declare const guestPage: {
  /** The engines of the two disks. */
  boot(): Promise<string[]>;
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
  let page: Page;
  let engines: string[];
  const pageErrors: string[] = [];

  beforeAll(async () => {
    server = await servePage(images);
    browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
    page = await browser.newPage();
    page.on('pageerror', (error) => pageErrors.push(String(error)));
    await page.goto(`${server.origin}/test/linux/page.html`);
    await page.waitForFunction(() => 'guestPage' in globalThis);
    engines = await page.evaluate(() => guestPage.boot());
  }, 200_000);
  afterAll(async () => {
    await browser?.close();
    await server?.[Symbol.asyncDispose]();
    expect(pageErrors).toEqual([]);
  });

  it('runs a command', async () => {
    const { status, output } = await page.evaluate(() => guestPage.run('uname -sm'));
    expect({ status, output }).toEqual({ status: 0, output: 'Linux i686\n' });
  });

  it('is served by the engines asked for', () => {
    expect(engines).toEqual(['wasm', 'js']);
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
});
