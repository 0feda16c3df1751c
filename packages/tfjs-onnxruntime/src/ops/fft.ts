import * as tf from "@tensorflow/tfjs";

/** Float32 tensors of one shape: x = real + i imag. */
export interface ComplexParts {
  readonly real: tf.Tensor;
  readonly imag: tf.Tensor;
}

/** Real part (0) or imaginary part (1) of the transform F x, or of F^-1 x. */
function part(index: 0 | 1, { real, imag }: ComplexParts, inverse: boolean): tf.Tensor {
  const x = tf.complex(real, imag);
  const y = inverse ? tf.ifft(x) : tf.fft(x);
  return index === 0 ? tf.real(y) : tf.imag(y);
}

/**
 * Discrete Fourier transform along the last axis, y_k = sum over n of x_n exp(-2 pi i k n / N), differentiable: tfjs has no gradient of `tf.fft`,
 * and its tape carries none that is complex. The gradient of F x is F^H dy = N F^-1 dy, that of F^-1 x is F dy / N.
 *
 * @param inverse - F^-1: exp(+2 pi i k n / N) / N @defaultValue false
 * @returns both parts, in the shape of the operands
 * @example ops.fft({ real: tf.tensor1d([1, 2, 3, 4]), imag: tf.zeros([4]) }).real.dataSync(); // [10, -2, -2, -2]
 */
export function fft({ real, imag, inverse = false }: ComplexParts & { readonly inverse?: boolean }): ComplexParts {
  const [length = 1] = real.shape.slice(-1);
  const partOf = (index: 0 | 1) => {
    const op = tf.customGrad((re, im) => ({
      value: part(index, { real: re as tf.Tensor, imag: im as tf.Tensor }, inverse),
      gradFunc(dy: tf.Tensor) {
        const none = tf.zerosLike(dy);
        const given = index === 0 ? { real: dy, imag: none } : { real: none, imag: dy };
        const scale = inverse ? 1 / length : length;
        return [0, 1].map((i) => tf.mul(part(i as 0 | 1, given, !inverse), scale));
      },
    }));
    return op(real, imag);
  };
  return { real: partOf(0), imag: partOf(1) };
}
