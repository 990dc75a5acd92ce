/** A copy of the project in which one thing at a time is broken, built and tested. */
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import asc from 'assemblyscript/asc';
import { compileStepped } from '../engine/stepped-module.mjs';
import { run } from './process-group.mjs';

const FOLDERS = ['assembly', 'src', 'test'];
const FILES = ['package.json', 'asconfig.json', 'tsconfig.json', 'vitest.config.ts'];
const BUILD_LIMIT_MS = 180_000;
const CORE = 'build/core.wasm';
const STEPPED = 'build/stepped.wasm';
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

export class Copy {
  #root;
  #path;

  /** Copies what `root` has right now, and builds it. */
  static async make(root) {
    const copy = new Copy(root);
    try {
      await copy.#build();
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

  async #build() {
    const shared = await this.#compile('release-shared');
    const complaint = shared || (await this.#buildModules());
    if (complaint) throw new Error(complaint);
    await this.#buildTypeScript(''); // what is wrong with it, its tests will say
  }

  /** Runs the tests in `files` whose title `filter` finds. Exit code null: they did not end. */
  async runTests(files, filter, limit) {
    const vitest = join(this.#root, 'node_modules/vitest/vitest.mjs');
    const only = filter === undefined ? [] : ['-t', filter];
    return await run(process.execPath, [vitest, 'run', '--bail=1', ...files, ...only], {
      cwd: this.#path,
      env: { VBLK_NO_BUILD: '1', VBLK_STEPPED_MODULE: join(this.#path, STEPPED) },
      limit,
    });
  }

  /** Breaks, builds, tests and mends. `dead`: a test noticed. */
  async tryMutant({ file, text, replacement, tests, filter }, limit) {
    const path = join(this.#path, file);
    const original = readFileSync(path, 'utf8');
    const parts = original.split(text);
    if (parts.length !== 2) {
      return { dead: false, verdict: `its text is found ${parts.length - 1} times` };
    }
    writeFileSync(path, parts.join(replacement));
    const assembly = file.startsWith('assembly/');
    const products = assembly ? [CORE, STEPPED] : [builtName(file)];
    const made = products
      .map((name) => join(this.#path, name))
      .map((name) => [name, readFileSync(name)]);
    try {
      const complaint = assembly
        ? await this.#buildModules(tests)
        : await this.#buildTypeScript(file);
      if (complaint) return { dead: false, verdict: `does not compile: ${complaint}` };
      const { code } = await this.runTests(tests, filter, limit);
      if (code === 0) return { dead: false, verdict: 'survived' };
      return { dead: true, verdict: code === null ? 'hung' : 'killed' };
    } finally {
      writeFileSync(path, original);
      // tsc will see that a source is another again: what it made may be put back at once.
      for (const [name, contents] of made) writeFileSync(name, contents);
    }
  }

  /**
   * The module for unshared memory, as the release has it, and the one that shows its steps: the
   * table's filters name tests of these two. Compiled in this process, where the compiler is warm;
   * of the two, what `tests` need.
   */
  async #buildModules(tests) {
    const onlySteps = tests?.every((name) => name === STEPS);
    const complaint = onlySteps ? '' : await this.#compile('release');
    if (!complaint && (!tests || tests.includes(STEPS))) {
      try {
        const binary = await inTurn(() => compileStepped(this.#path));
        writeFileSync(join(this.#path, STEPPED), binary);
      } catch (error) {
        return error.message;
      }
    }
    return complaint;
  }

  async #compile(target) {
    const args = ['assembly/index.ts', '--target', target, '--baseDir', this.#path];
    const { error, stderr } = await inTurn(() => asc.main(args));
    return error ? `${error.message} ${stderr}` : '';
  }

  /** tsc writes its output even where types are wrong. Returns what is wrong with `file`. */
  async #buildTypeScript(file) {
    const tsc = join(this.#root, 'node_modules/typescript/bin/tsc');
    const { code, output } = await run(
      process.execPath,
      [tsc, '-p', 'tsconfig.json', '--pretty', 'false'],
      { cwd: this.#path, limit: BUILD_LIMIT_MS },
    );
    if (code === null) return 'tsc did not end';
    const complaints = output.split('\n').filter((line) => line.startsWith(file));
    return complaints.filter((line) => !UNUSED.test(line)).join('\n');
  }
}
