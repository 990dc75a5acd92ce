/** A memory disk that only takes blocks of 4096 bytes, and that any thread may open. */
import { openMemory } from '#src/block/memory';

const wrap = (disk) => ({
  driver: 'blocks',
  settles: 'inline',
  threads: 'any',
  readOnly: false,
  alignment: 4096,
  clusterDisk: 0,
  get size() {
    return disk.size;
  },
  share: {
    driver: 'blocks',
    module: import.meta.url,
    options: { attach: disk.clusterDisk },
  },
  several: (several) => disk.several(several),
  submit(request) {
    if (request.offset % 4096 !== 0 || request.length % 4096 !== 0) return -22;
    return disk.submit(request);
  },
  truncate: (size) => disk.truncate(size),
  close: () => disk.close(),
});

export default (core, options) =>
  wrap(openMemory(core, options.attach ? options : { size: 2 ** 20 }));
