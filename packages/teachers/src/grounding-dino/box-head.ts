import { at, type InitContext, Linear, Module, ModuleList } from "@seg/nn";
import * as tf from "@tensorflow/tfjs";

/** Linear layers with ReLU between them. */
export class MlpHead extends Module {
  layers: ModuleList<Linear>;

  constructor({
    input,
    hidden,
    output,
    depth,
    init,
  }: {
    input: number;
    hidden: number;
    output: number;
    depth: number;
    init: InitContext;
  }) {
    super();
    this.layers = new ModuleList(
      Array.from(
        { length: depth },
        (_, i) =>
          new Linear({
            inFeatures: i === 0 ? input : hidden,
            outFeatures: i === depth - 1 ? output : hidden,
            init: at(init, `layers.${i}`),
          }),
      ),
    );
  }

  /** @param x - [..., input] @returns [..., output] */
  forward(x: tf.Tensor): tf.Tensor {
    let y = x;
    for (let i = 0; i < this.layers.length; i++) {
      y = this.layers.at(i).forward(y);
      if (i < this.layers.length - 1) y = tf.relu(y);
    }
    return y;
  }
}

/** Inverse sigmoid log(p / (1 - p)) of values moved into [eps, 1 - eps]. */
export function inverseSigmoid(p: tf.Tensor, eps: number): tf.Tensor {
  const clipped = tf.clipByValue(p, eps, 1 - eps);
  return tf.log(tf.div(clipped, tf.sub(1, clipped)));
}
