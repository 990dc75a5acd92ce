/** The Worker of these tests' thread pools: operations that wait, count, fail and die. */
import { registerWork } from '#src/adapter/pool-entry';

/** Counts itself in at `address`, waits until the word behind it is not 0, counts itself out. */
registerWork(100, (core, { address, offset }) => {
  const { i32 } = core;
  const inside = Atomics.add(i32, address >>> 2, 1) + 1;
  Atomics.notify(i32, address >>> 2);
  for (let most = 0; most < inside; ) {
    most = Atomics.load(i32, (address >>> 2) + 2);
    if (most < inside) Atomics.compareExchange(i32, (address >>> 2) + 2, most, inside);
  }
  Atomics.wait(i32, (address >>> 2) + 1, 0);
  Atomics.sub(i32, address >>> 2, 1);
  return offset;
});
registerWork(101, (_, { offset, length, file, flags }) => offset + length + file + flags);
registerWork(102, () => {
  throw new Error('this operation throws');
});
registerWork(103, () => process.exit(1));
