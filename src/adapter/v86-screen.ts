/**
 * The picture that v86 draws of a guest in graphics mode, where its memory is shared: v86 makes an
 * ImageData of that memory, which browsers refuse. It is given one of its own instead, and the
 * pixels are copied into that each time they are shown. Does nothing where there is no ImageData.
 */

import type { V86Cpu } from './v86-machine.ts';

/** An ImageData; also the one that v86 shows. */
interface Picture {
  readonly data: Uint8ClampedArray;
}

type Pixels = Uint8ClampedArray<ArrayBufferLike>;
type PictureConstructor = new (...args: unknown[]) => Picture;
type Method = (this: unknown, ...args: unknown[]) => unknown;

/** v86's VGA, as far as it is touched here. */
interface V86Vga {
  set_size_graphical: Method;
  screen_fill_buffer: Method;
  readonly screen: { update_buffer: Method };
}

const screens = new WeakSet<V86Vga>();

/** Before the guest's first instruction; more than once does no harm. */
export function unsharePictures(cpu: V86Cpu): void {
  const { vga } = cpu.devices as { vga?: V86Vga };
  const global = globalThis as { ImageData?: PictureConstructor };
  const ImageData = global.ImageData;
  if (!vga?.screen || !ImageData || screens.has(vga)) return;
  screens.add(vga);
  /** Where the pixels of a picture are. */
  const sources = new WeakMap<Picture, Pixels>();
  const Copied = new Proxy(ImageData, {
    construct(_, [pixels, width, height]: [Pixels, number, number]) {
      const picture = new ImageData(width, height);
      sources.set(picture, pixels);
      return picture;
    },
  });

  /** v86 names the global, so it stands there while v86 is at it. */
  const withCopies = (method: Method): Method =>
    function (this: unknown, ...args) {
      global.ImageData = Copied;
      try {
        return method.apply(this, args);
      } finally {
        global.ImageData = ImageData;
      }
    };
  vga.set_size_graphical = withCopies(vga.set_size_graphical);
  vga.screen_fill_buffer = withCopies(vga.screen_fill_buffer);

  const { screen } = vga;
  const update = screen.update_buffer;
  screen.update_buffer = function (this: unknown, layers) {
    for (const picture of new Set((layers as { image_data: Picture }[]).map((l) => l.image_data))) {
      const pixels = sources.get(picture);
      if (pixels) picture.data.set(pixels);
    }
    return update.call(this, layers);
  };
}
