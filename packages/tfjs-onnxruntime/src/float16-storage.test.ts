import { float16ToFloat32, float32ToFloat16 } from "@seg/onnx";
import * as tf from "@tensorflow/tfjs";
import { beforeEach, describe, expect, test } from "vitest";
import type { EngineMemory } from "./backend.js";
import { clearCache, compile, EngineError, engineInfo, freeze, storeAsFloat16, trace } from "./index.js";

beforeEach(async () => {
  await tf.setBackend("onnxruntime");
  clearCache();
});

const hostBytes = () => (tf.memory() as unknown as EngineMemory).hostBytes;
const rounded = (values: readonly number[]) => [...float16ToFloat32(float32ToFloat16(Float32Array.from(values)))];

const refusal = (fn: () => unknown): EngineError => {
  try {
    fn();
  } catch (error) {
    if (error instanceof EngineError) return error;
  }
  return expect.unreachable("must be refused");
};

describe("storeAsFloat16", () => {
  test("halves what live tensors hold and rounds their values half to even", () => {
    const before = hostBytes();
    const x = tf.tensor1d([1 / 3, -2, 65504, 1 + 2 ** -11, 1e-8]);
    expect(storeAsFloat16(x)).toEqual({ bytesBefore: 20, bytesAfter: 10 });
    expect(hostBytes() - before).toBe(10);
    expect([...x.dataSync()]).toEqual([0.333251953125, -2, 65504, 1, 0]);
    expect(x.dtype).toBe("float32");
    x.dispose();
    expect(hostBytes()).toBe(before);
  });

  test("graphs compute with the rounded values: eager, through views, in both directions of a convolution", () => {
    const values = Array.from({ length: 36 }, (_, i) => Math.sin(i) / 3);
    const w = tf.tensor4d(values, [3, 3, 2, 2]);
    const exact = tf.tensor4d(rounded(values), [3, 3, 2, 2]);
    storeAsFloat16(w);
    const x = tf.randomUniform<tf.Rank.R4>([1, 5, 5, 2], -1, 1, "float32", 7);
    const sum = (...[input, f]: tf.Tensor[]) =>
      tf.sum(tf.square(tf.conv2d(input as tf.Tensor4D, f as tf.Tensor4D, 2, "same")));
    const loss = (filter: tf.Tensor4D) => tf.valueAndGrads(sum)([x, filter]);
    const [a, b] = [loss(w), loss(exact)];
    expect([...a.value.dataSync()]).toEqual([...b.value.dataSync()]);
    for (const i of [0, 1]) expect([...a.grads[i]!.dataSync()]).toEqual([...b.grads[i]!.dataSync()]);
    expect([...tf.reshape(w, [36]).dataSync()]).toEqual(rounded(values));
    expect([...tf.add(w.clone(), 1).dataSync()]).toEqual([...tf.add(exact, 1).dataSync()]);
  });

  test("a compiled function is recorded again when its weights change their storage, and only then", () => {
    const w = tf.variable(tf.tensor1d([1 / 3, 2]));
    const c = tf.tensor1d([0.1, 0.2]);
    const f = compile((x: tf.Tensor) => tf.add(tf.mul(x, w), c));
    const call = () => {
      const x = tf.scalar(3);
      const y = f(x);
      const result = [...y.dataSync()];
      tf.dispose([x, y]);
      return result;
    };
    const expected = (a: readonly number[], b: readonly number[]) => [
      ...Float32Array.from(a, (v, i) => Math.fround(Math.fround(3 * v) + b[i]!)),
    ];
    const [wide, addend] = [Float32Array.of(1 / 3, 2), Float32Array.of(0.1, 0.2)];
    expect(call()).toEqual(expected([...wide], [...addend]));
    storeAsFloat16([w, c]);
    for (let i = 0; i < 5; i++) expect(call()).toEqual(expected(rounded([1 / 3, 2]), rounded([0.1, 0.2])));
    const { traces } = f.stats();
    expect(call()).toEqual(expected(rounded([1 / 3, 2]), rounded([0.1, 0.2])));
    expect(f.stats().traces).toBe(traces);
    // An assignment stores float32 again.
    w.assign(tf.tensor1d([1 / 3, 2]));
    expect(call()).toEqual(expected([...wide], rounded([0.1, 0.2])));
    f.dispose();
    tf.dispose([w, c]);
  });

  test("on several cores at once, and as an argument", () => {
    const w = tf.variable(tf.tensor1d([1 / 3]));
    storeAsFloat16(w);
    const f = compile((x: tf.Tensor) => tf.mul(x, w));
    const x = tf.tensor1d([0.7]);
    storeAsFloat16(x);
    const product = Math.fround(rounded([0.7])[0]! * rounded([1 / 3])[0]!);
    expect(f.parallel([[x], [x]]).map((y) => y.dataSync()[0])).toEqual([product, product]);
    f.dispose();
    tf.dispose([w, x]);
  });

  test("frozen, it becomes a constant of the session: the same results", () => {
    const w = tf.tensor2d([1 / 3, 10], [2, 1]);
    storeAsFloat16(w);
    freeze(w);
    const before = engineInfo().misses;
    for (let i = 0; i < 8; i++) {
      const y = tf.tidy(() => tf.matMul(tf.fill([1, 2], i), w).dataSync()[0]);
      expect(y).toBe(Math.fround(i * rounded([1 / 3])[0]! + 10 * i));
    }
    expect(engineInfo().misses - before).toBe(2);
    w.dispose();
  });

  test("an exported graph has it as a float16 initializer under its name, and a Cast", () => {
    const w = tf.tensor1d([0.1, 0.2]);
    storeAsFloat16(w);
    const { graph } = trace(({ x }) => ({ y: tf.mul(x!, w) }), { x: { shape: [2] } }, { constants: { weight: w } });
    expect(graph.initializers.map(({ name, dataType, dims }) => ({ name, dataType, dims }))).toEqual([
      { name: "weight", dataType: 10, dims: [2] },
    ]);
    expect(graph.nodes.map(({ opType }) => opType)).toEqual(["Cast", "Mul"]);
    w.dispose();
  });

  test("refuses what float16 cannot hold and changes nothing then", () => {
    const [a, b] = [tf.tensor1d([1 / 3]), tf.tensor1d([1, 70000])];
    const error = refusal(() => storeAsFloat16([a, b]));
    expect(error.code).toBe("ENGINE_UNSUPPORTED");
    expect(error.message).toContain("70000");
    expect(a.dataSync()[0]).toBe(Math.fround(1 / 3));
    expect(refusal(() => storeAsFloat16(tf.tensor1d([1], "int32"))).code).toBe("ENGINE_UNSUPPORTED");
    a.dispose();
    expect(refusal(() => storeAsFloat16(a)).code).toBe("ENGINE_DISPOSED");
    const infinite = tf.tensor1d([Number.POSITIVE_INFINITY, Number.NaN]);
    storeAsFloat16(infinite);
    expect([...infinite.dataSync()]).toEqual([Number.POSITIVE_INFINITY, Number.NaN]);
  });

  test("does nothing on another backend", async () => {
    await tf.setBackend("cpu");
    const x = tf.tensor1d([1 / 3]);
    expect(storeAsFloat16(x)).toEqual({ bytesBefore: 4, bytesAfter: 4 });
    expect(x.dataSync()[0]).toBe(Math.fround(1 / 3));
    x.dispose();
  });
});
