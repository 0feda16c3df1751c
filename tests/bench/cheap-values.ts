import type { Module, Parameter } from "@seg/nn";

/** Parameters of `model` one after the other, each with cheap values of a usual size: their distribution does not change the work. */
export function* cheapValues(model: Module): Generator<Parameter> {
  for (const parameter of model.namedParameters().values()) {
    const scale = parameter.shape.length > 1 ? (3 / parameter.shape.slice(1).reduce((a, b) => a * b, 1)) ** 0.5 : 0.1;
    let state = parameter.size;
    const values = new Float32Array(parameter.size);
    for (let i = 0; i < values.length; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) | 0;
      values[i] = (state / 2 ** 31) * scale;
    }
    parameter.assign(values);
    yield parameter;
  }
}
