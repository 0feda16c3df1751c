/** Operations with their own gradients: one fused node on this backend, plain tfjs on any other. */

export { sigmoidCrossEntropy, softmaxCrossEntropy } from "./cross-entropy.js";
export { dropout } from "./dropout.js";
export { gelu } from "./gelu.js";
export { batchNormTrain, layerNorm } from "./norm.js";
export { stopGradient, topkMask } from "./select.js";
export { silu } from "./silu.js";
