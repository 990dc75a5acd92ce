/** A protocol step, broken. */
export interface Mutant {
  name: string;
  file: string;
  text: string;
  replacement: string;
  tests: string[];
  titles: string[];
  filter: string;
}
export interface ProtocolStep {
  name: string;
  wasm?: [file: string, text: string, replacement: string];
  js?: [file: string, text: string, replacement: string];
  /** Why only one engine has it. */
  only?: string;
}
export const steps: ProtocolStep[];
export const mutants: Mutant[];
