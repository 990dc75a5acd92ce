/** The device suite: everything that a guest can see of a disk behind one transport. */
import { controlSuite } from './control-suite.ts';
import { ioSuite } from './io-suite.ts';
import { DISKS, ENGINES, isLegacy, THREADED, type TransportName } from './machine.ts';
import { misbehaveSuite } from './misbehave-suite.ts';
import { queueResetSuite } from './queue-reset-suite.ts';
import { removalSuite } from './removal-suite.ts';
import { requestSuite } from './request-suite.ts';
import { resetSuite } from './reset-suite.ts';

/** Transport x engine, and for the data path x disk. */
export function deviceSuite(transport: TransportName): void {
  for (const engine of ENGINES) {
    for (const disk of DISKS) ioSuite(transport, engine, disk);
  }
  for (const engine of ['wasm', 'js'] as const) {
    controlSuite(transport, engine);
    requestSuite(transport, engine);
    resetSuite(transport, engine);
    if (!isLegacy(transport)) queueResetSuite(transport, engine);
    removalSuite(transport, engine);
    misbehaveSuite(transport, engine);
  }
}

/** The same with all queues on IOThreads (DP-11). */
export function threadedSuite(transport: TransportName): void {
  for (const engine of THREADED) {
    for (const disk of DISKS) ioSuite(transport, engine, disk);
  }
  for (const engine of ['wasm, IOThread', 'js, IOThread'] as const) {
    controlSuite(transport, engine);
    requestSuite(transport, engine);
    resetSuite(transport, engine);
    if (!isLegacy(transport)) queueResetSuite(transport, engine);
    removalSuite(transport, engine);
    misbehaveSuite(transport, engine);
  }
}
