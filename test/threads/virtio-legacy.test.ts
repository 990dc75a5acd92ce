/** The device suite with all queues on IOThreads, for a legacy driver: it does not wait for reset. */
import { threadedSuite } from '../device/device-suite.ts';

threadedSuite('pci legacy');
