import * as tf from "@tensorflow/tfjs";
import { at, type InitContext, normal } from "../init.js";
import { Module, Parameter } from "../module.js";

/** A table of vectors. State: weight [count, features], initial values N(0, 1). */
export class Embedding extends Module {
  /**
   * Whether the model looks rows up by {@link Embedding.forward}. Tables whose weight is read directly cannot carry adapters: those would have
   * no effect until merged, and then jump.
   */
  readonly lookup: boolean;
  weight: Parameter;

  /** @param lookup - see {@link Embedding.lookup}. @defaultValue false */
  constructor({
    count,
    features,
    lookup = false,
    init,
  }: {
    count: number;
    features: number;
    lookup?: boolean;
    init: InitContext;
  }) {
    super();
    this.lookup = lookup;
    this.weight = new Parameter({ data: normal(at(init, "weight"), count * features, 1), shape: [count, features] });
  }

  /** @param ids - [...] int32 row numbers @returns [..., features] */
  forward(ids: tf.Tensor): tf.Tensor {
    const rows = tf.gather(this.weight.value(), tf.reshape(ids, [ids.size]) as tf.Tensor1D);
    return tf.reshape(rows, [...ids.shape, this.weight.shape[1]!]);
  }
}
