/** A copy of the project in which one thing at a time is broken, built and tested. */
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import asc from 'assemblyscript/asc';
import { compileStepped } from '../engine/stepped-module.mjs';
import { run } from './process-group.mjs';

const FOLDERS = ['assembly', 'src', 'test'];
const FILES = ['package.json', 'asconfig.json', 'tsconfig.json', 'vitest.config.ts'];
const BUILD_LIMIT_MS = 180_000;
const CORE = 'build/core.wasm';
const SHARED = 'build/core.shared.wasm';
const STEPPED = 'build/stepped.wasm';
/** What the modules are made of. */
const MODULE_SOURCES = ['assembly', 'asconfig.json', 'src/spec.ts', 'src/layout.ts'];
/** The tests that use it. */
const STEPS = 'test/engine/steps.test.ts';
/** Something is no longer used: that is what a mutant is for. */
const UNUSED = /error TS(6133|6192|6196|6198):/;

/** Two compilations do not run into one another: the compiler may have state of its own. */
let compiling = Promise.resolve();

function inTurn(compile) {
  const done = compiling.then(compile);
  compiling = done.then(
    () => {},
    () => {},
  );
  return done;
}

const builtName = (file) => file.replace(/^src\//, 'build/').replace(/\.ts$/, '.js');

/** When a file, or the newest in a folder, was written; 0: there is none. */
function writtenAt(path) {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat?.isDirectory()) return stat?.mtimeMs ?? 0;
  return Math.max(0, ...readdirSync(path).map((name) => writtenAt(join(path, name))));
}

/** `sources` with each text replaced, or how often one that must be there once was found. */
function broken(sources, edits) {
  const result = new Map(sources);
  for (const { file, text, replacement } of edits) {
    const parts = result.get(file).split(text);
    if (parts.length !== 2) return { complaint: `its text is found ${parts.length - 1} times` };
    result.set(file, parts.join(replacement));
  }
  return { result };
}

export class Copy {
  #root;
  #path;

  /** Copies what `root` has right now, and builds it: `tests` are those that will be run. */
  static async make(root, tests) {
    const copy = new Copy(root);
    try {
      await copy.#build(tests);
    } catch (error) {
      copy.remove();
      throw error;
    }
    return copy;
  }

  constructor(root) {
    this.#root = root;
    this.#path = mkdtempSync(join(tmpdir(), 'vblk-mutate-'));
    const foreign = join(root, 'test/matrix/node_modules');
    for (const name of [...FOLDERS, ...FILES]) {
      cpSync(join(root, name), join(this.#path, name), {
        recursive: true,
        filter: (path) => path !== foreign,
      });
    }
    symlinkSync(join(root, 'node_modules'), join(this.#path, 'node_modules'));
  }

  remove() {
    rmSync(this.#path, { recursive: true, force: true });
  }

  async #build(tests) {
    mkdirSync(join(this.#path, 'build'));
    if (!this.#takeModules()) {
      const complaint = (await this.#compile('release-shared')) || (await this.#compile('release'));
      if (complaint) throw new Error(complaint);
    }
    if (tests.includes(STEPS)) await this.#compileStepped();
    await this.#buildTypeScript([]); // what is wrong with it, its tests will say
  }

  /** Modules that the checkout has, and that are newer than what they are made of. */
  #takeModules() {
    const at = (name) => join(this.#root, name);
    const modules = [CORE, SHARED];
    const oldest = Math.min(...modules.map((name) => writtenAt(at(name))));
    if (oldest < Math.max(...MODULE_SOURCES.map((name) => writtenAt(at(name))))) return false;
    for (const name of modules) copyFileSync(at(name), join(this.#path, name));
    return true;
  }

  /**
   * Runs the tests in `files` whose title `filter` finds. Exit code null: they did not end. `ran`:
   * how many there were. `took`: ms of each file.
   */
  async runTests(files, filter, limit) {
    const vitest = join(this.#root, 'node_modules/vitest/vitest.mjs');
    const only = filter === undefined ? [] : ['-t', filter];
    const report = join(this.#path, 'report.json');
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
    const args = [vitest, 'run', '--bail=1', ...reporters, ...files, ...only];
    rmSync(report, { force: true });
    const { code, output } = await run(process.execPath, args, {
      cwd: this.#path,
      env: { VBLK_NO_BUILD: '1', VBLK_STEPPED_MODULE: join(this.#path, STEPPED) },
      limit,
    });
    return { code, output, ...this.#figures(report) };
  }

  #figures(report) {
    if (!existsSync(report)) return { ran: 0, took: new Map() };
    const { numPassedTests, numFailedTests, testResults } = JSON.parse(
      readFileSync(report, 'utf8'),
    );
    const ms = ({ startTime, endTime }) => endTime - startTime;
    const took = new Map(testResults.map((one) => [relative(this.#path, one.name), ms(one)]));
    return { ran: numPassedTests + numFailedTests, took };
  }

  /** Breaks, builds, tests and mends. `dead`: a test noticed. */
  async tryMutant({ edits, tests, filter }, limit) {
    const files = [...new Set(edits.map(({ file }) => file))];
    const originals = this.#read(files);
    const { result, complaint } = broken(originals, edits);
    if (complaint) return { dead: false, verdict: complaint };
    const assembly = files[0].startsWith('assembly/');
    const stepped = tests.includes(STEPS) ? [STEPPED] : [];
    const made = this.#read(assembly ? [CORE, ...stepped] : files.map(builtName));
    try {
      this.#write(result);
      const wrong = assembly ? await this.#buildModules(tests) : await this.#buildTypeScript(files);
      if (wrong) return { dead: false, verdict: `does not compile: ${wrong}` };
      const { code, ran } = await this.runTests(tests, filter, limit);
      if (code === null) return { dead: true, verdict: 'hung' };
      if (code === 0) return { dead: false, verdict: ran === 0 ? 'no test was run' : 'survived' };
      return { dead: true, verdict: ran === 0 ? 'crashed' : 'killed' };
    } finally {
      this.#write(originals);
      // tsc will see that a source is another again: what it made may be put back at once.
      this.#write(made);
    }
  }

  #read(names) {
    const encoding = (name) => (name.endsWith('.wasm') ? null : 'utf8');
    return new Map(
      names.map((name) => [name, readFileSync(join(this.#path, name), encoding(name))]),
    );
  }

  #write(contents) {
    for (const [name, content] of contents) writeFileSync(join(this.#path, name), content);
  }

  /**
   * The module for unshared memory, as the release has it, and the one that shows its steps: the
   * table's filters name tests of these two. Compiled in this process, where the compiler is warm;
   * of the two, what `tests` need.
   */
  async #buildModules(tests) {
    const onlySteps = tests.every((name) => name === STEPS);
    const complaint = onlySteps ? '' : await this.#compile('release');
    if (complaint || !tests.includes(STEPS)) return complaint;
    try {
      await this.#compileStepped();
      return '';
    } catch (error) {
      return error.message;
    }
  }

  async #compileStepped() {
    const binary = await inTurn(() => compileStepped(this.#path));
    writeFileSync(join(this.#path, STEPPED), binary);
  }

  async #compile(target) {
    const args = ['assembly/index.ts', '--target', target, '--baseDir', this.#path];
    const { error, stderr } = await inTurn(() => asc.main(args));
    return error ? `${error.message} ${stderr}` : '';
  }

  /** tsc writes its output even where types are wrong. Returns what is wrong with `files`. */
  async #buildTypeScript(files) {
    const tsc = join(this.#root, 'node_modules/typescript/bin/tsc');
    const { code, output } = await run(
      process.execPath,
      [tsc, '-p', 'tsconfig.json', '--pretty', 'false'],
      { cwd: this.#path, limit: BUILD_LIMIT_MS },
    );
    if (code === null) return 'tsc did not end';
    const lines = output.split('\n').filter((line) => files.some((file) => line.startsWith(file)));
    return lines.filter((line) => !UNUSED.test(line)).join('\n');
  }
}
