import * as tf from "@tensorflow/tfjs";
import { NF4_BLOCK, NF4_LEVELS, quantizeInt8, quantizeNf4 } from "./codes.js";

/** Bits of one quantised weight. */
export type Bits = 8 | 4;

/**
 * A frozen weight as codes, dequantised by tfjs operations inside the graph that uses it. tfjs has no 8-bit tensors: four code bytes lie in
 * one int32 element, so a weight takes its bits and scales, nothing more.
 */
export class QuantizedWeight {
  readonly bits: Bits;
  readonly shape: readonly number[];
  readonly #size: number;
  /** int32 [ceil(bytes / 4)]. */
  readonly #packed: tf.Tensor1D;
  readonly #scales: tf.Tensor;
  /**
   * 2^24, once for the forward and once for the backward pass: with a shared one ONNX Runtime would see the second dequantisation as the same
   * subexpression and keep the first one's values alive in between, which is what is to be avoided.
   */
  readonly #divisors: readonly [tf.Scalar, tf.Scalar];

  /** @param values - float32, row-major @param shape - [out, ...] */
  constructor({ values, shape, bits }: { values: Float32Array; shape: readonly number[]; bits: Bits }) {
    this.bits = bits;
    this.shape = [...shape];
    this.#size = values.length;
    const { codes, scales } = bits === 8 ? quantizeInt8(values, shape[0]!) : quantizeNf4(values);
    this.#packed = tf.tensor1d(pack(codes, bits), "int32");
    this.#scales = tf.tensor2d(scales, [scales.length, 1]);
    this.#divisors = [tf.scalar(1 << 24, "int32"), tf.scalar(1 << 24, "int32")];
  }

  /** Bytes of codes and scales. */
  get bytes(): number {
    return 4 * (this.#packed.size + this.#scales.size);
  }

  /** float32 values. @param pass - which of the two graphs of a training step asks */
  value(pass: "forward" | "backward" = "forward"): tf.Tensor {
    return tf.tidy(() => {
      const divisor = this.#divisors[pass === "forward" ? 0 : 1];
      // The top byte is signed; what remains is below 2^24, where float32 is exact.
      const top = tf.floorDiv(this.#packed, divisor);
      const rest = tf.cast(tf.sub(this.#packed, tf.mul(top, divisor)), "float32");
      const third = tf.floor(tf.mul(rest, 2 ** -16));
      const low = tf.sub(rest, tf.mul(third, 2 ** 16));
      const second = tf.floor(tf.mul(low, 2 ** -8));
      const first = tf.sub(low, tf.mul(second, 2 ** 8));
      // Bytes were stored plus 128, the top one as a signed byte.
      const bytes = tf.stack([first, second, third, tf.add(tf.cast(top, "float32"), 128)], 1);
      return tf.reshape(this.bits === 8 ? this.#fromInt8(bytes) : this.#fromNf4(bytes), [...this.shape]);
    });
  }

  #fromInt8(bytes: tf.Tensor): tf.Tensor {
    const rows = this.shape[0]!;
    const codes = tf.slice(tf.reshape(bytes, [bytes.size]), 0, this.#size);
    return tf.mul(tf.reshape(tf.sub(codes, 128), [rows, this.#size / rows]), this.#scales);
  }

  #fromNf4(bytes: tf.Tensor): tf.Tensor {
    const high = tf.floor(tf.mul(bytes, 1 / 16));
    const nibbles = tf.stack([high, tf.sub(bytes, tf.mul(high, 16))], 2);
    const count = this.#scales.shape[0]! * NF4_BLOCK;
    const flat = tf.reshape(nibbles, [nibbles.size]);
    const whole = nibbles.size < count ? tf.pad(flat, [[0, count - nibbles.size]]) : tf.slice(flat, 0, count);
    const levels = tf.gather(tf.tensor1d([...NF4_LEVELS]), tf.cast(whole, "int32"));
    const values = tf.mul(tf.reshape(levels, [count / NF4_BLOCK, NF4_BLOCK]), this.#scales);
    return tf.slice(tf.reshape(values, [count]), 0, this.#size);
  }

  dispose(): void {
    tf.dispose([this.#packed, this.#scales, ...this.#divisors]);
  }
}

/** Bytes + 128 (int8 codes; nibble pairs stay) in the three low places, the top one minus 128. */
function pack(codes: Uint8Array, bits: Bits): Int32Array {
  const result = new Int32Array(Math.ceil(codes.length / 4));
  // In int8, code + 128 modulo 256 is the byte with its sign bit flipped.
  const flip = bits === 8 ? 128 : 0;
  for (let i = 0; i < result.length; i++) {
    const byte = (k: number) => (codes[4 * i + k] ?? 0) ^ flip;
    result[i] = ((byte(3) ^ 128) << 24) | (byte(2) << 16) | (byte(1) << 8) | byte(0);
  }
  return result;
}
