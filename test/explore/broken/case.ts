import type { SourceEdit } from '../source-edit.ts';
import type { Program } from '../world.ts';

/** A protocol with one step broken on purpose, and how the exploration shows it. */
export interface BrokenCase {
  /** What is wrong; the name of the model's variant first, if it has one. */
  readonly name: string;
  /** The program that must fail; itself broken, where the step is JavaScript's. */
  readonly program: Program;
  /** What to break in assembly/, and in src/engine/js/. Neither: the program is broken. */
  readonly wasm?: readonly SourceEdit[];
  readonly js?: readonly SourceEdit[];
  /** What is seen. */
  readonly fails: RegExp;
}

/** Lines of a text, or a text. */
type Text = string | readonly string[];

const join = (text: Text): string => (typeof text === 'string' ? text : text.join('\n'));

const edit = (folder: string) => (file: string, text: Text, replacement: Text) => ({
  file: `${folder}/${file}.ts`,
  text: join(text),
  replacement: join(replacement),
});

export const wasm = edit('assembly');
export const js = edit('src/engine/js');
