/** A driver that does what a test tells it, and remembers what it was asked. */

import {
  type BlockDriver,
  type BlockOp,
  type BlockRequest,
  OP_READ,
  OP_WRITE,
  PENDING,
  type Settles,
} from '#src/block/driver';

export interface Asked {
  op: BlockOp;
  offset: number;
  length: number;
  flags: number;
  /** Bytes that were to be written. */
  data: number[];
  request: BlockRequest;
}

/** Answers a request: a result, or PENDING and the test calls `settle` later. */
export type Answer = (request: BlockRequest) => number;

export class ScriptDriver implements BlockDriver {
  readonly driver = 'script';
  readonly settles: Settles;
  readonly threads = 'one';
  readonly clusterDisk = 0;
  size: number;
  readOnly = false;
  alignment = 1;
  fua = true;
  closed = false;
  readonly asked: Asked[] = [];
  answer: Answer;

  constructor(settles: Settles = 'inline', answer?: Answer, size = 65_536) {
    this.settles = settles;
    this.size = size;
    this.answer = answer ?? (settles === 'inline' ? success : () => PENDING);
  }

  /** Requests that were answered with PENDING and not settled. */
  readonly pending: BlockRequest[] = [];

  submit(request: BlockRequest): number {
    const { op, offset, length, flags } = request;
    const data = op === OP_WRITE ? dataOf(request) : [];
    this.asked.push({ op, offset, length, flags, data, request });
    const result = this.answer(request);
    if (result === PENDING) this.pending.push(request);
    return result;
  }

  /** Settles the oldest pending request, by default with success. */
  settle(result?: number): void {
    const request = this.pending.shift();
    if (!request) throw new Error('nothing is pending');
    request.settle(result ?? success(request));
  }

  truncate(size: number): number {
    this.size = size;
    return 0;
  }

  close(): void {
    this.closed = true;
  }
}

/** All of the request done. */
export function success(request: BlockRequest): number {
  return request.op === OP_READ || request.op === OP_WRITE ? request.length : 0;
}

/** Fills a read's buffers with bytes that count up from `first`. */
export function fillRead(request: BlockRequest, first: number, length = request.length): void {
  const { bytes, count, starts, lengths } = request.vector;
  let done = 0;
  for (let i = 0; i < count && done < length; i++) {
    for (let j = 0; j < (lengths[i] as number) && done < length; j++, done++) {
      bytes[(starts[i] as number) + j] = (first + done) & 0xff;
    }
  }
}

function dataOf(request: BlockRequest): number[] {
  const { bytes, count, starts, lengths } = request.vector;
  return Array.from({ length: count }, (_, i) => i).flatMap((i) => {
    const start = starts[i] as number;
    return [...bytes.subarray(start, start + (lengths[i] as number))];
  });
}
