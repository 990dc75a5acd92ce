/** An IOThread says which thread it is, so that a client that would wait for itself is refused. */

import { registerService } from '../aio/services.ts';
import { realm } from './realm.ts';

registerService('realm', () => realm);
