/** The transform that makes functions interruptible, on small modules. */

import { describe, expect, it } from 'vitest';
import { toGenerators } from './generators.ts';

/** Runs `code`, whose last expression statement is given as `result`; each step yields its name. */
function run(code: string, result: string): { steps: unknown[]; value: unknown } {
  const generators = toGenerators(`${code}\nfunction start() { return ${result}; }`, 'step');
  const start = new Function('step', `${generators}; return start;`)((name: unknown) => name);
  const steps: unknown[] = [];
  const piece = start();
  let next = piece.next();
  for (; !next.done; next = piece.next(`${next.value}'s result`)) steps.push(next.value);
  return { steps, value: next.value };
}

describe('functions made interruptible', () => {
  it('stop at each step and go on with its result', () => {
    const { steps, value } = run('function f(a) { return step(a) + step("two"); }', 'f("one")');
    expect(steps).toEqual(['one', 'two']);
    expect(value).toBe("one's resulttwo's result");
  });

  it('stop in what they call, at any depth, and whatever is called first', () => {
    const code = `
      function outer() { return inner() + "!"; }
      function inner() { return [1, 2].length + innermost(); }
      function innermost() { return step("deep"); }`;
    expect(run(code, 'outer()')).toEqual({ steps: ['deep'], value: "2deep's result!" });
  });

  it('stop in conditions, loops and arguments', () => {
    const code = `
      function f(n) {
        let seen = "";
        for (let i = 0; i < n && step("more" + i); i++) seen += g(step("a"), step("b")).length;
        return seen;
      }
      function g(a, b) { return a === b ? step("never") : a + b; }`;
    const { steps, value } = run(code, 'f(2)');
    expect(steps).toEqual(['more0', 'a', 'b', 'more1', 'a', 'b']);
    expect(value).toBe('2020');
  });

  it('may be arrows in an object', () => {
    const code = `
      const engine = {
        one: (a) => step(a),
        two: (a, b) => { return step(a + b); },
        three: (a) => (step(a), step("last")),
        four: () => 4,
      };`;
    const engine = new Function('step', `${toGenerators(code, 'step')}; return engine;`)(String);
    const given = ['1', '2'];
    expect([...engine.one(...given)]).toEqual(['1']);
    expect([...engine.two(...given)]).toEqual(['12']);
    expect([...engine.three(...given)]).toEqual(['1', 'last']);
    expect(engine.four()).toBe(4);
  });

  it('may have a name that others give to a variable', () => {
    const code = `
      function ended(a) { return step(a); }
      function other(ended) { return ended("plain"); }
      function f() {
        let [ended] = ["of its own"];
        return ended;
      }`;
    const result = 'f() + other((a) => a) + ended("a")';
    expect(run(code, result)).toEqual({ steps: ['a'], value: "of its ownplaina's result" });
  });

  it('stay as they are without a step', () => {
    const code = 'function plain(a) {\n  return a + 1;\n}';
    expect(toGenerators(code, 'step')).toBe(code);
  });

  it.each([
    ['a value that is passed on', 'function f() { return step("a"); } const g = f;'],
    ['an argument', 'function f() { return step("a"); } [1].map(f);'],
    ['a callback', 'function f() { return [1].map(() => step("a")); }'],
    ['a method of a class', 'class C { m() { return step("a"); } }'],
    ['the module itself', 'step("a");'],
  ])('are refused where they could not yield: %s', (_, code) => {
    expect(() => toGenerators(code, 'step')).toThrow(/yield/);
  });
});
