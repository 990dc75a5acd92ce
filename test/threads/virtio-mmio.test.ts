/** The device suite with all queues on IOThreads, behind virtio-mmio. */
import { threadedSuite } from '../device/device-suite.ts';

threadedSuite('mmio 2');
