/**
 * What contestants without a device are made of, in WebAssembly, so that they are as fast as the
 * machine allows: a copy, and one half of a spinning ping-pong.
 */
import binaryen from 'binaryen';

const TEXT = `(module
  (import "env" "memory" (memory 1 65536 shared))
  (func (export "copy") (param $to i32) (param $from i32) (param $bytes i32)
    (memory.copy (local.get $to) (local.get $from) (local.get $bytes)))
  ;; Waits until the word at $at is $turn, then counts it up; and again $count times, two on.
  (func (export "pong") (param $at i32) (param $turn i32) (param $count i32)
    (loop $next
      (loop $look
        (br_if $look (i32.ne (i32.atomic.load (local.get $at)) (local.get $turn))))
      (i32.atomic.store (local.get $at) (i32.add (local.get $turn) (i32.const 1)))
      (local.set $turn (i32.add (local.get $turn) (i32.const 2)))
      (br_if $next (local.tee $count (i32.sub (local.get $count) (i32.const 1)))))))`;

let compiled = null;

/** The module; it can be posted to Workers. */
export function bareModule() {
  if (compiled) return compiled;
  const module = binaryen.parseText(TEXT);
  module.setFeatures(binaryen.Features.Atomics | binaryen.Features.BulkMemory);
  compiled = new WebAssembly.Module(module.emitBinary());
  module.dispose();
  return compiled;
}
