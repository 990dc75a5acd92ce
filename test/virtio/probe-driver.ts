/** A disk that keeps its bytes in an array, writes down each call, and settles when it is told to. */

import {
  type BlockDriver,
  type BlockRequest,
  type DriverSpec,
  OP_DISCARD,
  OP_FLUSH,
  OP_READ,
  OP_WRITE,
  OP_WRITE_ZEROES,
  PENDING,
  type Settles,
} from '#src/block/driver';
import { registerDriver } from '#src/block/registry';

export interface Call {
  readonly op: 'read' | 'write' | 'flush' | 'discard' | 'zero';
  readonly offset: number;
  readonly length: number;
  readonly flags: number;
  readonly segments: number;
}

const NAMES = {
  [OP_READ]: 'read',
  [OP_WRITE]: 'write',
  [OP_FLUSH]: 'flush',
  [OP_DISCARD]: 'discard',
  [OP_WRITE_ZEROES]: 'zero',
} as const;

const probes: ProbeDriver[] = [];
registerDriver('probe', (_core, options) => probes[options['number'] as number]!);

export class ProbeDriver implements BlockDriver {
  readonly driver = 'probe';
  /** Another core of this thread may have the same object. */
  readonly share: DriverSpec;
  readonly threads = 'one';
  readonly settles: Settles;
  readonly alignment: number;
  readonly clusterDisk = 0;
  readonly fua = true;
  readOnly = false;
  /** Contents of the disk. */
  bytes: Uint8Array;
  readonly calls: Call[] = [];
  /** Answers instead of the disk, unless it returns undefined. */
  answer: (request: BlockRequest) => number | undefined = () => undefined;
  /** Requests that are PENDING, oldest first. */
  readonly held: BlockRequest[] = [];

  constructor(size: number, settles: Settles = 'inline', alignment = 1) {
    this.share = { driver: 'probe', options: { number: probes.push(this) - 1 } };
    this.bytes = new Uint8Array(size);
    this.settles = settles;
    this.alignment = alignment;
  }

  get size(): number {
    return this.bytes.length;
  }

  submit(request: BlockRequest): number {
    const { op, offset, length, flags, vector } = request;
    this.calls.push({ op: NAMES[op], offset, length, flags, segments: vector.count });
    const answer = this.answer(request);
    if (answer !== undefined) return answer;
    if (this.settles === 'inline') return this.#carryOut(request);
    this.held.push(request);
    return PENDING;
  }

  /** Lets held request `index` end: with `result`, or as the disk does it. */
  settle(index = 0, result?: number): void {
    const [request] = this.held.splice(index, 1);
    request!.settle(result ?? this.#carryOut(request!));
  }

  settleAll(): void {
    while (this.held.length > 0) this.settle();
  }

  /** The calls since the last call. */
  take(): Call[] {
    return this.calls.splice(0);
  }

  truncate(size: number): number {
    const longer = new Uint8Array(size);
    longer.set(this.bytes.subarray(0, size));
    this.bytes = longer;
    return 0;
  }

  close(): void {}

  #carryOut({ op, offset, length, vector }: BlockRequest): number {
    if (op === OP_WRITE_ZEROES) this.bytes.fill(0, offset, offset + length);
    if (op !== OP_READ && op !== OP_WRITE) return 0;
    for (let i = 0; i < vector.count; i++) {
      const start = vector.starts[i]!;
      const part = vector.bytes.subarray(start, start + vector.lengths[i]!);
      if (op === OP_WRITE) this.bytes.set(part, offset);
      else part.set(this.bytes.subarray(offset, offset + part.length));
      offset += part.length;
    }
    return length;
  }
}
