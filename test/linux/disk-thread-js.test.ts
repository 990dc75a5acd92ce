import { describeOn, findMachine } from './available.ts';
import { diskSuite } from './disk-suite.ts';

const machine = await findMachine();

describeOn(machine, 'Linux on our disk, an IOThread, js engine', (found) =>
  diskSuite(found, 'js', { bars: ['memory'], iothreads: 1 }),
);
