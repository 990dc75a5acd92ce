/** The drivers that need no platform, made known to the registry. Importing this is enough. */

import { openFault } from './fault.ts';
import { openMemory } from './memory.ts';
import { openNull } from './null.ts';
import { openOverlay } from './overlay-open.ts';
import { registerDriver } from './registry.ts';
import { openThrottle } from './throttle.ts';

registerDriver('memory', openMemory);
registerDriver('null', openNull);
registerDriver('fault', openFault);
registerDriver('throttle', openThrottle);
registerDriver('overlay', openOverlay);
