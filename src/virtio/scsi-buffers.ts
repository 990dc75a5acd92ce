/** The data buffers of one popped command as SCSI sees them. Home thread of the queue. */

import { SegmentVector } from '../block/io-vector.ts';
import type { ScsiBuffers } from '../scsi/request.ts';
import type { ScsiRecords } from './scsi-records.ts';

/** One serves all copies: they are done when the call returns. */
const pieces = new SegmentVector();

export class ChainBuffers implements ScsiBuffers {
  readonly #records: ScsiRecords;
  readonly #head: number;
  outBytes = 0;
  inBytes = 0;

  constructor(records: ScsiRecords, head: number) {
    this.#records = records;
    this.#head = head;
  }

  /** Another command has been popped at this head. */
  begin(): this {
    this.outBytes = this.#records.outBytes(this.#head);
    this.inBytes = this.#records.inBytes(this.#head);
    return this;
  }

  copyOut(at: number, into: Uint8Array): number {
    const length = Math.min(into.length, this.outBytes - at);
    if (length <= 0) return 0;
    this.appendOut(pieces, at, length);
    let done = 0;
    for (let i = 0; i < pieces.count; i++) {
      const start = pieces.starts[i]!;
      into.set(pieces.bytes.subarray(start, start + pieces.lengths[i]!), done);
      done += pieces.lengths[i]!;
    }
    return length;
  }

  copyIn(at: number, bytes: Uint8Array): number {
    const length = Math.min(bytes.length, this.inBytes - at);
    if (length <= 0) return 0;
    this.appendIn(pieces, at, length);
    let done = 0;
    for (let i = 0; i < pieces.count; i++) {
      const part = pieces.lengths[i]!;
      pieces.bytes.set(bytes.subarray(done, done + part), pieces.starts[i]!);
      done += part;
    }
    return length;
  }

  appendOut(vector: SegmentVector, at: number, length: number): void {
    this.#records.revalidate();
    this.#records.data(vector, this.#head, true, at, length);
  }

  appendIn(vector: SegmentVector, at: number, length: number): void {
    this.#records.revalidate();
    this.#records.data(vector, this.#head, false, at, length);
  }
}
