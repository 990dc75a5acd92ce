import { readFileSync } from 'node:fs';

export interface Block {
  readonly language: string;
  readonly text: string;
  /** Line of the README on which the block begins, from 1. */
  readonly line: number;
}

/** The fenced code blocks of README.md, in order. */
export function readmeBlocks(): Block[] {
  const text = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
  return [...text.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].map((match) => ({
    language: match[1] as string,
    text: match[2] as string,
    line: text.slice(0, match.index).split('\n').length,
  }));
}
