/** Most buffers of one chain that a GuestChain holds. */
const CHAIN_MAX = 1100;

/**
 * The buffers of one request, in the order in which they are chained: first those that the device
 * reads, then those that it writes (VIRTIO 1.3, 2.7.4.2). Cleared and filled again for each
 * request, so that nothing is allocated.
 */
export class GuestChain {
  readonly addresses = new Float64Array(CHAIN_MAX);
  readonly lengths = new Float64Array(CHAIN_MAX);
  /** Buffers in all. */
  count = 0;
  /** How many of them, the first ones, the device reads. */
  readable = 0;

  clear(): this {
    this.count = 0;
    this.readable = 0;
    return this;
  }

  /** Appends a device-readable buffer; guest address and length in bytes. Before any `in`. */
  out(address: number, length: number): this {
    this.addresses[this.count] = address;
    this.lengths[this.count++] = length;
    this.readable = this.count;
    return this;
  }

  /** Appends a device-writable buffer. */
  in(address: number, length: number): this {
    this.addresses[this.count] = address;
    this.lengths[this.count++] = length;
    return this;
  }
}
