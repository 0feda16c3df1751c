import type { Kernels } from "./kernels.js";
import type { WorkImage } from "./work-image.js";

/** The same kernels, and one call that gives back every image that is still out: also after an error no memory is lost. */
export function scopedKernels(kernels: Kernels): { kernels: Kernels; dispose: () => void } {
  const out = new Set<WorkImage>();
  const scoped: Kernels = {
    ...kernels,
    createImage(width, height, channels) {
      const image = kernels.createImage(width, height, channels);
      out.add(image);
      return image;
    },
    detach(image) {
      out.delete(image);
      return kernels.detach(image);
    },
    release(image) {
      if (out.delete(image)) kernels.release(image);
    },
  };
  return {
    kernels: scoped,
    dispose() {
      for (const image of out) kernels.release(image);
      out.clear();
    },
  };
}
