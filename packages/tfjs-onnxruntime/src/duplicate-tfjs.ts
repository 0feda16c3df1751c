import * as tf from "@tensorflow/tfjs";

let asked = false;

/**
 * Warns once if two copies of tfjs-core are loaded: they share one engine and its kernels, but tensors of one are no `tf.Tensor`
 * of the other, so that `instanceof` fails in ways that are hard to find.
 *
 * @param tensorClass - @defaultValue the class that this package sees
 */
export function warnOfSecondTfjs(tensorClass: unknown = tf.Tensor): void {
  if (asked) return;
  asked = true;
  const probe = tf.scalar(0);
  if (probe.constructor !== tensorClass) {
    process.emitWarning(
      "Two copies of @tensorflow/tfjs-core are loaded. Let the application depend on one @tensorflow/tfjs ~4.22 (npm ls @tensorflow/tfjs-core).",
      { code: "ENGINE_DUPLICATE_TFJS" },
    );
  }
  probe.dispose();
}
