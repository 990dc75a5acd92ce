import { deviceSuite } from './device-suite.ts';

deviceSuite('pci legacy');
deviceSuite('pci legacy, MSI-X');
