/**
 * Machine code from an assembler listing: the bytes on the left, what they mean on the right.
 *
 * The guest's boot sector and its benchmark are small enough to be written this way, so that
 * nobody needs a compiler or an assembler to run them. A line is `label:`, or bytes and operands
 * followed by `; comment`:
 *
 *     again:
 *       ac                ; lodsb
 *       be text.abs16     ; mov si, text
 *       e2 again.rel8     ; loop again
 *     text:
 *       "ok" 00
 *
 * Operands that name a label: `rel8`, `rel16` and `rel32` count from the end of the operand, as
 * x86 branches do; `abs16` and `abs32` are addresses. All are little-endian.
 */

const OPERAND_BYTES: Record<string, number> = { rel8: 1, rel16: 2, rel32: 4, abs16: 2, abs32: 4 };

interface Fixup {
  readonly line: number;
  readonly at: number;
  readonly label: string;
  readonly kind: string;
}

/**
 * Assembles `listing`, whose first byte will lie at address `origin`. Throws an error that names
 * the line when a token is not understood, a label is unknown or doubled, or a branch is too far.
 */
export function assemble(listing: string, origin: number): Uint8Array<ArrayBuffer> {
  const bytes: number[] = [];
  const labels = new Map<string, number>();
  const fixups: Fixup[] = [];
  for (const [index, text] of listing.split('\n').entries()) {
    for (const token of tokens(text)) {
      addToken(token, index + 1, bytes, labels, fixups);
    }
  }
  const code = Uint8Array.from(bytes);
  for (const fixup of fixups) {
    patch(code, fixup, labels, origin);
  }
  return code;
}

/** The tokens of one line, without its comment. A string may hold blanks and semicolons. */
function tokens(line: string): string[] {
  const found = line.match(/"(?:[^"\\]|\\.)*"|;.*|[^\s;"]+/g) ?? [];
  return found.filter((token) => !token.startsWith(';'));
}

function addToken(
  token: string,
  line: number,
  bytes: number[],
  labels: Map<string, number>,
  fixups: Fixup[],
): void {
  const [label = '', kind = ''] = token.split('.');
  if (token.startsWith('"')) {
    bytes.push(...new TextEncoder().encode(JSON.parse(token)));
  } else if (/^[0-9a-f]{2}$/.test(token)) {
    bytes.push(Number.parseInt(token, 16));
  } else if (/^[a-z]\w*:$/.test(token)) {
    const name = token.slice(0, -1);
    if (labels.has(name)) throw new Error(`line ${line}: label ${name} is defined twice`);
    labels.set(name, bytes.length);
  } else if (OPERAND_BYTES[kind]) {
    fixups.push({ line, at: bytes.length, label, kind });
    for (let n = OPERAND_BYTES[kind]; n > 0; n--) bytes.push(0);
  } else {
    throw new Error(`line ${line}: what is ${token}?`);
  }
}

function patch(code: Uint8Array, fixup: Fixup, labels: Map<string, number>, origin: number): void {
  const target = labels.get(fixup.label);
  if (target === undefined) throw new Error(`line ${fixup.line}: no label ${fixup.label}`);
  const size = OPERAND_BYTES[fixup.kind]!;
  const relative = fixup.kind.startsWith('rel');
  const value = relative ? target - (fixup.at + size) : target + origin;
  if (relative && size === 1 && (value < -128 || value > 127)) {
    throw new Error(`line ${fixup.line}: ${fixup.label} is ${value} bytes away, too far for rel8`);
  }
  for (let n = 0; n < size; n++) code[fixup.at + n] = (value >> (8 * n)) & 0xff;
}
