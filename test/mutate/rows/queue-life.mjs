/**
 * The life of a block queue's data plane: what fails and is tried again, drained sections, moves
 * (BL-15, BL-16, DP).
 */
const ERRORS = 'virtio/blk-errors.test.ts';
const LIFE = 'virtio/queue-life.test.ts';
const MOVE = 'virtio/queue-move.test.ts';
const SCSI = 'virtio/scsi-device.test.ts';

const life = (name, breaks, noticed) => ({ name, breaks, noticed });

export const queueLife = [
  life(
    'queue-life/who kicks inline is asked to, and nobody looks at what came before',
    ['virtio/local-queues', 'if (!host?.attached) queue.serveLater();', ''],
    { [SCSI]: 'HN-8 VQ-10 a drain between publishing' },
  ),
  life(
    'queue-life/what fails is answered, whatever the policy',
    [
      'virtio/blk-submitter',
      "if (action === 'stop') this.failed",
      "if (action === 'stop' && head < 0) this.failed",
    ],
    { [ERRORS]: 'BL-15 BL-16 stop: each member waits' },
  ),
  life(
    'queue-life/one member of a merged request fails for all',
    [
      'virtio/blk-submitter',
      'if (result < 0) this.#fail(head, -result);',
      'if (result < 0 && head === first) this.#fail(head, -result);',
    ],
    { [ERRORS]: 'BL-15 report: each member' },
  ),
  life(
    'queue-life/reads go by the policy of writes',
    [
      'block/error-policy',
      '(isRead ? BACKEND_RERROR : BACKEND_WERROR)',
      '(isRead ? BACKEND_WERROR : BACKEND_WERROR)',
    ],
    { [ERRORS]: 'BB-19 reads go by rerror' },
  ),
  life(
    'queue-life/enospc stops for any error',
    [
      'block/error-policy',
      'policy === POLICY_ENOSPC && errno === ENOSPC',
      'policy === POLICY_ENOSPC && errno >= 0',
    ],
    { 'block/error-policy.test.ts': 'what EIO and ENOSPC come to' },
  ),
  life(
    'queue-life/what was parked comes before what failed',
    [
      'virtio/blk-submitter',
      'this.parked.prepend(this.failed);',
      'this.failed.prepend(this.parked);\n    this.parked.prepend(this.failed);',
    ],
    { [ERRORS]: 'BL-16 what failed comes back first' },
  ),
  life(
    'queue-life/a failure that comes late is told with the next request',
    [
      'virtio/queue-news',
      'this.#cause !== undefined || this.#failures.length > 0',
      'this.#cause !== undefined',
    ],
    { [ERRORS]: 'BL-15 a late failure is told' },
  ),
  life(
    'historic bug 18/requests that failed are tried again by one queue only',
    [
      'virtio/remote-queues',
      "this.#post('restart-failed', queues)",
      "this.#post('restart-failed', queues.slice(0, 1))",
    ],
    { [MOVE]: 'historic bug 18 what failed goes along' },
  ),
  life(
    'queue-life/a restart while queues change hands is lost',
    [
      'virtio/queue-set',
      'if (this.#handingOver) void this.#handingOver.then(restart);',
      'if (this.#handingOver) restart();',
    ],
    { [MOVE]: 'BL-16 a machine that goes on while queues change hands' },
  ),
  life(
    'historic bug 9/a start inside a drained section attaches',
    ['virtio/queue-set', 'this.#grabs === 0 && !this.#drained ?', 'this.#grabs === 0 ?'],
    { [LIFE]: 'historic bug 9 a drained section 3 deep' },
  ),
  life(
    'queue-life/a drained section does not end listening',
    [
      'virtio/queue-set',
      '    this.#drained = true;\n    this.#listen();',
      '    this.#drained = true;',
    ],
    { [LIFE]: 'a drained section 3 deep' },
  ),
  life(
    'queue-life/a stop inside a drained section loses the last interrupt',
    ['virtio/queue-set', '    this.#each(indexes, (group, own) => group.deliver(own));\n', ''],
    { [LIFE]: 'DP-3 DP-13 so is one' },
  ),
  life(
    'queue-life/only what is in the notifier is delivered',
    [
      'virtio/remote-queues',
      '      one.guest!.testAndClear();\n      this.#interrupt(one);',
      '      if (one.guest!.testAndClear()) this.#interrupt(one);',
    ],
    { [LIFE]: 'BL-17 DP-13 an interrupt that waits' },
  ),
  life(
    'queue-life/who is not listened for is not asked to kick',
    [
      'virtio/queue-service',
      '  for (const { queue } of places) queue.setNotification(true);\n',
      '',
    ],
    { [LIFE]: 'HN-8 HN-4 a listener that is refused' },
  ),
  life(
    'historic bug 20/what the old place is about to tell stays there',
    ['virtio/ring-queue', '    if (!this.#serving) this.flush();\n', ''],
    { [MOVE]: 'historic bug 20 an interrupt that waits for a turn of the old place' },
  ),
  life(
    'queue-life/a queue that is made for a move serves at once',
    [
      'virtio/ring-queue',
      '    if (!this.#awake) return;\n    const current = this.#inside.enter();\n    let blocked',
      '    const current = this.#inside.enter();\n    let blocked',
    ],
    { [MOVE]: 'a queue that is made for a move is asleep' },
  ),
  life(
    'queue-life/what waits is left behind',
    [
      'virtio/queue-waiting',
      'this.#requests.adopt(parked, failed);',
      'this.#requests.adopt([], failed);',
    ],
    { [MOVE]: 'popped requests that met the gate go along' },
  ),
  life(
    'queue-life/what is of an old epoch is taken over',
    ['virtio/queue-waiting', 'if (epoch !== this.#inside.epoch) return;', 'if (epoch < 0) return;'],
    { [MOVE]: 'nothing old is served, and the next driver is' },
  ),
  life(
    'queue-life/a reset amid the take-over is an error',
    ['virtio/queue-waiting', 'if (current) throw error;', 'if (current || error) throw error;'],
    { [MOVE]: 'VC-3 a reset while the new thread takes them over' },
  ),
  life(
    'queue-life/main holds an index for a place that has no log',
    [
      'virtio/queue-move',
      '    core.u32[features] = (core.u32[features]! & ~QUEUE_F_HELD) | held;\n',
      '    void [features, core];\n',
    ],
    { [MOVE]: 'what is written is told of first at each place' },
  ),
  life(
    'queue-life/a refused move leaves what it made',
    ['virtio/queue-move', '      await undo.all();\n      throw error;', '      throw error;'],
    { [MOVE]: 'the second of two threads refuses' },
  ),
  life(
    'queue-life/queues change hands while requests are in a lane',
    ['virtio/queue-move', '      await gate.idle();\n', ''],
    { [MOVE]: 'what is in flight ends first' },
  ),
];
