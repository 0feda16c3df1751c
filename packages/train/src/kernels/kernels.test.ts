import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compileKernels } from "../../../../scripts/build-wasm.mjs";
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

describe("SIMD and TypeScript kernels give the same bits", () => {
  test("adamw", () => {
    const constants = {
      scale: 0.7,
      beta1: 0.9,
      beta2: 0.999,
      keep: 0.9995,
      stepSize: 0.013,
      inverseRoot: 3.2,
      eps: 1e-8,
    };
    fc.assert(
      fc.property(arrays(4), (given) => {
        const results = [scalarKernels, simd].map(({ adamw }) => {
          const [value, grad, m, v] = copies(given) as [Float32Array, Float32Array, Float32Array, Float32Array];
          for (let i = 0; i < v.length; i++) v[i] = Math.abs(v[i]!);
          const next = new Float32Array(value.length);
          adamw({ value, grad, m, v, next, ...constants });
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

  test("the committed module is what its source compiles to", async () => {
    const folder = join(import.meta.dirname, "../..");
    expect((await compileKernels(folder)).toString("base64")).toBe(KERNELS_WASM);
  });
});
