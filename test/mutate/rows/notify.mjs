/** Who must be told: interrupts and kicks (VQ-7 to VQ-10). */
const WASM_EVENT = '((used - event - 1) & 0xffff) < ((used - old) & 0xffff)';
const USED_EVENT = 'VQ-7 used_event against the definition';
const NOTIFICATION = 'queueSetNotification';

export const notify = [
  {
    name: 'notify/signalled_used not moved',
    suite: 'VQ-7 signalled_used moves on every push',
    wasm: ['notify', 'store<u32>(queue, used, QUEUE_SIGNALLED_USED);', ''],
    js: ['split', 'u32[q + (QUEUE_SIGNALLED_USED >>> 2)] = used;', ''],
  },
  {
    name: 'historic bug 24/signalled_used moved only by an interrupt',
    suite: 'VQ-7 historic bug 24 an event that is never reached stays quiet',
    wasm: [
      'notify',
      'store<u32>(queue, used, QUEUE_SIGNALLED_USED);',
      'if (!valid) store<u32>(queue, used, QUEUE_SIGNALLED_USED);',
    ],
    js: [
      'split',
      'u32[q + (QUEUE_SIGNALLED_USED >>> 2)] = used;',
      'if (!valid) u32[q + (QUEUE_SIGNALLED_USED >>> 2)] = used;',
    ],
  },
  {
    name: 'notify/signalled_used not believed valid',
    suite: 'VQ-7 the first completion after a reset',
    wasm: ['notify', 'store<u32>(queue, 1, QUEUE_SIGNALLED_VALID);', ''],
    js: ['split', 'u32[q + (QUEUE_SIGNALLED_VALID >>> 2)] = 1;', ''],
  },
  {
    name: 'notify/signalled_used believed when not valid',
    suite: 'VQ-7 the first completion after a reset',
    wasm: ['notify', 'if (!valid) return true;', ''],
    js: ['split', 'if (!valid) return true;', ''],
  },
  {
    name: 'notify/used_event one too early',
    suite: USED_EVENT,
    wasm: ['notify', WASM_EVENT, '((used - event) & 0xffff) < ((used - old) & 0xffff)'],
    js: ['split', WASM_EVENT, '((used - event) & 0xffff) < ((used - old) & 0xffff)'],
  },
  {
    name: 'notify/used_event one too late',
    suite: USED_EVENT,
    wasm: ['notify', WASM_EVENT, '((used - event - 1) & 0xffff) <= ((used - old) & 0xffff)'],
    js: ['split', WASM_EVENT, '((used - event - 1) & 0xffff) <= ((used - old) & 0xffff)'],
  },
  {
    name: 'notify/used_event not cut to 16 bits',
    suite: USED_EVENT,
    wasm: ['notify', WASM_EVENT, '(used - event - 1) < ((used - old) & 0xffff)'],
    js: ['split', WASM_EVENT, '(used - event - 1) < ((used - old) & 0xffff)'],
  },
  {
    name: 'notify/window not cut to 16 bits',
    suite: USED_EVENT,
    wasm: ['notify', WASM_EVENT, '((used - event - 1) & 0xffff) < (used - old)'],
    js: ['split', WASM_EVENT, '((used - event - 1) & 0xffff) < (used - old)'],
  },
  {
    name: 'notify/used_event read beside its place',
    suite: USED_EVENT,
    wasm: [
      'notify',
      'load16(avail + VIRTQ_AVAIL_RING + (load<u32>(queue, QUEUE_NUM) << 1), 0)',
      'load16(avail + VIRTQ_AVAIL_RING + (load<u32>(queue, QUEUE_NUM) << 1) - 2, 0)',
    ],
    js: [
      'split',
      'load16(v.ram16, avail + VIRTQ_AVAIL_RING + u32[q + NUM]! * 2)',
      'load16(v.ram16, avail + VIRTQ_AVAIL_RING + u32[q + NUM]! * 2 - 2)',
    ],
  },
  {
    name: 'notify/NO_INTERRUPT not heeded',
    suite: 'VQ-7 without EVENT_IDX the flag decides',
    wasm: [
      'notify',
      'return !(load16(avail, VIRTQ_AVAIL_FLAGS) & VIRTQ_AVAIL_F_NO_INTERRUPT);',
      'return true;',
    ],
    js: [
      'split',
      'return (load16(v.ram16, avail + VIRTQ_AVAIL_FLAGS) & VIRTQ_AVAIL_F_NO_INTERRUPT) === 0;',
      'return true;',
    ],
  },
  {
    name: 'notify/any flag is NO_INTERRUPT',
    suite: 'VQ-7 without EVENT_IDX the flag decides',
    wasm: [
      'notify',
      'load16(avail, VIRTQ_AVAIL_FLAGS) & VIRTQ_AVAIL_F_NO_INTERRUPT',
      'load16(avail, VIRTQ_AVAIL_FLAGS)',
    ],
    js: [
      'split',
      '(load16(v.ram16, avail + VIRTQ_AVAIL_FLAGS) & VIRTQ_AVAIL_F_NO_INTERRUPT)',
      'load16(v.ram16, avail + VIRTQ_AVAIL_FLAGS)',
    ],
  },
  {
    name: 'notify/NO_INTERRUPT heeded with EVENT_IDX',
    suite: 'VQ-7 with EVENT_IDX the flag is not looked at',
    wasm: [
      'notify',
      'if (!valid) return true;',
      'if (load16(avail, VIRTQ_AVAIL_FLAGS) & VIRTQ_AVAIL_F_NO_INTERRUPT) return false;\n  if (!valid) return true;',
    ],
    js: [
      'split',
      'if (!valid) return true;',
      'if ((load16(v.ram16, avail + VIRTQ_AVAIL_FLAGS) & VIRTQ_AVAIL_F_NO_INTERRUPT) !== 0) return false;\n  if (!valid) return true;',
    ],
  },
  {
    name: 'notify/what the driver wants is read before used.idx is stored',
    steps: 'VQ-7 the flag and used_event are read after',
    wasm: [
      'notify',
      'store16(load<u32>(queue, QUEUE_USED), VIRTQ_USED_IDX, index);\n  const interrupt = wantsInterrupt(queue, index);',
      'const interrupt = wantsInterrupt(queue, index);\n  store16(load<u32>(queue, QUEUE_USED), VIRTQ_USED_IDX, index);',
    ],
    js: [
      'split',
      '  store16(v.ram16, u32[q + (QUEUE_USED >>> 2)]! + VIRTQ_USED_IDX, used);\n  const wanted = wantsInterrupt(v, queue, used);',
      '  const wanted = wantsInterrupt(v, queue, used);\n  store16(v.ram16, u32[q + (QUEUE_USED >>> 2)]! + VIRTQ_USED_IDX, used);',
    ],
  },
  {
    name: 'notify/NOTIFY_ON_EMPTY not heeded',
    suite: 'VQ-8 NOTIFY_ON_EMPTY interrupts',
    wasm: ['notify', 'if (features & QUEUE_F_NOTIFY_ON_EMPTY && ', 'if (false && '],
    js: ['split', 'if ((features & QUEUE_F_NOTIFY_ON_EMPTY) !== 0 && ', 'if (features < 0 && '],
  },
  {
    name: 'notify/NOTIFY_ON_EMPTY not asked for',
    suite: 'VQ-8 without NOTIFY_ON_EMPTY',
    wasm: ['notify', 'if (features & QUEUE_F_NOTIFY_ON_EMPTY && ', 'if ('],
    js: ['split', 'if ((features & QUEUE_F_NOTIFY_ON_EMPTY) !== 0 && ', 'if ('],
  },
  {
    name: 'notify/empty although requests are in use',
    suite: 'VQ-8 NOTIFY_ON_EMPTY interrupts',
    wasm: [
      'notify',
      'QUEUE_F_NOTIFY_ON_EMPTY && load<u32>(queue, QUEUE_INUSE) == 0)',
      'QUEUE_F_NOTIFY_ON_EMPTY)',
    ],
    js: [
      'split',
      'QUEUE_F_NOTIFY_ON_EMPTY) !== 0 && u32[q + INUSE] === 0)',
      'QUEUE_F_NOTIFY_ON_EMPTY) !== 0)',
    ],
  },
  {
    name: 'notify/empty although requests wait',
    suite: 'VQ-8 NOTIFY_ON_EMPTY interrupts',
    wasm: [
      'notify',
      'if (load16(avail, VIRTQ_AVAIL_IDX) == load<u32>(queue, QUEUE_LAST_AVAIL)) return true;',
      'return true;',
    ],
    js: ['split', 'if (availIdx(v, queue) === u32[q + LAST_AVAIL]) return true;', 'return true;'],
  },
  {
    name: 'notify/empty does not ask the shadow',
    suite: 'VQ-1 a queue is empty until the driver publishes',
    wasm: ['notify', 'if (load<u32>(queue, QUEUE_SHADOW_AVAIL) != last) return 0;', ''],
    js: ['queue', 'if (get(v, queue, QUEUE_SHADOW_AVAIL) !== last) return 0;', ''],
  },
  {
    name: 'notify/empty does not ask whether the ring is usable',
    suite: 'VQ-1 BG-14 a queue that is not ready or broken',
    wasm: ['notify', 'if (!usable(queue)) return 1;', ''],
    js: ['queue', 'if (!isUsable(v, queue)) return 1;', ''],
  },
  {
    name: 'notify/whether kicks are on is not kept',
    suite: ['VQ-9 kicks off and on by used.flags', 'VQ-9 kicks off and on by avail_event'],
    wasm: ['notify', 'store<u32>(queue, on, QUEUE_NOTIFICATION);', ''],
    js: ['queue', 'set(v, queue, QUEUE_NOTIFICATION, on);', ''],
  },
  {
    name: 'notify/used.flags not written',
    suite: 'VQ-9 kicks off and on by used.flags',
    wasm: [
      'notify',
      'store16(load<u32>(queue, QUEUE_USED), VIRTQ_USED_FLAGS, on ? 0 : VIRTQ_USED_F_NO_NOTIFY);',
      '',
    ],
    js: [
      'queue',
      'store16(v.ram16, used + VIRTQ_USED_FLAGS, on === 0 ? VIRTQ_USED_F_NO_NOTIFY : 0);',
      '',
    ],
  },
  {
    name: 'notify/used.flags the wrong way round',
    suite: 'VQ-9 kicks off and on by used.flags',
    wasm: ['notify', 'on ? 0 : VIRTQ_USED_F_NO_NOTIFY', 'on ? VIRTQ_USED_F_NO_NOTIFY : 0'],
    js: ['queue', 'on === 0 ? VIRTQ_USED_F_NO_NOTIFY : 0', 'on === 0 ? 0 : VIRTQ_USED_F_NO_NOTIFY'],
  },
  {
    name: 'notify/used.flags written with EVENT_IDX',
    suite: 'VQ-9 with EVENT_IDX used.flags stays 0',
    wasm: [
      'notify',
      '  } else if (on) {',
      '  } else if (!on) {\n    store16(load<u32>(queue, QUEUE_USED), VIRTQ_USED_FLAGS, VIRTQ_USED_F_NO_NOTIFY);\n  } else {',
    ],
    js: [
      'queue',
      '  } else if (on !== 0) {',
      '  } else if (on === 0) {\n    store16(v.ram16, used + VIRTQ_USED_FLAGS, VIRTQ_USED_F_NO_NOTIFY);\n  } else {',
    ],
  },
  {
    name: 'notify/avail_event not written',
    suite: 'VQ-9 kicks off and on by avail_event',
    wasm: ['notify', 'storeAvailEvent(queue, load16(avail, VIRTQ_AVAIL_IDX));', ''],
    js: ['queue', 'writeAvailEvent(v, queue, availIdx(v, queue));', ''],
  },
  {
    name: 'notify/avail_event is how far we popped',
    suite: 'VQ-9 kicks off and on by avail_event',
    wasm: [
      'notify',
      'storeAvailEvent(queue, load16(avail, VIRTQ_AVAIL_IDX));',
      'storeAvailEvent(queue, load<u32>(queue, QUEUE_LAST_AVAIL));',
    ],
    js: [
      'queue',
      'writeAvailEvent(v, queue, availIdx(v, queue));',
      'writeAvailEvent(v, queue, get(v, queue, QUEUE_LAST_AVAIL));',
    ],
  },
  {
    name: 'notify/avail_event written when kicks go off',
    suite: 'VQ-9 turning kicks off leaves avail_event alone',
    wasm: ['notify', '  } else if (on) {', '  } else {'],
    js: ['queue', '  } else if (on !== 0) {', '  } else {'],
  },
  {
    name: 'notify/avail_event beside its place',
    suite: 'VQ-9 kicks off and on by avail_event',
    wasm: [
      'notify',
      'store16(ring + (load<u32>(queue, QUEUE_NUM) << 3), 0, index);',
      'store16(ring + (load<u32>(queue, QUEUE_NUM) << 3), 2, index);',
    ],
    js: [
      'queue',
      'store16(v.ram16, get(v, queue, QUEUE_USED) + end, idx);',
      'store16(v.ram16, get(v, queue, QUEUE_USED) + end + 2, idx);',
    ],
  },
  {
    name: 'notify/no second look after kicks are on',
    suite: 'VQ-10 a request that comes between',
    wasm: [
      'notify',
      'return u32(load16(avail, VIRTQ_AVAIL_IDX) != load<u32>(queue, QUEUE_LAST_AVAIL));',
      'return 0;',
    ],
    js: [
      'queue',
      'return availIdx(v, queue) === get(v, queue, QUEUE_LAST_AVAIL) ? 0 : 1;',
      'return 0;',
    ],
  },
  {
    name: 'notify/the second look comes first',
    steps: 'VQ-9 VQ-10 who publishes before kicks are on',
    wasm: [
      'notify',
      `  const avail = load<u32>(queue, QUEUE_AVAIL);
  if (!(load<u32>(queue, QUEUE_FEATURES) & QUEUE_F_EVENT_IDX)) {`,
      `  const avail = load<u32>(queue, QUEUE_AVAIL);
  if (on && load16(avail, VIRTQ_AVAIL_IDX) == load<u32>(queue, QUEUE_LAST_AVAIL)) on = 2;
  if (on == 2) {
    if (!(load<u32>(queue, QUEUE_FEATURES) & QUEUE_F_EVENT_IDX)) {
      store16(load<u32>(queue, QUEUE_USED), VIRTQ_USED_FLAGS, 0);
    } else storeAvailEvent(queue, load<u32>(queue, QUEUE_LAST_AVAIL));
    return 0;
  }
  if (!(load<u32>(queue, QUEUE_FEATURES) & QUEUE_F_EVENT_IDX)) {`,
    ],
    js: [
      'queue',
      '  const used = get(v, queue, QUEUE_USED);\n',
      `  const used = get(v, queue, QUEUE_USED);
  if (on !== 0 && availIdx(v, queue) === get(v, queue, QUEUE_LAST_AVAIL)) {
    if ((get(v, queue, QUEUE_FEATURES) & QUEUE_F_EVENT_IDX) === 0) {
      store16(v.ram16, used + VIRTQ_USED_FLAGS, 0);
    } else writeAvailEvent(v, queue, get(v, queue, QUEUE_LAST_AVAIL));
    return 0;
  }
`,
    ],
  },
  {
    name: 'notify/a look that turns kicks off',
    suite: 'VQ-9 turning kicks off is never told of buffers',
    wasm: ['notify', '  if (!on) return 0;', ''],
    js: ['queue', '  if (on === 0) return 0;', ''],
  },
  {
    name: `notify/${NOTIFICATION} on a broken ring`,
    suite: 'VQ-9 the ring of a broken or unready queue',
    wasm: ['notify', 'if (!usable(queue)) return 0;', ''],
    js: ['queue', 'if (!isUsable(v, queue)) return 0;', ''],
  },
];
