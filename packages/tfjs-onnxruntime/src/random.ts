/**
 * Random tensors that follow from a key (Threefry 2x32): the same key gives the same numbers on every machine.
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { isEngine } from "./backend.js";
import { EngineError } from "./errors.js";
import { type HostData, sizeOf, type Value } from "./graph.js";
import { threefry2x32 } from "./threefry.js";

/** int32 [2]; every number follows from it. A step counter as second element gives each step numbers of its own. */
export type RandomKey = tf.Tensor1D;

/** Bits of the counters 0, 1, 2, ... under a key: `count` unsigned 32-bit words. */
function words(key: HostData, count: number): Uint32Array {
  const result = new Uint32Array(count + (count & 1));
  const block = new Uint32Array(2);
  for (let i = 0; i < result.length; i += 2) {
    threefry2x32(key[0]! >>> 0, key[1]! >>> 0, i >>> 1, 0, block);
    result[i] = block[0]!;
    result[i + 1] = block[1]!;
  }
  return result;
}

/** 24 bits of a word as a float32 in [0, 1). */
const unit = (word: number) => (word >>> 8) / 0x1000000;

/**
 * A tensor that is filled on the host from a key. Inside a compiled function it is filled again with every call, so the key must be an
 * argument, a captured tensor, a constant, or come from one of them by `split` and `fold`.
 */
function draw<T extends tf.Tensor>(
  key: tf.Tensor,
  shape: readonly number[],
  dtype: "float32" | "int32" | "bool",
  fill: (key: HostData, count: number, ...more: HostData[]) => HostData,
  ...more: tf.Tensor[]
): T {
  if (key.dtype !== "int32" || key.size !== 2) {
    throw new EngineError({
      code: "ENGINE_OPERANDS",
      op: "random",
      shapes: [key.shape],
      dtypes: [key.dtype],
      message: `A random key is int32 [2], got ${key.dtype} [${key.shape}].`,
      hint: 'Make one with tf.tensor1d([seed, step], "int32").',
    });
  }
  const count = sizeOf(shape);
  const inputs = [key, ...more];
  const backend = tf.backend();
  if (!isEngine(backend) || backend.scope === null) {
    const [first, ...others] = inputs.map((tensor) => tensor.dataSync() as HostData);
    return tf.tensor(fill(first!, count, ...others), [...shape], dtype) as T;
  }
  const values = inputs.map((tensor) => backend.value(tensor.dataId));
  if (values.some((value) => value.node !== null)) throw backend.scope.dataDependent();
  const value: Value = {
    node: null,
    index: 0,
    shape: [...shape],
    dtype,
    host: null,
    generator: { inputs: values, run: ([first, ...others]) => fill(first!, count, ...others) },
  };
  backend.scope.generated.push(value);
  const dataId = backend.register(value);
  return tf.engine().makeTensorFromTensorInfo({ dataId, shape: [...shape], dtype }) as T;
}

/**
 * Uniform in [minimum, maximum), float32.
 * @param key - int32 [2]; equal keys give equal numbers, see {@link split}
 * @throws {@link EngineError} `ENGINE_OPERANDS` for another key, `COMPILE_DATA_DEPENDENT` for a key that a compiled graph computes
 */
export function uniform(shape: readonly number[], key: tf.Tensor, minimum = 0, maximum = 1): tf.Tensor {
  return draw(key, shape, "float32", (k, count) =>
    Float32Array.from(words(k, count).subarray(0, count), (word) => minimum + (maximum - minimum) * unit(word)),
  );
}

/** Normal with mean 0 and deviation 1, float32, by Box and Muller's transform of pairs of words. See {@link uniform}. */
export function normal(shape: readonly number[], key: tf.Tensor): tf.Tensor {
  return draw(key, shape, "float32", (k, count) => {
    const bits = words(k, count);
    const result = new Float32Array(count);
    for (let i = 0; i < count; i += 2) {
      // 1 - u is in (0, 1]: its logarithm is finite.
      const radius = Math.sqrt(-2 * Math.log(1 - unit(bits[i]!)));
      const angle = 2 * Math.PI * unit(bits[i + 1]!);
      result[i] = radius * Math.cos(angle);
      if (i + 1 < count) result[i + 1] = radius * Math.sin(angle);
    }
    return result;
  });
}

/** 1 with `probability`, else 0, bool. See {@link uniform}. */
export function bernoulli(shape: readonly number[], key: tf.Tensor, probability: number): tf.Tensor {
  return draw(key, shape, "bool", (k, count) =>
    Uint8Array.from(words(k, count).subarray(0, count), (word) => (unit(word) < probability ? 1 : 0)),
  );
}

/** Integers in [minimum, maximum), int32; a bias of at most (maximum - minimum) / 2^32. See {@link uniform}. */
export function randint(shape: readonly number[], key: tf.Tensor, minimum: number, maximum: number): tf.Tensor {
  return draw(key, shape, "int32", (k, count) =>
    Int32Array.from(
      words(k, count).subarray(0, count),
      (word) => minimum + Math.floor((word / 0x100000000) * (maximum - minimum)),
    ),
  );
}

/** `count` keys that have nothing to do with each other, nor with the one they come from. */
export function split(key: tf.Tensor, count: number): RandomKey[] {
  return Array.from({ length: count }, (_, i) =>
    draw<RandomKey>(key, [2], "int32", (k) => {
      const block = new Uint32Array(2);
      // Counters of drawing have 0 in the second word.
      threefry2x32(k[0]! >>> 0, k[1]! >>> 0, i, 1, block);
      return Int32Array.from(block, (word) => word | 0);
    }),
  );
}

/** The key of a step: `counter` is an int32 scalar, for example the number of the step as an argument of a compiled function. */
export function fold(key: tf.Tensor, counter: tf.Tensor): RandomKey {
  return draw<RandomKey>(
    key,
    [2],
    "int32",
    (k, _count, step) => {
      const block = new Uint32Array(2);
      threefry2x32(k[0]! >>> 0, k[1]! >>> 0, step![0]! >>> 0, 2, block);
      return Int32Array.from(block, (word) => word | 0);
    },
    counter,
  );
}
