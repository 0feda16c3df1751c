import { effect, ops } from "@seg/tfjs-onnxruntime";
import * as tf from "@tensorflow/tfjs";
import { Buffer, Counter, Module, Parameter } from "../module.js";

const ones = (n: number) => new Float32Array(n).fill(1);

/**
 * Normalisation over the last axis (tokens, or the channels of NHWC maps, which is PyTorch's LayerNorm2d). State: weight, bias.
 * @defaultValue eps 1e-5
 */
export class LayerNorm extends Module {
  readonly eps: number;
  weight: Parameter;
  bias: Parameter;

  constructor({ features, eps = 1e-5 }: { features: number; eps?: number }) {
    super();
    this.eps = eps;
    this.weight = new Parameter({ data: ones(features), shape: [features] });
    this.bias = new Parameter({ data: new Float32Array(features), shape: [features] });
  }

  /** @param x - [..., C] @returns the same shape */
  forward<T extends tf.Tensor>(x: T): T {
    return ops.layerNorm({ x, scale: this.weight.value(), offset: this.bias.value(), eps: this.eps }) as T;
  }
}

/**
 * Batch normalisation of NHWC maps. In training mode batch statistics normalise (biased variance) and update the running
 * ones (unbiased variance): r = (1 - momentum) r + momentum s. State: weight, bias, running_mean, running_var, num_batches_tracked.
 * @defaultValue eps 1e-5, momentum 0.1
 */
export class BatchNorm2d extends Module {
  readonly eps: number;
  readonly momentum: number;
  weight: Parameter;
  bias: Parameter;
  running_mean: Buffer;
  running_var: Buffer;
  num_batches_tracked = new Counter();

  constructor({ features, eps = 1e-5, momentum = 0.1 }: { features: number; eps?: number; momentum?: number }) {
    super();
    this.eps = eps;
    this.momentum = momentum;
    this.weight = new Parameter({ data: ones(features), shape: [features] });
    this.bias = new Parameter({ data: new Float32Array(features), shape: [features] });
    this.running_mean = new Buffer({ data: new Float32Array(features), shape: [features] });
    this.running_var = new Buffer({ data: ones(features), shape: [features] });
  }

  /** @param x - [B, H, W, C] @returns the same shape */
  forward(x: tf.Tensor4D): tf.Tensor4D {
    const scale = this.weight.value() as tf.Tensor1D;
    const offset = this.bias.value() as tf.Tensor1D;
    if (!this.training) {
      const mean = this.running_mean.value() as tf.Tensor1D;
      const variance = this.running_var.value() as tf.Tensor1D;
      return tf.batchNorm(x, mean, variance, offset, scale, this.eps) as tf.Tensor4D;
    }
    const { y, mean, variance } = ops.batchNormTrain({ x, scale, offset, eps: this.eps });
    const count = x.size / x.shape[3];
    const unbiased = tf.mul(variance, count / Math.max(count - 1, 1));
    updateRunning(this.running_mean, mean, this.momentum);
    updateRunning(this.running_var, unbiased, this.momentum);
    effect(() => {
      this.num_batches_tracked.value += 1;
    });
    return y as tf.Tensor4D;
  }
}

function updateRunning(buffer: Buffer, statistic: tf.Tensor, momentum: number): void {
  const next = tf.tidy(() => tf.add(tf.mul(buffer.value(), 1 - momentum), tf.mul(statistic, momentum)));
  buffer.variable.assign(next);
  next.dispose();
}
