/**
 * Errors between threads. Structured cloning keeps an error's message and loses its class, code and
 * fields; so an error travels as plain data and is revived as what it was, if its class is known.
 */

import { CoreError } from '../engine/core.ts';
import { AioError } from './error.ts';

export interface EncodedError {
  readonly name: string;
  readonly message: string;
  readonly stack: string;
  /** Own fields that are strings, numbers or booleans. */
  readonly fields: Readonly<Record<string, unknown>>;
  readonly cause: EncodedError | null;
}

const classes = new Map<string, { readonly prototype: Error }>();

/**
 * Makes errors of this name arrive as instances of `known`, whose fields must be public. For the
 * receiving thread. The name is the instances': minifiers rename classes.
 */
export function registerErrorClass(name: string, known: { readonly prototype: Error }): void {
  classes.set(name, known);
}

registerErrorClass('RangeError', RangeError);
registerErrorClass('TypeError', TypeError);
registerErrorClass('CoreError', CoreError);
registerErrorClass('AioError', AioError);

/** A chain of causes is cut here: somebody may have tied it into a ring. */
const CAUSES_MAX = 8;
const PLAIN = ['string', 'number', 'boolean'];

/** Anything thrown, as plain data. */
export function encodeError(thrown: unknown, depth = 0): EncodedError {
  if (typeof thrown !== 'object' || thrown === null) {
    return { name: 'Error', message: String(thrown), stack: '', fields: {}, cause: null };
  }
  const { name, message, stack, cause } = thrown as Error;
  const fields = Object.entries(thrown).filter(([, value]) => PLAIN.includes(typeof value));
  return {
    name: String(name),
    message: String(message),
    stack: String(stack ?? ''),
    fields: Object.fromEntries(fields),
    cause: cause === undefined || depth === CAUSES_MAX ? null : encodeError(cause, depth + 1),
  };
}

/** The error again; of class Error, with its name, if its class is not known here. */
export function reviveError(encoded: EncodedError): Error {
  const cause = encoded.cause === null ? undefined : { cause: reviveError(encoded.cause) };
  const error = new Error(encoded.message, cause);
  const known = classes.get(encoded.name);
  if (known) Object.setPrototypeOf(error, known.prototype);
  Object.assign(error, encoded.fields);
  if (error.name !== encoded.name) error.name = encoded.name;
  Object.defineProperty(error, 'stack', { value: encoded.stack, configurable: true });
  return error;
}
