/**
 * Makes functions interruptible: each call of `step` becomes a `yield`, each function that reaches
 * one a generator, and each call of such a function a `yield*`. Works on one module without
 * imports, and refuses what it does not understand rather than leave a step out.
 */

import { parseAst } from 'rolldown/parseAst';

interface Node {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [key: string]: unknown;
}

/** A function, with the names that it calls outside of functions within it. */
interface Body {
  readonly node: Node;
  readonly parent: Node;
  calls: { readonly name: string; readonly node: Node }[];
  /** The function that it is in, and what it declares for itself; of the module, nothing. */
  readonly outer?: Body;
  readonly locals: Set<string>;
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'type' in value;
}

function childrenOf(node: Node): Node[] {
  return Object.values(node).flat().filter(isNode);
}

const FUNCTIONS = new Set([
  'FunctionDeclaration',
  'FunctionExpression',
  'ArrowFunctionExpression',
  'Program',
]);

/** The name of an identifier or of what declares one. */
function nameOf(value: unknown): string | undefined {
  return isNode(value) && value.type === 'Identifier' ? (value['name'] as string) : undefined;
}

class Module {
  readonly bodies: Body[] = [];
  /** Identifiers that are neither called nor declared here, and where they stand. */
  readonly values: { readonly name: string; readonly parent: Node; readonly body: Body }[] = [];

  constructor(code: string) {
    const program = parseAst(code) as unknown as Node;
    const body: Body = { node: program, parent: program, calls: [], locals: new Set() };
    this.bodies.push(body);
    for (const child of childrenOf(program)) this.#visit(child, program, body);
    for (const one of this.bodies) one.calls = one.calls.filter(({ name }) => !isLocal(name, one));
  }

  #visit(node: Node, parent: Node, body: Body): void {
    if (node.type === 'CallExpression') {
      const name = nameOf(node['callee']);
      if (name !== undefined) body.calls.push({ name, node });
    }
    const name = nameOf(node);
    const called = parent.type === 'CallExpression' && parent['callee'] === node;
    const declared = FUNCTIONS.has(parent.type) && parent['id'] === node;
    const label = parent['key'] === node || parent['property'] === node;
    if (name !== undefined && !called && !declared && !label)
      this.values.push({ name, parent, body });
    if (node.type === 'VariableDeclarator' && body.outer) declare(node['id'], body);
    let inside = body;
    if (FUNCTIONS.has(node.type)) {
      inside = { node, parent, calls: [], outer: body, locals: new Set() };
      this.bodies.push(inside);
      for (const param of node['params'] as unknown[]) declare(param, inside);
    }
    for (const child of childrenOf(node)) this.#visit(child, node, inside);
  }
}

/** All names of a pattern are the body's own. */
function declare(pattern: unknown, body: Body): void {
  if (!isNode(pattern)) return;
  const name = nameOf(pattern);
  if (name !== undefined) body.locals.add(name);
  for (const child of childrenOf(pattern)) declare(child, body);
}

/** Does the name mean something else than in the module? */
function isLocal(name: string, body: Body | undefined): boolean {
  return body !== undefined && (body.locals.has(name) || isLocal(name, body.outer));
}

/** The name by which a body can be called from elsewhere in the module. */
function declaredName({ node }: Body): string | undefined {
  return node.type === 'FunctionDeclaration' ? nameOf(node['id']) : undefined;
}

function isMethodArrow({ node, parent }: Body): boolean {
  return node.type === 'ArrowFunctionExpression' && parent.type === 'Property';
}

class Edits {
  readonly #inserts: { readonly at: number; readonly skip: number; readonly text: string }[] = [];

  replace(start: number, end: number, text: string): void {
    this.#inserts.push({ at: start, skip: end - start, text });
  }

  insert(at: number, text: string): void {
    this.replace(at, at, text);
  }

  apply(code: string): string {
    let [done, from] = ['', 0];
    for (const { at, skip, text } of this.#inserts.toSorted((a, b) => a.at - b.at)) {
      done += code.slice(from, at) + text;
      from = at + skip;
    }
    return done + code.slice(from);
  }
}

/** `key: (a, b) => f(a, b)` as `key: function* (a, b) { return (f(a, b)) }`. */
function arrowToGenerator(edits: Edits, code: string, node: Node): void {
  const body = node['body'] as Node;
  const arrow = code.lastIndexOf('=>', body.start);
  edits.insert(node.start, 'function* ');
  if (body.type === 'BlockStatement') {
    edits.replace(arrow, arrow + 2, '');
    return;
  }
  edits.replace(arrow, arrow + 2, '{ return (');
  edits.insert(node.end, ') }');
}

/** The module with every function that calls `step` made a generator. */
export function toGenerators(code: string, step: string): string {
  const { bodies, values } = new Module(code);
  const stopping = new Set([step]);
  for (let size = 0; size !== stopping.size; ) {
    size = stopping.size;
    for (const body of bodies) {
      const name = declaredName(body);
      if (name !== undefined && body.calls.some((call) => stopping.has(call.name))) {
        stopping.add(name);
      }
    }
  }
  const loose = values.find(({ name, parent, body }) => {
    return stopping.has(name) && !isLocal(name, body) && !parent.type.startsWith('Export');
  });
  if (loose) throw new Error(`${loose.name} is passed on, and may be called without a yield`);
  const edits = new Edits();
  for (const body of bodies) {
    const stops = body.calls.filter((call) => stopping.has(call.name));
    if (stops.length === 0) continue;
    for (const { name, node } of stops) {
      edits.insert(node.start, name === step ? '(yield ' : '(yield* ');
      edits.insert(node.end, ')');
    }
    if (isMethodArrow(body)) arrowToGenerator(edits, code, body.node);
    else if (declaredName(body) !== undefined) edits.insert(body.node.start + 8, '*');
    else throw new Error(`${stops[0]?.name} is called where it cannot yield`);
  }
  return edits.apply(code);
}
