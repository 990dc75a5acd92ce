#!/usr/bin/env node
/** The `vblk` command. Exit code 2 for a wrong option, 1 for a failure. */

import { readFileSync } from 'node:fs';
import { benchCommand, type Terminal } from './bench/command.ts';
import { OptionError } from './option-error.ts';

const USAGE = `Usage: vblk COMMAND [options]

  vblk bench        drive a virtio disk with both engines, side by side
  vblk --version    print the version

vblk COMMAND --help tells more.`;

const terminal: Terminal = {
  out: (text) => void process.stdout.write(`${text}\n`),
  progress(text) {
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
  },
};

async function main([command, ...args]: readonly string[]): Promise<void> {
  if (command === undefined || command === '--help' || command === 'help') {
    terminal.out(USAGE);
  } else if (command === '--version') {
    const file = new URL('../../package.json', import.meta.url);
    terminal.out(JSON.parse(readFileSync(file, 'utf8')).version);
  } else if (command === 'bench') {
    await benchCommand(args, terminal);
  } else {
    throw new OptionError('command', command, 'bench, --version, --help');
  }
}

main(process.argv.slice(2)).catch((error: unknown) => {
  terminal.progress('');
  process.stderr.write(`vblk: ${error instanceof Error ? error.message : error}\n`);
  process.exitCode = error instanceof OptionError ? 2 : 1;
});
