import { readSafetensors } from "@seg/nn";
import * as tf from "@tensorflow/tfjs";
import type { Check } from "../check.js";

/** |a - b| <= atol + rtol |b|. */
export interface Tolerance {
  readonly atol: number;
  readonly rtol: number;
}

// fixtures/losses-optim/README.md, "How to compare".
export const FORWARD: Tolerance = { atol: 1e-6, rtol: 1e-5 };
export const GRADIENT: Tolerance = { atol: 1e-5, rtol: 1e-4 };

/** Attributes of a case in `index.json`. */
export type Attributes = Readonly<Record<string, unknown>>;

/** One file of recorded values. */
export interface FixtureCase {
  readonly name: string;
  readonly attributes: Attributes;
  /** Names behind a prefix, for example `in.` -> `x`. */
  names(prefix: string): string[];
  has(key: string): boolean;
  shape(key: string): readonly number[];
  data(key: string): Float32Array;
  /** A new tensor; int32 for stored integers and booleans. */
  tensor(key: string): tf.Tensor;
}

export function openCase(file: string, name: string, attributes: Attributes): FixtureCase {
  const source = readSafetensors(file);
  const names = source.names();
  return {
    name,
    attributes,
    names: (prefix) => names.filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length)),
    has: (key) => source.has(key),
    shape: (key) => source.info(key).shape,
    data: (key) => source.tensor(key).data as Float32Array,
    tensor: (key) => {
      const { shape, data } = source.tensor(key);
      const isInteger = data instanceof BigInt64Array || source.info(key).dtype === "BOOL";
      return tf.tensor(
        Float32Array.from(data as ArrayLike<number>, Number),
        [...shape],
        isInteger ? "int32" : "float32",
      );
    },
  };
}

/** First value beyond the tolerance, as a check of its own. */
export function compareClose(
  check: Check,
  name: string,
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  { atol, rtol }: Tolerance,
): void {
  if (actual.length !== expected.length) {
    check.ok(name, false, `${actual.length} values, expected ${expected.length}`);
    return;
  }
  for (let i = 0; i < expected.length; i++) {
    const [a, b] = [actual[i]!, expected[i]!];
    // The negation also catches NaN.
    if (Math.abs(a - b) <= atol + rtol * Math.abs(b)) continue;
    check.ok(name, false, `element ${i} is ${a}, expected ${b}`);
    return;
  }
  check.ok(name, true);
}

/** Result and vector-Jacobian products of a function of the case's inputs, all that are recorded. */
export function compareFunction({
  check,
  fixture,
  group,
  forward,
  tolerance = FORWARD,
}: {
  check: Check;
  fixture: FixtureCase;
  group: string;
  forward: (inputs: Readonly<Record<string, tf.Tensor>>) => tf.Tensor;
  tolerance?: Tolerance;
}): void {
  tf.tidy(() => {
    const inputs = fixture.names("in.");
    const tensors = Object.fromEntries(inputs.map((key) => [key, fixture.tensor(`in.${key}`)]));
    const value = forward(tensors);
    compareClose(check, `${group}/${fixture.name}/out.0`, value.dataSync(), fixture.data("out.0"), tolerance);
    const wanted = inputs.filter((key) => fixture.has(`grad.${key}`));
    if (wanted.length === 0) return;
    const cotangent = tf.reshape(fixture.tensor("grad_out"), value.shape);
    const gradients = tf.grads((...given: tf.Tensor[]) => {
      const replaced = Object.fromEntries(wanted.map((key, i) => [key, given[i]!]));
      return forward({ ...tensors, ...replaced });
    })(
      wanted.map((key) => tensors[key]!),
      cotangent,
    );
    wanted.forEach((key, i) => {
      const name = `${group}/${fixture.name}/grad.${key}`;
      compareClose(check, name, gradients[i]!.dataSync(), fixture.data(`grad.${key}`), gradientTolerance(fixture, key));
    });
  });
}

/** The README's, and never finer than one float32 rounding of the largest gradient: sums of large terms may cancel. */
export function gradientTolerance(fixture: FixtureCase, key: string): Tolerance {
  const scale = fixture.data(`grad.${key}`).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return { atol: Math.max(GRADIENT.atol, 1.2e-7 * scale), rtol: GRADIENT.rtol };
}
