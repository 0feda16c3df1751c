/** Operations with their own gradients: one fused node on this backend, plain tfjs on any other. */

export { type AttentionInput, attention } from "./attention.js";
export { type Conv2dInput, type ConvBnActInput, conv2d, convBnAct } from "./conv2d.js";
export { sigmoidCrossEntropy, softmaxCrossEntropy } from "./cross-entropy.js";
export { dropout } from "./dropout.js";
export { type ComplexParts, fft } from "./fft.js";
export { gelu } from "./gelu.js";
export { batchNormTrain, layerNorm } from "./norm.js";
export { stopGradient, topkMask } from "./select.js";
export { silu } from "./silu.js";
