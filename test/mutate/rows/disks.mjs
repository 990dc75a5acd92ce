/** Steps between a disk, its clients and whoever serves them. */

const CLIENT = 'disk/client.test.ts';
const DISK = 'disk/disk.test.ts';

export const disks = [
  {
    name: 'disk/a handle is read, then used up',
    breaks: [
      'disk/claim',
      'if (this.move(generation, CLAIM_OFFERED, CLAIM_OPEN)) return;',
      'if (this.generation === generation && this.state <= CLAIM_OPEN) return;',
    ],
    noticed: { [CLIENT]: 'a handle is good for one client' },
  },
  {
    name: 'disk/an old handle is good for the next client',
    breaks: [
      'disk/claim',
      'const generation = (this.generation + 1) & 0x1fff_ffff;',
      'const generation = this.generation & 0x1fff_ffff;',
    ],
    noticed: { [CLIENT]: 'claims no more queues than there are, and a closed one anew' },
  },
  {
    name: 'disk/an offer stays when the queue is taken back',
    breaks: ['disk/claim', ' || this.move(generation, CLAIM_OFFERED, to);', ';'],
    noticed: { [CLIENT]: 'an offer may be taken back before it is used' },
  },
  {
    name: 'disk/who is cut off does not hear of it',
    breaks: [
      'disk/claim',
      'if (word >>> STATE_BITS === generation && state <= CLAIM_RELEASED) return null;',
      'if (word >>> STATE_BITS === generation) return null;',
    ],
    noticed: { [CLIENT]: 'closing the disk cuts clients off' },
  },
  {
    name: 'disk/a synchronous client waits for its own thread',
    breaks: ['disk/client-sync', 'if (handle.server === realm) {', 'if (handle.server === "") {'],
    noticed: { [CLIENT]: 'a synchronous client is refused where it would wait for itself' },
  },
  {
    name: 'disk/a synchronous client where no thread may wait',
    breaks: [
      'disk/client-sync',
      'if (!canBlock(core, handle.context)) {',
      'if (!canBlock && core) {',
    ],
    noticed: { [CLIENT]: 'a synchronous client is refused where the thread may not wait' },
  },
  {
    name: 'disk/a doorbell for each request',
    breaks: ['disk/request-ring', 'if (!this.ring.needsKick()) return;', 'this.ring.needsKick();'],
    noticed: { [DISK]: 'submits what one turn starts with one doorbell' },
  },
];
