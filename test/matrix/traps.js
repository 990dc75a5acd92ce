/**
 * What a request handler at the edge may not do, made visible. Imported first, before the library
 * is evaluated, so that the library cannot keep an untrapped reference.
 *
 * Compiling, sleeping and starting threads throw here: isolates refuse them, and workerd kills a
 * request that awaits `Atomics.waitAsync`. Timers and channels are passed on and counted. Clocks
 * stand still, as workerd's do inside a request: an answer that comes all the same needs no clock.
 */

/** Names of refused calls, in order. Empty after a good request. */
export const refused = [];
/** How often each counted call was made, by name; `Instance` counts instances of the module. */
export const counted = {};

/** A module of another realm fails `instanceof`, so the brand decides. */
function isModule(value) {
  return Object.prototype.toString.call(value) === '[object WebAssembly.Module]';
}

function refuse(name) {
  refused.push(name);
  throw new Error(`${name} is refused at the edge`);
}

function count(name) {
  counted[name] = (counted[name] ?? 0) + 1;
}

/** Replaces `owner[key]` where it exists. A Proxy, so that `instanceof` and statics still hold. */
function trap(owner, key, name, before) {
  const original = owner[key];
  if (typeof original !== 'function') return;
  owner[key] = new Proxy(original, {
    apply(target, self, args) {
      before(name, args);
      // A bare `setTimeout()` has no receiver, and workerd's wants the global object.
      return Reflect.apply(target, self ?? globalThis, args);
    },
    construct(target, args, newTarget) {
      before(name, args);
      return Reflect.construct(target, args, newTarget);
    },
  });
}

for (const key of ['compile', 'compileStreaming', 'instantiateStreaming', 'Module']) {
  trap(WebAssembly, key, `WebAssembly.${key}`, refuse);
}
trap(WebAssembly, 'instantiate', 'WebAssembly.instantiate', (name, [source]) => {
  if (!isModule(source)) refuse(`${name} from bytes`);
  count('Instance');
});
trap(WebAssembly, 'Instance', 'Instance', count);

for (const key of ['wait', 'waitAsync']) trap(Atomics, key, `Atomics.${key}`, refuse);
for (const key of ['Worker', 'SharedWorker']) trap(globalThis, key, key, refuse);
for (const key of ['setTimeout', 'setInterval', 'setImmediate', 'MessageChannel']) {
  trap(globalThis, key, key, count);
}

const frozen = Date.now();
Date.now = () => frozen;
globalThis.performance = { now: () => 0, timeOrigin: frozen };
