import { exploreSuite } from './explore-suite.ts';

await exploreSuite('js');
