import { deviceSuite } from './device-suite.ts';

deviceSuite('pci transitional as legacy');
deviceSuite('pci transitional as modern');
