/**
 * Contestants of `npm run bench`: the engines of this build and, with `--against DIR`, those of
 * another one beside them, in the same cases and the same rounds.
 *
 * The other build is staged: a folder with its package.json and `build`, and with our cases. What
 * they import by name as `vblk` or `#src/...` is the other build's there, in Workers too, and the
 * modules of both builds are strangers to each other.
 */
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const ENGINES = ['wasm', 'js'];
const OURS = new URL('./', import.meta.url);

/** An engine of a build that takes part. */
class Entrant {
  #bench;

  /** `bench`: URL of the folder of the cases; `label`: what marks the build in a name. */
  constructor(engine, label, bench) {
    this.engine = engine;
    this.name = `${engine}${label}`;
    this.#bench = bench;
    const read = (name) => readFileSync(new URL(`../build/${name}`, bench));
    this.modules = { unshared: read('core.wasm'), shared: read('core.shared.wasm') };
  }

  /**
   * An instance of a bench's module for one contestant of one case: its call sites see one engine
   * only, as in a program that has one, and V8 compiles them so.
   */
  own(module, name) {
    return import(new URL(`${basename(fileURLToPath(module))}?${name}/${this.name}`, this.#bench));
  }
}

/** A folder in which our cases find the build of `directory`, a checkout. Throws if it has none. */
function stage(directory) {
  const from = resolve(directory);
  for (const part of ['package.json', 'build/index.js', 'build/core.shared.wasm']) {
    if (!existsSync(join(from, part))) {
      throw new RangeError(`--against: '${directory}' has no ${part}: a checkout that is built`);
    }
  }
  const folder = mkdtempSync(join(tmpdir(), 'vblk-against-'));
  cpSync(join(from, 'package.json'), join(folder, 'package.json'));
  cpSync(fileURLToPath(OURS), join(folder, 'bench'), { recursive: true });
  symlinkSync(join(from, 'build'), join(folder, 'build'));
  symlinkSync(fileURLToPath(new URL('../node_modules', OURS)), join(folder, 'node_modules'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  return pathToFileURL(join(folder, 'bench/'));
}

/** The engines of this build, and those of `against` if there is one. */
export function entrants(against) {
  const ours = ENGINES.map((engine) => new Entrant(engine, '', OURS));
  if (!against) return ours;
  const bench = stage(against);
  return [...ours, ...ENGINES.map((engine) => new Entrant(engine, ', against', bench))];
}

/** With two builds: [name of ours, name of the other's] of each engine; else none. */
export const ratedPairs = (list) =>
  list.slice(ENGINES.length).map((other, i) => [list[i].name, other.name]);
