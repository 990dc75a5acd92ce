import { describeOn, findMachine } from './available.ts';
import { scsiSuite } from './scsi-suite.ts';

const machine = await findMachine();

describeOn(machine, 'Linux on our SCSI host, served by IOThreads', (found) => {
  scsiSuite(found, 'wasm', { bars: ['memory'], iothreads: 2 });
});
