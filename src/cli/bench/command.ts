/** `vblk bench`: the drives one after the other, the engines in turn on each. */

import { formatSize } from '../size.ts';
import { type DriveJobs, openDrive } from './drives.ts';
import { BENCH_USAGE, type BenchOptions, parseBenchOptions } from './options.ts';
import { jsonReport, type Row, textReport } from './report.ts';

/** Contestants take turns of this length, so that a machine whose speed drifts is fair to both. */
const TURN_MS = 100;

/** Where the command writes: the results to `out`, progress to `progress` if that is a terminal. */
export interface Terminal {
  out(text: string): void;
  progress(text: string): void;
}

/** Runs the command. Throws an OptionError for wrong options, an Error if data came back wrong. */
export async function benchCommand(args: readonly string[], terminal: Terminal): Promise<void> {
  const options = parseBenchOptions(args);
  if (!options) return terminal.out(BENCH_USAGE);
  const rows: Row[] = [];
  for (const drive of options.drives) {
    rows.push(...(await benchDrive(await openDrive(drive, options), options, terminal)));
  }
  terminal.progress('');
  terminal.out((options.json ? jsonReport : textReport)(rows, options));
}

async function benchDrive(
  drive: DriveJobs,
  options: BenchOptions,
  terminal: Terminal,
): Promise<Row[]> {
  const { name, size, jobs } = drive;
  const verified = options.verify && drive.verifiable;
  const say = (what: string) => terminal.progress(`${name}: ${what}`);
  const milliseconds = options.runtime * 1000;
  const turns = Math.max(1, Math.round(milliseconds / TURN_MS));
  for (const group of drive.oneFile ? jobs.map((job) => [job]) : [jobs]) {
    if (drive.filled) say(`writing ${formatSize(size)}`);
    for (const job of group) if (drive.filled) await job.fill();
    for (let turn = 0; turn < turns; turn++) {
      say(`${options.rw}, ${Math.round((turn / turns) * 100)} %`);
      for (const job of group) await job.run(milliseconds / turns);
    }
    if (verified) say('verifying');
    for (const job of group) if (verified) await job.verify();
  }
  for (const job of jobs) await job.close();
  return jobs.map(({ engine, figures }) => ({ drive: name, size, engine, figures, verified }));
}
