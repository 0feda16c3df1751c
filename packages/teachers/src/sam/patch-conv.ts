import { Conv2d, ConvTranspose2d } from "@seg/nn";
import * as tf from "@tensorflow/tfjs";

/**
 * Convolution whose kernel equals its stride and that needs no padding: patches do not overlap, so it is one matrix product.
 * Same state and values as {@link Conv2d}; gradients need no convolution kernels.
 */
export class PatchConv2d extends Conv2d {
  /** @param x - [B, H, W, in], H and W multiples of the kernel @returns [B, H/k, W/k, out] */
  override forward(x: tf.Tensor4D): tf.Tensor4D {
    const [batch, height, width, channels] = x.shape;
    const k = this.kernelSize;
    const rows = height / k;
    const columns = width / k;
    // [B rows, k, columns, k C] -> [B rows, columns, k, k C]: one patch per row of the matrix, ordered (y, x, channel).
    const strips = tf.reshape(x, [batch * rows, k, columns, k * channels]);
    const patches = tf.reshape<tf.Rank.R2>(tf.transpose(strips, [0, 2, 1, 3]), [
      batch * rows * columns,
      k * k * channels,
    ]);
    const kernel = tf.reshape<tf.Rank.R2>(tf.transpose(this.weight.value(), [0, 2, 3, 1]), [
      this.outChannels,
      k * k * channels,
    ]);
    const y: tf.Tensor = tf.matMul(patches, kernel, false, true);
    return tf.reshape<tf.Rank.R4>(this.bias ? tf.add(y, this.bias.value()) : y, [
      batch,
      rows,
      columns,
      this.outChannels,
    ]);
  }
}

/** Transposed convolution whose kernel equals its stride: every input pixel becomes a k x k tile. Same state as {@link ConvTranspose2d}. */
export class PatchConvTranspose2d extends ConvTranspose2d {
  /** @param x - [B, H, W, in] @returns [B, H k, W k, out] */
  override forward(x: tf.Tensor4D): tf.Tensor4D {
    const [batch, height, width, channels] = x.shape;
    const k = this.kernelSize;
    const kernel = tf.reshape<tf.Rank.R2>(tf.transpose(this.weight.value(), [0, 2, 3, 1]), [
      channels,
      k * k * this.outChannels,
    ]);
    const tiles = tf.matMul(tf.reshape<tf.Rank.R2>(x, [batch * height * width, channels]), kernel);
    const strips = tf.reshape(tiles, [batch * height, width, k, k * this.outChannels]);
    const y = tf.reshape<tf.Rank.R4>(tf.transpose(strips, [0, 2, 1, 3]), [
      batch,
      height * k,
      width * k,
      this.outChannels,
    ]);
    return this.bias ? (tf.add(y, this.bias.value()) as tf.Tensor4D) : y;
  }
}
