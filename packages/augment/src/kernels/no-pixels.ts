import type { Kernels } from "./kernels.js";

const EMPTY = new Uint8Array(0);
const nothing = (): void => {};

/** Kernels of a run that only works out where everything goes: pictures have a size and no pixels. */
export const noPixels: Kernels = {
  name: "none",
  createImage: (width, height, channels) => ({ width, height, channels, data: EMPTY }),
  detach: () => EMPTY,
  release: nothing,
  warp: nothing,
  lut: nothing,
  boxBlur: nothing,
  separable: nothing,
  lineBlur: nothing,
  sharpen: nothing,
  noise: nothing,
  channelSums: () => [0, 0, 0],
  colorMatrix: nothing,
  hsvShift: nothing,
  veil: nothing,
  mix: nothing,
  clahe: nothing,
};
