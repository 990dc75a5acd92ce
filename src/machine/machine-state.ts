/**
 * What of a machine is saved and loaded: handlers, each with a section of its own. A load reads and
 * checks all sections first; only then is anything changed. Main thread.
 */

import { StateError } from './state-error.ts';
import { readState, type StateSection, writeState } from './state-format.ts';
import { StateReader } from './state-reader.ts';
import { StateWriter } from './state-writer.ts';

/** Puts what was read in place. A promise is waited for. */
export type ApplyState = () => void | Promise<void>;

/** What a device or disk does about its section. */
export interface StateHandler {
  /** Of the format that `save` writes; `load` knows all from 1 on. */
  readonly version: number;
  /** Nothing is in flight. Throws a StateError, EBUSY, if something is. */
  save(writer: StateWriter): void | Promise<void>;
  /**
   * Reads and checks all of the section, and changes nothing; returns what does. Throws a
   * StateError. What guest memory says is for the returned function to check.
   */
  load(reader: StateReader, version: number): ApplyState;
  /**
   * Leaves guest memory alone until what is returned is called: for who saves that memory, too.
   * Absent: with nothing in flight it does so anyway.
   */
  hold?(): () => void;
}

export class MachineState {
  readonly #handlers = new Map<string, StateHandler>();

  /** Names a section. Throws an Error for an id that is taken. Returns what removes it. */
  add(id: string, handler: StateHandler): () => void {
    if (this.#handlers.has(id)) throw new Error(`a section '${id}' is saved already`);
    this.#handlers.set(id, handler);
    return () => {
      if (this.#handlers.get(id) === handler) this.#handlers.delete(id);
    };
  }

  get size(): number {
    return this.#handlers.size;
  }

  /** Has all that is saved leave guest memory alone until what is returned is called. */
  hold(): () => void {
    const releases = [...this.#handlers.values()].map((handler) => handler.hold?.());
    return () => {
      for (const release of releases) release?.();
    };
  }

  /** Sections in the order in which they were added. A promise only if a handler returns one. */
  save(): Uint8Array | Promise<Uint8Array> {
    const later: Promise<void>[] = [];
    const parts = [...this.#handlers].map(([id, handler]) => {
      const writer = new StateWriter();
      const saved = handler.save(writer);
      if (saved) {
        saved.catch(() => {}); // another section may be refused first
        later.push(saved);
      }
      return { id, version: handler.version, writer };
    });
    const finish = (): Uint8Array =>
      writeState(parts.map(({ id, version, writer }) => ({ id, version, bytes: writer.bytes })));
    return later.length > 0 ? Promise.all(later).then(finish) : finish();
  }

  /**
   * Checks a state, and returns what puts it in place, one section after the other, with a promise
   * only if one needs it. Throws a StateError for sections that are missing, unknown or newer, and
   * what handlers throw; then nothing has changed.
   */
  load(bytes: Uint8Array): ApplyState {
    const sections = new Map(readState(bytes).map((section) => [section.id, section]));
    for (const id of sections.keys()) {
      if (!this.#handlers.has(id)) {
        const message = 'this machine has nothing of that name';
        throw new StateError('EMISMATCH', message, { section: id });
      }
    }
    const steps = [...this.#handlers].map(([id, handler]) => check(id, handler, sections.get(id)));
    return () => inOrder(steps);
  }
}

function check(id: string, handler: StateHandler, section: StateSection | undefined): ApplyState {
  if (!section) {
    throw new StateError('EMISMATCH', 'the state has nothing of that name', { section: id });
  }
  const { version, bytes } = section;
  if (version < 1 || version > handler.version) {
    const message = `version ${version} is not known here, the newest is ${handler.version}`;
    throw new StateError('EVERSION', message, { section: id });
  }
  const reader = new StateReader(bytes, id);
  const apply = handler.load(reader, version);
  reader.end();
  return apply;
}

function inOrder(steps: readonly ApplyState[]): void | Promise<void> {
  for (let i = 0; i < steps.length; i++) {
    const later = steps[i]!();
    if (later) return later.then(() => inOrder(steps.slice(i + 1)));
  }
}
