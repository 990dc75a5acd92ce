/** The device suite with all queues on IOThreads, behind a modern PCI function. */
import { threadedSuite } from '../device/device-suite.ts';

threadedSuite('pci modern, memory BAR');
