import { describeOn, findMachine } from './available.ts';
import { scsiSuite } from './scsi-suite.ts';

const machine = await findMachine();

describeOn(machine, 'Linux on our SCSI host, wasm engine', (found) => {
  scsiSuite(found, 'wasm', { bars: ['io', 'memory'] });
});
