import { deviceSuite } from './device-suite.ts';

deviceSuite('pci modern, memory BAR');
