/** The disk of the benches: blocks of 4 KiB, each filled with bytes of its own. */
export const BLOCK = 4096;

export const blockOf = (block) => new Uint8Array(BLOCK).fill((block * 7 + 1) & 0xff);

/** The order in which blocks are read: the same for every contestant. */
export function randomBlocks(count, blocks) {
  let state = 0x2545f491;
  return Uint32Array.from({ length: count }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % blocks;
  });
}
