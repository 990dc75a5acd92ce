import { describeOn, findMachine } from './available.ts';
import { diskSuite } from './disk-suite.ts';

const machine = await findMachine();

describeOn(machine, 'Linux on our disk, js engine', (found) => diskSuite(found, 'js'));
