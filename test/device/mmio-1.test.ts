import { deviceSuite } from './device-suite.ts';

deviceSuite('mmio 1');
