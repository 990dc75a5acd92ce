/**
 * What every engine must do, row by row. Run on each engine and each kind of memory; an engine of
 * somebody else's can be put through it, too. Each bound has a test on either side.
 */

import { describe } from 'vitest';
import { blkSuite } from './blk-suite.ts';
import { chainSuite } from './chain-suite.ts';
import { clusterServeSuite } from './cluster-serve-suite.ts';
import { clusterSuite } from './cluster-suite.ts';
import { copySuite } from './copy-suite.ts';
import { coroutineSuite } from './coroutine-suite.ts';
import { edgeSuite } from './edge-suite.ts';
import { enableSuite } from './enable-suite.ts';
import type { Contestant } from './machine.ts';
import { memorySuite } from './memory-suite.ts';
import { notifySuite } from './notify-suite.ts';
import { plainSuite } from './plain-suite.ts';
import { pollSuite } from './poll-suite.ts';
import { poolSuite } from './pool-suite.ts';
import { restoreSuite } from './restore-suite.ts';
import { ringSuite } from './ring-suite.ts';
import { scsiPlainSuite } from './scsi-plain-suite.ts';
import { scsiResponseSuite } from './scsi-response-suite.ts';
import { scsiSuite } from './scsi-suite.ts';
import { waitSuite } from './wait-suite.ts';
import { wordsSuite } from './words-suite.ts';

export function engineSuite(contestant: Contestant): void {
  describe(contestant.name, () => {
    describe('rings', () => ringSuite(contestant));
    describe('edges', () => edgeSuite(contestant));
    describe('rings enabled', () => enableSuite(contestant));
    describe('rings restored', () => restoreSuite(contestant));
    describe('chains', () => chainSuite(contestant));
    describe('guest memory', () => memorySuite(contestant));
    describe('who must be told', () => notifySuite(contestant));
    describe('virtio-blk requests', () => blkSuite(contestant));
    describe('plain requests', () => plainSuite(contestant));
    describe('virtio-scsi commands', () => scsiSuite(contestant));
    describe('virtio-scsi responses', () => scsiResponseSuite(contestant));
    describe('plain commands', () => scsiPlainSuite(contestant));
    describe('copies', () => copySuite(contestant));
    describe('cluster disks', () => clusterSuite(contestant));
    describe('requests served from a cluster disk', () => clusterServeSuite(contestant));
    describe('event-loop words and the gate', () => wordsSuite(contestant));
    describe('who sleeps, polls and visits', () => waitSuite(contestant));
    describe('handlers and busy polling', () => pollSuite(contestant));
    describe('coroutines', () => coroutineSuite(contestant));
    describe('the thread pool', () => poolSuite(contestant));
  });
}
