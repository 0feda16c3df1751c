import { boxBlur, lineBlur, separable, sharpen } from "./blur.js";
import { channelSums } from "./channel-sums.js";
import { clahe } from "./clahe.js";
import { hsvShift } from "./hsv-shift.js";
import type { Kernels } from "./kernels.js";
import { colorMatrix, lut, mix, noise, veil } from "./pointwise.js";
import { warp } from "./warp.js";

/** Pixel loops in TypeScript on typed arrays: work everywhere. */
export const typescriptKernels: Kernels = {
  name: "typescript",
  createImage: (width, height, channels) => ({
    width,
    height,
    channels,
    data: new Uint8Array(Buffer.allocUnsafeSlow(width * height * channels).buffer as ArrayBuffer),
  }),
  detach: ({ data }) => data,
  release: () => {},
  warp,
  lut,
  boxBlur,
  separable,
  lineBlur,
  sharpen,
  noise,
  channelSums,
  colorMatrix,
  hsvShift,
  veil,
  mix,
  clahe,
};
