import { describeOn, findMachine } from './available.ts';
import { diskSuite } from './disk-suite.ts';

const machine = await findMachine();

describeOn(machine, 'Linux on our disk, an IOThread, wasm engine', (found) =>
  diskSuite(found, 'wasm', { bars: ['io'], iothreads: 1 }),
);
