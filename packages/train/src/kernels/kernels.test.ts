import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compileKernels } from "../../../../scripts/build-wasm.mjs";
import { residentKernels } from "./kernels.js";
import { scalarKernels } from "./scalar.js";
import { simdKernels } from "./simd.js";
import { KERNELS_WASM } from "./wasm.js";

const simd = simdKernels()!;
const floats = (length: number) =>
  fc.array(fc.float({ noNaN: true, min: -1e3, max: 1e3 }), { minLength: length, maxLength: length });
/** Several arrays of one length, around the sizes where chunks and vectors of four end. */
const arrays = (count: number) =>
  fc
    .constantFrom(1, 2, 3, 4, 5, 7, 16, 33)
    .chain((length) => fc.array(floats(length), { minLength: count, maxLength: count }))
    .map((lists) => lists.map((list) => Float32Array.from(list)));
const copies = (given: Float32Array[]) => given.map((a) => Float32Array.from(a));
const wave = (length: number, k: number) => Float32Array.from({ length }, (_, i) => Math.sin(i * k) / k);

const ADAMW = { scale: 0.7, beta1: 0.9, beta2: 0.999, keep: 0.9995, stepSize: 0.013, inverseRoot: 3.2, eps: 1e-8 };
type Four = [Float32Array, Float32Array, Float32Array, Float32Array];

describe("SIMD and TypeScript kernels give the same bits", () => {
  test("adamw", () => {
    fc.assert(
      fc.property(arrays(4), (given) => {
        const results = [scalarKernels, simd].map(({ adamw }) => {
          const [value, grad, m, v] = copies(given) as [Float32Array, Float32Array, Float32Array, Float32Array];
          for (let i = 0; i < v.length; i++) v[i] = Math.abs(v[i]!);
          const next = new Float32Array(value.length);
          adamw({ value, grad, m, v, next, ...ADAMW });
          return { value, m, v, next };
        });
        expect(results[1]).toEqual(results[0]);
        expect(results[1]!.value).toEqual(given[0]);
      }),
    );
  });

  test("sgd with and without momentum and Nesterov", () => {
    fc.assert(
      fc.property(arrays(3), fc.boolean(), fc.boolean(), (given, withBuffer, nesterov) => {
        const results = [scalarKernels, simd].map(({ sgd }) => {
          const [value, grad, third] = copies(given) as [Float32Array, Float32Array, Float32Array];
          const buffer = withBuffer ? third : null;
          const next = new Float32Array(value.length);
          sgd({ value, grad, buffer, next, scale: 0.3, decay: 5e-4, carry: 0.9, mu: 0.9, lr: 0.01, nesterov });
          return { next, buffer };
        });
        expect(results[1]).toEqual(results[0]);
      }),
    );
  });

  test("moving averages and magnitudes, NaN included, across several chunks", () => {
    for (const length of [3, 16_384, 40_001]) {
      const [a, b] = [wave(length, 0.37), wave(length, 1.3)];
      const averages = [scalarKernels, simd].map((kernels) => {
        const average = Float32Array.from(a);
        kernels.moveTowards(average, b, 0.05);
        return average;
      });
      expect(averages[1]).toEqual(averages[0]);
      expect(simd.magnitudes([a, b, a])).toEqual(scalarKernels.magnitudes([a, b, a]));
      a[length - 1] = Number.NaN;
      expect(simd.magnitudes([a]).sum).toBeNaN();
      expect(simd.magnitudes([a]).max).toBe(scalarKernels.magnitudes([a]).max);
    }
    expect(simd.magnitudes([])).toEqual({ squares: 0, sum: 0, max: 0 });
  });

  test("arrays in the kernels' own memory, mixed with others, give the same bits and are written in place", () => {
    for (const length of [1, 5, 16_384, 40_001]) {
      const resident = residentKernels([length, length, length]);
      const [value, grad, m, v] = [0.3, 0.7, 1.1, 1.9].map((k) => wave(length, k)) as Four;
      for (let i = 0; i < length; i++) v[i] = Math.abs(v[i]!);
      const inside = [value, m, v].map((array) => {
        const own = resident.allocate(length);
        own.set(array);
        return own;
      }) as [Float32Array, Float32Array, Float32Array];
      expect(new Set(inside.map(({ buffer }) => buffer)).size).toBe(1);
      const next = new Float32Array(length);
      scalarKernels.adamw({ value, grad, m, v, next, ...ADAMW });
      scalarKernels.moveTowards(m, next, 0.25);
      const target = new Float32Array(length);
      resident.adamw({ value: inside[0], grad, m: inside[1], v: inside[2], next: target, ...ADAMW });
      resident.moveTowards(inside[1], target, 0.25);
      expect(target).toEqual(next);
      expect(inside.map((array) => Float32Array.from(array))).toEqual([value, m, v]);
      // In place, with a neighbour behind: the padding of an array must not reach it.
      resident.adamw({ value: inside[0], grad, m: inside[1], v: inside[2], next: inside[0], ...ADAMW });
      scalarKernels.adamw({ value, grad, m, v, next: value, ...ADAMW });
      expect(inside.map((array) => Float32Array.from(array))).toEqual([value, m, v]);
      expect(resident.magnitudes(inside)).toEqual(scalarKernels.magnitudes([value, m, v]));
    }
  });

  test("space that was not asked for is ordinary memory", () => {
    const resident = residentKernels([4]);
    const [first, second] = [resident.allocate(4), resident.allocate(100_000)];
    expect(first.buffer).not.toBe(second.buffer);
    expect(second).toEqual(new Float32Array(100_000));
  });

  test("the committed module is what its source compiles to", async () => {
    const folder = join(import.meta.dirname, "../..");
    expect((await compileKernels(folder)).toString("base64")).toBe(KERNELS_WASM);
  });
});
