/** What is replaced in a file, where it is found exactly once. */
export interface Edit {
  file: string;
  text: string;
  replacement: string;
}
/** A protocol step, broken. */
export interface Mutant {
  name: string;
  edits: Edit[];
  tests: string[];
  titles: string[];
  filter: string;
}
type Place = [file: string, text: string, replacement: string];
/** A step of the engines. */
export interface ProtocolStep {
  name: string;
  wasm?: Place;
  js?: Place;
  /** Why only one engine has it. */
  only?: string;
}
/** A step of what is TypeScript alone. */
export interface RoomStep {
  name: string;
  breaks: Place | Place[];
  noticed: Record<string, string | string[]>;
}
export const steps: ProtocolStep[];
export const roomSteps: RoomStep[];
export const mutants: Mutant[];
