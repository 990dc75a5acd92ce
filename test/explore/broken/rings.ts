/** Notifiers, kicks, interrupts, busy polling. */

import { detachAgainstKick, drainWhilePolling, setAgainstWatch } from '../programs/notifiers.ts';
import { busyPolling, interruptAgainstCollect, kickAgainstServe } from '../programs/rings.ts';
import { quiesceAgainstServe } from '../programs/serving.ts';
import { type BrokenCase, js, wasm } from './case.ts';

const ASLEEP = /asleep for ever/;

/** `queueSetNotification` with another last line. */
const answering = {
  wasm: (early: string, replacement: string) => [
    wasm(
      'notify',
      ['  if (!usable(queue)) return 0;', '  const avail = load<u32>(queue, QUEUE_AVAIL);', ''],
      `  if (!usable(queue)) return 0;\n  const avail = load<u32>(queue, QUEUE_AVAIL);\n${early}`,
    ),
    wasm(
      'notify',
      '  return u32(load16(avail, VIRTQ_AVAIL_IDX) != load<u32>(queue, QUEUE_LAST_AVAIL));',
      replacement,
    ),
  ],
  js: (early: string, replacement: string) => [
    js(
      'queue',
      ['  const used = get(v, queue, QUEUE_USED);', '  if ((get('],
      `  const used = get(v, queue, QUEUE_USED);\n${early}  if ((get(`,
    ),
    js(
      'queue',
      '  return availIdx(v, queue) === get(v, queue, QUEUE_LAST_AVAIL) ? 0 : 1;',
      replacement,
    ),
  ],
};

const noAnswer = {
  wasm: answering.wasm('', '  return 0;'),
  js: answering.js('', '  return 0;'),
};

const lookedEarly = {
  wasm: answering.wasm(
    '  const index = load16(avail, VIRTQ_AVAIL_IDX);\n',
    '  return u32(index != load<u32>(queue, QUEUE_LAST_AVAIL));',
  ),
  js: answering.js(
    '  const index = availIdx(v, queue);\n',
    '  return index === get(v, queue, QUEUE_LAST_AVAIL) ? 0 : 1;',
  ),
};

const askedEarly = {
  wasm: [
    wasm(
      'notify',
      [
        '  store16(load<u32>(queue, QUEUE_USED), VIRTQ_USED_IDX, index);',
        '  const interrupt = wantsInterrupt(queue, index);',
        '',
      ],
      [
        '  const interrupt = wantsInterrupt(queue, index);',
        '  store16(load<u32>(queue, QUEUE_USED), VIRTQ_USED_IDX, index);',
        '',
      ],
    ),
  ],
  js: [
    js(
      'split',
      [
        '  store16(v.ram16, u32[q + (QUEUE_USED >>> 2)]! + VIRTQ_USED_IDX, used);',
        '  const wanted = wantsInterrupt(v, queue, used);',
        '',
      ],
      [
        '  const wanted = wantsInterrupt(v, queue, used);',
        '  store16(v.ram16, u32[q + (QUEUE_USED >>> 2)]! + VIRTQ_USED_IDX, used);',
        '',
      ],
    ),
  ],
};

const kickCases: BrokenCase[] = [false, true].flatMap((eventIdx) => {
  const by = eventIdx ? 'event index' : 'flags';
  return [
    {
      name: `M7a: notifications are turned on, and buffers there are not told of; ${by}`,
      program: kickAgainstServe({ eventIdx }),
      ...noAnswer,
      fails: ASLEEP,
    },
    {
      name: `the ring is looked at before notifications are turned on; ${by}`,
      program: kickAgainstServe({ eventIdx }),
      ...lookedEarly,
      fails: ASLEEP,
    },
    {
      name: `M7b: the driver asks whether to kick before it publishes; ${by}`,
      program: kickAgainstServe({ eventIdx }, { flagBeforePublish: true }),
      fails: ASLEEP,
    },
    {
      name: `the device asks for the driver's wish before used.idx is stored; ${by}`,
      program: interruptAgainstCollect({ eventIdx }),
      ...askedEarly,
      fails: ASLEEP,
    },
    {
      name: `the driver looks at the used ring, and then asks for interrupts; ${by}`,
      program: interruptAgainstCollect({ eventIdx }, { lookBeforeAsking: true }),
      fails: ASLEEP,
    },
  ];
});

const pollCases: BrokenCase[] = [
  {
    name: 'M7a: no look at the ring after the end of busy polling',
    program: busyPolling({}, { noLastLook: true }),
    fails: ASLEEP,
  },
  {
    name: 'busy polling ends with notifications off',
    program: busyPolling({}, { endLeavesOff: true }),
    fails: ASLEEP,
  },
  {
    name: 'the window of the event index is one short',
    program: interruptAgainstCollect({ eventIdx: true }),
    wasm: [wasm('notify', '((used - event - 1) & 0xffff)', '((used - event) & 0xffff)')],
    js: [js('split', '((used - event - 1) & 0xffff)', '((used - event) & 0xffff)')],
    fails: ASLEEP,
  },
];

const notifierCases: BrokenCase[] = [
  {
    name: 'a notifier reads its watcher before it sets its flag',
    program: setAgainstWatch(),
    wasm: [
      wasm(
        'aio',
        [
          '  store32(notifier, NOTIFIER_FLAG, 1);',
          '  const watcher = load32(notifier, NOTIFIER_WATCHER);',
          '',
        ],
        [
          '  const watcher = load32(notifier, NOTIFIER_WATCHER);',
          '  store32(notifier, NOTIFIER_FLAG, 1);',
          '',
        ],
      ),
    ],
    js: [
      js(
        'notify',
        [
          '  store(words, notifier + NOTIFIER_FLAG, 1);',
          '  const watcher = load(words, notifier + NOTIFIER_WATCHER) >>> 0;',
          '',
        ],
        [
          '  const watcher = load(words, notifier + NOTIFIER_WATCHER) >>> 0;',
          '  store(words, notifier + NOTIFIER_FLAG, 1);',
          '',
        ],
      ),
    ],
    fails: ASLEEP,
  },
  {
    name: 'M8a: detach does not test and clear the notifier (historic bug 10)',
    program: detachAgainstKick({ noTestAndClear: true }),
    fails: ASLEEP,
  },
  {
    name: 'M8b: detach tests and clears before kicks go elsewhere',
    program: detachAgainstKick({ testBeforeDeassign: true }),
    fails: ASLEEP,
  },
  {
    name: 'M7d: attach leaves notifications off (historic bug 12)',
    program: drainWhilePolling({ noEnable: true }),
    fails: ASLEEP,
  },
  {
    name: 'M7e: attach does not kick itself',
    program: drainWhilePolling({ noSelfKick: true }),
    fails: ASLEEP,
  },
];

const servingCases: BrokenCase[] = [
  {
    name: 'a serving thread asks whether it may before it says that it serves',
    program: quiesceAgainstServe({}, { askFirst: true }),
    fails: /the guest's memory/,
  },
  {
    name: 'a reset waits for the serving thread before it stops the queue',
    program: quiesceAgainstServe({}, { waitFirst: true }),
    fails: /the guest's memory/,
  },
];

export const ringCases = [...kickCases, ...pollCases, ...notifierCases, ...servingCases];
