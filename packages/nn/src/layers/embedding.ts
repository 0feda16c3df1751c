import { at, type InitContext, normal } from "../init.js";
import { Module, Parameter } from "../module.js";

/** A table of vectors. State: weight [count, features], initial values N(0, 1). */
export class Embedding extends Module {
  weight: Parameter;

  constructor({ count, features, init }: { count: number; features: number; init: InitContext }) {
    super();
    this.weight = new Parameter({ data: normal(at(init, "weight"), count * features, 1), shape: [count, features] });
  }
}
