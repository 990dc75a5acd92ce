/** A text of a source file, replaced: something broken on purpose. */

export interface SourceEdit {
  /** From the project's folder: `assembly/aio.ts`. */
  readonly file: string;
  /** Found in the file exactly once. */
  readonly text: string;
  readonly replacement: string;
}

/** The contents of `file` with the edits that belong to it. */
export function applyEdits(file: string, contents: string, edits: readonly SourceEdit[]): string {
  let edited = contents;
  for (const edit of edits) {
    if (edit.file !== file) continue;
    const parts = edited.split(edit.text);
    if (parts.length !== 2) {
      throw new Error(`${file}: ${parts.length - 1} times instead of once: ${edit.text}`);
    }
    edited = parts.join(edit.replacement);
  }
  return edited;
}
